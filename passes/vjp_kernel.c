/* Gradients of matrix products and of ops whose gradients have kernels of their own. */
#include "passes/vjp.h"

#include "base/check.h"

#include <string.h>

/* ---- matmul ---------------------------------------------------------------------------------- */

/* [.., M, N] as [.. * M, N]. */
static ValueId fold(Vjp *v, ValueId x)
{
    Shape s = shape_of(v, x);
    for (; s.rank > 2; s.rank--) {
        bool fits = dim_mul(s.dim[s.rank - 3], s.dim[s.rank - 2], &s.dim[s.rank - 3]);
        CHECK(fits, "a tensor with more than 2^62 rows");
        s.dim[s.rank - 2] = s.dim[s.rank - 1];
    }
    return build_reshape(&v->b, x, &s);
}

/* With c = alpha A B for A = op(a), B = op(b):  dA = alpha g B',  dB = alpha A' g;  where the
 * operand was transposed, the product is formed transposed instead of its result.  dB comes first:
 * often nobody else needs A any more, and it is gone before dA takes its place. */
void vjp_matmul(Vjp *v)
{
    const bool ta = NODE_ATTR(v->node, matmul, transpose_a).i;
    const bool tb = NODE_ATTR(v->node, matmul, transpose_b).i;
    const double alpha = NODE_ATTR(v->node, matmul, alpha).f;
    ValueId a = v->in[0], g = v->g;
    const ValueId b = v->in[1];
    bool a_turned = ta;
    const Shape left = shape_of(v, a);
    if (v->wanted[1] && left.rank > 2 && shape_of(v, b).rank == 2) {
        /* One matrix for all leading axes: one product over all rows, and no sum of products. */
        if (ta)
            a = build_transpose(&v->b, a, left.rank - 2, left.rank - 1);
        a_turned = false;
        a = fold(v, a);
        g = fold(v, g);
    }
    GRAD(1, tb ? build_product(&v->b, v->node, g, a, true, a_turned, alpha)
               : build_product(&v->b, v->node, a, g, !a_turned, false, alpha));
    a = v->in[0];
    g = v->g;
    GRAD(0, ta ? build_product(&v->b, v->node, b, g, tb, true, alpha)
               : build_product(&v->b, v->node, g, b, false, !tb, alpha));
}

/* ---- kernels --------------------------------------------------------------------------------- */

/* Rows that are not asked for take no part, neither in x's gradient nor in that of the weights. */
void vjp_masked_matmul(Vjp *v)
{
    const Shape left = shape_of(v, v->in[0]), out = shape_of(v, v->g);
    const ValueId on = op2(v, OP_ne, v->in[2], number(v, 0));
    const ValueId g = keep(v, build_broadcast(&v->b, on, &out), v->g);
    GRAD(0, build_matmul(&v->b, g, v->in[1], false, false, 1));
    const ValueId x = keep(v, build_broadcast(&v->b, on, &left), v->in[0]);
    GRAD(1, build_matmul(&v->b, fold(v, g), fold(v, x), true, false, 1));
}

/* A rotation is undone by the opposite one. */
void vjp_rope(Vjp *v)
{
    const unsigned n = v->node->n_inputs;
    ValueId in[] = { v->g, v->in[1], n > 2 ? v->in[2] : NO_VALUE };
    NodeSpec spec = node_spec(OP_rope, in, n, v->b.span, v->b.path);
    memcpy(spec.attr, v->node->attr, sizeof spec.attr);
    spec.attr[ATTR_INDEX(rope, inverse)].i = !NODE_ATTR(v->node, rope, inverse).i;
    GRAD(0, graph_add(v->b.g, &spec, NULL));
}

/* Both rows have the same attributes in the same order (ir/infer_kernel.c holds them to it). */
void vjp_attention(Vjp *v)
{
    ValueId in[7] = { v->in[0], v->in[1], v->in[2], v->out, v->out + 1, v->g };
    const bool seeded = v->node->n_inputs == 4;
    if (seeded)
        in[6] = v->in[3];
    NodeSpec spec = node_spec(OP_attention_grad, in, seeded ? 7 : 6, v->b.span, v->b.path);
    memcpy(spec.attr, v->node->attr, sizeof spec.attr);
    ValueId first = graph_add(v->b.g, &spec, NULL);
    for (unsigned i = 0; i < 3; i++)
        GRAD(i, first + i);
}

void vjp_cross_entropy(Vjp *v)
{
    ValueId in[] = { v->in[0], v->out + 1, v->in[1], v->g };
    NodeSpec spec = node_spec(OP_cross_entropy_grad, in, 4, v->b.span, v->b.path);
    spec.attr[ATTR_INDEX(cross_entropy_grad, ignore)] = NODE_ATTR(v->node, cross_entropy, ignore);
    GRAD(0, graph_add(v->b.g, &spec, NULL));
}

/* Both rows have the same attributes in the same order. */
void vjp_linear_cross_entropy(Vjp *v)
{
    const bool bias = v->node->n_inputs > 3;
    ValueId in[] = { v->in[0], v->in[1], v->in[2], v->g, bias ? v->in[3] : NO_VALUE };
    NodeSpec spec = node_spec(OP_linear_cross_entropy_grad, in, bias ? 5 : 4, v->b.span, v->b.path);
    memcpy(spec.attr, v->node->attr, sizeof spec.attr);
    ValueId first = graph_add(v->b.g, &spec, NULL);
    GRAD(0, first);
    GRAD(1, first + 1);
    if (bias)
        GRAD(3, first + 5);
}
