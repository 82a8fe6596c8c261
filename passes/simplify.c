/* Algebra: identities, views that cancel, scales that meet.
 *
 * needs  nothing
 * keeps  order, types; values to within the rounding of one operation
 *
 * One walk; each node is looked at once, after its inputs have become what they become.  Rules look
 * at the new graph, so chains collapse. */
#include "ir/build.h"
#include "ir/infer.h"
#include "passes/pass.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct Simplify {
    Rewriter rw;
    const Graph *g;                     /* the new graph, which the rules read */
    const Node *node;                   /* in the old graph */
    ValueId in[3];                      /* its inputs in the new one */
    Builder b;
} Simplify;

static bool number(const Simplify *s, ValueId v, double *out)
{
    const Node *n = value_def(s->g, v);
    if (n->op != OP_constant || value_type(s->g, v)->shape.rank != 0)
        return false;
    *out = NODE_ATTR(n, constant, value).f;
    return true;
}

static bool is_number(const Simplify *s, ValueId v, double wanted)
{
    double x;
    return number(s, v, &x) && x == wanted;
}

/* `v` may stand for the result only when the types agree. */
static ValueId same_type(const Simplify *s, ValueId v)
{
    const Type *result = value_type(s->rw.old, s->node->first_output);
    return type_equal(value_type(s->g, v), result) ? v : NO_VALUE;
}

static bool is_f32(const Simplify *s)
{
    return value_type(s->rw.old, s->node->first_output)->dtype == DTYPE_f32;
}

/* ---- arithmetic ------------------------------------------------------------------------------- */

static bool is_zeros(const Simplify *s, ValueId v)
{
    const Node *n = value_def(s->g, v);
    return n->op == OP_broadcast && is_number(s, node_input(s->g, n, 0), 0);
}

/* x + (rows added to zeros): the rows added to x. */
static ValueId add_rows_to(Simplify *s, ValueId rows, ValueId x)
{
    const Node *n = value_def(s->g, rows);
    if (n->op != OP_embedding_grad || !is_zeros(s, node_input(s->g, n, 0))
        || same_type(s, x) == NO_VALUE)
        return NO_VALUE;
    return build3(&s->b, OP_embedding_grad, x, node_input(s->g, n, 1), node_input(s->g, n, 2));
}

static ValueId simplify_add(Simplify *s)
{
    for (unsigned i = 0; i < 2; i++) {
        const ValueId merged = add_rows_to(s, s->in[i], s->in[1 - i]);
        if (merged != NO_VALUE)
            return merged;
    }
    if (is_number(s, s->in[1], 0))
        return same_type(s, s->in[0]);
    if (is_number(s, s->in[0], 0))
        return same_type(s, s->in[1]);
    return NO_VALUE;
}

static ValueId simplify_sub(Simplify *s)
{
    return is_number(s, s->in[1], 0) ? same_type(s, s->in[0]) : NO_VALUE;
}

/* A factor that f32 holds to its full precision. */
static bool is_factor(double f)
{
    return fabs(f) >= (double)FLT_MIN && fabs(f) <= (double)FLT_MAX;
}

/* (x * a) * b = x * (a b), the product of the numbers taken in double. */
static ValueId merge_scales(Simplify *s, ValueId x, double factor)
{
    const Node *n = value_def(s->g, x);
    double inner;
    if (n->op != OP_mul || !is_f32(s))
        return NO_VALUE;
    for (unsigned i = 0; i < 2; i++)
        if (number(s, node_input(s->g, n, i), &inner) && is_factor(inner * factor))
            return build_scale(&s->b, node_input(s->g, n, 1 - i), inner * factor);
    return NO_VALUE;
}

static ValueId simplify_mul(Simplify *s)
{
    double c;
    for (unsigned i = 0; i < 2; i++) {
        const ValueId x = s->in[1 - i];
        if (!number(s, s->in[i], &c))
            continue;
        if (c == 1 && same_type(s, x) != NO_VALUE)
            return x;
        if (c == -1 && same_type(s, x) != NO_VALUE)
            return build1(&s->b, OP_neg, x);
        return merge_scales(s, x, c);
    }
    return NO_VALUE;
}

/* Over a number is times its reciprocal: exact for powers of two, else one more rounding of the
 * number, in double. */
static ValueId simplify_div(Simplify *s)
{
    double c;
    if (!number(s, s->in[1], &c) || !is_factor(1 / c))
        return NO_VALUE;
    if (c == 1)
        return same_type(s, s->in[0]);
    const ValueId merged = merge_scales(s, s->in[0], 1 / c);
    return merged != NO_VALUE ? merged : build_scale(&s->b, s->in[0], 1 / c);
}

static ValueId simplify_pow(Simplify *s)
{
    const ValueId x = s->in[0];
    double e;
    if (!number(s, s->in[1], &e) || same_type(s, x) == NO_VALUE)
        return NO_VALUE;
    if (e == 1)
        return x;
    if (e == 2)
        return build2(&s->b, OP_mul, x, x);
    if (e == 0.5)
        return build1(&s->b, OP_sqrt, x);
    if (e == -0.5)
        return build1(&s->b, OP_rsqrt, x);
    if (e == -1)
        return build1(&s->b, OP_recip, x);
    return NO_VALUE;
}

/* The same op twice gives back x. */
static ValueId simplify_twice(Simplify *s)
{
    const Node *n = value_def(s->g, s->in[0]);
    return n->op == s->node->op ? same_type(s, node_input(s->g, n, 0)) : NO_VALUE;
}

static ValueId simplify_cast(Simplify *s)
{
    return same_type(s, s->in[0]);
}

