/* The author's mistakes: collected, not fatal at the first, each with a place and a stable code. */
#ifndef IR_DIAG_H
#define IR_DIAG_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* A run of source text on one line (a longer construct is named by its first line).  line and column
 * count from 1, columns and length in bytes; line 0: no place. */
typedef struct Span {
    uint32_t file;                      /* index into the file table of the sink or the graph */
    uint32_t line, column, length;
} Span;

/* Codes and their explanations stand in diags.def. */
typedef enum DiagCode {
#define DIAG(code, title, text) DIAG_##code,
#include "ir/diags.def"
    N_DIAGS
} DiagCode;

const char *diag_code_name(DiagCode c);                 /* "E0210" */
const char *diag_code_title(DiagCode c);                /* one line */
const char *diag_code_text(DiagCode c);                 /* the long explanation, with an example */
bool diag_code_from_name(const char *name, DiagCode *out);

typedef struct DiagNote {
    Span span;                          /* line 0: a note without a place */
    const char *text;
} DiagNote;

typedef struct Diag {
    DiagCode code;
    bool warning;
    Span span;
    const char *text;                   /* "matmul: inner dimensions differ" */
    const char *label;                  /* beside the carets; may be NULL */
    DiagNote *notes;
    uint32_t n_notes, cap_notes;
} Diag;

typedef struct DiagSink {
    Arena *arena;
    const char **files;                 /* names, as given by the user */
    uint32_t n_files, cap_files;
    Diag *diags;
    uint32_t n, cap;
    uint32_t n_errors;
    uint64_t *keys;                     /* hashes of all messages so far, to tell repetitions */
    uint32_t cap_keys;
    bool repeated;                      /* the newest message was one; so its label and notes go */
} DiagSink;

void diag_init(DiagSink *s, Arena *arena);
uint32_t diag_file(DiagSink *s, const char *name);      /* finds or adds */

/* All take a sink that may hold any number already; equal messages at one place count once. */
void diag_error(DiagSink *s, Span at, DiagCode code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void diag_warning(DiagSink *s, Span at, DiagCode code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* These add to the newest diagnostic; a second label replaces the first. */
void diag_label(DiagSink *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void diag_note(DiagSink *s, Span at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sorted by file, line, column. */
void diag_sort(DiagSink *s);

#endif
