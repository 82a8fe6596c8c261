/* Strides of views. */
#include "passes/view.h"

#include "base/check.h"

Strided strided_dense(const Shape *shape)
{
    Strided s = { .shape = *shape, .offset = dim_const(0) };
    bool fits = shape_strides(shape, s.stride);
    CHECK(fits, "a shape too large for strides");
    return s;
}

static bool is_one(Dim d)
{
    return dim_is(d, 1);
}

bool strided_is_dense(const Strided *s)
{
    Strided dense = strided_dense(&s->shape);
    for (int a = 0; a < s->shape.rank; a++)
        if (!is_one(s->shape.dim[a]) && !dim_equal(s->stride[a], dense.stride[a]))
            return false;
    return true;
}

bool strided_equal(const Strided *a, const Strided *b)
{
    if (!shape_equal(&a->shape, &b->shape) || !dim_equal(a->offset, b->offset))
        return false;
    for (int k = 0; k < a->shape.rank; k++)
        if (!is_one(a->shape.dim[k]) && !dim_equal(a->stride[k], b->stride[k]))
            return false;
    return true;
}

bool strided_rows(const Strided *s)
{
    int last = s->shape.rank - 1;
    return last < 0 || is_one(s->shape.dim[last]) || is_one(s->stride[last]);
}

bool strided_part(const Strided *whole, int axis, int64_t start, Dim count, Strided *part)
{
    Strided p = *whole;
    Dim skip;
    p.shape.dim[axis] = count;
    if (!dim_mul(whole->stride[axis], dim_const(start), &skip))
        return false;
    if (start != 0 && whole->offset.coef != 0) {
        Dim sum = whole->offset;        /* a sum of monomials is one only over equal symbols */
        for (int s = 0; s < MAX_SYMBOLS; s++)
            if (sum.power[s] != skip.power[s])
                return false;
        sum.coef += skip.coef;
        skip = sum;
    } else if (start == 0) {
        skip = whole->offset;
    }
    p.offset = skip;
    *part = p;
    return true;
}

static void swap_axes(const Strided *in, int a, int b, Strided *out)
{
    *out = *in;
    out->shape.dim[a] = in->shape.dim[b];
    out->stride[a] = in->stride[b];
    out->shape.dim[b] = in->shape.dim[a];
    out->stride[b] = in->stride[a];
}

/* Does stepping axis `a` once pass exactly over all of axis `b`? */
static bool adjacent(const Strided *s, int a, int b)
{
    Dim span;
    return dim_mul(s->stride[b], s->shape.dim[b], &span) && dim_equal(s->stride[a], span);
}

/* One run of axes: in axes [i0, i1) and out axes [o0, o1) hold the same elements. */
static bool reshape_run(const Strided *in, int i0, int i1, Strided *out, int o0, int o1)
{
    int inner = -1;                     /* the innermost axis longer than 1 */
    for (int a = i1; a-- > i0;) {
        if (is_one(in->shape.dim[a]))
            continue;
        if (inner >= 0) {
            int next = a + 1;
            while (is_one(in->shape.dim[next]))
                next++;
            if (!adjacent(in, a, next))
                return false;
        } else {
            inner = a;
        }
    }
    Dim stride = inner >= 0 ? in->stride[inner] : dim_const(1);
    for (int a = o1; a-- > o0;) {
        out->stride[a] = stride;
        if (!dim_mul(stride, out->shape.dim[a], &stride))
            return false;
    }
    return true;
}

/* Cuts both shapes from the right into runs of equal size, and strides each run. */
static bool reshape_strides(const Strided *in, const Shape *shape, Strided *out)
{
    int i = in->shape.rank, o = shape->rank;
    *out = (Strided){ .shape = *shape, .offset = in->offset };
    while (i > 0 || o > 0) {
        int i1 = i, o1 = o;
        Dim x = dim_const(1), y = dim_const(1), ratio;
        if (i > 0)
            x = in->shape.dim[--i];
        if (o > 0)
            y = shape->dim[--o];
        while (!dim_equal(x, y)) {
            if (i > 0 && dim_div(y, x, &ratio)) {
                if (!dim_mul(x, in->shape.dim[--i], &x))
                    return false;
            } else if (o > 0 && dim_div(x, y, &ratio)) {
                if (!dim_mul(y, shape->dim[--o], &y))
                    return false;
            } else if (i > 0 && o > 0) {
                if (!dim_mul(x, in->shape.dim[--i], &x) || !dim_mul(y, shape->dim[--o], &y))
                    return false;
            } else {
                return false;
            }
        }
        if (!reshape_run(in, i, i1, out, o, o1))
            return false;
    }
    return true;
}

static bool broadcast_strides(const Strided *in, const Shape *shape, Strided *out)
{
    int missing = shape->rank - in->shape.rank;
    *out = (Strided){ .shape = *shape, .offset = in->offset };
    for (int a = 0; a < shape->rank; a++) {
        bool there = a >= missing && dim_equal(in->shape.dim[a - missing], shape->dim[a]);
        out->stride[a] = there ? in->stride[a - missing] : dim_const(0);
    }
    return true;
}

bool strided_view(const Graph *g, const Node *n, const Strided *in, Strided *out)
{
    const Shape *shape = &value_type(g, n->first_output)->shape;
    if (n->op == OP_transpose) {
        swap_axes(in, (int)NODE_ATTR(n, transpose, a).i, (int)NODE_ATTR(n, transpose, b).i, out);
        return true;
    }
    if (n->op == OP_after) {
        *out = *in;
        return true;
    }
    if (n->op == OP_slice) {
        int axis = (int)NODE_ATTR(n, slice, axis).i;
        return strided_part(in, axis, NODE_ATTR(n, slice, start).i, shape->dim[axis], out);
    }
    if (n->op == OP_broadcast)
        return broadcast_strides(in, shape, out);
    CHECK(n->op == OP_reshape, "%s is no view", op_info(n->op)->name);
    return reshape_strides(in, shape, out);
}

bool strided_unview(const Graph *g, const Node *n, const Strided *out, Strided *in)
{
    if (n->op == OP_transpose) {
        swap_axes(out, (int)NODE_ATTR(n, transpose, a).i, (int)NODE_ATTR(n, transpose, b).i, in);
        return true;
    }
    if (n->op == OP_after) {
        *in = *out;
        return true;
    }
    if (n->op == OP_reshape)
        return reshape_strides(out, &value_type(g, node_input(g, n, 0))->shape, in);
    return false;
}
