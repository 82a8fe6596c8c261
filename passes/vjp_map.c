/* Gradients of element-wise ops and reductions. */
#include "passes/vjp.h"

#include "base/check.h"
#include "passes/spell.h"

#include <math.h>

VjpFn *const vjp_rules[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) [OP_##name] = vjp_##grad,
#include "ir/ops.def"
};

void vjp_none(Vjp *v)
{
    CHECK(false, "op %s has no gradient", op_info(v->node->op)->name);
}

void vjp_zero(Vjp *v)
{
    (void)v;
}

#define X v->in[0]
#define Y v->in[1]
#define OUT v->out
#define G v->g

static ValueId square(Vjp *v, ValueId a)
{
    return mul(v, a, a);
}

/* ---- of one input ---------------------------------------------------------------------------- */

void vjp_neg(Vjp *v)       { GRAD(0, negate(v, G)); }
void vjp_exp(Vjp *v)       { GRAD(0, mul(v, G, OUT)); }
void vjp_expm1(Vjp *v)     { GRAD(0, mul(v, G, plus(v, OUT, 1))); }
void vjp_log(Vjp *v)       { GRAD(0, divide(v, G, X)); }
void vjp_sqrt(Vjp *v)      { GRAD(0, divide(v, scale(v, G, 0.5), OUT)); }
void vjp_rsqrt(Vjp *v)     { GRAD(0, mul(v, G, scale(v, mul(v, OUT, square(v, OUT)), -0.5))); }
void vjp_recip(Vjp *v)     { GRAD(0, negate(v, mul(v, G, square(v, OUT)))); }
void vjp_tanh(Vjp *v)      { GRAD(0, mul(v, G, one_minus(v, square(v, OUT)))); }
void vjp_sin(Vjp *v)       { GRAD(0, mul(v, G, op1(v, OP_cos, X))); }
void vjp_cos(Vjp *v)       { GRAD(0, negate(v, mul(v, G, op1(v, OP_sin, X)))); }
void vjp_sigmoid(Vjp *v)   { GRAD(0, mul(v, G, mul(v, OUT, one_minus(v, OUT)))); }
void vjp_relu(Vjp *v)      { GRAD(0, keep(v, versus(v, OP_gt, OUT, 0), G)); }
void vjp_silu(Vjp *v)      { GRAD(0, mul(v, G, op1(v, OP_silu_slope, X))); }
void vjp_gelu(Vjp *v)      { GRAD(0, mul(v, G, op1(v, OP_gelu_slope, X))); }
void vjp_gelu_tanh(Vjp *v) { GRAD(0, mul(v, G, op1(v, OP_gelu_tanh_slope, X))); }
void vjp_cast(Vjp *v)      { GRAD(0, G); }

/* 0 at 0, as for relu. */
void vjp_abs(Vjp *v)
{
    ValueId rising = keep(v, versus(v, OP_gt, X, 0), G);
    ValueId falling = keep(v, versus(v, OP_lt, X, 0), G);
    GRAD(0, sub(v, rising, falling));
}

void vjp_erf(Vjp *v)
{
    ValueId bell = op1(v, OP_exp, negate(v, square(v, X)));
    GRAD(0, mul(v, G, scale(v, bell, M_2_SQRTPI)));
}

/* The same elements are dropped: the mask is a function of seed, site and element alone. */
void vjp_dropout(Vjp *v)
{
    if (v->node->n_inputs == 1) {
        GRAD(0, G);
        return;
    }
    ValueId in[] = { G, v->in[1] };
    NodeSpec spec = node_spec(OP_dropout, in, 2, v->b.span, v->b.path);
    spec.attr[ATTR_INDEX(dropout, p)] = NODE_ATTR(v->node, dropout, p);
    spec.attr[ATTR_INDEX(dropout, site)] = NODE_ATTR(v->node, dropout, site);
    GRAD(0, graph_add(v->b.g, &spec, NULL));
}

/* ---- of two and three ------------------------------------------------------------------------ */

void vjp_add(Vjp *v)
{
    GRAD(0, G);
    GRAD(1, G);
}

void vjp_sub(Vjp *v)
{
    GRAD(0, G);
    GRAD(1, negate(v, G));
}

