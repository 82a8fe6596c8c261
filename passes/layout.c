/* Layout: copies where a kernel or a view needs other strides than its input has.
 *
 * needs  decomposed graph, no buffers
 * keeps  values, order; afterwards every view can be one, every kernel's operand has the strides of
 *        its contract (runtime/kernels/kernel.h), no kernel or output reads a bare constant, the base
 *        of an embedding gradient belongs to it alone, and outputs are dense
 *
 * Each value is given the strides it would have if every op wrote a fresh row-major result; `place`
 * may choose better ones later, but only where nobody relies on these. */
#include "ir/build.h"
#include "passes/pass.h"
#include "passes/view.h"

#include "base/check.h"

typedef struct Layout {
    Rewriter rw;
    Strided *strided;                   /* of values of the new graph */
    uint32_t cap;
    ValueId *copy;                      /* of values of the new graph: a dense copy, NO_VALUE */
    uint32_t *uses;                     /* of values of the old graph */
    Arena *scratch;
} Layout;

static Strided *strided_of(Layout *l, ValueId v)
{
    if (v >= l->cap) {
        uint32_t cap = 2 * v + 64;
        l->strided = arena_grow(l->scratch, l->strided, l->cap, cap, sizeof *l->strided);
        l->copy = arena_grow(l->scratch, l->copy, l->cap, cap, sizeof *l->copy);
        for (uint32_t i = l->cap; i < cap; i++)
            l->copy[i] = NO_VALUE;
        l->cap = cap;
    }
    return &l->strided[v];
}

static void note_results(Layout *l, ValueId first, unsigned n)
{
    const Graph *g = l->rw.new_;
    for (unsigned i = 0; i < n; i++)
        *strided_of(l, first + i) = strided_dense(&value_type(g, first + i)->shape);
}

/* A copy for one reader that will write over it. */
static ValueId insert_own_copy(Layout *l, ValueId v, NodeId like)
{
    Builder b = rewrite_builder(&l->rw, like);
    ValueId copy = build1(&b, OP_copy, v);
    note_results(l, copy, 1);
    return copy;
}

/* A copy that all who need one share. */
static ValueId insert_copy(Layout *l, ValueId v, NodeId like)
{
    strided_of(l, v);
    if (l->copy[v] == NO_VALUE) {
        ValueId copy = insert_own_copy(l, v, like);
        l->copy[v] = copy;
    }
    return l->copy[v];
}

/* Which inputs of a kernel must be rows (bit i: input i), by its contract. */
static unsigned row_inputs(OpId op)
{
    switch (op_info(op)->class) {
    case CLASS_KERNEL:
        return op == OP_attention_grad ? 0x2f : op == OP_cross_entropy_grad ? 0x1
            : op == OP_linear_cross_entropy || op == OP_linear_cross_entropy_grad
              || op == OP_sum_squares ? 0
            : op == OP_embedding_grad ? 0x5 : op == OP_cross_entropy || op == OP_rope ? 0x1 : 0x7;
    case CLASS_WRITE:
        return op == OP_cache_write ? 0x2 : 0;
    case CLASS_MOVE:
        return op == OP_embedding ? 0x1 : 0;
    case CLASS_MATMUL:
        return 0xc;
    case CLASS_SOURCE:
    case CLASS_MAP:
    case CLASS_REDUCE:
    case CLASS_VIEW:
        break;
    }
    return 0;
}

/* Row programs read constants themselves; so does a copy, which is how one gets bytes. */
static bool reads_constants(const Graph *g, const Node *n)
{
    if (n->op == OP_copy || n->op == OP_assign)
        return true;
    if (op_info(n->op)->class == CLASS_MAP)
        return true;
    if (op_info(n->op)->class != CLASS_REDUCE || n->op == OP_partial_sum
        || n->op == OP_column_sums)
        return false;
    int rank = value_type(g, node_input(g, n, 0))->shape.rank;
    return n->attr[0].i == (int64_t)1 << (rank - 1);
}

/* The input as the node may read it. */
static ValueId fit_input(Layout *l, NodeId n, unsigned i)
{
    const Graph *old = l->rw.old;
    const Node *node = &old->nodes[n];
    const ValueId was = node_input(old, node, i), v = rewrite_of(&l->rw, was);
    const bool bare = value_constant(l->rw.new_, v);
    if (bare && !reads_constants(old, node))
        return node->op == OP_embedding_grad ? insert_own_copy(l, v, n) : insert_copy(l, v, n);
    if ((row_inputs(node->op) >> i & 1) && !strided_rows(strided_of(l, v)))
        return insert_copy(l, v, n);
    if (node->op == OP_embedding_grad && i == 0) {
        OpClass class = op_info(value_def(old, was)->op)->class;
        if (l->uses[was] > 1 || class == CLASS_SOURCE || class == CLASS_VIEW)
            return insert_own_copy(l, v, n);
    }
    return v;
}

static void layout_view(Layout *l, NodeId n)
{
    const Graph *old = l->rw.old;
    const Node *node = &old->nodes[n];
    ValueId was = node_input(old, node, 0), v = l->rw.map[was];
    Strided out;
    if (!value_constant(l->rw.new_, v) && !strided_view(old, node, strided_of(l, v), &out)) {
        l->rw.map[was] = insert_copy(l, v, n);
        bool now = strided_view(old, node, strided_of(l, l->rw.map[was]), &out);
        CHECK(now, "no view of a dense tensor");
    }
    ValueId view = rewrite_copy(&l->rw, n);
    l->rw.map[was] = v;                 /* other readers keep the original */
    *strided_of(l, view) = value_constant(l->rw.new_, view)
        ? strided_dense(&value_type(l->rw.new_, view)->shape) : out;
}

static void layout_node(Layout *l, NodeId n)
{
    const Graph *old = l->rw.old;
    const Node *node = &old->nodes[n];
    ValueId before[32];
    if (op_info(node->op)->class == CLASS_VIEW) {
        layout_view(l, n);
        return;
    }
    CHECK(node->n_inputs <= COUNT_OF(before), "too many inputs");
    for (unsigned i = 0; i < node->n_inputs; i++)
        before[i] = l->rw.map[node_input(old, node, i)];
    for (unsigned i = 0; i < node->n_inputs; i++)
        l->rw.map[node_input(old, node, i)] = fit_input(l, n, i);
    ValueId first = rewrite_copy(&l->rw, n);
    for (unsigned i = 0; i < node->n_inputs; i++)
        l->rw.map[node_input(old, node, i)] = before[i];
    note_results(l, first, node->n_outputs);
}

static void layout_outputs(Layout *l)
{
    const Graph *old = l->rw.old;
    for (uint32_t i = 0; i < old->n_outputs; i++) {
        ValueId was = old->outputs[i].value, v = rewrite_of(&l->rw, was);
        if (value_constant(l->rw.new_, v) || !strided_is_dense(strided_of(l, v)))
            l->rw.map[was] = insert_copy(l, v, old->values[was].def);
    }
}

bool pass_layout(Graph *g, PassContext *cx)
{
    Layout l = { .rw = rewrite_begin(g, cx->scratch), .scratch = cx->scratch,
                 .uses = graph_uses(g, cx->scratch) };
    for (NodeId n = 0; n < l.rw.old->n_nodes; n++)
        layout_node(&l, n);
    layout_outputs(&l);
    rewrite_end(&l.rw);
    return true;
}
