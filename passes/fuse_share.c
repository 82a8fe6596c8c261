/* Products that share an input: their units merge into one that runs as one call, which packs or rounds
 * the common left operand once (gemm_shared in runtime/kernels/kernel.h).
 *
 * Q, K and V, a gate and what it gates, the gradients of their weights.  Two products may be one call when
 * they read the same value as it lies, by matrices of one type that lie the same way, and write nothing but
 * the products.  Each keeps its result, weights and bits; nothing has to stand beside anything. */
#include "passes/fuse.h"

enum { SHARE_PRODUCTS = 8 };            /* what a call takes (kernel.h) */

/* Which input of `n` the value is, of the two that are multiplied: 0 left, 1 right, 2 neither. */
static unsigned side_of(const Graph *g, const Node *n, ValueId v)
{
    const unsigned left = n->op == OP_assign_product;
    return node_input(g, n, left) == v ? 0 : node_input(g, n, left + 1) == v ? 1 : 2;
}

bool share_is_product(const Node *n)
{
    return op_info(n->op)->class == CLASS_MATMUL || n->op == OP_assign_product;
}

bool share_from_left(const Fuse *f, ValueId v)
{
    bool left = false;
    for (uint32_t i = 0; i < f->n_readers[v] && !left; i++) {
        const Node *n = &f->g->nodes[f->readers[v][i]];
        left = share_is_product(n) && side_of(f->g, n, v) == 0;
    }
    return left;
}

/* What the two multiply by; both are matmuls with the same left operand. */
static FusionReason compare_weights(const Graph *g, const Node *x, const Node *y)
{
    const Type *a = value_type(g, node_input(g, x, 1)), *b = value_type(g, node_input(g, y, 1));
    if (a->shape.rank != 2 || b->shape.rank != 2)
        return FUSION_batched;
    return a->dtype != b->dtype
            || NODE_ATTR(x, matmul, transpose_b).i != NODE_ATTR(y, matmul, transpose_b).i
        ? FUSION_other_weights : FUSION_none;
}

static FusionReason compare_products(const Graph *g, const Node *x, const Node *y, ValueId v)
{
    if (side_of(g, x, v) != 0 || side_of(g, y, v) != 0)
        return FUSION_other_side;
    if (x->op != OP_matmul || y->op != OP_matmul)
        return FUSION_has_epilogue;
    if (NODE_ATTR(x, matmul, transpose_a).i != NODE_ATTR(y, matmul, transpose_a).i)
        return FUSION_other_layout;
    const FusionReason why = compare_weights(g, x, y);
    if (why != FUSION_none)
        return why;
    const bool alike = NODE_ATTR(x, matmul, alpha).f == NODE_ATTR(y, matmul, alpha).f
        && NODE_ATTR(x, matmul, precision).i == NODE_ATTR(y, matmul, precision).i;
    return alike ? FUSION_none : FUSION_other_factor;
}

FusionReason share_refusal(Fuse *f, NodeId a, NodeId b, ValueId v, uint32_t *through)
{
    const FusePair pair = fuse_pair(f, a, b);
    *through = UINT32_MAX;
    const FusionReason why = compare_products(f->g, &f->g->nodes[a], &f->g->nodes[b], v);
    if (why != FUSION_none)
        return why;
    if (!fusion_on(f->fusions, FUSE_shared_input))
        return FUSION_switched_off;
    if (f->units[pair.first].n + f->units[pair.second].n > SHARE_PRODUCTS)
        return FUSION_too_many_operands;
    *through = fuse_unit_between(f, pair.first, pair.second);
    return *through == UINT32_MAX ? FUSION_none : FUSION_would_cycle;
}

static bool may_merge(Fuse *f, NodeId a, NodeId b, ValueId v)
{
    uint32_t through;
    return share_is_product(&f->g->nodes[a]) && share_is_product(&f->g->nodes[b])
        && share_refusal(f, a, b, v, &through) == FUSION_none;
}

void fuse_share(Fuse *f)
{
    fuse_siblings(f, may_merge);
}
