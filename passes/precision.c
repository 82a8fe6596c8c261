/* Products of activations and weights in bf16, where that was asked for.
 *
 * needs  nothing; runs before autodiff, whose products take the precision of theirs
 * keeps  everything but the attribute `precision` of products
 *
 * A weight is a parameter of two axes or more, seen through views.  Products of activations with each
 * other (attention spelled from its parts) stay as they are, and so does everything else: norms,
 * softmax, the loss, moments and the weights themselves are f32. */
#include "ir/build.h"
#include "passes/pass.h"

static bool is_weight(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (op_info(n->op)->class == CLASS_VIEW)
        n = value_def(g, node_input(g, n, 0));
    if (n->op != OP_param)
        return false;
    /* Blocks have a precision of their own. */
    const Storage *s = &g->storages[NODE_ATTR(n, param, storage).i];
    return s->type.shape.rank >= 2 && dtype_block(s->stored) == 1;
}

bool pass_precision(Graph *g, PassContext *cx)
{
    if (cx->options->precision != DTYPE_bf16)
        return true;
    for (NodeId i = 0; i < g->n_nodes; i++) {
        Node *n = &g->nodes[i];
        if (n->op == OP_matmul
            && is_weight(g, node_input(g, n, 0)) != is_weight(g, node_input(g, n, 1)))
            NODE_ATTR(n, matmul, precision).i = DTYPE_bf16;
    }
    return true;
}
