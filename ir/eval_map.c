/* Element-wise ops: one scalar function each, applied under NumPy's broadcasting. */
#include "base/check.h"
#include "base/half.h"
#include "base/random.h"
#include "ir/eval_rule.h"

#include <math.h>

typedef double ScalarFn(double a, double b, double c);

#define UNARY(name, expr) \
    static double scalar_##name(double a, double b, double c) { (void)b; (void)c; return expr; }
#define BINARY(name, expr) \
    static double scalar_##name(double a, double b, double c) { (void)c; return expr; }
#define TERNARY(name, expr) \
    static double scalar_##name(double a, double b, double c) { return expr; }

static double normal_density(double x) { return exp(-x * x / 2) / sqrt(2 * M_PI); }
static double normal_below(double x) { return erfc(-x / M_SQRT2) / 2; }
static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double gelu_inner(double x) { return sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
static double gelu_inner_slope(double x) { return sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x); }

/* 1 - tanh(u)^2 without cancellation. */
static double sech_squared(double u)
{
    double c = 1 / cosh(u);
    return c * c;
}

/* NaN wins, as in NumPy. */
static double larger(double a, double b) { return a > b || isnan(a) ? a : b; }
static double smaller(double a, double b) { return a < b || isnan(a) ? a : b; }

UNARY(neg, -a)
UNARY(abs, fabs(a))
UNARY(exp, exp(a))
UNARY(expm1, expm1(a))
UNARY(log, log(a))
UNARY(sqrt, sqrt(a))
UNARY(rsqrt, 1 / sqrt(a))
UNARY(recip, 1 / a)
UNARY(tanh, tanh(a))
UNARY(sin, sin(a))
UNARY(cos, cos(a))
UNARY(erf, erf(a))
UNARY(sigmoid, sigmoid(a))
UNARY(relu, larger(a, 0))
UNARY(silu, a * sigmoid(a))
UNARY(gelu, a * normal_below(a))
UNARY(gelu_tanh, a * sigmoid(2 * gelu_inner(a)))
UNARY(silu_slope, sigmoid(a) * (1 + a * sigmoid(-a)))
UNARY(gelu_slope, normal_below(a) + a * normal_density(a))
UNARY(gelu_tanh_slope, sigmoid(2 * gelu_inner(a))
                       + a / 2 * sech_squared(gelu_inner(a)) * gelu_inner_slope(a))
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a * b)
BINARY(div, a / b)
BINARY(pow, pow(a, b))
BINARY(maximum, larger(a, b))
BINARY(minimum, smaller(a, b))
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(gt, a > b)
BINARY(ge, a >= b)
BINARY(eq, a == b)
BINARY(ne, a != b)
TERNARY(where, a != 0 ? b : c)

/* Rows whose eval is `map`; the others of CLASS_MAP have rules of their own. */
static ScalarFn *const scalars[N_OPS] = {
    [OP_neg] = scalar_neg, [OP_abs] = scalar_abs, [OP_exp] = scalar_exp,
    [OP_expm1] = scalar_expm1, [OP_log] = scalar_log, [OP_sqrt] = scalar_sqrt,
    [OP_rsqrt] = scalar_rsqrt, [OP_recip] = scalar_recip, [OP_tanh] = scalar_tanh,
    [OP_sin] = scalar_sin, [OP_cos] = scalar_cos, [OP_erf] = scalar_erf,
    [OP_sigmoid] = scalar_sigmoid, [OP_relu] = scalar_relu, [OP_silu] = scalar_silu,
    [OP_gelu] = scalar_gelu, [OP_gelu_tanh] = scalar_gelu_tanh,
    [OP_silu_slope] = scalar_silu_slope, [OP_gelu_slope] = scalar_gelu_slope,
    [OP_gelu_tanh_slope] = scalar_gelu_tanh_slope,
    [OP_add] = scalar_add, [OP_sub] = scalar_sub, [OP_mul] = scalar_mul, [OP_div] = scalar_div,
    [OP_pow] = scalar_pow, [OP_maximum] = scalar_maximum, [OP_minimum] = scalar_minimum,
    [OP_lt] = scalar_lt, [OP_le] = scalar_le, [OP_gt] = scalar_gt, [OP_ge] = scalar_ge,
    [OP_eq] = scalar_eq, [OP_ne] = scalar_ne, [OP_where] = scalar_where,
};

double eval_scalar(OpId op, double x)
{
    CHECK(scalars[op], "op %s has no scalar meaning", op_info(op)->name);
    return scalars[op](x, 0, 0);
}

void eval_map(EvalNode *n)
{
    ScalarFn *f = scalars[n->node->op];
    CHECK(f, "op %s has no scalar meaning", op_info(n->node->op)->name);
    Tensor *out = &n->out[0];
    Index at = { 0 };
    double x[3] = { 0 };
    for (int64_t i = 0; i < out->count; i++) {
        for (unsigned k = 0; k < n->node->n_inputs; k++)
            x[k] = n->in[k]->data[index_broadcast(&at, out->rank, n->in[k])];
        out->data[i] = f(x[0], x[1], x[2]);
        index_next(&at, out);
    }
}

/* To i32 a float is truncated, saturating, NaN to 0. */
void eval_cast(EvalNode *n)
{
    const DType to = (DType)EVAL_ATTR(n, cast, dtype).i;
    for (int64_t i = 0; i < n->out[0].count; i++) {
        double x = n->in[0]->data[i];
        if (to == DTYPE_bool)
            x = x != 0;
        else if (to == DTYPE_i32)
            x = isnan(x) ? 0 : trunc(fmin(fmax(x, INT32_MIN), INT32_MAX));
        n->out[0].data[i] = x;
    }
}

void eval_round_bf16(EvalNode *n)
{
    for (int64_t i = 0; i < n->out[0].count; i++)
        n->out[0].data[i] = f32_of_bf16(bf16_of_f32((float)n->in[0]->data[i]));
}

bool eval_keep(double seed_low, double seed_high, int64_t site, int64_t element, double p)
{
    const uint64_t seed = (uint32_t)(int64_t)seed_low
        | (uint64_t)(uint32_t)(int64_t)seed_high << 32;
    const double threshold = (double)(float)p * 4294967296.0;
    return random_u32(seed, (uint64_t)site, (uint64_t)element) >= threshold;
}

void eval_dropout(EvalNode *n)
{
    const double p = EVAL_ATTR(n, dropout, p).f;
    const int64_t site = EVAL_ATTR(n, dropout, site).i;
    for (int64_t i = 0; i < n->out[0].count; i++) {
        bool keep = n->node->n_inputs < 2
            || eval_keep(n->in[1]->data[0], n->in[1]->data[1], site, i, p);
        n->out[0].data[i] = !keep ? 0
            : n->node->n_inputs < 2 ? n->in[0]->data[i] : n->in[0]->data[i] / (1 - p);
    }
}

/* -inf where the key, on the last axis, comes after the query, on the one before. */
void eval_causal_mask(EvalNode *n)
{
    Tensor *out = &n->out[0];
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i++) {
        bool seen = at.i[out->rank - 1] <= at.i[out->rank - 2];
        out->data[i] = seen ? n->in[0]->data[i] : -INFINITY;
        index_next(&at, out);
    }
}
