/* Diagnostics for people and for machines.
 *
 *     gpt.smg:12:9: error[E0210]: matmul: inner dimensions differ
 *        12 |     h = x @ w
 *           |         ^~~~~ x is [B, T, 768], w is [512, 64]
 *        note: 768 is `width` (gpt.smg:5)
 *
 * Control characters of the source are never passed on to the terminal. */
#ifndef FRONTEND_CARETS_H
#define FRONTEND_CARETS_H

#include "frontend/frontend.h"

/* As above, in the order of the sink (diag_sort it first), colours of ANSI terminals when asked.
 * `sources` may be NULL: then no source lines are shown. */
void carets_print(Buf *out, const DiagSink *diags, const Sources *sources, bool colour);

/* One JSON array of {"severity", "code", "title", "message", "label", "file", "line", "column",
 * "length", "notes": [{"message", "file", "line", "column", "length"}]} and a newline. */
void carets_json(Buf *out, const DiagSink *diags);

#endif