void vjp_mul(Vjp *v)
{
    GRAD(0, mul(v, G, Y));
    GRAD(1, mul(v, G, X));
}

void vjp_div(Vjp *v)
{
    ValueId quotient = divide(v, G, Y);
    GRAD(0, quotient);
    GRAD(1, negate(v, mul(v, quotient, OUT)));
}

static bool is_constant(const Vjp *v, ValueId x, double *value)
{
    const Node *def = value_def(v->b.g, x);
    while (def->op == OP_broadcast || def->op == OP_reshape)
        def = value_def(v->b.g, node_input(v->b.g, def, 0));
    if (def->op != OP_constant)
        return false;
    *value = NODE_ATTR(def, constant, value).f;
    return true;
}

/* y x^(y-1), and 0 where y is 0: there the formula has 0 * inf for x = 0. */
static ValueId pow_base_slope(Vjp *v)
{
    double power;
    if (!is_constant(v, Y, &power)) {
        ValueId slope = mul(v, Y, op2(v, OP_pow, X, plus(v, Y, -1)));
        return clear(v, versus(v, OP_eq, Y, 0), slope);
    }
    if (power == 1)
        return number(v, 1);
    if (power == 2)
        return scale(v, X, 2);
    return power == 0 ? number(v, 0) : scale(v, versus(v, OP_pow, X, power - 1), power);
}

/* x^y log x, and 0 for 0^y with y >= 0, where the formula has 0 * -inf. */
static ValueId pow_exponent_slope(Vjp *v)
{
    ValueId slope = mul(v, OUT, op1(v, OP_log, X));
    ValueId at_zero = clear(v, versus(v, OP_ge, Y, 0), slope);
    return choose(v, versus(v, OP_eq, X, 0), at_zero, slope);
}

void vjp_pow(Vjp *v)
{
    GRAD(0, mul(v, G, pow_base_slope(v)));
    GRAD(1, mul(v, G, pow_exponent_slope(v)));
}

/* All to the winner, half to each where both are equal. */
static ValueId won(Vjp *v, OpId beats, ValueId a, ValueId b)
{
    ValueId half = scale(v, G, 0.5);
    ValueId tie = keep(v, op2(v, OP_eq, a, b), half);
    return choose(v, op2(v, beats, a, b), G, tie);
}

void vjp_maximum(Vjp *v)
{
    GRAD(0, won(v, OP_gt, X, Y));
    GRAD(1, won(v, OP_gt, Y, X));
}

void vjp_minimum(Vjp *v)
{
    GRAD(0, won(v, OP_lt, X, Y));
    GRAD(1, won(v, OP_lt, Y, X));
}

void vjp_where(Vjp *v)
{
    GRAD(1, keep(v, X, G));
    GRAD(2, clear(v, X, G));
}

/* ---- reductions ------------------------------------------------------------------------------ */

void vjp_sum(Vjp *v)
{
    GRAD(0, G);
}

void vjp_mean(Vjp *v)
{
    const Shape shape = shape_of(v, X);
    GRAD(0, spell_divide(&v->b, G, spell_reduced(&shape, NODE_ATTR(v->node, mean, axes).i)));
}

/* Shared evenly among equals. */
static void vjp_extreme(Vjp *v)
{
    ValueId one = number(v, 1);
    ValueId hit = keep(v, op2(v, OP_eq, X, OUT), one);
    ValueId hits = build_sum(&v->b, hit, v->node->attr[0].i);
    GRAD(0, mul(v, hit, divide(v, G, hits)));
}

_Static_assert(ATTR_INDEX(max, axes) == 0 && ATTR_INDEX(min, axes) == 0, "max and min agree");
void vjp_max(Vjp *v) { vjp_extreme(v); }
void vjp_min(Vjp *v) { vjp_extreme(v); }

void vjp_logsumexp(Vjp *v)
{
    GRAD(0, mul(v, G, op1(v, OP_exp, sub(v, X, OUT))));
}

void vjp_softmax(Vjp *v)
{
    ValueId weighted = mul(v, G, OUT);
    ValueId mean = build_sum(&v->b, weighted, (int64_t)1 << NODE_ATTR(v->node, softmax, axis).i);
    GRAD(0, mul(v, OUT, sub(v, G, mean)));
}
