/* Generation needs what comes behind the last of the new positions, and of that only the outputs.
 *
 * needs  program generate, after `cache`: one sequence, T new positions
 * keeps  order; an output [B, T, ..] becomes [1, 1, ..], its last position
 *
 * What is wanted at the last position only is computed there only, as far back as every position is
 * computed by itself: through element-wise ops, products with fixed matrices, reductions of other axes.
 * There the last row is taken out; so a prompt of 512 positions costs one row of logits and, in the
 * last layer, one row behind its attention. */
#include "ir/build.h"
#include "passes/pass.h"

#include "base/check.h"

#include <string.h>

enum { FIXED = -1, MIXED = -2 };        /* no axis of positions; one that does not stand alone */

typedef struct Last {
    Rewriter rw;
    int sequence, batch;
    bool *all, *last;                   /* by old value: wanted at every position, at the last */
    ValueId *taken;                     /* by old value: its last position in the new graph */
    ValueId index;                      /* i32[]: of the last row */
} Last;

/* The axis of positions, before which there is only the one text. */
static int position_axis(const Last *l, const Shape *s)
{
    int axis = FIXED;
    for (int a = 0; a < s->rank; a++) {
        if (!dim_has(s->dim[a], l->sequence))
            continue;
        if (axis != FIXED || !dim_equal(s->dim[a], dim_symbol(l->sequence)))
            return MIXED;
        axis = a;
    }
    for (int a = 0; a < axis; a++)
        if (!dim_is(s->dim[a], 1) && !dim_equal(s->dim[a], dim_symbol(l->batch)))
            return MIXED;
    return axis;
}

static int axis_of(const Last *l, ValueId v)
{
    return position_axis(l, &value_type(l->rw.old, v)->shape);
}

/* ---- which nodes compute every position by itself --------------------------------------------- */

/* Do inputs that have positions have them where the result does, counted from the end? */
static bool lines_up(const Last *l, const Node *n, int axis)
{
    const Graph *g = l->rw.old;
    const int rank = value_type(g, n->first_output)->shape.rank;
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(g, n, i);
        const int a = axis_of(l, v);
        if (a != FIXED && (a == MIXED || a + rank - value_type(g, v)->shape.rank != axis
                           || value_type(g, v)->dtype != DTYPE_f32))
            return false;
    }
    return true;
}

static bool by_itself(const Last *l, const Node *n)
{
    const Graph *g = l->rw.old;
    const int axis = n->n_outputs == 1 ? axis_of(l, n->first_output) : FIXED;
    if (axis < 0 || value_type(g, n->first_output)->dtype != DTYPE_f32)
        return false;
    switch (op_info(n->op)->class) {
    case CLASS_MAP:
        return n->op != OP_dropout && n->op != OP_causal_mask && lines_up(l, n, axis);
    case CLASS_REDUCE:
        if (n->op == OP_partial_sum || !lines_up(l, n, axis))
            return false;
        return n->op == OP_softmax ? NODE_ATTR(n, softmax, axis).i != axis
            : n->attr[0].i != ALL_AXES && !(n->attr[0].i >> axis & 1);
    case CLASS_MATMUL:
        return axis_of(l, node_input(g, n, 1)) == FIXED && lines_up(l, n, axis)
            && value_type(g, node_input(g, n, 1))->shape.rank == 2
            && !NODE_ATTR(n, matmul, transpose_a).i;
    case CLASS_SOURCE: case CLASS_VIEW: case CLASS_MOVE: case CLASS_KERNEL: case CLASS_WRITE:
        break;
    }
    return false;
}

/* ---- who wants what --------------------------------------------------------------------------- */

static void find_wanted(Last *l)
{
    const Graph *g = l->rw.old;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ValueId v = g->outputs[i].value;
        const bool one = axis_of(l, v) >= 0 && value_type(g, v)->dtype == DTYPE_f32;
        *(one ? &l->last[v] : &l->all[v]) = true;
    }
    for (NodeId id = g->n_nodes; id-- > 0;) {
        const Node *n = &g->nodes[id];
        const bool alone = by_itself(l, n);
        bool all = op_info(n->op)->flags & OP_WRITES, last = false;
        for (unsigned i = 0; i < n->n_outputs; i++) {
            all = all || l->all[n->first_output + i];
            last = last || l->last[n->first_output + i];
        }
        if (!all && last && !alone)
            all = l->all[n->first_output] = true;
        for (unsigned i = 0; i < n->n_inputs && (all || last); i++) {
            const ValueId v = node_input(g, n, i);
            if (!all && axis_of(l, v) >= 0)
                l->last[v] = true;
            else
                l->all[v] = true;
        }
    }
}

