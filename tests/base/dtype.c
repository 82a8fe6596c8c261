/* Element types by size and by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/dtype.h"

static void sizes_and_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *safetensors;
        int elements, bytes, ggml;
    } types[] = {
        { "f32", "F32", 1, 4, 0 }, { "i32", "I32", 1, 4, 26 }, { "bool", "BOOL", 1, 4, -1 },
        { "bf16", "BF16", 1, 2, 30 }, { "f16", "F16", 1, 2, 1 }, { "q8_0", NULL, 32, 34, 8 },
        { "q4_0", NULL, 32, 18, 2 }, { "q4_1", NULL, 32, 20, 3 }, { "q5_0", NULL, 32, 22, 6 },
        { "q5_1", NULL, 32, 24, 7 }, { "q4_k", NULL, 256, 144, 12 },
        { "q5_k", NULL, 256, 176, 13 }, { "q6_k", NULL, 256, 210, 14 },
    };
    assert_int_equal(N_DTYPES, COUNT_OF(types));
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        const DType t = (DType)i;
        assert_string_equal(dtype_name(t), types[i].name);
        assert_int_equal(dtype_block(t), types[i].elements);
        assert_int_equal(dtype_block_bytes(t), types[i].bytes);
        assert_int_equal(dtype_ggml(t), types[i].ggml);
        assert_true(!types[i].safetensors == !dtype_safetensors(t));
        if (types[i].safetensors)
            assert_string_equal(dtype_safetensors(t), types[i].safetensors);
        assert_int_equal(dtype_is_lane(t), i < 3);
        if (types[i].elements == 1)
            assert_int_equal(dtype_size(t), types[i].bytes);
    }
}

static void numbers_of_gguf_lead_back(void **state)
{
    (void)state;
    DType t = DTYPE_i32;
    for (int i = 0; i < N_DTYPES; i++)
        if (dtype_ggml((DType)i) >= 0) {
            assert_true(dtype_from_ggml(dtype_ggml((DType)i), &t));
            assert_int_equal(t, i);
        }
    assert_false(dtype_from_ggml(-1, &t));
    assert_false(dtype_from_ggml(9, &t));               /* q8_1 */
}

static void rows_are_whole_blocks(void **state)
{
    (void)state;
    int64_t n = -7;
    assert_true(dtype_bytes(DTYPE_f32, 3, 5, &n) && n == 60);
    assert_true(dtype_bytes(DTYPE_bf16, 3, 5, &n) && n == 30);
    assert_true(dtype_bytes(DTYPE_q8_0, 3, 64, &n) && n == 3 * 68);
    assert_true(dtype_bytes(DTYPE_q6_k, 2, 512, &n) && n == 4 * 210);
    assert_true(dtype_bytes(DTYPE_q6_k, 0, 512, &n) && n == 0);
    assert_true(dtype_offset(DTYPE_q4_0, 96, &n) && n == 54);
    n = -7;
    assert_false(dtype_bytes(DTYPE_q8_0, 32, 31, &n));
    assert_false(dtype_bytes(DTYPE_q4_k, 1, 32, &n));
    assert_false(dtype_bytes(DTYPE_f32, -1, 1, &n));
    assert_false(dtype_bytes(DTYPE_f32, 1, -1, &n));
    assert_false(dtype_bytes(DTYPE_f32, 1, INT64_MAX / 2, &n));
    assert_false(dtype_bytes(DTYPE_bf16, INT64_MAX / 4, 4, &n));
    assert_false(dtype_bytes(DTYPE_q8_0, 1, INT64_MAX / 32 * 32, &n));
    assert_int_equal(n, -7);
}

static void names_lead_back(void **state)
{
    (void)state;
    for (int i = 0; i < N_DTYPES; i++) {
        DType t = N_DTYPES;
        assert_true(dtype_from_name(dtype_name((DType)i), &t));
        assert_int_equal(t, i);
    }
    DType t = DTYPE_i32;
    assert_false(dtype_from_name("f3", &t));
    assert_false(dtype_from_name("f322", &t));
    assert_false(dtype_from_name("F32", &t));
    assert_false(dtype_from_name("", &t));
    assert_int_equal(t, DTYPE_i32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_names),
        cmocka_unit_test(numbers_of_gguf_lead_back),
        cmocka_unit_test(rows_are_whole_blocks),
        cmocka_unit_test(names_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
