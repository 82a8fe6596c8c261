/* Shape rules of what moves elements about: views, concatenation, padding, writes. */
#include "ir/infer_rule.h"

#include "base/check.h"

/* The shape that the author asked for: sizes of at least one. */
static bool need_shape(Infer *in)
{
    const Shape *s = &in->spec->shape;
    CHECK(s->rank <= MAX_RANK, "rank %u", s->rank);
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i].coef < 1)
            return mistake(in, DIAG_E0218, "a size must be at least 1, not %lld",
                           (long long)s->dim[i].coef);
    return true;
}

static bool shape_mistake(Infer *in, DiagCode code, const char *what)
{
    Buf want = { 0 };
    shape_print(&want, in->g, &in->spec->shape);
    mistake(in, code, "%s %s", what, want.failed ? "" : want.data);
    buf_free(&want);
    return false;
}

bool infer_reshape(Infer *in)
{
    const Type *x = input_type(in, 0);
    Dim have = { 0 }, want;
    if (!need_shape(in))
        return false;
    if (!shape_count(&in->spec->shape, &want))
        return mistake(in, DIAG_E0213, "the result has more than 2^62 elements");
    if (shape_count(&x->shape, &have) && dim_equal(have, want))
        return set_out(in, x->dtype, &in->spec->shape);
    shape_mistake(in, DIAG_E0207, "x has another number of elements than");
    Buf text = { 0 };
    buf_puts(&text, "x has ");
    dim_print(&text, in->g, have);
    buf_puts(&text, " elements, the new shape ");
    dim_print(&text, in->g, want);
    if (!text.failed)
        note_text(in, text.data);
    buf_free(&text);
    return false;
}

bool infer_broadcast(Infer *in)
{
    const Type *x = input_type(in, 0);
    Shape r;
    int bad;
    if (!need_shape(in))
        return false;
    if (!shape_broadcast(&x->shape, &in->spec->shape, &r, &bad) ||
        !shape_equal(&r, &in->spec->shape))
        return shape_mistake(in, DIAG_E0211, "x does not stretch to");
    return set_out(in, x->dtype, &in->spec->shape);
}

bool infer_transpose(Infer *in)
{
    const Type *x = input_type(in, 0);
    int a = ATTR_INDEX(transpose, a), b = ATTR_INDEX(transpose, b);
    if (!need_axis(in, a, x->shape.rank) || !need_axis(in, b, x->shape.rank))
        return false;
    int64_t p = in->attr[a].i, q = in->attr[b].i;
    in->attr[a].i = p < q ? p : q;
    in->attr[b].i = p < q ? q : p;
    Shape r = x->shape;
    r.dim[p] = x->shape.dim[q];
    r.dim[q] = x->shape.dim[p];
    return set_out(in, x->dtype, &r);
}

bool infer_slice(Infer *in)
{
    const Type *x = input_type(in, 0);
    int axis_attr = ATTR_INDEX(slice, axis);
    if (!need_axis(in, axis_attr, x->shape.rank) ||
        !need_known(in, 0, (int)in->attr[axis_attr].i))
        return false;
    int64_t axis = in->attr[axis_attr].i;
    int64_t start = in->attr[ATTR_INDEX(slice, start)].i;
    int64_t stop = in->attr[ATTR_INDEX(slice, stop)].i;
    int64_t size = x->shape.dim[axis].coef;
    if (start < 0 || start >= stop || stop > size)
        return mistake(in, DIAG_E0208, "%lld:%lld is not a part of an axis of size %lld",
                       (long long)start, (long long)stop, (long long)size);
    Shape r = x->shape;
    if (stop - start != size)
        r.dim[axis] = dim_const(stop - start);
    return set_out(in, x->dtype, &r);
}

