/* Products take transposes of operands and results, and scales of results, into themselves.
 *
 * needs  nothing
 * keeps  order, meaning
 *
 * matmul(transpose(x), y) reads x with its strides swapped; (x @ y)' is y' @ x', and (x @ y) * c is
 * alpha = c, when nothing else reads the bare product. */
#include "ir/build.h"
#include "passes/pass.h"

#include <math.h>

/* The value whose last two axes `v` swaps, or NO_VALUE. */
static ValueId transposed(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    if (n->op != OP_transpose)
        return NO_VALUE;
    const int rank = value_type(g, v)->shape.rank;
    const int64_t a = NODE_ATTR(n, transpose, a).i, b = NODE_ATTR(n, transpose, b).i;
    return a + b == 2 * rank - 3 && (a == rank - 1 || b == rank - 1) ? node_input(g, n, 0)
                                                                      : NO_VALUE;
}

static bool absorb_transposes(Rewriter *rw, NodeId id)
{
    const Node *n = &rw->old->nodes[id];
    if (n->op != OP_matmul)
        return false;
    ValueId in[2];
    bool flip[] = { NODE_ATTR(n, matmul, transpose_a).i, NODE_ATTR(n, matmul, transpose_b).i };
    bool any = false;
    for (int i = 0; i < 2; i++) {
        in[i] = rewrite_of(rw, node_input(rw->old, n, (unsigned)i));
        const ValueId x = transposed(rw->new_, in[i]);
        if (x == NO_VALUE)
            continue;
        in[i] = x;
        flip[i] = !flip[i];
        any = true;
    }
    if (!any)
        return false;
    Builder b = rewrite_builder(rw, id);
    rw->map[n->first_output] = build_product(&b, n, in[0], in[1], flip[0], flip[1],
                                             NODE_ATTR(n, matmul, alpha).f);
    return true;
}

/* Would rows of the turned product be shorter than a vector, where its own are not?  Its kernel would
 * leave lanes idle, which costs more than whoever reads it loses with strides. */
static bool turns_narrow(const Graph *g, ValueId product)
{
    enum { VECTOR = 16 };
    const Shape *s = &value_type(g, product)->shape;
    const Dim rows = s->dim[s->rank - 2], columns = s->dim[s->rank - 1];
    return dim_is_const(rows) && rows.coef < VECTOR && !(dim_is_const(columns) && columns.coef < VECTOR);
}

/* transpose(product): the product of the other sides, which writes its rows as they are wanted. */
static bool absorb_result(Rewriter *rw, NodeId id, const uint32_t *uses)
{
    const Node *n = &rw->old->nodes[id];
    const ValueId product = transposed(rw->old, n->first_output);
    if (product == NO_VALUE || uses[product] != 1 || value_def(rw->old, product)->op != OP_matmul
        || turns_narrow(rw->old, product))
        return false;
    const Node *m = value_def(rw->new_, rewrite_of(rw, product));
    if (m->op != OP_matmul)
        return false;
    Builder b = rewrite_builder(rw, id);
    const ValueId x = node_input(rw->new_, m, 0), y = node_input(rw->new_, m, 1);
    rw->map[n->first_output] = build_product(&b, m, y, x, !NODE_ATTR(m, matmul, transpose_b).i,
                                             !NODE_ATTR(m, matmul, transpose_a).i,
                                             NODE_ATTR(m, matmul, alpha).f);
    return true;
}

/* mul(product, c): the product again with alpha times c; dce drops the bare one. */
static bool absorb_scale(Rewriter *rw, NodeId id, const uint32_t *uses)
{
    const Graph *old = rw->old;
    const Node *n = &old->nodes[id];
    if (n->op != OP_mul)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        const ValueId product = node_input(old, n, i);
        const Node *c = value_def(old, node_input(old, n, 1 - i));
        if (uses[product] != 1 || value_def(old, product)->op != OP_matmul
            || c->op != OP_constant || value_type(old, c->first_output)->shape.rank != 0)
            continue;
        const Node *m = value_def(rw->new_, rewrite_of(rw, product));
        const double alpha = NODE_ATTR(m, matmul, alpha).f * NODE_ATTR(c, constant, value).f;
        if (m->op != OP_matmul || !isfinite(alpha))
            continue;
        Builder b = rewrite_builder(rw, id);
        const ValueId in[] = { node_input(rw->new_, m, 0), node_input(rw->new_, m, 1) };
        rw->map[n->first_output] = build_product(&b, m, in[0], in[1],
                                                 NODE_ATTR(m, matmul, transpose_a).i,
                                                 NODE_ATTR(m, matmul, transpose_b).i, alpha);
        return true;
    }
    return false;
}

bool pass_absorb(Graph *g, PassContext *cx)
{
    const uint32_t *uses = graph_uses(g, cx->scratch);
    const bool transposes = fusion_on(cx->options->fusions, FUSE_transposes);
    const bool scales = fusion_on(cx->options->fusions, FUSE_scales);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < rw.old->n_nodes; n++)
        if (!(transposes && (absorb_transposes(&rw, n) || absorb_result(&rw, n, uses)))
            && !(scales && absorb_scale(&rw, n, uses)))
            rewrite_copy(&rw, n);
    rewrite_end(&rw);
    return true;
}
