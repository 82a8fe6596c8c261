/* Products of activations and weights, and those within attention, in bf16, where that was asked for.
 *
 * needs  attention recognised; runs before autodiff, whose products take the precision of theirs
 * keeps  everything but the attribute `precision` of products and attention
 *
 * A weight is a parameter of two axes or more, seen through views.  Other products of activations with each
 * other stay as they are, and so does everything else: norms, softmax, the loss, moments and the weights
 * themselves are f32.  Attention to a cache has no such attribute: the cache has a type of its own. */
#include "passes/precision.h"

#include "ir/build.h"
#include "passes/pass.h"

static StorageId weight_behind(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (op_info(n->op)->class == CLASS_VIEW)
        n = value_def(g, node_input(g, n, 0));
    if (n->op != OP_param)
        return NO_STORAGE;
    /* Blocks have a precision of their own. */
    const StorageId id = (StorageId)NODE_ATTR(n, param, storage).i;
    const Storage *s = &g->storages[id];
    return s->type.shape.rank >= 2 && dtype_block(s->stored) == 1 ? id : NO_STORAGE;
}

StorageId precision_weight(const Graph *g, const Node *n)
{
    if (n->op != OP_matmul)
        return NO_STORAGE;
    const StorageId a = weight_behind(g, node_input(g, n, 0)), b = weight_behind(g, node_input(g, n, 1));
    return a == NO_STORAGE ? b : b == NO_STORAGE ? a : NO_STORAGE;
}

const char *copy_name(Arena *arena, const char *weight)
{
    return arena_printf(arena, "rounded.%s", weight);
}

bool pass_precision(Graph *g, PassContext *cx)
{
    if (cx->options->precision != DTYPE_bf16)
        return true;
    for (NodeId i = 0; i < g->n_nodes; i++) {
        Node *n = &g->nodes[i];
        if (n->op == OP_attention)
            NODE_ATTR(n, attention, precision).i = DTYPE_bf16;
        else if (precision_weight(g, n) != NO_STORAGE)
            NODE_ATTR(n, matmul, precision).i = DTYPE_bf16;
    }
    return true;
}
