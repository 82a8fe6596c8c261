/* Two-byte numbers, all of them, and rounding at every kind of tie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/half.h"

/* By the definition of the formats: (-1)^s * 1.f * 2^(e - bias). */
static double value_of(uint32_t h, int exponent_bits, int fraction_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    const int e = (int)(h >> fraction_bits) & top;
    const double f = (double)(h & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
    const double sign = h >> 15 ? -1 : 1;
    if (e == top)
        return f != 0 ? NAN : sign * INFINITY;
    return sign * (e ? ldexp(1 + f, e - bias) : ldexp(f, 1 - bias));
}

static void widening_is_exact(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const double b = value_of(h, 8, 7), f = value_of(h, 5, 10);
        const double wide_b = f32_of_bf16((uint16_t)h), wide_f = f32_of_f16((uint16_t)h);
        assert_true(isnan(b) ? isnan(wide_b) : b == wide_b && !signbit(b) == !signbit(wide_b));
        assert_true(isnan(f) ? isnan(wide_f) : f == wide_f && !signbit(f) == !signbit(wide_f));
        if (!isnan(b))
            assert_int_equal(bf16_of_f32((float)b), h);
        else
            assert_true(isnan(f32_of_bf16(bf16_of_f32((float)wide_b))));
        if (!isnan(f))
            assert_int_equal(f16_of_f32((float)f), h);
        else
            assert_true(isnan(f32_of_f16(f16_of_f32((float)wide_f))));
    }
}

/* Between two neighbours: nearest, and the even one at the middle. */
static void check_between(uint16_t (*narrow)(float), double low, double high, uint16_t even,
                          uint16_t first)
{
    const float middle = (float)((low + high) / 2);
    assert_int_equal(narrow(middle), even);
    assert_int_equal(narrow(nextafterf(middle, -INFINITY)), first);
    assert_int_equal(narrow(nextafterf(middle, INFINITY)), first + 1);
}

static uint16_t narrow_bf16(float x)
{
    return bf16_of_f32(x);
}

static uint16_t narrow_f16(float x)
{
    return f16_of_f32(x);
}

static void narrowing_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7f7f; h++) {             /* up to the largest finite */
        const uint16_t even = (uint16_t)(h + (h & 1));
        check_between(narrow_bf16, value_of(h, 8, 7), value_of((uint32_t)h + 1, 8, 7), even, h);
        if (h < 0x7bff)
            check_between(narrow_f16, value_of(h, 5, 10), value_of((uint32_t)h + 1, 5, 10), even,
                          h);
    }
}

static void the_ends(void **state)
{
    (void)state;
    assert_int_equal(f16_of_f32(65519.996f), 0x7bff);
    assert_int_equal(f16_of_f32(65520), 0x7c00);
    assert_int_equal(f16_of_f32(-INFINITY), 0xfc00);
    assert_int_equal(f16_of_f32(-0.0f), 0x8000);
    assert_int_equal(f16_of_f32(-0x1p-25f), 0x8000);
    assert_int_equal(bf16_of_f32(3.4e38f), 0x7f80);
    assert_int_equal(bf16_of_f32(-INFINITY), 0xff80);
    assert_true(isnan(f32_of_bf16(bf16_of_f32(f32_of_bits(0x7f800001)))));
    assert_true(isnan(f32_of_f16(f16_of_f32(f32_of_bits(0xff800001)))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widening_is_exact),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
