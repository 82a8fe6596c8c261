/* Small graphs for every op that has a gradient. */
#include "ops_cases.h"

#include "base/check.h"

#include <string.h>

/* ---- tensors --------------------------------------------------------------------------------- */

#define N(n) dim_const(n)
#define B dim_symbol(0)
#define T dim_symbol(1)
#define SHAPE(...) (&(Shape){ COUNT_OF(((Dim[]){ __VA_ARGS__ })), { __VA_ARGS__ } })

static ValueId param(Lab *l, const char *name, double low, double high, const Shape *s)
{
    return lab_tensor(l, STORAGE_PARAM, name, DTYPE_f32, low, high, s);
}

static ValueId ids(Lab *l, const char *name, int limit, const Shape *s)
{
    return lab_tensor(l, STORAGE_INPUT, name, DTYPE_i32, 0, limit, s);
}

static ValueId seed(Lab *l)
{
    return ids(l, "$seed", 1000, SHAPE(N(2)));
}

static ValueId add_spec(Lab *l, const NodeSpec *spec)
{
    return graph_add(l->g, spec, NULL);
}

/* op(inputs) with one attribute changed, for the many that need no more. */
static ValueId with_int(Lab *l, OpId op, const ValueId *in, unsigned n, int attr, int64_t value)
{
    NodeSpec spec = node_spec(op, in, n, (Span){ 0 }, "");
    spec.attr[attr].i = value;
    return add_spec(l, &spec);
}

/* ---- element-wise ---------------------------------------------------------------------------- */

#define UNARY(name, low, high) \
    static ValueId case_##name(Lab *l) \
    { return build1(&l->b, OP_##name, param(l, "x", low, high, SHAPE(B, T, N(5)))); }
#define BINARY(name, low, high) \
    static ValueId case_##name(Lab *l) \
    { \
        ValueId x = param(l, "x", low, high, SHAPE(B, T, N(5))); \
        return build2(&l->b, OP_##name, x, param(l, "y", low, high, SHAPE(T, N(1)))); \
    }

UNARY(neg, -2, 2)
UNARY(abs, -2, 2)
UNARY(exp, -2, 2)
UNARY(expm1, -2, 2)
UNARY(log, 0.5, 3)
UNARY(sqrt, 0.5, 3)
UNARY(rsqrt, 0.5, 3)
UNARY(recip, 0.5, 3)
UNARY(tanh, -2, 2)
UNARY(sin, -3, 3)
UNARY(cos, -3, 3)
UNARY(erf, -2, 2)
UNARY(sigmoid, -4, 4)
UNARY(relu, -2, 2)
UNARY(silu, -4, 4)
UNARY(gelu, -4, 4)
UNARY(gelu_tanh, -4, 4)
UNARY(copy, -2, 2)
UNARY(cast, -2, 2)
UNARY(softmax, -2, 2)
UNARY(sum, -2, 2)
UNARY(mean, -2, 2)
UNARY(max, -2, 2)
UNARY(min, -2, 2)
UNARY(logsumexp, -2, 2)
UNARY(transpose, -2, 2)
BINARY(add, -2, 2)
BINARY(sub, -2, 2)
BINARY(mul, -2, 2)
BINARY(div, 0.5, 3)
BINARY(pow, 0.5, 3)
BINARY(maximum, -2, 2)
BINARY(minimum, -2, 2)

/* One value in both places; and a chain in which it is used three times. */
static ValueId case_mul_shared(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(N(3)));
    return build2(&l->b, OP_mul, build2(&l->b, OP_mul, x, x), x);
}

/* Stretched on a leading axis, and a scalar; the smaller operand stands first. */
static ValueId case_add_scalar(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, &(Shape){ 0 });
    ValueId y = param(l, "y", -2, 2, SHAPE(N(1), T));
    ValueId z = param(l, "z", -2, 2, SHAPE(B, N(1)));
    ValueId xy = build2(&l->b, OP_add, x, y);
    return build2(&l->b, OP_mul, xy, z);
}

static ValueId pow_of(Lab *l, double power)
{
    ValueId x = param(l, "x", power == 2.5 ? 0.5 : -2, 2, SHAPE(N(7)));
    return build2(&l->b, OP_pow, x, build_constant(&l->b, power));
}

static ValueId case_pow_0(Lab *l) { return pow_of(l, 0); }
static ValueId case_pow_1(Lab *l) { return pow_of(l, 1); }
static ValueId case_pow_2(Lab *l) { return pow_of(l, 2); }
static ValueId case_pow_3(Lab *l) { return pow_of(l, 3); }
static ValueId case_pow_2_5(Lab *l) { return pow_of(l, 2.5); }

static ValueId case_where(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(B, T));
    ValueId y = param(l, "y", -2, 2, SHAPE(T));
    ValueId limit = lab_tensor(l, STORAGE_INPUT, "limit", DTYPE_f32, -2, 2, SHAPE(B, T));
    ValueId chosen = build2(&l->b, OP_lt, limit, build_constant(&l->b, 0));
    return build3(&l->b, OP_where, chosen, x, y);
}