/* ---- the new program -------------------------------------------------------------------------- */

/* The shape of one position. */
static Shape shape_at_last(const Last *l, const Shape *s)
{
    Shape r = *s;
    for (int a = position_axis(l, s); a >= 0; a--)
        r.dim[a] = dim_const(1);
    return r;
}

static ValueId last_index(Last *l, Builder *b, Dim rows)
{
    if (l->index == NO_VALUE) {
        ValueId count = build2(b, OP_sub, build_extent(b, rows), build_constant(b, 1));
        NodeSpec spec = node_spec(OP_cast, &count, 1, b->span, b->path);
        spec.attr[ATTR_INDEX(cast, dtype)].i = DTYPE_i32;
        l->index = graph_add(b->g, &spec, NULL);
    }
    return l->index;
}

/* Row T - 1 of a value, looked up like an embedding. */
static ValueId take_last(Last *l, NodeId reader, ValueId v)
{
    const Shape shape = value_type(l->rw.old, v)->shape, one = shape_at_last(l, &shape);
    const int axis = position_axis(l, &shape);
    Builder b = rewrite_builder(&l->rw, reader);
    Shape table = { .rank = 2, .dim = { dim_symbol(l->sequence), dim_const(1) } };
    for (int a = 0; a < shape.rank; a++) {
        bool fits = a == axis || dim_mul(table.dim[a > axis], shape.dim[a], &table.dim[a > axis]);
        CHECK(fits, "a tensor of more elements than can be counted");
    }
    const ValueId rows = build_reshape(&b, rewrite_of(&l->rw, v), &table);
    const ValueId row = build2(&b, OP_embedding, rows, last_index(l, &b, table.dim[0]));
    return build_reshape(&b, row, &one);
}

static ValueId last_of(Last *l, NodeId reader, ValueId v)
{
    if (axis_of(l, v) < 0)
        return rewrite_of(&l->rw, v);
    if (l->taken[v] == NO_VALUE)
        l->taken[v] = take_last(l, reader, v);
    return l->taken[v];
}

static void copy_at_last(Last *l, NodeId id)
{
    const Node *n = &l->rw.old->nodes[id];
    ValueId in[4];
    CHECK(n->n_inputs <= COUNT_OF(in), "%s has %u inputs", op_info(n->op)->name, n->n_inputs);
    for (unsigned i = 0; i < n->n_inputs; i++)
        in[i] = last_of(l, id, node_input(l->rw.old, n, i));
    NodeSpec spec = node_spec(n->op, in, n->n_inputs, n->span, n->path);
    memcpy(spec.attr, n->attr, sizeof spec.attr);
    l->taken[n->first_output] = graph_add(l->rw.new_, &spec, NULL);
}

static void take_outputs(Last *l)
{
    const Graph *g = l->rw.old;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ValueId v = g->outputs[i].value;
        if (l->last[v])
            l->rw.map[v] = last_of(l, g->values[v].def, v);
    }
}

bool pass_last(Graph *g, PassContext *cx)
{
    Arena *a = cx->scratch;
    if (graph_batch(g) < 0 || graph_sequence(g) < 0)
        return true;
    Last l = { .rw = rewrite_begin(g, a), .sequence = graph_sequence(g), .batch = graph_batch(g),
               .all = arena_array(a, g->n_values, sizeof(bool)),
               .last = arena_array(a, g->n_values, sizeof(bool)),
               .taken = arena_array(a, g->n_values, sizeof(ValueId)), .index = NO_VALUE };
    for (ValueId v = 0; v < l.rw.old->n_values; v++)
        l.taken[v] = NO_VALUE;
    find_wanted(&l);
    for (NodeId n = 0; n < l.rw.old->n_nodes; n++) {
        const ValueId v = l.rw.old->nodes[n].first_output;
        if (l.last[v] && !l.all[v])
            copy_at_last(&l, n);
        else
            rewrite_copy(&l.rw, n);
    }
    take_outputs(&l);
    rewrite_end(&l.rw);
    return true;
}
