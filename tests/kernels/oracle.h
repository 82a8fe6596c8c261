/* What the one-input instructions of row programs mean, in double, and how far a float result may
 * be from it.  Used by test_map.c on chosen arguments and by exhaustive.c on all of them.
 *
 * A bound is in units in the last place (ulp) of the value `scale`: of the result itself, except where
 * the function crosses zero as the difference of two terms; there it is the larger term.  Bounds are
 * counts of roundings: 0.5 for one correctly rounded operation; about 1 where a polynomial's tail
 * joins a large exact term; and half an ulp more for each further product or quotient. */
#ifndef TESTS_KERNELS_ORACLE_H
#define TESTS_KERNELS_ORACLE_H

#include "runtime/kernels/row.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef double OracleFn(double x, double *scale);

typedef struct Oracle {
    RowOp op;
    OracleFn *f;
    double ulps;
} Oracle;

static inline double o_copy(double x, double *s) { (void)s; return x; }
static inline double o_neg(double x, double *s) { (void)s; return -x; }
static inline double o_abs(double x, double *s) { (void)s; return fabs(x); }
static inline double o_exp(double x, double *s) { (void)s; return exp(x); }
static inline double o_expm1(double x, double *s) { (void)s; return expm1(x); }
static inline double o_log(double x, double *s) { (void)s; return log(x); }
static inline double o_sqrt(double x, double *s) { (void)s; return sqrt(x); }
static inline double o_rsqrt(double x, double *s) { (void)s; return 1 / sqrt(x); }
static inline double o_recip(double x, double *s) { (void)s; return 1 / x; }
static inline double o_tanh(double x, double *s) { (void)s; return tanh(x); }
static inline double o_sin(double x, double *s) { (void)s; return sin(x); }
static inline double o_cos(double x, double *s) { (void)s; return cos(x); }
static inline double o_erf(double x, double *s) { (void)s; return erf(x); }
static inline double o_relu(double x, double *s) { (void)s; return isnan(x) || x > 0 ? x : 0; }

static inline double o_sigmoid(double x, double *s)
{
    (void)s;
    return 1 / (1 + exp(-x));
}

/* x s, with the limit zero where x is minus infinity. */
static inline double times_share(double x, double share)
{
    return share == 0 ? 0 * copysign(1, x) : x * share;
}

static inline double o_silu(double x, double *s)
{
    return times_share(x, o_sigmoid(x, s));
}

static inline double normal_below(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static inline double o_gelu(double x, double *s)
{
    (void)s;
    return times_share(x, normal_below(x));
}

static inline double gelu_argument(double x)
{
    return 1.59576912160573071176 * (x + 0.044715 * x * x * x);
}

static inline double o_gelu_tanh(double x, double *s)
{
    return times_share(x, o_sigmoid(gelu_argument(x), s));
}

/* share + term, where the term, which has a limit of zero at both ends, may be of the other sign. */
static inline double slope_of(double share, double term, double *scale)
{
    if (isnan(term) && !isnan(share))
        term = 0;
    *scale = fmax(fabs(share), fabs(term));
    return share + term;
}

static inline double o_silu_slope(double x, double *s)
{
    double p = o_sigmoid(x, s);
    return slope_of(p, x * p * o_sigmoid(-x, s), s);
}

static inline double o_gelu_slope(double x, double *s)
{
    return slope_of(normal_below(x), x * 0.39894228040143267794 * exp(-x * x / 2), s);
}

static inline double o_gelu_tanh_slope(double x, double *s)
{
    double y = gelu_argument(x), p = o_sigmoid(y, s);
    double dy = 1.59576912160573071176 * (1 + 3 * 0.044715 * x * x);
    return slope_of(p, x * dy * p * o_sigmoid(-y, s), s);
}

static const Oracle oracles[] = {
    { ROW_copy, o_copy, 0 },
    { ROW_neg, o_neg, 0 },
    { ROW_abs, o_abs, 0 },
    { ROW_relu, o_relu, 0 },
    { ROW_sqrt, o_sqrt, 0.5 },
    { ROW_recip, o_recip, 0.5 },
    { ROW_rsqrt, o_rsqrt, 1.5 },
    { ROW_exp, o_exp, 1.5 },
    { ROW_expm1, o_expm1, 2 },
    { ROW_log, o_log, 1.5 },
    { ROW_tanh, o_tanh, 2 },
    { ROW_sin, o_sin, 2 },
    { ROW_cos, o_cos, 2 },
    { ROW_erf, o_erf, 2 },
    { ROW_sigmoid, o_sigmoid, 3 },
    { ROW_silu, o_silu, 3.5 },
    { ROW_gelu, o_gelu, 4.5 },
    { ROW_gelu_tanh, o_gelu_tanh, 3.5 },
    { ROW_silu_slope, o_silu_slope, 5 },
    { ROW_gelu_slope, o_gelu_slope, 5 },
    { ROW_gelu_tanh_slope, o_gelu_tanh_slope, 6 },
};

/* One over the unit in the last place, as a float has it, of a number of this size; no smaller than a
 * subnormal's.  On the bits: frexp and ldexp take longer than the functions that are tested. */
static inline double inverse_ulp(double size)
{
    const double held = size < 0x1p-126 ? 0x1p-126 : size > 0x1.fffffep127 ? 0x1.fffffep127 : size;
    uint64_t bits;
    double inverse;
    memcpy(&bits, &held, sizeof bits);
    bits = ((uint64_t)(2 * 1023 + 23) << 52) - (bits & 0xfffull << 52);
    memcpy(&inverse, &bits, sizeof inverse);
    return inverse;
}

/* Distance in ulps of `scale`.  Beyond the largest float the infinity stands for the float that would
 * come next. */
static inline double ulps_apart(float got, double want, double scale)
{
    const double top = 0x1p128;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    double g = isinf(got) ? copysign(top, (double)got) : (double)got;
    double w = fabs(want) > top ? copysign(top, want) : want;
    return fabs(g - w) * inverse_ulp(fabs(scale));
}

static inline double oracle_error(const Oracle *o, float x, float got)
{
    double scale = -1, want = o->f((double)x, &scale);
    return ulps_apart(got, want, scale < 0 ? fabs(want) : scale);
}

#endif
