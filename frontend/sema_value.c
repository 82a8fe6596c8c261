/* Numbers at compile time: arithmetic that is exact or refused. */
#include "frontend/sema.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

Val val_dim(Dim d)
{
    if (dim_is_const(d))
        return (Val){ .kind = VAL_int, .origin = d.origin, .u.i = d.coef };
    return (Val){ .kind = VAL_dim, .u.dim = d };
}

const char *val_kind_name(Val v)
{
    switch (v.kind) {
    case VAL_poison: return "a mistake";
    case VAL_int: return "a whole number";
    case VAL_float: return "a fraction";
    case VAL_bool: return "true or false";
    case VAL_string: return "a string";
    case VAL_dim: return "a size known only at run time";
    case VAL_tensor: return "a tensor";
    case VAL_list: return "a list";
    case VAL_tuple: return "several values";
    }
    return "a value";
}

/* ---- operators ------------------------------------------------------------------------------- */

static Val fraction(Sema *s, const Expr *e, double f)
{
    if (isfinite(f))
        return val_float(f);
    return sema_error(s, e->span, DIAG_E0403, "the result is not a finite number");
}

static Val whole(Sema *s, const Expr *e, bool fits, const int64_t *i)
{
    if (fits)
        return val_int(*i);
    return sema_error(s, e->span, DIAG_E0403, "the result does not fit 64 bits");
}

static Val divide_whole(Sema *s, const Expr *e, int64_t x, int64_t y)
{
    if (y == 0)
        return sema_error(s, e->span, DIAG_E0403, "division by zero");
    if (y == -1) {
        int64_t r = 0;
        return whole(s, e, !__builtin_sub_overflow(0, x, &r), &r);
    }
    if (x % y == 0)
        return val_int(x / y);
    Val poison = sema_error(s, e->span, DIAG_E0402, "%lld / %lld leaves a remainder",
                            (long long)x, (long long)y);
    sema_label(s, "a whole number divided by one stays one; write %lld.0 for a fraction",
               (long long)y);
    return poison;
}

/* What is left of x behind the multiples of y: from 0 up to y. */
static Val remainder_whole(Sema *s, const Expr *e, int64_t x, int64_t y)
{
    if (y <= 0)
        return sema_error(s, e->span, DIAG_E0403, "`%%` takes a number above 0 on its right, not %lld",
                          (long long)y);
    const int64_t r = x % y;
    return val_int(r < 0 ? r + y : r);
}

/* Exact powers of whole numbers by squaring. */
static bool power_whole(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t r = 1;
    while (exponent > 0) {
        if ((exponent & 1) && !i64_mul(r, base, &r))
            return false;
        exponent >>= 1;
        if (exponent && !i64_mul(base, base, &base))
            return false;
    }
    *out = r;
    return true;
}

static Val binary_whole(Sema *s, const Expr *e, int64_t x, int64_t y)
{
    int64_t r = 0;
    switch (e->u.binary.op) {
    case BINARY_add: return whole(s, e, i64_add(x, y, &r), &r);
    case BINARY_sub: return whole(s, e, !__builtin_sub_overflow(x, y, &r), &r);
    case BINARY_mul: return whole(s, e, i64_mul(x, y, &r), &r);
    case BINARY_div: return divide_whole(s, e, x, y);
    case BINARY_mod: return remainder_whole(s, e, x, y);
    case BINARY_pow:
        if (y < 0)
            return fraction(s, e, pow((double)x, (double)y));
        return whole(s, e, power_whole(x, y, &r), &r);
    case BINARY_lt: return val_bool(x < y);
    case BINARY_le: return val_bool(x <= y);
    case BINARY_gt: return val_bool(x > y);
    case BINARY_ge: return val_bool(x >= y);
    case BINARY_eq: return val_bool(x == y);
    case BINARY_ne: return val_bool(x != y);
    case BINARY_matmul:
    case BINARY_and:
    case BINARY_or:
    case N_BINARY_OPS: break;
    }
    return sema_error(s, e->span, DIAG_E0400, "`%s` does not work on numbers",
                      binary_text(e->u.binary.op));
}

