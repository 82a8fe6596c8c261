/* The norm of the gradients, folded into what makes them.
 *
 * needs  partial sums that nobody sees but who adds them up
 * keeps  order, meaning; which of its parts a sum's terms fall in is another matter
 *
 * partial_sum(matmul, square) reads a matrix again that was just written.  As matmul_squares the product
 * leaves one sum of squares for 64 rows of a column, and the partial sum reads those.
 *
 * partial_sum(embedding_grad(0, ids, g), square) reads a table of which few rows are not zeros.  Row r is
 * E[r] = sum of g[i] over the i with ids[i] = r, so |E[r]|^2 is the sum of g[i] . E[r] over the same i:
 * a row program over the rows of g picks those of E and adds up the products. */
#include "passes/norm.h"

#include "ir/build.h"
#include "passes/pass.h"

#include <math.h>

typedef struct Norm {
    Rewriter rw;
    bool *squared;                      /* by node: a product whose squares are wanted */
    ValueId *squares;                   /* by node: what holds them */
} Norm;

NodeId norm_source(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (n->op == OP_reshape || n->op == OP_transpose)
        n = value_def(g, node_input(g, n, 0));
    return (NodeId)(n - g->nodes);
}

/* The table's rows against the two rows, of g and of the table, that are read for each id. */
static FusionReason rows_refusal(const Graph *g, const Node *grad)
{
    const Node *base = value_constant(g, node_input(g, grad, 0));
    const Dim table = value_type(g, grad->first_output)->shape.dim[0];
    int64_t sizes[MAX_SYMBOLS], ids, rows;
    Dim count;
    if (!base || base->op != OP_constant || fabs(NODE_ATTR(base, constant, value).f) > 0)
        return FUSION_not_zeros;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        sizes[s] = s < (int)g->n_symbols ? g->symbol[s].max : 1;
    const bool fewer = shape_count(&value_type(g, node_input(g, grad, 1))->shape, &count)
        && dim_eval(count, sizes, &ids) && dim_eval(table, sizes, &rows) && ids < rows / 2;
    return fewer ? FUSION_none : FUSION_saves_nothing;
}

static FusionReason product_refusal(const Graph *g, const Node *product)
{
    const Shape *s = &value_type(g, product->first_output)->shape;
    if (s->rank != 2 || !dim_is_const(s->dim[0]))
        return FUSION_other_rows;
    if (s->dim[0].coef == 1)
        return FUSION_saves_nothing;
    if (dtype_block(value_type(g, node_input(g, product, 1))->dtype) > 1)
        return FUSION_stored_weights;
    return FUSION_none;
}

FusionReason norm_refusal(const Graph *g, const Node *source, FusionSet fusions)
{
    const FusionReason why = source->op == OP_matmul ? product_refusal(g, source)
        : source->op == OP_embedding_grad ? rows_refusal(g, source) : FUSION_kernel_writes;
    return why == FUSION_none && !fusion_on(fusions, FUSE_gradient_norm) ? FUSION_switched_off : why;
}

/* What node `n`, a sum of its squares, becomes a part of; NO_NODE when there is none. */
static NodeId folds_into(const Graph *g, const Node *n, FusionSet fusions)
{
    const bool squares = n->op == OP_partial_sum && NODE_ATTR(n, partial_sum, square).i;
    const NodeId source = squares ? norm_source(g, node_input(g, n, 0)) : NO_NODE;
    const bool folds = source != NO_NODE
        && norm_refusal(g, &g->nodes[source], fusions) == FUSION_none;
    return folds ? source : NO_NODE;
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

/* g[i] . E[ids[i]] for each i, the squares of the rows of E that were added to. */
static ValueId emit_rows(Norm *m, NodeId id, const Node *grad)
{
    Builder b = rewrite_builder(&m->rw, id);
    const ValueId g = rewrite_of(&m->rw, node_input(m->rw.old, grad, 2));
    const ValueId rows = build2(&b, OP_embedding, rewrite_of(&m->rw, grad->first_output),
                                rewrite_of(&m->rw, node_input(m->rw.old, grad, 1)));
    const int last = value_type(b.g, g)->shape.rank - 1;
    return build_sum(&b, build2(&b, OP_mul, rows, g), (int64_t)1 << last);
}

static void emit_sum(Norm *m, NodeId id, NodeId source)
{
    const Node *n = &m->rw.old->nodes[id], *made = &m->rw.old->nodes[source];
    const ValueId squares = made->op == OP_matmul ? m->squares[source] : emit_rows(m, id, made);
    NodeSpec spec = node_spec(OP_partial_sum, &squares, 1, n->span, n->path);
    m->rw.map[n->first_output] = graph_add(m->rw.new_, &spec, NULL);
}

bool pass_norm(Graph *g, PassContext *cx)
{
    const FusionSet fusions = cx->options->fusions;
    Norm m = { .squared = arena_array(cx->scratch, g->n_nodes, sizeof *m.squared),
               .squares = arena_array(cx->scratch, g->n_nodes, sizeof *m.squares) };
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const NodeId source = folds_into(g, &g->nodes[n], fusions);
        if (source != NO_NODE)
            m.squared[source] = g->nodes[source].op == OP_matmul;
    }
    m.rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < m.rw.old->n_nodes; n++) {
        const NodeId source = folds_into(m.rw.old, &m.rw.old->nodes[n], fusions);
        if (source != NO_NODE)
            emit_sum(&m, n, source);
        else if (m.squared[n])
            emit_product(&m, n);
        else
            rewrite_copy(&m.rw, n);
    }
    rewrite_end(&m.rw);
    return true;
}