static ValueId case_dropout(Lab *l)
{
    ValueId in[2] = { param(l, "x", -2, 2, SHAPE(B, T, N(5))) };
    in[1] = seed(l);
    NodeSpec spec = node_spec(OP_dropout, in, 2, (Span){ 0 }, "");
    spec.attr[ATTR_INDEX(dropout, p)].f = 0.4;
    spec.attr[ATTR_INDEX(dropout, site)].i = 3;
    return add_spec(l, &spec);
}

static ValueId case_dropout_off(Lab *l)
{
    return build1(&l->b, OP_dropout, param(l, "x", -2, 2, SHAPE(N(5))));
}

/* ---- reductions ------------------------------------------------------------------------------ */

#define REDUCE(name, suffix, axes) \
    static ValueId case_##name##_##suffix(Lab *l) \
    { \
        ValueId x = param(l, "x", -2, 2, SHAPE(B, N(4), T, N(5))); \
        return with_int(l, OP_##name, &x, 1, 0, axes); \
    }
#define REDUCES(name) REDUCE(name, last, 8) REDUCE(name, middle, 4) REDUCE(name, several, 13)

REDUCES(sum)
REDUCES(mean)
REDUCES(max)
REDUCES(min)
REDUCES(logsumexp)
REDUCE(softmax, first, 0)
REDUCE(softmax, middle, 2)

/* ---- moves ----------------------------------------------------------------------------------- */

static ValueId case_reshape(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(B, T, N(6)));
    Dim rows = B;
    CHECK(dim_mul(rows, T, &rows), "B T");
    return build_reshape(&l->b, x, SHAPE(rows, N(2), N(3)));
}

static ValueId case_broadcast(Lab *l)
{
    return build_broadcast(&l->b, param(l, "x", -2, 2, SHAPE(T, N(1))), SHAPE(B, T, N(4)));
}

static ValueId case_slice(Lab *l)
{
    return build_slice(&l->b, param(l, "x", -2, 2, SHAPE(B, N(7))), 1, 2, 5);
}

/* Parts in another order than they lie, one of them used twice: together the whole. */
static ValueId case_slice_split(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(B, N(9)));
    ValueId q = build_slice(&l->b, x, 1, 6, 9), k = build_slice(&l->b, x, 1, 0, 3);
    ValueId v = build_slice(&l->b, x, 1, 3, 6), again = build_slice(&l->b, x, 1, 0, 3);
    ValueId product = build2(&l->b, OP_mul, build2(&l->b, OP_mul, q, k), v);
    return build2(&l->b, OP_mul, product, build1(&l->b, OP_sin, again));
}

/* Parts that overlap, on two axes, and the whole besides. */
static ValueId case_slice_overlap(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(N(4), N(4)));
    ValueId a = build_slice(&l->b, x, 1, 0, 3), b = build_slice(&l->b, x, 1, 1, 4);
    ValueId c = build_slice(&l->b, x, 0, 1, 4);
    ValueId ab = build_sum(&l->b, build2(&l->b, OP_mul, a, b), ALL_AXES);
    ValueId abc = build2(&l->b, OP_mul, ab, build_sum(&l->b, build2(&l->b, OP_mul, c, c), 1));
    return build2(&l->b, OP_mul, abc, x);
}

/* More parts than one concat takes. */
static ValueId case_slice_many(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(N(70), N(2)));
    ValueId y = build_slice(&l->b, x, 0, 0, 1);
    for (int i = 1; i < 70; i++) {
        ValueId part = build_slice(&l->b, x, 0, i, i + 1);
        y = build2(&l->b, OP_add, y, build_scale(&l->b, part, i));
    }
    return y;
}

static ValueId case_concat(Lab *l)
{
    ValueId in[3] = { param(l, "x", -2, 2, SHAPE(B, N(2), N(3))) };
    in[1] = param(l, "y", -2, 2, SHAPE(B, N(1), N(3)));
    in[2] = in[0];
    return with_int(l, OP_concat, in, 3, 0, 1);
}