bool infer_pad(Infer *in)
{
    const Type *x = input_type(in, 0);
    int axis_attr = ATTR_INDEX(pad, axis);
    int before = ATTR_INDEX(pad, before), after = ATTR_INDEX(pad, after);
    int64_t most = (int64_t)1 << 60;                    /* so that the sum below cannot wrap */
    if (!need_axis(in, axis_attr, x->shape.rank) ||
        !need_known(in, 0, (int)in->attr[axis_attr].i) || !need_int(in, before, 0, most) ||
        !need_int(in, after, 0, most))
        return false;
    Shape r = x->shape;
    Dim *d = &r.dim[in->attr[axis_attr].i];
    if (d->coef > most)
        return mistake(in, DIAG_E0213, "the result has more than 2^62 elements");
    int64_t added = in->attr[before].i + in->attr[after].i;
    if (added)
        *d = dim_const(d->coef + added);
    return set_out(in, x->dtype, &r);
}

/* All axes but `axis` agree with those of the first input. */
static bool need_alike(Infer *in, unsigned i, int64_t axis)
{
    const Type *first = input_type(in, 0), *x = input_type(in, i);
    if (x->dtype != first->dtype)
        return mistake(in, DIAG_E0204, "x0 is %s and x%u is %s", dtype_name(first->dtype), i,
                       dtype_name(x->dtype));
    if (x->shape.rank != first->shape.rank)
        return mistake(in, DIAG_E0205, "x%u must have %u axes as x0 has, not %u", i,
                       first->shape.rank, x->shape.rank);
    for (int a = 0; a < x->shape.rank; a++) {
        if (a == axis || dim_equal(x->shape.dim[a], first->shape.dim[a]))
            continue;
        mistake(in, DIAG_E0212, "x0 and x%u differ on axis %d, which is not the one joined", i, a);
        note_sizes(in, first->shape.dim[a], x->shape.dim[a]);
        return false;
    }
    return true;
}

bool infer_concat(Infer *in)
{
    const Type *first = input_type(in, 0);
    int axis_attr = ATTR_INDEX(concat, axis);
    if (!need_axis(in, axis_attr, first->shape.rank))
        return false;
    int axis = (int)in->attr[axis_attr].i;
    int64_t total = 0;
    for (unsigned i = 0; i < in->spec->n_inputs; i++) {
        if (!need_alike(in, i, axis) || !need_known(in, i, axis))
            return false;
        if (!i64_add(total, input_dim(in, i, axis).coef, &total))
            return mistake(in, DIAG_E0213, "the result has more than 2^62 elements");
    }
    Shape r = first->shape;
    if (in->spec->n_inputs > 1)
        r.dim[axis] = dim_const(total);
    return set_out(in, first->dtype, &r);
}

bool infer_decode(Infer *in)
{
    if (dtype_is_lane(input_type(in, 0)->dtype))
        return mistake(in, DIAG_E0203, "x is %s, which needs no decoding",
                       dtype_name(input_type(in, 0)->dtype));
    return need_rank(in, 0, 1, MAX_RANK) && set_out(in, DTYPE_f32, input_shape(in, 0));
}

bool infer_copy(Infer *in)
{
    in->out[0] = *input_type(in, 0);
    return true;
}

bool infer_after(Infer *in)
{
    return infer_copy(in);
}

bool infer_cache_write(Infer *in)
{
    const bool stored = dtype_is_cache(input_type(in, 0)->dtype);
    if ((!stored && !need_dtype(in, 0, DTYPE_f32)) || !need_dtype(in, 1, DTYPE_f32) ||
        !need_rank(in, 0, 4, 4) || !need_rank(in, 1, 4, 4))
        return false;
    in->out[0] = *input_type(in, 0);
    return need_equal(in, 0, 0, 1, 0) && need_equal(in, 0, 1, 1, 1) &&
           need_equal(in, 0, 3, 1, 3) && need_type(in, 2, type_scalar(DTYPE_i32)) &&
           (in->spec->n_inputs == 3 || need_turn(in, 1, 3));
}

bool infer_assign(Infer *in)
{
    const DType held = input_type(in, 0)->dtype;
    in->out[0] = *input_type(in, 0);
    return need_dtype(in, 1, held == DTYPE_bf16 ? DTYPE_f32 : held) && need_same_shape(in, 0, 1);
}
