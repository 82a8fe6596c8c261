/* Block types against ggml's own results (tests/reference/make_blocks.py), and what no file holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/blocks.h"
#include "base/check.h"
#include "base/half.h"
#include "runtime/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROW = 256, MAX_BYTES = 2 * ROW };

static const DType small[] = { DTYPE_q8_0, DTYPE_q4_0, DTYPE_q4_1, DTYPE_q5_0, DTYPE_q5_1 };
static const DType large[] = { DTYPE_q4_k, DTYPE_q5_k, DTYPE_q6_k };

static SafeTensors reference;

static const SafeTensor *found(DType t, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%s%s", t == N_DTYPES ? "" : dtype_name(t), what);
    const SafeTensor *tensor = safetensors_find(&reference, name);
    if (!tensor)
        fail_msg("no %s in the reference", name);
    return tensor;
}

static void row_of_x(int64_t r, float x[ROW])
{
    memcpy(x, found(N_DTYPES, "x")->data + (size_t)r * ROW * sizeof *x, ROW * sizeof *x);
}

static void small_types_are_ggmls_bytes(void **state)
{
    (void)state;
    int64_t rows = found(N_DTYPES, "x")->dim[0];
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        size_t bytes = ROW / 32 * dtype_block_bytes(small[i]);
        for (int64_t r = 0; r < rows; r++) {
            float x[ROW];
            uint8_t got[MAX_BYTES];
            Error err;
            row_of_x(r, x);
            assert_true(blocks_encode(small[i], ROW, x, got, &err));
            assert_memory_equal(got, found(small[i], ".encoded")->data + (size_t)r * bytes, bytes);
        }
    }
}

static void decoding_gives_ggmls_bits(DType t)
{
    const SafeTensor *blocks = found(t, ".blocks"), *decoded = found(t, ".decoded");
    float got[8 * ROW];
    assert_in_range(decoded->count, 8 * 32, 8 * ROW);
    blocks_decode(t, (size_t)decoded->count, blocks->data, got);
    assert_memory_equal(got, decoded->data, decoded->bytes);
}

static void all_types_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(small); i++)
        decoding_gives_ggmls_bits(small[i]);
    for (size_t i = 0; i < COUNT_OF(large); i++)
        decoding_gives_ggmls_bits(large[i]);
}

static double squared_error(DType t, const float x[ROW])
{
    float back[ROW];
    uint8_t bytes[MAX_BYTES];
    Error err;
    double sum = 0;
    assert_true(blocks_encode(t, ROW, x, bytes, &err));
    blocks_decode(t, ROW, bytes, back);
    for (int k = 0; k < ROW; k++)
        sum += pow((double)back[k] - (double)x[k], 2);
    return sum;
}

/* A search may miss on one block what another finds, but not by much, and not on the whole. */
static void the_search_is_no_worse_than_ggmls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        const SafeTensor *errors = found(large[i], ".error");
        double sum = 0;
        int n = 0;
        for (int64_t r = 0; r < errors->count; r++) {
            float x[ROW], theirs;
            row_of_x(r, x);
            memcpy(&theirs, errors->data + (size_t)r * sizeof theirs, sizeof theirs);
            double ratio = squared_error(large[i], x) / (double)theirs;
            if (theirs == 0)
                continue;
            if (ratio > 1.1)
                fail_msg("%s, row %lld: %g of ggml's squared error", dtype_name(large[i]), (long long)r, ratio);
            sum += ratio;
            n++;
        }
        assert_true(n >= 12 && sum < n);
    }
}

/* Rows of one value, of a single outlier, and so small or so large that squares leave float's range. */
static void odd_rows_come_back(void **state)
{
    (void)state;
    static const float values[] = { 0, 1, -1, 6e4f, -6e4f, 1e-6f, 1e-30f, -1e-42f };
    for (size_t i = 0; i < COUNT_OF(large); i++)
        for (size_t v = 0; v < COUNT_OF(values); v++)
            for (int alone = 0; alone < 2; alone++) {
                float x[ROW] = { 0 }, back[ROW];
                uint8_t bytes[MAX_BYTES];
                Error err;
                for (int k = 0; k < ROW; k++)
                    x[k] = alone && k != 77 ? 0 : values[v];
                assert_true(blocks_encode(large[i], ROW, x, bytes, &err));
                blocks_decode(large[i], ROW, bytes, back);
                /* A part in 63 of the largest, and what f16 scales round away. */
                for (int k = 0; k < ROW; k++)
                    if (!(fabsf(back[k] - x[k]) <= fabsf(values[v]) / 63 + 1e-6f))
                        fail_msg("%s: %g came back as %g", dtype_name(large[i]), (double)x[k],
                                 (double)back[k]);
            }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f };
    for (DType t = 0; t < N_DTYPES; t++) {
        if (t == DTYPE_i32 || t == DTYPE_bool)
            continue;
        for (size_t v = 0; v < COUNT_OF(bad); v++) {
            float x[ROW] = { 1, 2, 3 };
            uint8_t bytes[ROW * sizeof(float)];
            Error err = { "" };
            x[200] = bad[v];
            bool fits = isfinite(bad[v]) && (t == DTYPE_f32 || t == DTYPE_bf16);
            assert_int_equal(blocks_encode(t, ROW, x, bytes, &err), fits);
            assert_true(fits || strstr(err.text, "element") != NULL);
        }
    }
}

int main(void)
{
    Error err;
    if (!safetensors_open(SOURCE_DIR "/tests/reference/blocks.safetensors", &reference, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_types_are_ggmls_bytes),
        cmocka_unit_test(all_types_decode),
        cmocka_unit_test(the_search_is_no_worse_than_ggmls),
        cmocka_unit_test(odd_rows_come_back),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
