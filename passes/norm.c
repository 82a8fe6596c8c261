/* The norm of the gradients, folded into the products that make them.
 *
 * needs  partial sums that nobody sees but who adds them up
 * keeps  order, meaning; which of its parts a sum's terms fall in is another matter
 *
 * partial_sum(matmul, square) reads a matrix again that was just written.  As matmul_squares the product
 * leaves one sum of squares for 64 rows of a column, and the partial sum reads those. */
#include "passes/norm.h"

#include "ir/build.h"
#include "passes/pass.h"

typedef struct Norm {
    Rewriter rw;
    bool *squared;                      /* by node: a product whose squares are wanted */
    ValueId *squares;                   /* by node: what holds them */
} Norm;

NodeId norm_product(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (n->op == OP_reshape || n->op == OP_transpose)
        n = value_def(g, node_input(g, n, 0));
    return n->op == OP_matmul ? (NodeId)(n - g->nodes) : NO_NODE;
}

FusionReason norm_refusal(const Graph *g, const Node *product, FusionSet fusions)
{
    const Shape *s = &value_type(g, product->first_output)->shape;
    if (s->rank != 2 || !dim_is_const(s->dim[0]))
        return FUSION_other_rows;
    if (s->dim[0].coef == 1)
        return FUSION_saves_nothing;
    if (dtype_block(value_type(g, node_input(g, product, 1))->dtype) > 1)
        return FUSION_stored_weights;
    return fusion_on(fusions, FUSE_gradient_norm) ? FUSION_none : FUSION_switched_off;
}

/* The product that node `n`, a sum of its squares, becomes a part of; NO_NODE when there is none. */
static NodeId folds_into(const Graph *g, const Node *n, FusionSet fusions)
{
    const bool squares = n->op == OP_partial_sum && NODE_ATTR(n, partial_sum, square).i;
    const NodeId product = squares ? norm_product(g, node_input(g, n, 0)) : NO_NODE;
    const bool folds = product != NO_NODE
        && norm_refusal(g, &g->nodes[product], fusions) == FUSION_none;
    return folds ? product : NO_NODE;
}

static void emit_product(Norm *m, NodeId id)
{
    const Node *n = &m->rw.old->nodes[id];
    const ValueId in[] = { rewrite_of(&m->rw, node_input(m->rw.old, n, 0)),
                           rewrite_of(&m->rw, node_input(m->rw.old, n, 1)) };
    NodeSpec spec = node_spec(OP_matmul_squares, in, 2, n->span, n->path);
    for (int i = 0; i <= ATTR_INDEX(matmul, precision); i++)
        spec.attr[i] = n->attr[i];      /* the rows of the two ops are alike */
    const ValueId c = graph_add(m->rw.new_, &spec, NULL);
    m->rw.map[n->first_output] = c;
    m->squares[id] = c + 1;
}

static void emit_sum(Norm *m, NodeId id, NodeId product)
{
    const Node *n = &m->rw.old->nodes[id];
    NodeSpec spec = node_spec(OP_partial_sum, &m->squares[product], 1, n->span, n->path);
    m->rw.map[n->first_output] = graph_add(m->rw.new_, &spec, NULL);
}

bool pass_norm(Graph *g, PassContext *cx)
{
    const FusionSet fusions = cx->options->fusions;
    Norm m = { .squared = arena_array(cx->scratch, g->n_nodes, sizeof *m.squared),
               .squares = arena_array(cx->scratch, g->n_nodes, sizeof *m.squares) };
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (folds_into(g, &g->nodes[n], fusions) != NO_NODE)
            m.squared[folds_into(g, &g->nodes[n], fusions)] = true;
    m.rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < m.rw.old->n_nodes; n++) {
        const NodeId product = folds_into(m.rw.old, &m.rw.old->nodes[n], fusions);
        if (product != NO_NODE)
            emit_sum(&m, n, product);
        else if (m.squared[n])
            emit_product(&m, n);
        else
            rewrite_copy(&m.rw, n);
    }
    rewrite_end(&m.rw);
    return true;
}
