/* The pieces that lines of graph text are made of.  Private to scan.c and read.c.
 *
 * Text is any bytes, so every function looks at the end before it looks at a byte.  Functions return
 * false after the first mistake, which is kept with its line and column. */
#ifndef IR_SCAN_H
#define IR_SCAN_H

#include "base/status.h"
#include "ir/graph.h"

typedef struct Scan {
    const char *p, *end;
    const char *line;                   /* its first byte */
    uint32_t line_no;                   /* from 1 */
    Error *err;
    Arena *arena;                       /* strings go here */
    const char *last_string;            /* neighbouring nodes share their path */
} Scan;

typedef struct Word {
    char text[32];
} Word;

/* "line 3, column 7: " and the message. */
bool scan_fail(Scan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool scan_expected(Scan *s, const char *what);          /* "expected WHAT, found `...`" */

/* All skip blanks first. */
int scan_peek(Scan *s);                                 /* the next byte; '\n' also at the end */
bool scan_try(Scan *s, char c);
bool scan_need(Scan *s, char c);
bool scan_end_line(Scan *s);                            /* nothing but blanks and a comment */
bool scan_next_line(Scan *s);                           /* to the next line that has something */

bool scan_word(Scan *s, Word *out);
/* The word is one of `words`; *out its index. */
bool scan_choice(Scan *s, const char *const *words, size_t n, const char *what, size_t *out);
/* `key` and the '=' after it, when that comes next; else nothing is taken. */
bool scan_try_key(Scan *s, const char *key);
bool scan_int(Scan *s, int64_t least, int64_t most, int64_t *out);
bool scan_u32(Scan *s, uint32_t most, uint32_t *out);
bool scan_double(Scan *s, double *out);
bool scan_string(Scan *s, const char **out);
bool scan_dim(Scan *s, const Graph *g, int64_t least_coef, Dim *out);
bool scan_type(Scan *s, const Graph *g, Type *out);
bool scan_span(Scan *s, const Graph *g, Span *out);     /* optional; line 0 when absent */

#endif
