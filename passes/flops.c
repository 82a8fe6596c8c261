/* What nodes cost in operations. */
#include "passes/flops.h"

static double elements(const Graph *g, ValueId v, const int64_t sizes[MAX_SYMBOLS])
{
    Dim count;
    int64_t n;
    const bool fits = shape_count(&value_type(g, v)->shape, &count) && dim_eval(count, sizes, &n);
    return fits ? (double)n : 0;
}

static double size_of(const Graph *g, ValueId v, int axis, const int64_t sizes[MAX_SYMBOLS])
{
    int64_t n;
    return dim_eval(value_type(g, v)->shape.dim[axis], sizes, &n) ? (double)n : 0;
}

static double matmul_flops(const Graph *g, const Node *n, const int64_t sizes[MAX_SYMBOLS])
{
    const ValueId a = node_input(g, n, n->op == OP_assign_product);
    const int rank = value_type(g, a)->shape.rank;
    const int inner = NODE_ATTR(n, matmul, transpose_a).i ? rank - 2 : rank - 1;
    double an_element = 2 * size_of(g, a, inner, sizes);
    if (n->op == OP_product)
        an_element += (double)(NODE_ATTR(n, product, bias).i + NODE_ATTR(n, product, residual).i
                               + (NODE_ATTR(n, product, activation).i != OP_copy));
    return elements(g, n->first_output, sizes) * an_element;
}

/* Pairs of a query and a key that it may see, all batches and heads. */
static double pairs_seen(const Graph *g, const Node *n, const int64_t sizes[MAX_SYMBOLS])
{
    const ValueId q = node_input(g, n, 0), k = node_input(g, n, 1);
    const double heads = size_of(g, q, 0, sizes) * size_of(g, q, 1, sizes);
    const double queries = size_of(g, q, 2, sizes), keys = size_of(g, k, 2, sizes);
    const double window = (double)n->attr[ATTR_INDEX(attention, window)].i;
    double pairs = queries * keys;
    if (n->attr[ATTR_INDEX(attention, causal)].i && n->op != OP_attention_cached)
        pairs = queries * (queries + 1) / 2;
    if (window > 0 && pairs > queries * window)
        pairs = queries * window;
    return heads * pairs;
}

static double kernel_flops(const Graph *g, const Node *n, const int64_t sizes[MAX_SYMBOLS])
{
    if (n->op == OP_attention || n->op == OP_attention_cached) {
        const double d = size_of(g, node_input(g, n, 0), 3, sizes);
        const double e = size_of(g, node_input(g, n, 2), 3, sizes);
        return (2 * d + 2 * e + 4) * pairs_seen(g, n, sizes);
    }
    if (n->op == OP_attention_grad) {
        const double d = size_of(g, node_input(g, n, 0), 3, sizes);
        const double e = size_of(g, node_input(g, n, 2), 3, sizes);
        return (6 * d + 4 * e + 4) * pairs_seen(g, n, sizes);
    }
    if (n->op == OP_cross_entropy || n->op == OP_cross_entropy_grad)
        return 3 * elements(g, node_input(g, n, 0), sizes);
    if (n->op == OP_linear_cross_entropy || n->op == OP_linear_cross_entropy_grad) {
        const bool grad = n->op == OP_linear_cross_entropy_grad;
        const double columns = size_of(g, n->first_output + (grad ? 4u : 2u), 1, sizes);
        const double logits = elements(g, node_input(g, n, 2), sizes) * columns;
        const double width = size_of(g, node_input(g, n, 0), 1, sizes);
        return grad ? (6 * width + 6) * logits : (2 * width + 3) * logits;
    }
    if (n->op == OP_masked_matmul)
        return 2 * elements(g, n->first_output, sizes)
            * size_of(g, node_input(g, n, 1), 1, sizes);
    if (n->op == OP_rope)
        return 3 * elements(g, n->first_output, sizes);
    return elements(g, node_input(g, n, n->n_inputs - 1u), sizes);
}

double node_flops(const Graph *g, const Node *n, const int64_t sizes[MAX_SYMBOLS])
{
    switch (op_info(n->op)->class) {
    case CLASS_SOURCE:
    case CLASS_VIEW:
    case CLASS_MOVE:
        return 0;
    case CLASS_WRITE:
        return n->op == OP_assign_product ? matmul_flops(g, n, sizes) : 0;
    case CLASS_MAP:
        return elements(g, n->first_output, sizes);
    case CLASS_REDUCE:
        return elements(g, node_input(g, n, 0), sizes);
    case CLASS_MATMUL:
        return matmul_flops(g, n, sizes);
    case CLASS_KERNEL:
        return kernel_flops(g, n, sizes);
    }
    return 0;
}
