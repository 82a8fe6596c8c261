/* Sizes and shapes.
 *
 * A Dim is a monomial: a positive constant times powers of named sizes, 3 * B * T.  Products of dims
 * are dims again, so element counts, row-major strides and offsets of views are all exact and known
 * by symbol before any size is; and since every coefficient is positive, each is largest where its
 * symbols are.  Sums are not: an op that would need one (a concatenation along T) is refused. */
#ifndef IR_TYPE_H
#define IR_TYPE_H

#include "base/buf.h"
#include "base/dtype.h"
#include "base/shape.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Dim {
    int64_t coef;                       /* >= 1 as a size; >= 0 as a stride or an offset */
    uint8_t power[MAX_SYMBOLS];         /* exponent of each symbol of the graph */
    uint32_t origin;                    /* where the size was named: index into Graph.origins, 0
                                           for none.  Only for messages; never compared */
} Dim;

Dim dim_const(int64_t n);
Dim dim_symbol(int symbol);
bool dim_equal(Dim a, Dim b);
bool dim_is_const(Dim d);
bool dim_is(Dim d, int64_t n);                          /* the constant n */
bool dim_has(Dim d, int symbol);
/* False when the result does not fit 62 bits or a power passes 255. */
bool dim_mul(Dim a, Dim b, Dim *out);
/* Exact division; false when b does not divide a. */
bool dim_div(Dim a, Dim b, Dim *out);
/* The number, for sizes[symbol]; false on overflow past 62 bits. */
bool dim_eval(Dim d, const int64_t sizes[MAX_SYMBOLS], int64_t *out);

typedef struct Shape {
    uint8_t rank;                       /* 0: a scalar */
    Dim dim[MAX_RANK];
} Shape;

typedef struct Type {
    DType dtype;
    Shape shape;
} Type;

/* Are its rows whole blocks of its element type? */
bool type_has_blocks(const Type *t);
bool shape_equal(const Shape *a, const Shape *b);
bool type_equal(const Type *a, const Type *b);
bool shape_count(const Shape *s, Dim *out);             /* product of the dims */
bool shape_strides(const Shape *s, Dim out[MAX_RANK]);  /* row-major */
Type type_scalar(DType dtype);
Type type_of(DType dtype, int rank, const Dim *dims);

/* "[B, T, 3*C]", "f32[B, T]"; symbol names from the graph.  What is out of range prints as "?". */
struct Graph;
void dim_print(Buf *out, const struct Graph *g, Dim d);
void shape_print(Buf *out, const struct Graph *g, const Shape *s);
void type_print(Buf *out, const struct Graph *g, const Type *t);

#endif
