/* Between the files of the report. */
#ifndef CODEGEN_REPORT_PARTS_H
#define CODEGEN_REPORT_PARTS_H

#include "codegen/report.h"

#include <jansson.h>

/* Strings are written once and named by their number. */
typedef struct ReportStrings {
    json_t *list, *index;
} ReportStrings;

json_t *report_string(ReportStrings *s, const char *text);

/* [file, line] of the source as one number, file * 2^20 + line; 0: nowhere. */
json_t *report_line(Span span);

/* One program: its units, buffers and figures. */
json_t *report_program(ReportStrings *s, const Graph *g, FusionSet fusions, Arena *scratch);

/* A unified diff with each kind of change once: a hunk that repeats an earlier one in all but its
 * numbers is only counted.  At most `limit` bytes and a line. */
void report_change(Buf *out, const char *diff, size_t limit, Arena *scratch);

/* The page with the facts in it. */
void report_page(Buf *out, const char *title, const char *json);

#endif
