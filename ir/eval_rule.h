/* Between the files of the evaluator: indices into tensors, and attributes. */
#ifndef IR_EVAL_RULE_H
#define IR_EVAL_RULE_H

#include "ir/eval.h"

/* A position in a tensor, and the walk over all of them in row-major order:
 *     Index at = { 0 };
 *     do { ... } while (index_next(&at, t));
 * A tensor without elements has no positions; ask `count` first. */
typedef struct Index {
    int64_t i[MAX_RANK];
} Index;

static inline bool index_next(Index *at, const Tensor *t)
{
    for (int a = t->rank; a-- > 0;) {
        if (++at->i[a] < t->dim[a])
            return true;
        at->i[a] = 0;
    }
    return false;
}

/* Row-major offset of `at`. */
static inline int64_t index_offset(const Index *at, const Tensor *t)
{
    int64_t o = 0;
    for (int a = 0; a < t->rank; a++)
        o = o * t->dim[a] + at->i[a];
    return o;
}

/* Offset in `t` of what NumPy's broadcasting puts at position `at` of a tensor of `rank` axes. */
static inline int64_t index_broadcast(const Index *at, int rank, const Tensor *t)
{
    int64_t o = 0;
    for (int a = 0; a < t->rank; a++) {
        int64_t i = at->i[a + rank - t->rank];
        o = o * t->dim[a] + (t->dim[a] == 1 ? 0 : i);
    }
    return o;
}

/* The sizes as (outer, length, inner) around `axis`: element (o, k, i) at (o * length + k) * inner
 * + i. */
typedef struct AxisSplit {
    int64_t outer, length, inner;
} AxisSplit;

static inline AxisSplit axis_split(const Tensor *t, int axis)
{
    AxisSplit s = { 1, t->dim[axis], 1 };
    for (int a = 0; a < axis; a++)
        s.outer *= t->dim[a];
    for (int a = axis + 1; a < t->rank; a++)
        s.inner *= t->dim[a];
    return s;
}

/* Of an op that writes: its result is also the new content of the storage behind its first input. */
void eval_write_storage(EvalNode *n);

/* What an element-wise op of one input makes of x. */
double eval_scalar(OpId op, double x);

/* A row of `d` elements turned as rope does; attributes are those of the node. */
void eval_turn_row(const EvalNode *n, double position, const Tensor *factors, int64_t d,
                   const double *from, double *to);

/* Same number of elements: the bytes as they are. */
void eval_copy(const Tensor *from, Tensor *to);

/* Does dropout keep the element? (base/random.h; the seed is two 32-bit words.) */
bool eval_keep(double seed_low, double seed_high, int64_t site, int64_t element, double p);

#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    void eval_##eval(EvalNode *n);
#include "ir/ops.def"

#define EVAL_ATTR(n, op_, name_) NODE_ATTR((n)->node, op_, name_)

#endif
