/* Sizes and shapes: exact arithmetic on monomials, and how they are written. */
#include "ir/type.h"

#include "base/check.h"
#include "ir/graph.h"

#include <string.h>

#define LARGEST ((int64_t)1 << 62)      /* coefficients and sizes stay below */

Dim dim_const(int64_t n)
{
    return (Dim){ .coef = n };
}

Dim dim_symbol(int symbol)
{
    CHECK(symbol >= 0 && symbol < MAX_SYMBOLS, "symbol %d", symbol);
    Dim d = { .coef = 1 };
    d.power[symbol] = 1;
    return d;
}

bool dim_equal(Dim a, Dim b)
{
    return a.coef == b.coef && memcmp(a.power, b.power, sizeof a.power) == 0;
}

bool dim_is_const(Dim d)
{
    static const uint8_t none[MAX_SYMBOLS];
    return memcmp(d.power, none, sizeof none) == 0;
}

bool dim_is(Dim d, int64_t n)
{
    return d.coef == n && dim_is_const(d);
}

bool dim_has(Dim d, int symbol)
{
    return symbol >= 0 && symbol < MAX_SYMBOLS && d.power[symbol] > 0;
}

static bool mul_below_largest(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (!i64_mul(a, b, &r) || r >= LARGEST || r <= -LARGEST)
        return false;
    *out = r;
    return true;
}

/* All exponents as one word: most are zero, and those that are not are small. */
static uint64_t packed_powers(const Dim *d)
{
    uint64_t powers;
    _Static_assert(sizeof powers == sizeof d->power, "a byte for each symbol");
    memcpy(&powers, d->power, sizeof powers);
    return powers;
}

bool dim_mul(Dim a, Dim b, Dim *out)
{
    const uint64_t x = packed_powers(&a), y = packed_powers(&b), sum = x + y;
    Dim r = { .origin = a.coef == 1 && x == 0 ? b.origin : b.coef == 1 && y == 0 ? a.origin : 0 };
    if (!mul_below_largest(a.coef, b.coef, &r.coef))
        return false;
    if (r.coef != 0 && !((x | y) & 0x8080808080808080)) {
        memcpy(r.power, &sum, sizeof r.power);          /* no byte carries into the next */
    } else if (r.coef != 0) {
        for (int s = 0; s < MAX_SYMBOLS; s++)
            if (__builtin_add_overflow(a.power[s], b.power[s], &r.power[s]))
                return false;
    }
    *out = r;
    return true;
}

bool dim_div(Dim a, Dim b, Dim *out)
{
    if (b.coef <= 0 || a.coef % b.coef != 0)
        return false;
    Dim r = { .coef = a.coef / b.coef, .origin = dim_is(b, 1) ? a.origin : 0 };
    for (int s = 0; s < MAX_SYMBOLS && r.coef != 0; s++) {
        if (a.power[s] < b.power[s])
            return false;
        r.power[s] = (uint8_t)(a.power[s] - b.power[s]);
    }
    *out = r;
    return true;
}

bool dim_eval(Dim d, const int64_t sizes[MAX_SYMBOLS], int64_t *out)
{
    int64_t n = d.coef;
    if (n >= LARGEST || n <= -LARGEST)
        return false;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        for (unsigned k = 0; k < d.power[s]; k++)
            if (!mul_below_largest(n, sizes[s], &n))
                return false;
    *out = n;
    return true;
}

bool shape_equal(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (!dim_equal(a->dim[i], b->dim[i]))
            return false;
    return true;
}

bool type_has_blocks(const Type *t)
{
    const int64_t block = dtype_block(t->dtype);
    return block == 1 ||
           (t->shape.rank > 0 && t->shape.dim[t->shape.rank - 1].coef % block == 0);
}

bool type_equal(const Type *a, const Type *b)
{
    return a->dtype == b->dtype && shape_equal(&a->shape, &b->shape);
}

bool shape_count(const Shape *s, Dim *out)
{
    Dim n = dim_const(1);
    for (int i = 0; i < s->rank; i++)
        if (!dim_mul(n, s->dim[i], &n))
            return false;
    *out = n;
    return true;
}

bool shape_strides(const Shape *s, Dim out[MAX_RANK])
{
    Dim n = dim_const(1);
    for (int i = s->rank - 1; i >= 0; i--) {
        out[i] = n;
        out[i].origin = 0;
        if (!dim_mul(n, s->dim[i], &n))
            return false;
    }
    return true;
}

Type type_scalar(DType dtype)
{
    return (Type){ .dtype = dtype };
}

Type type_of(DType dtype, int rank, const Dim *dims)
{
    CHECK(rank >= 0 && rank <= MAX_RANK, "rank %d", rank);
    Type t = { .dtype = dtype, .shape.rank = (uint8_t)rank };
    for (int i = 0; i < rank; i++)
        t.shape.dim[i] = dims[i];
    return t;
}

/* Graphs are printed after every pass when asked, so the common short numbers skip printf. */
static void number_print(Buf *out, int64_t n)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        digits[--at] = '-';
    buf_add(out, digits + at, sizeof digits - at);
}

void dim_print(Buf *out, const struct Graph *g, Dim d)
{
    bool bare = dim_is_const(d);
    if (bare || d.coef != 1)
        number_print(out, d.coef);
    bool first = !bare && d.coef == 1;
    for (unsigned s = 0; s < MAX_SYMBOLS; s++) {
        if (d.power[s] == 0)
            continue;
        if (!first)
            buf_putc(out, '*');
        first = false;
        if (g && s < g->n_symbols)
            buf_puts(out, g->symbol[s].name);
        else
            buf_printf(out, "?%u", s);
        if (d.power[s] > 1)
            buf_printf(out, "^%u", (unsigned)d.power[s]);
    }
}

void shape_print(Buf *out, const struct Graph *g, const Shape *s)
{
    buf_putc(out, '[');
    for (int i = 0; i < s->rank && i < MAX_RANK; i++) {
        if (i)
            buf_puts(out, ", ");
        dim_print(out, g, s->dim[i]);
    }
    buf_putc(out, ']');
}

void type_print(Buf *out, const struct Graph *g, const Type *t)
{
    buf_puts(out, (size_t)t->dtype < N_DTYPES ? dtype_name(t->dtype) : "?");
    shape_print(out, g, &t->shape);
}