/* ---- views ------------------------------------------------------------------------------------ */

static ValueId simplify_reshape(Simplify *s)
{
    const Node *n = value_def(s->g, s->in[0]);
    if (same_type(s, s->in[0]) != NO_VALUE)
        return s->in[0];
    if (n->op == OP_reshape)
        return build_reshape(&s->b, node_input(s->g, n, 0),
                             &value_type(s->rw.old, s->node->first_output)->shape);
    return NO_VALUE;
}

static ValueId simplify_broadcast(Simplify *s)
{
    return same_type(s, s->in[0]);
}

static ValueId simplify_transpose(Simplify *s)
{
    const int64_t a = NODE_ATTR(s->node, transpose, a).i, b = NODE_ATTR(s->node, transpose, b).i;
    const Node *n = value_def(s->g, s->in[0]);
    if (a == b)
        return s->in[0];
    if (n->op != OP_transpose)
        return NO_VALUE;
    const int64_t c = NODE_ATTR(n, transpose, a).i, d = NODE_ATTR(n, transpose, b).i;
    return (a == c && b == d) || (a == d && b == c) ? node_input(s->g, n, 0) : NO_VALUE;
}

/* A slice that keeps all; a slice of a slice of the same axis. */
static ValueId simplify_slice(Simplify *s)
{
    const int axis = (int)NODE_ATTR(s->node, slice, axis).i;
    const int64_t start = NODE_ATTR(s->node, slice, start).i;
    const int64_t stop = NODE_ATTR(s->node, slice, stop).i;
    const Node *n = value_def(s->g, s->in[0]);
    if (same_type(s, s->in[0]) != NO_VALUE)
        return s->in[0];
    if (n->op != OP_slice || NODE_ATTR(n, slice, axis).i != axis)
        return NO_VALUE;
    const int64_t from = NODE_ATTR(n, slice, start).i;
    return build_slice(&s->b, node_input(s->g, n, 0), axis, from + start, from + stop);
}

/* A concat of one. */
static ValueId simplify_concat(Simplify *s)
{
    return s->node->n_inputs == 1 ? s->in[0] : NO_VALUE;
}

/* A reduction over axes of size 1 changes nothing. */
static ValueId simplify_reduce(Simplify *s)
{
    return same_type(s, s->in[0]);
}

/* Element-wise ops stretch their inputs themselves: one that reads a broadcast reads what was
 * broadcast, as long as the other inputs still give the result its shape. */
static bool drop_broadcasts(Simplify *s)
{
    const Shape *want = &value_type(s->rw.old, s->node->first_output)->shape;
    bool changed = false;
    if (op_info(s->node->op)->class != CLASS_MAP || (op_info(s->node->op)->flags & OP_RANDOM))
        return false;
    for (unsigned i = 0; i < s->node->n_inputs; i++) {
        const ValueId stretched = s->in[i];
        const Node *n = value_def(s->g, stretched);
        Shape shape = { 0 };
        int bad;
        if (n->op != OP_broadcast)
            continue;
        s->in[i] = node_input(s->g, n, 0);
        bool fits = true;
        for (unsigned k = 0; k < s->node->n_inputs && fits; k++)
            fits = shape_broadcast(&shape, &value_type(s->g, s->in[k])->shape, &shape, &bad);
        if (fits && shape_equal(&shape, want))
            changed = true;
        else
            s->in[i] = stretched;
    }
    return changed;
}

static ValueId rebuild(Simplify *s)
{
    NodeSpec spec = node_spec(s->node->op, s->in, s->node->n_inputs, s->node->span, s->node->path);
    memcpy(spec.attr, s->node->attr, sizeof spec.attr);
    return graph_add(s->rw.new_, &spec, NULL);
}

typedef ValueId SimplifyFn(Simplify *s);

/* What may stand for a node of this op; ops that are not here stay as they are. */
static SimplifyFn *const rules[N_OPS] = {
    [OP_add] = simplify_add,             [OP_sub] = simplify_sub,
    [OP_mul] = simplify_mul,             [OP_div] = simplify_div,
    [OP_pow] = simplify_pow,             [OP_neg] = simplify_twice,
    [OP_recip] = simplify_twice,         [OP_cast] = simplify_cast,
    [OP_reshape] = simplify_reshape,     [OP_broadcast] = simplify_broadcast,
    [OP_transpose] = simplify_transpose, [OP_slice] = simplify_slice,
    [OP_concat] = simplify_concat,       [OP_sum] = simplify_reduce,
    [OP_mean] = simplify_reduce,         [OP_max] = simplify_reduce,
    [OP_min] = simplify_reduce,
};

bool pass_simplify(Graph *g, PassContext *cx)
{
    Simplify s = { .rw = rewrite_begin(g, cx->scratch) };
    s.g = s.rw.new_;
    for (NodeId n = 0; n < s.rw.old->n_nodes; n++) {
        s.node = &s.rw.old->nodes[n];
        s.b = rewrite_builder(&s.rw, n);
        for (unsigned i = 0; i < 3 && i < s.node->n_inputs; i++)
            s.in[i] = rewrite_of(&s.rw, node_input(s.rw.old, s.node, i));
        const bool changed = drop_broadcasts(&s);
        SimplifyFn *rule = rules[s.node->op];
        ValueId v = rule ? rule(&s) : NO_VALUE;
        if (v == NO_VALUE && changed)
            v = rebuild(&s);
        if (v == NO_VALUE)
            rewrite_copy(&s.rw, n);
        else
            s.rw.map[s.node->first_output] = v;
    }
    rewrite_end(&s.rw);
    return true;
}
