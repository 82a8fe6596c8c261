/* Spells what has no instruction of its own in row primitives: means, softmax, sums over everything,
 * reductions over several axes, the causal mask.  The fuser then makes rows of the parts. */
#include "base/check.h"
#include "passes/pass.h"
#include "passes/spell.h"

#include <math.h>
#include <string.h>

static ValueId reduce(Builder *b, OpId op, ValueId x, int64_t axes)
{
    NodeSpec spec = node_spec(op, &x, 1, b->span, b->path);
    spec.attr[0].i = axes;                              /* the first attribute of every reduction */
    return graph_add(b->g, &spec, NULL);
}

static ValueId to_scalar(Builder *b, ValueId x)
{
    const Shape scalar = { .rank = 0 };
    return build_reshape(b, x, &scalar);
}

/* In two stages on a fixed grid, so that threads share the first and the bits stay the same. */
static ValueId sum_all(Builder *b, ValueId x)
{
    return to_scalar(b, reduce(b, OP_sum, build1(b, OP_partial_sum, x), 1));
}

/* As one row. */
static ValueId extreme_all(Builder *b, OpId op, ValueId x)
{
    Shape row = value_type(b->g, x)->shape;
    row.dim[0] = spell_reduced(&row, ALL_AXES);
    row.rank = 1;
    return to_scalar(b, reduce(b, op, build_reshape(b, x, &row), 1));
}

/* sum, max or min.  A row kernel reduces the last axis, another one the others, none both. */
static ValueId spell_reduce(Builder *b, OpId op, ValueId x, int64_t axes)
{
    const Shape shape = value_type(b->g, x)->shape;
    if (axes == ALL_AXES) {
        if (dim_is(spell_reduced(&shape, ALL_AXES), 1))
            return to_scalar(b, x);
        return op == OP_sum ? sum_all(b, x) : extreme_all(b, op, x);
    }
    const int64_t last = (int64_t)1 << (shape.rank - 1);
    if (!(axes & last) || axes == last)
        return reduce(b, op, x, axes);
    return reduce(b, op, reduce(b, op, x, last), axes & ~last);
}

static ValueId spell_mean(Builder *b, ValueId x, int64_t axes)
{
    const Shape shape = value_type(b->g, x)->shape;
    return spell_divide(b, spell_reduce(b, OP_sum, x, axes), spell_reduced(&shape, axes));
}

static ValueId spell_softmax(Builder *b, ValueId x, int64_t axes)
{
    ValueId shifted = build2(b, OP_sub, x, spell_reduce(b, OP_max, x, axes));
    ValueId e = build1(b, OP_exp, shifted);
    return build2(b, OP_mul, e, build1(b, OP_recip, spell_reduce(b, OP_sum, e, axes)));
}

/* The largest is taken out before exp; an infinite one is not, since inf - inf is not a number. */
static ValueId spell_logsumexp(Builder *b, ValueId x, int64_t axes)
{
    ValueId max = spell_reduce(b, OP_max, x, axes);
    ValueId size = build1(b, OP_abs, max);
    ValueId infinite = build2(b, OP_eq, size, build_constant(b, INFINITY));
    ValueId shift = build3(b, OP_where, infinite, build_constant(b, 0), max);
    ValueId e = build1(b, OP_exp, build2(b, OP_sub, x, shift));
    return build2(b, OP_add, shift, build1(b, OP_log, spell_reduce(b, OP_sum, e, axes)));
}

static ValueId spell_causal_mask(Builder *b, ValueId x)
{
    const Shape shape = value_type(b->g, x)->shape;
    ValueId visible = spell_visible(b, &shape);
    return build3(b, OP_where, visible, x, build_constant(b, -INFINITY));
}

/* The value that stands for the only result of node n; NO_VALUE where n stays. */
static ValueId spelled(Rewriter *rw, NodeId n)
{
    const Node *node = &rw->old->nodes[n];
    if (node->n_inputs == 0)
        return NO_VALUE;
    Builder b = rewrite_builder(rw, n);
    ValueId x = rewrite_of(rw, node_input(rw->old, node, 0));
    const int64_t axes = node->attr[0].i;
    if (node->op == OP_sum || node->op == OP_max || node->op == OP_min)
        return spell_reduce(&b, node->op, x, axes);
    if (node->op == OP_mean)
        return spell_mean(&b, x, axes);
    if (node->op == OP_logsumexp)
        return spell_logsumexp(&b, x, axes);
    if (node->op == OP_softmax)
        return spell_softmax(&b, x, (int64_t)1 << axes);
    if (node->op == OP_causal_mask)
        return spell_causal_mask(&b, x);
    return NO_VALUE;
}

static const char *const lower_names[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) [OP_##name] = #lower,
#include "ir/ops.def"
};

static void check_spelled(const Graph *g)
{
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const OpId op = g->nodes[n].op;
        CHECK(op_info(op)->class == CLASS_SOURCE ||
              (strcmp(lower_names[op], "none") != 0 && op != OP_causal_mask && op != OP_mean),
              "node %u: %s is left after decompose", n, op_info(op)->name);
    }
}

/* keeps  outputs, types of what outlives it, places in the source
 * Afterwards only ops with an instruction are left; of the reductions, sum, max and min over the
 * last axis or over others, and partial_sum. */
bool pass_decompose(Graph *g, PassContext *cx)
{
    Rewriter rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        ValueId v = spelled(&rw, n);
        if (v == NO_VALUE)
            rewrite_copy(&rw, n);
        else
            rw.map[g->nodes[n].first_output] = v;
    }
    rewrite_end(&rw);
    check_spelled(g);
    return true;
}
