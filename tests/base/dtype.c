/* Element types by size and by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/dtype.h"

static void sizes_and_names(void **state)
{
    (void)state;
    assert_int_equal(N_DTYPES, 3);
    assert_string_equal(dtype_name(DTYPE_f32), "f32");
    assert_string_equal(dtype_name(DTYPE_i32), "i32");
    assert_string_equal(dtype_name(DTYPE_bool), "bool");
    assert_int_equal(dtype_size(DTYPE_f32), 4);
    assert_int_equal(dtype_size(DTYPE_i32), 4);
    assert_int_equal(dtype_size(DTYPE_bool), 4);
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
        cmocka_unit_test(names_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