static Val binary_float(Sema *s, const Expr *e, double x, double y)
{
    switch (e->u.binary.op) {
    case BINARY_add: return fraction(s, e, x + y);
    case BINARY_sub: return fraction(s, e, x - y);
    case BINARY_mul: return fraction(s, e, x * y);
    case BINARY_div:
        if (y == 0)
            return sema_error(s, e->span, DIAG_E0403, "division by zero");
        return fraction(s, e, x / y);
    case BINARY_pow: return fraction(s, e, pow(x, y));
    case BINARY_lt: return val_bool(x < y);
    case BINARY_le: return val_bool(x <= y);
    case BINARY_gt: return val_bool(x > y);
    case BINARY_ge: return val_bool(x >= y);
    case BINARY_eq: return val_bool(!(x < y) && !(x > y));
    case BINARY_ne: return val_bool(x < y || x > y);
    case BINARY_mod:
    case BINARY_matmul:
    case BINARY_and:
    case BINARY_or:
    case N_BINARY_OPS: break;
    }
    return sema_error(s, e->span, DIAG_E0400, "`%s` does not work on numbers",
                      binary_text(e->u.binary.op));
}

Val sema_number_binary(Sema *s, const Expr *e, Val x, Val y)
{
    if (x.kind == VAL_int && y.kind == VAL_int)
        return binary_whole(s, e, x.u.i, y.u.i);
    return binary_float(s, e, val_number(x), val_number(y));
}

/* ---- functions ------------------------------------------------------------------------------- */

/* name, number of arguments, value.  Those that are ops as well fold when all they get is numbers. */
#define NUMBER_FUNCTIONS(X)                                                              \
    X(sqrt, 1, sqrt(a)) X(rsqrt, 1, 1 / sqrt(a)) X(exp, 1, exp(a)) X(log, 1, log(a))     \
    X(sin, 1, sin(a)) X(cos, 1, cos(a)) X(tanh, 1, tanh(a)) X(abs, 1, fabs(a))           \
    X(pow, 2, pow(a, b)) X(min, 2, fmin(a, b)) X(max, 2, fmax(a, b))                     \
    X(minimum, 2, fmin(a, b)) X(maximum, 2, fmax(a, b))                                  \
    X(floor, 1, floor(a)) X(ceil, 1, ceil(a)) X(round, 1, round(a))

static const struct { const char *name; uint32_t n; } functions[] = {
#define X(name, n, value) { #name, n },
    NUMBER_FUNCTIONS(X)
#undef X
};

enum {
#define X(name, n, value) FUNCTION_##name,
    NUMBER_FUNCTIONS(X)
#undef X
    N_FUNCTIONS
};

int number_function(const char *name)
{
    for (int i = 0; i < N_FUNCTIONS; i++)
        if (strcmp(functions[i].name, name) == 0)
            return i;
    return -1;
}

const char *number_function_name(int i)
{
    return i < N_FUNCTIONS ? functions[i].name : NULL;
}

static double apply(int function, double a, double b)
{
    (void)b;
    switch (function) {
#define X(name, n, value) case FUNCTION_##name: return value;
    NUMBER_FUNCTIONS(X)
#undef X
    }
    CHECK(false, "function %d", function);
    return 0;
}

/* The functions whose results are whole: always, or when their arguments are. */
static bool gives_whole(int function, const Val *args, uint32_t n)
{
    if (function == FUNCTION_floor || function == FUNCTION_ceil || function == FUNCTION_round)
        return true;
    bool keeps = function == FUNCTION_min || function == FUNCTION_max ||
                 function == FUNCTION_minimum || function == FUNCTION_maximum ||
                 function == FUNCTION_abs;
    for (uint32_t i = 0; i < n; i++)
        keeps = keeps && args[i].kind == VAL_int;
    return keeps;
}

Val sema_call_number(Sema *s, Expr *e, int function, const Val *args, uint32_t n)
{
    if (e->reported)
        return (Val){ 0 };
    if (n != functions[function].n)
        return sema_error(s, e->span, n < functions[function].n ? DIAG_E0310 : DIAG_E0311,
                          "`%s` of numbers takes %u, not %u", functions[function].name,
                          functions[function].n, n);
    for (uint32_t i = 0; i < n; i++) {
        if (args[i].kind == VAL_poison)
            return (Val){ 0 };
        if (!val_is_number(args[i]))
            return sema_error(s, e->u.call.args.items[i].value->span, DIAG_E0400,
                              "`%s` takes numbers, not %s", functions[function].name,
                              val_kind_name(args[i]));
    }
    double r = apply(function, val_number(args[0]), n > 1 ? val_number(args[1]) : 0);
    if (!gives_whole(function, args, n))
        return fraction(s, e, r);
    if (!(fabs(r) < 9007199254740992.0))                /* 2^53: exact as a double */
        return sema_error(s, e->span, DIAG_E0403, "the result is too large for a whole number");
    return val_int((int64_t)r);
}
