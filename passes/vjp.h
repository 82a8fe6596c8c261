/* The gradient table: for each op, the cotangents of its inputs from that of its result.
 *
 * A rule is told the forward node and the cotangent g of its first result, which has the result's
 * type.  For every input that is wanted it gives a value that broadcasts with the input's shape:
 * autodiff sums over the axes along which the input was stretched, and stretches what is smaller;
 * so sum's rule is g itself, and mul's does not know that a bias was broadcast.
 * Rules only add nodes; where a result serves better than the input (exp, tanh, softmax), they read
 * the result.  Second results (lse) are read by rules and never have cotangents. */
#ifndef PASSES_VJP_H
#define PASSES_VJP_H

#include "ir/build.h"

typedef struct Vjp {
    Builder b;                          /* at the place of the forward node */
    const Node *node;
    const ValueId *in;                  /* the forward node's inputs */
    ValueId out;                        /* its first result; others follow */
    ValueId g;
    const bool *wanted;                 /* by input: float, and made from a parameter */
    ValueId *d;                         /* by input; NO_VALUE: no gradient, which is zero */
    bool part;                          /* d[0] is the cotangent of this part only */
    int axis;
    int64_t start, stop;
} Vjp;

typedef void VjpFn(Vjp *v);
extern VjpFn *const vjp_rules[N_OPS];

#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) VjpFn vjp_##grad;
#include "ir/ops.def"

/* vjp_none: there is no gradient, and asking for it is the author's mistake.
 * vjp_zero: the gradient is zero. */

/* ---- what rules are written in ---------------------------------------------------------------
 * At most one argument of a call may add nodes: C leaves the order of arguments open, and the order
 * of nodes must not depend on the compiler. */

#define GRAD(i, value) do { if (v->wanted[i]) v->d[i] = (value); } while (0)

static inline ValueId op1(Vjp *v, OpId op, ValueId a) { return build1(&v->b, op, a); }
static inline ValueId op2(Vjp *v, OpId op, ValueId a, ValueId b) { return build2(&v->b, op, a, b); }
static inline ValueId add(Vjp *v, ValueId a, ValueId b) { return op2(v, OP_add, a, b); }
static inline ValueId sub(Vjp *v, ValueId a, ValueId b) { return op2(v, OP_sub, a, b); }
static inline ValueId mul(Vjp *v, ValueId a, ValueId b) { return op2(v, OP_mul, a, b); }
static inline ValueId divide(Vjp *v, ValueId a, ValueId b) { return op2(v, OP_div, a, b); }
static inline ValueId negate(Vjp *v, ValueId a) { return op1(v, OP_neg, a); }
static inline ValueId number(Vjp *v, double c) { return build_constant(&v->b, c); }
static inline ValueId scale(Vjp *v, ValueId a, double c) { return build_scale(&v->b, a, c); }
static inline ValueId plus(Vjp *v, ValueId a, double c) { return add(v, a, number(v, c)); }
static inline ValueId one_minus(Vjp *v, ValueId a) { return sub(v, number(v, 1), a); }
static inline ValueId versus(Vjp *v, OpId op, ValueId a, double c)
{
    return op2(v, op, a, number(v, c));
}
static inline ValueId choose(Vjp *v, ValueId condition, ValueId a, ValueId b)
{
    return build3(&v->b, OP_where, condition, a, b);
}
static inline ValueId keep(Vjp *v, ValueId condition, ValueId a)        /* else 0 */
{
    return choose(v, condition, a, number(v, 0));
}
static inline ValueId clear(Vjp *v, ValueId condition, ValueId a)       /* 0, else a */
{
    return choose(v, condition, number(v, 0), a);
}
static inline Shape shape_of(const Vjp *v, ValueId x) { return value_type(v->b.g, x)->shape; }

#endif
