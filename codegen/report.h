/* `smc report`: a compilation as one HTML page that needs nothing else, neither network nor server.
 *
 *     Report *r = report_new(model, sources, arena);
 *     options.observer = report_observer(r);
 *     report_add(r, g, fusions, scratch);     // every program, after every pass
 *     report_profile(r, "profile.json", &err);
 *     report_print(out, r, command);
 *     report_free(r);
 *
 * The compiler writes facts, as JSON: programs, units and what they read, buffers, changes made by
 * passes, parameters, sources.  The page (report/page.html, style.css, script.js, kept in the
 * program) draws them.  Repeated layers are facts like any other and are folded by the page. */
#ifndef CODEGEN_REPORT_H
#define CODEGEN_REPORT_H

#include "base/buf.h"
#include "base/status.h"
#include "codegen/summary.h"
#include "frontend/frontend.h"
#include "passes/run.h"

typedef struct Report Report;

/* `sources` is read by report_print, so it may still grow. */
Report *report_new(const Graph *model, const Sources *sources, Arena *arena);
void report_free(Report *r);

/* Watches a compilation for what each pass changes. */
PassObserver report_observer(Report *r);
/* A program through every pass. */
void report_add(Report *r, const Graph *g, FusionSet fusions, Arena *scratch);
/* What `smrun profile --json` measured of one of the programs. */
bool report_profile(Report *r, const char *path, Error *err);
/* False when memory ran out. */
bool report_print(Buf *out, const Report *r, const Summary *summary, const char *command);

#endif
