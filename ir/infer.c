/* Shape rules: the table, and the rules of sources, maps and reductions. */
#include "ir/infer.h"

#include "base/check.h"
#include "ir/infer_rule.h"

#include <math.h>

InferFn *const infer_rules[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    [OP_##name] = infer_##shape,
#include "ir/ops.def"
};

/* Programs compute in lanes; what is stored otherwise is read where the op can read it. */
static bool need_lane(Infer *in, unsigned i)
{
    const DType t = input_type(in, i)->dtype;
    const bool rounded = t == DTYPE_bf16 && op_reads_rounded(in->spec->op, i);
    if (dtype_is_lane(t) || rounded || op_reads_stored(in->spec->op, i))
        return true;
    return mistake(in, DIAG_E0203, "%s is stored as %s, which it does not read",
                   input_name(in, i).text, dtype_name(t));
}

bool infer_types(const Graph *g, const NodeSpec *spec, AttrValue attr[MAX_ATTRS],
                 Type out[MAX_OUTPUTS], DiagSink *diags)
{
    const OpInfo *info = op_info(spec->op);
    CHECK(info->n_outputs <= MAX_OUTPUTS, "%s has %u results", info->name, info->n_outputs);
    Infer in = { .g = g, .spec = spec, .attr = attr, .out = out, .diags = diags };
    if (spec->n_inputs < info->min_inputs || spec->n_inputs > info->max_inputs) {
        if (info->min_inputs == info->max_inputs)
            return mistake(&in, DIAG_E0200, "takes %u input%s, not %u", info->min_inputs,
                           info->min_inputs == 1 ? "" : "s", spec->n_inputs);
        return mistake(&in, DIAG_E0200, "takes %u to %u inputs, not %u", info->min_inputs,
                       info->max_inputs, spec->n_inputs);
    }
    for (unsigned i = 0; i < spec->n_inputs; i++)
        if (!need_lane(&in, i))
            return false;
    if (!infer_rules[spec->op](&in))
        return false;
    Dim count;
    for (unsigned i = 0; i < op_n_results(spec->op, spec->n_inputs, attr); i++)
        if (!shape_count(&out[i].shape, &count))
            return mistake(&in, DIAG_E0213, "the result has more than 2^62 elements");
    return true;
}

bool shape_broadcast(const Shape *a, const Shape *b, Shape *out, int *bad)
{
    Shape r = a->rank >= b->rank ? *a : *b;
    for (int i = 1; i <= a->rank && i <= b->rank; i++) {
        Dim x = a->dim[a->rank - i], y = b->dim[b->rank - i];
        Dim *to = &r.dim[r.rank - i];
        if (dim_is(x, 1)) {
            *to = y;
        } else if (dim_is(y, 1)) {
            *to = x;
        } else if (dim_equal(x, y)) {
            *to = x;
            if (x.origin == 0)
                to->origin = y.origin;
        } else {
            if (bad)
                *bad = i;
            return false;
        }
    }
    *out = r;
    return true;
}

/* ---- sources --------------------------------------------------------------------------------- */

bool infer_storage(Infer *in)
{
    int64_t id = in->attr[ATTR_INDEX(input, storage)].i;
    CHECK(id >= 0 && id < in->g->n_storages, "storage %lld of %u", (long long)id,
          in->g->n_storages);
    in->out[0] = in->g->storages[id].type;
    return true;
}

static bool need_dtype_attr(Infer *in, int attr)
{
    int64_t dtype = in->attr[attr].i;
    CHECK(dtype >= 0 && dtype < N_DTYPES, "dtype %lld", (long long)dtype);
    if (!dtype_is_lane((DType)dtype))
        return mistake(in, DIAG_E0203, "a result is f32, i32 or bool; %s is a type of storage",
                       dtype_name((DType)dtype));
    return true;
}

bool infer_constant(Infer *in)
{
    int dtype = ATTR_INDEX(constant, dtype);
    if (!need_dtype_attr(in, dtype))
        return false;
    in->out[0] = type_scalar((DType)in->attr[dtype].i);
    return true;
}

bool infer_extent(Infer *in)
{
    in->out[0] = type_scalar(DTYPE_f32);
    return true;
}

bool infer_positions(Infer *in)
{
    Dim length = in->attr[ATTR_INDEX(positions, length)].dim;
    if (length.coef < 1)
        return mistake(in, DIAG_E0206, "length must be at least 1, not %lld",
                       (long long)length.coef);
    if (in->spec->n_inputs == 1 && !need_type(in, 0, type_scalar(DTYPE_i32)))
        return false;
    in->out[0] = type_of(DTYPE_i32, 1, &length);
    return true;
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* Broadcasts inputs first..last into *shape. */
static bool broadcast_inputs(Infer *in, unsigned first, unsigned last, Shape *shape)
{
    *shape = *input_shape(in, first);
    for (unsigned i = first + 1; i <= last; i++) {
        const Shape *y = input_shape(in, i);
        Shape x = *shape;
        int bad = 0;
        if (shape_broadcast(&x, y, shape, &bad))
            continue;
        Buf sizes = { 0 };
        dim_print(&sizes, in->g, x.dim[x.rank - bad]);
        buf_puts(&sizes, " and ");
        dim_print(&sizes, in->g, y->dim[y->rank - bad]);
        mistake(in, DIAG_E0202, "shapes do not broadcast: %s, axis %d from the end",
                sizes.failed ? "two sizes" : sizes.data, bad);
        buf_free(&sizes);
        note_sizes(in, x.dim[x.rank - bad], y->dim[y->rank - bad]);
        return false;
    }
    return true;
}

static bool need_number(Infer *in, unsigned i)
{
    if (input_type(in, i)->dtype != DTYPE_bool)
        return true;
    mistake(in, DIAG_E0203, "%s must be f32 or i32, not bool", input_name(in, i).text);
    note_text(in, "cast(x, f32) gives 0 and 1; where(condition, x, y) chooses");
    return false;
}

static bool need_one_dtype(Infer *in, unsigned i, unsigned j)
{
    DType x = input_type(in, i)->dtype, y = input_type(in, j)->dtype;
    if (x == y)
        return true;
    mistake(in, DIAG_E0204, "%s is %s and %s is %s", input_name(in, i).text, dtype_name(x),
            input_name(in, j).text, dtype_name(y));
    note_text(in, "nothing is converted by itself; cast(x, f32) converts");
    return false;
}

/* Numbers of one type that broadcast together. */
static bool number_map(Infer *in, Shape *shape)
{
    for (unsigned i = 0; i < in->spec->n_inputs; i++)
        if (!need_number(in, i) || !need_one_dtype(in, 0, i))
            return false;
    return broadcast_inputs(in, 0, in->spec->n_inputs - 1, shape);
}

bool infer_map(Infer *in)
{
    Shape shape;
    return number_map(in, &shape) && set_out(in, input_type(in, 0)->dtype, &shape);
}

bool infer_map_float(Infer *in)
{
    for (unsigned i = 0; i < in->spec->n_inputs; i++)
        if (!need_dtype(in, i, DTYPE_f32))
            return false;
    return infer_map(in);
}

bool infer_compare(Infer *in)
{
    Shape shape;
    return number_map(in, &shape) && set_out(in, DTYPE_bool, &shape);
}

bool infer_where(Infer *in)
{
    Shape shape;
    return need_dtype(in, 0, DTYPE_bool) && need_one_dtype(in, 1, 2) &&
           broadcast_inputs(in, 0, 2, &shape) && set_out(in, input_type(in, 1)->dtype, &shape);
}

bool infer_cast(Infer *in)
{
    int dtype = ATTR_INDEX(cast, dtype);
    return need_dtype_attr(in, dtype) &&
           set_out(in, (DType)in->attr[dtype].i, input_shape(in, 0));
}

bool infer_round_bf16(Infer *in)
{
    return need_dtype(in, 0, DTYPE_f32) && set_out(in, DTYPE_bf16, input_shape(in, 0));
}

bool infer_dropout(Infer *in)
{
    Dim two = dim_const(2);
    return need_dtype(in, 0, DTYPE_f32) && need_float(in, ATTR_INDEX(dropout, p), 0, 1) &&
           need_int(in, ATTR_INDEX(dropout, site), 0, INT64_MAX) &&
           (in->spec->n_inputs < 2 || need_type(in, 1, type_of(DTYPE_i32, 1, &two))) &&
           set_out(in, DTYPE_f32, input_shape(in, 0));
}

bool infer_causal_mask(Infer *in)
{
    return need_dtype(in, 0, DTYPE_f32) && need_rank(in, 0, 2, MAX_RANK) &&
           set_out(in, DTYPE_f32, input_shape(in, 0));
}

/* ---- reductions ------------------------------------------------------------------------------ */

bool infer_reduce(Infer *in)
{
    int64_t axes = in->attr[ATTR_INDEX(sum, axes)].i;   /* the first attribute of every reduction */
    const Shape *x = input_shape(in, 0);
    if (!need_dtype(in, 0, DTYPE_f32))
        return false;
    if (axes == ALL_AXES)
        return set_out(in, DTYPE_f32, &(Shape){ 0 });
    if (axes == 0)
        return mistake(in, DIAG_E0217, "no axis to reduce");
    if (axes < 0 || axes >> x->rank != 0) {
        int axis = x->rank;
        while (axis < 62 && !(axes >> axis & 1))
            axis++;
        return mistake(in, DIAG_E0201, "there is no axis %d", axis);
    }
    Shape r = *x;
    for (int i = 0; i < r.rank; i++)
        if (axes >> i & 1)
            r.dim[i] = dim_const(1);
    return set_out(in, DTYPE_f32, &r);
}

bool infer_softmax(Infer *in)
{
    return need_dtype(in, 0, DTYPE_f32) &&
           need_axis(in, ATTR_INDEX(softmax, axis), input_shape(in, 0)->rank) &&
           set_out(in, DTYPE_f32, input_shape(in, 0));
}

bool infer_column_sums(Infer *in)
{
    const int parts = ATTR_INDEX(column_sums, parts);
    if (!need_dtype(in, 0, DTYPE_f32) || !need_rank(in, 0, 2, MAX_RANK) || !need_int(in, parts, 1, 4096))
        return false;
    Shape r = *input_shape(in, 0);
    for (int a = 0; a + 1 < r.rank; a++)
        r.dim[a] = dim_const(a == 0 ? in->attr[parts].i : 1);
    return set_out(in, DTYPE_f32, &r);
}

bool infer_partial_sum(Infer *in)
{
    Dim parts = dim_const(N_PARTIALS);
    in->attr[ATTR_INDEX(partial_sum, square)].i = in->attr[ATTR_INDEX(partial_sum, square)].i != 0;
    in->out[0] = type_of(DTYPE_f32, 1, &parts);
    return need_dtype(in, 0, DTYPE_f32);
}