static ValueId case_pad(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(N(3), T));
    NodeSpec spec = node_spec(OP_pad, &x, 1, (Span){ 0 }, "");
    spec.attr[ATTR_INDEX(pad, axis)].i = 0;
    spec.attr[ATTR_INDEX(pad, before)].i = 1;
    spec.attr[ATTR_INDEX(pad, after)].i = 2;
    return add_spec(l, &spec);
}

static ValueId case_causal_mask(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(B, T, T));
    return with_int(l, OP_softmax, (ValueId[]){ build1(&l->b, OP_causal_mask, x) }, 1, 0, 2);
}

static ValueId case_embedding(Lab *l)
{
    ValueId table = param(l, "table", -2, 2, SHAPE(N(5), N(3)));
    return build2(&l->b, OP_embedding, table, ids(l, "ids", 5, SHAPE(B, T)));
}

/* ---- products -------------------------------------------------------------------------------- */

static ValueId product(Lab *l, const Shape *a, const Shape *b, bool ta, bool tb)
{
    ValueId x = param(l, "x", -2, 2, a);
    return build_matmul(&l->b, x, param(l, "y", -2, 2, b), ta, tb, 0.75);
}

static ValueId case_matmul(Lab *l)
{
    return product(l, SHAPE(N(3), N(4)), SHAPE(N(4), N(2)), 0, 0);
}

static ValueId case_matmul_ta(Lab *l)
{
    return product(l, SHAPE(N(4), N(3)), SHAPE(N(4), N(2)), 1, 0);
}

static ValueId case_matmul_tb(Lab *l)
{
    return product(l, SHAPE(N(3), N(4)), SHAPE(N(2), N(4)), 0, 1);
}

static ValueId case_matmul_tab(Lab *l)
{
    return product(l, SHAPE(N(4), N(3)), SHAPE(N(2), N(4)), 1, 1);
}

static ValueId case_matmul_rows(Lab *l)
{
    return product(l, SHAPE(B, T, N(4)), SHAPE(N(4), N(2)), 0, 0);
}

static ValueId case_matmul_rows_tb(Lab *l)
{
    return product(l, SHAPE(B, N(2), T, N(4)), SHAPE(N(3), N(4)), 0, 1);
}

static ValueId case_matmul_rows_tab(Lab *l)
{
    return product(l, SHAPE(B, N(4), T), SHAPE(N(2), N(4)), 1, 1);
}

static ValueId case_matmul_batched(Lab *l)
{
    return product(l, SHAPE(B, N(2), T, N(4)), SHAPE(B, N(2), N(5), N(4)), 0, 1);
}

static ValueId case_matmul_shared_left(Lab *l)
{
    return product(l, SHAPE(N(3), N(4)), SHAPE(B, T, N(4), N(2)), 0, 0);
}

static ValueId case_matmul_stretched(Lab *l)
{
    return product(l, SHAPE(B, N(1), N(4), N(3)), SHAPE(N(1), T, N(2), N(4)), 1, 1);
}

