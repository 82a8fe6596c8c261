/* Strides of views: the same bytes under another shape. */
#ifndef PASSES_VIEW_H
#define PASSES_VIEW_H

#include "ir/graph.h"

/* A placed shape without its buffer. */
typedef struct Strided {
    Shape shape;
    Dim offset;                         /* elements */
    Dim stride[MAX_RANK];
} Strided;

/* Row-major from offset 0. */
Strided strided_dense(const Shape *shape);
bool strided_is_dense(const Strided *s);                /* row-major, wherever it begins */
bool strided_equal(const Strided *a, const Strided *b);

/* What the view node `n` makes of its input's strides; false when only a copy would do.  Reshapes
 * follow NumPy: an axis may be split, and axes merged that lie one after the other. */
bool strided_view(const Graph *g, const Node *n, const Strided *in, Strided *out);

/* The other way: the strides that the input must have so that the view's are `out`.  False for
 * slices and broadcasts, whose inputs hold more, and where only a copy would do. */
bool strided_unview(const Graph *g, const Node *n, const Strided *out, Strided *in);

/* Last axis contiguous, as kernels ask for "rows". */
bool strided_rows(const Strided *s);

/* The elements [start, start + count) of an axis. */
bool strided_part(const Strided *whole, int axis, int64_t start, Dim count, Strided *part);

#endif
