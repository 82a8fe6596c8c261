/* Gradients of views and of what moves elements about: the same moves, backwards. */
#include "passes/vjp.h"

#include "passes/spell.h"

void vjp_copy(Vjp *v)
{
    GRAD(0, v->g);
}

/* The axes it stretched are summed by autodiff, as for any other op. */
void vjp_broadcast(Vjp *v)
{
    GRAD(0, v->g);
}

void vjp_reshape(Vjp *v)
{
    const Shape shape = shape_of(v, v->in[0]);
    GRAD(0, build_reshape(&v->b, v->g, &shape));
}

void vjp_transpose(Vjp *v)
{
    GRAD(0, build_transpose(&v->b, v->g, (int)NODE_ATTR(v->node, transpose, a).i,
                            (int)NODE_ATTR(v->node, transpose, b).i));
}

void vjp_slice(Vjp *v)
{
    v->part = true;
    v->axis = (int)NODE_ATTR(v->node, slice, axis).i;
    v->start = NODE_ATTR(v->node, slice, start).i;
    v->stop = NODE_ATTR(v->node, slice, stop).i;
    GRAD(0, v->g);
}

void vjp_pad(Vjp *v)
{
    const int axis = (int)NODE_ATTR(v->node, pad, axis).i;
    const int64_t before = NODE_ATTR(v->node, pad, before).i;
    GRAD(0, build_slice(&v->b, v->g, axis, before, before + shape_of(v, v->in[0]).dim[axis].coef));
}

void vjp_concat(Vjp *v)
{
    const int axis = (int)NODE_ATTR(v->node, concat, axis).i;
    int64_t start = 0;
    for (unsigned i = 0; i < v->node->n_inputs; i++) {
        const int64_t stop = start + shape_of(v, v->in[i]).dim[axis].coef;
        GRAD(i, build_slice(&v->b, v->g, axis, start, stop));
        start = stop;
    }
}

void vjp_causal_mask(Vjp *v)
{
    const Shape shape = shape_of(v, v->in[0]);
    GRAD(0, keep(v, spell_visible(&v->b, &shape), v->g));
}

void vjp_embedding(Vjp *v)
{
    const Type table = *value_type(v->b.g, v->in[0]);
    ValueId zeros = build_zeros(&v->b, &table);
    GRAD(0, build3(&v->b, OP_embedding_grad, zeros, v->in[1], v->g));
}