static ValueId case_matmul_itself(Lab *l)
{
    ValueId x = param(l, "x", -2, 2, SHAPE(B, N(3), N(4)));
    return build_matmul(&l->b, x, x, false, true, 1);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static ValueId rope(Lab *l, RopeStyle style, bool inverse)
{
    ValueId in[2] = { param(l, "x", -2, 2, SHAPE(B, N(2), T, N(6))) };
    in[1] = ids(l, "positions", 50, SHAPE(T));
    NodeSpec spec = node_spec(OP_rope, in, 2, (Span){ 0 }, "");
    spec.attr[ATTR_INDEX(rope, style)].i = style;
    spec.attr[ATTR_INDEX(rope, inverse)].i = inverse;
    spec.attr[ATTR_INDEX(rope, base)].f = 500;
    return add_spec(l, &spec);
}

static ValueId case_rope(Lab *l) { return rope(l, STYLE_half, false); }
static ValueId case_rope_interleaved(Lab *l) { return rope(l, STYLE_interleaved, false); }
static ValueId case_rope_inverse(Lab *l) { return rope(l, STYLE_half, true); }

static ValueId case_masked_matmul(Lab *l)
{
    const ValueId x = param(l, "x", -2, 2, SHAPE(B, T, N(4)));
    const ValueId w = param(l, "w", -2, 2, SHAPE(N(5), N(4)));
    const ValueId which = ids(l, "which", 2, SHAPE(B, T, N(1)));
    NodeSpec spec = node_spec(OP_cast, &which, 1, (Span){ 0 }, "");
    return build3(&l->b, OP_masked_matmul, x, w, add_spec(l, &spec));
}

static ValueId case_rope_factors(Lab *l)
{
    ValueId in[3] = { param(l, "x", -2, 2, SHAPE(B, N(2), T, N(6))) };
    in[1] = ids(l, "positions", 50, SHAPE(T));
    in[2] = lab_tensor(l, STORAGE_INPUT, "factors", DTYPE_f32, 0.5, 8, SHAPE(N(3)));
    NodeSpec spec = node_spec(OP_rope, in, 3, (Span){ 0 }, "");
    return add_spec(l, &spec);
}

static NodeSpec attention(Lab *l, ValueId in[4], Dim queries, Dim keys, unsigned n)
{
    in[0] = param(l, "q", -1, 1, SHAPE(B, N(4), queries, N(3)));
    in[1] = param(l, "k", -1, 1, SHAPE(B, N(2), keys, N(3)));
    in[2] = param(l, "v", -1, 1, SHAPE(B, N(2), keys, N(2)));
    if (n == 4)
        in[3] = seed(l);
    return node_spec(OP_attention, in, n, (Span){ 0 }, "");
}

static ValueId case_attention(Lab *l)
{
    ValueId in[4];
    NodeSpec spec = attention(l, in, T, T, 3);
    return add_spec(l, &spec);
}

static ValueId case_attention_window(Lab *l)
{
    ValueId in[4];
    NodeSpec spec = attention(l, in, N(5), N(5), 3);
    spec.attr[ATTR_INDEX(attention, window)].i = 2;
    spec.attr[ATTR_INDEX(attention, soft_cap)].f = 0.7;
    spec.attr[ATTR_INDEX(attention, scale)].f = 0.9;
    return add_spec(l, &spec);
}

static ValueId case_attention_all(Lab *l)
{
    ValueId in[4];
    NodeSpec spec = attention(l, in, T, N(4), 3);
    spec.attr[ATTR_INDEX(attention, causal)].i = false;
    return add_spec(l, &spec);
}

static ValueId case_attention_drop(Lab *l)
{
    ValueId in[4];
    NodeSpec spec = attention(l, in, N(4), N(4), 4);
    spec.attr[ATTR_INDEX(attention, drop)].f = 0.3;
    spec.attr[ATTR_INDEX(attention, site)].i = 5;
    return add_spec(l, &spec);
}

/* With ids up to 6, of which 2 is ignored. */
static ValueId case_cross_entropy(Lab *l)
{
    ValueId in[2] = { param(l, "x", -2, 2, SHAPE(B, T, N(7))) };
    in[1] = ids(l, "targets", 7, SHAPE(B, T));
    return with_int(l, OP_cross_entropy, in, 2, 0, 2);
}

/* In chunks of 4 of 6 rows. */
static ValueId linear_cross_entropy(Lab *l, bool transpose, OpId act)
{
    const Dim rows = { .coef = 1, .power = { 1, 1 } };
    ValueId in[4] = { param(l, "x", -2, 2, SHAPE(rows, N(3))) };
    in[1] = transpose ? param(l, "w", -1, 1, SHAPE(N(7), N(3))) : param(l, "w", -1, 1, SHAPE(N(3), N(7)));
    in[2] = ids(l, "targets", 7, SHAPE(rows));
    in[3] = act == OP_copy ? NO_VALUE : param(l, "bias", -1, 1, SHAPE(N(7)));
    NodeSpec spec = node_spec(OP_linear_cross_entropy, in, act == OP_copy ? 3 : 4, l->b.span, l->b.path);
    spec.attr[ATTR_INDEX(linear_cross_entropy, activation)].i = act;
    spec.attr[ATTR_INDEX(linear_cross_entropy, gain)].f = act == OP_copy ? 1 : 1.5;
    spec.attr[ATTR_INDEX(linear_cross_entropy, transpose_w)].i = transpose;
    spec.attr[ATTR_INDEX(linear_cross_entropy, alpha)].f = 0.7;
    spec.attr[ATTR_INDEX(linear_cross_entropy, chunk)].i = 4;
    spec.attr[ATTR_INDEX(linear_cross_entropy, ignore)].i = 2;
    return add_spec(l, &spec);
}

static ValueId case_linear_cross_entropy(Lab *l)
{
    return linear_cross_entropy(l, false, OP_copy);
}

static ValueId case_linear_cross_entropy_tb(Lab *l)
{
    return linear_cross_entropy(l, true, OP_copy);
}

static ValueId case_linear_cross_entropy_tanh(Lab *l)
{
    return linear_cross_entropy(l, false, OP_tanh);
}

static ValueId case_linear_cross_entropy_sigmoid(Lab *l)
{
    return linear_cross_entropy(l, true, OP_sigmoid);
}

static ValueId case_linear_cross_entropy_exp(Lab *l)
{
    return linear_cross_entropy(l, false, OP_exp);
}

/* ---- the list -------------------------------------------------------------------------------- */

#define CASE(op, suffix) { OP_##op, #op " " #suffix, case_##op##_##suffix }
#define ALONE(op) { OP_##op, #op, case_##op }
const OpCase op_cases[] = {
    ALONE(neg), ALONE(abs), ALONE(exp), ALONE(expm1), ALONE(log), ALONE(sqrt), ALONE(rsqrt),
    ALONE(recip), ALONE(tanh), ALONE(sin), ALONE(cos), ALONE(erf), ALONE(sigmoid), ALONE(relu),
    ALONE(silu), ALONE(gelu), ALONE(gelu_tanh), ALONE(cast), ALONE(dropout), CASE(dropout, off),
    ALONE(add), CASE(add, scalar), ALONE(sub), ALONE(mul), CASE(mul, shared), ALONE(div),
    ALONE(pow), CASE(pow, 0), CASE(pow, 1), CASE(pow, 2), CASE(pow, 3), CASE(pow, 2_5),
    ALONE(maximum), ALONE(minimum), ALONE(where),
    ALONE(sum), CASE(sum, last), CASE(sum, middle), CASE(sum, several),
    ALONE(mean), CASE(mean, last), CASE(mean, middle), CASE(mean, several),
    ALONE(max), CASE(max, last), CASE(max, middle), CASE(max, several),
    ALONE(min), CASE(min, last), CASE(min, middle), CASE(min, several),
    ALONE(logsumexp), CASE(logsumexp, last), CASE(logsumexp, middle), CASE(logsumexp, several),
    ALONE(softmax), CASE(softmax, first), CASE(softmax, middle),
    ALONE(copy), ALONE(reshape), ALONE(transpose), ALONE(broadcast), ALONE(slice),
    CASE(slice, split), CASE(slice, overlap), CASE(slice, many), ALONE(concat), ALONE(pad),
    ALONE(causal_mask), ALONE(embedding),
    ALONE(matmul), CASE(matmul, ta), CASE(matmul, tb), CASE(matmul, tab), CASE(matmul, rows),
    CASE(matmul, rows_tb), CASE(matmul, rows_tab), CASE(matmul, batched),
    CASE(matmul, shared_left), CASE(matmul, stretched), CASE(matmul, itself),
    ALONE(masked_matmul),
    ALONE(rope), CASE(rope, interleaved), CASE(rope, inverse), CASE(rope, factors),
    ALONE(attention), CASE(attention, window), CASE(attention, all), CASE(attention, drop),
    ALONE(cross_entropy), ALONE(linear_cross_entropy), CASE(linear_cross_entropy, tb),
    CASE(linear_cross_entropy, tanh), CASE(linear_cross_entropy, sigmoid), CASE(linear_cross_entropy, exp),
};
const int n_op_cases = COUNT_OF(op_cases);

bool op_has_gradient(OpId op)
{
    static const char *const grads[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) [OP_##name] = #grad,
#include "ir/ops.def"
    };
    return strcmp(grads[op], "none") != 0 && strcmp(grads[op], "zero") != 0;
}

void op_case_begin(Lab *l, const OpCase *c)
{
    lab_begin(l);
    graph_symbol(l->g, "B", ROLE_BATCH, 2, (Span){ 0 });
    graph_symbol(l->g, "T", ROLE_SEQUENCE, 3, (Span){ 0 });
    l->sizes[0] = 2;
    l->sizes[1] = 3;
    l->g->program = PROGRAM_train;
    ValueId y = c->build(l);
    const Shape shape = value_type(l->g, y)->shape;
    ValueId weight = lab_tensor(l, STORAGE_INPUT, "weight", DTYPE_f32, 0.5, 2, &shape);
    ValueId loss = build_sum(&l->b, build2(&l->b, OP_mul, y, weight), ALL_AXES);
    graph_output(l->g, "y", y, (Span){ 0 });
    graph_output(l->g, "loss", loss, (Span){ 0 });
}
