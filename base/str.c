/* Edit distance and the reading of numbers from the command line and the source. */
#include "base/str.h"

#include "base/check.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_WORD = 127 };    /* names longer than this are not misspelt, they are different */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t str_distance(const char *a, const char *b, size_t limit)
{
    limit = min_size(limit, LONGEST_WORD);
    if (strcmp(a, b) == 0)
        return 0;
    size_t na = strnlen(a, LONGEST_WORD + 1), nb = strnlen(b, LONGEST_WORD + 1);
    if (na > LONGEST_WORD || nb > LONGEST_WORD || na > nb + limit || nb > na + limit)
        return limit + 1;

    /* Three rows of the usual table: a swap looks two rows back. */
    size_t rows[3][LONGEST_WORD + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++)
        above[j] = j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t d = above[j - 1] + (a[i - 1] != b[j - 1]);
            d = min_size(d, min_size(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = min_size(d, before[j - 2] + 1);
            row[j] = d;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return min_size(above[nb], limit + 1);
}

Nearest nearest_of(const char *wanted)
{
    size_t n = strnlen(wanted, LONGEST_WORD);
    return (Nearest){ .wanted = wanted, .distance = (n < 3 ? 1 : n / 3) + 1 };
}

void nearest_try(Nearest *n, const char *candidate)
{
    if (n->distance == 0)
        return;
    size_t d = str_distance(n->wanted, candidate, n->distance - 1);
    if (d >= n->distance || d >= strlen(n->wanted))
        return;
    n->distance = d;
    n->found = candidate;
}

void str_bytes(char *out, size_t cap, uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    if (bytes < 1024) {
        snprintf(out, cap, "%" PRIu64 " B", bytes);
        return;
    }
    double v = (double)bytes / 1024;
    size_t unit = 0;
    while (v >= 1023.95) {      /* which would print as 1024.0 */
        v /= 1024;
        unit++;
    }
    snprintf(out, cap, "%.1f %ciB", v, units[unit]);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits at *s, which moves behind them. */
static bool take_u64(const char **s, uint64_t *out)
{
    if (!is_digit(**s))
        return false;
    uint64_t v = 0;
    for (; is_digit(**s); ++*s)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
            return false;
    *out = v;
    return true;
}

bool str_to_i64(const char *s, int64_t lo, int64_t hi, int64_t *out)
{
    bool negative = *s == '-';
    s += negative;
    uint64_t magnitude;
    if (!take_u64(&s, &magnitude) || *s)
        return false;
    int64_t v;
    if (negative ? __builtin_sub_overflow(0, magnitude, &v)
                 : __builtin_add_overflow(0, magnitude, &v))
        return false;
    if (v < lo || v > hi)
        return false;
    *out = v;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit on one side of the point: what strtod takes,
 * less hexadecimal, "inf", "nan" and leading blanks. */
static bool is_decimal(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, "0123456789");
    s += whole;
    size_t fraction = 0;
    if (*s == '.')
        s += 1 + (fraction = strspn(s + 1, "0123456789"));
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t exponent = strspn(s, "0123456789");
        if (exponent == 0)
            return false;
        s += exponent;
    }
    return *s == 0;
}

bool str_to_double(const char *s, double *out)
{
    if (!is_decimal(s))
        return false;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return false;
    double v = strtod_l(s, NULL, c);
    freelocale(c);
    if (!isfinite(v))
        return false;
    *out = v;
    return true;
}

/* ".5" as parts of `unit`, rounded down; digits beyond the ninth are not looked at. */
static uint64_t take_fraction(const char **s, uint64_t unit)
{
    uint64_t part = 0, scale = 1;
    for (; **s >= '0' && **s <= '9'; (*s)++) {
        if (scale == UINT64_C(1000000000))
            continue;
        part = 10 * part + (uint64_t)(**s - '0');
        scale *= 10;
    }
    return part * unit / scale;
}

bool str_to_bytes(const char *s, uint64_t *out)
{
    uint64_t v, part = 0;
    if (!take_u64(&s, &v))
        return false;
    const char *fraction = *s == '.' ? s + 1 : NULL;
    if (fraction)
        s = fraction + strspn(fraction, "0123456789");
    uint64_t unit = 1;
    switch (*s) {
    case 'K': case 'k': unit = UINT64_C(1) << 10; break;
    case 'M': case 'm': unit = UINT64_C(1) << 20; break;
    case 'G': case 'g': unit = UINT64_C(1) << 30; break;
    }
    if (fraction && (unit == 1 || s == fraction))
        return false;
    if (fraction)
        part = take_fraction(&fraction, unit);
    s += unit > 1;
    if (*s || __builtin_mul_overflow(v, unit, &v) || __builtin_add_overflow(v, part, &v))
        return false;
    *out = v;
    return true;
}
