/* The choice of a table: names, what is supported, what is refused, and what the processor tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/kernels/select.h"

#include <string.h>

static void test_every_table_is_complete(void **state)
{
    (void)state;
    for (int i = 0; i < N_ISAS; i++) {
        const KernelTable *t = kernels_table((Isa)i);
        assert_int_equal(t->isa, i);
        for (int k = 0; k < N_KERNELS; k++) {
            assert_non_null(t->run[k]);
            if (i > 0 && !kernels_own((Isa)i, (KernelId)k))
                assert_true(t->run[k] == kernels_table((Isa)(i - 1))->run[k]);
        }
        for (int op = 0; op < N_ROW_OPS; op++)
            if (row_op_kind((RowOp)op) != ROW_RANDOM && op != ROW_gather && op != ROW_round_bf16
                && op != ROW_column_sums)
                assert_non_null(t->row[op].map1);
    }
}

static void test_strongest_by_default(void **state)
{
    (void)state;
    Error err = { "" };
    const KernelTable *best = kernels_select(NULL, &err);
    assert_non_null(best);
    assert_true(isa_supported(best->isa));
    for (int i = (int)best->isa + 1; i < N_ISAS; i++)
        assert_false(isa_supported((Isa)i));
}

static void test_narrowed_by_name(void **state)
{
    (void)state;
    assert_true(isa_supported(ISA_scalar));
    for (int i = 0; i < N_ISAS; i++) {
        Error err = { "" };
        const KernelTable *t = kernels_select(isa_name((Isa)i), &err);
        if (isa_supported((Isa)i)) {
            assert_non_null(t);
            assert_int_equal(t->isa, i);
        } else {
            assert_null(t);
            assert_non_null(strstr(err.text, isa_name((Isa)i)));
        }
    }
}

static void test_unknown_name_lists_the_known(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", "sse9", "AVX2", "avx2 ", "scalars" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Error err = { "" };
        assert_null(kernels_select(wrong[i], &err));
        assert_non_null(strstr(err.text, "scalar"));
        assert_null(kernels_select(wrong[i], NULL));
    }
}

static void test_names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < N_KERNELS; i++) {
        KernelId id = N_KERNELS;
        assert_true(kernel_from_name(kernel_name((KernelId)i), &id));
        assert_int_equal(id, i);
    }
    for (int i = 0; i < N_ROW_OPS; i++) {
        RowOp op = N_ROW_OPS;
        assert_true(row_op_from_name(row_op_name((RowOp)i), &op));
        assert_int_equal(op, i);
    }
    KernelId id = KERNEL_gemm;
    RowOp op = ROW_exp;
    assert_false(kernel_from_name("gem", &id));
    assert_false(row_op_from_name("", &op));
    assert_int_equal(id, KERNEL_gemm);
    assert_int_equal(op, ROW_exp);
}

static void test_processor(void **state)
{
    (void)state;
    CacheSizes c = cpu_caches();
    assert_true(c.l1 >= 4096 && c.l1 <= c.l2 && c.l2 <= ((size_t)1 << 32));
    char model[64], tiny[4];
    cpu_model(model, sizeof model);
    assert_true(strlen(model) < sizeof model);
    memset(tiny, 'x', sizeof tiny);
    cpu_model(tiny, sizeof tiny);
    assert_true(memchr(tiny, '\0', sizeof tiny) != NULL);
    assert_memory_equal(tiny, model, strlen(tiny));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_table_is_complete),
        cmocka_unit_test(test_strongest_by_default),
        cmocka_unit_test(test_narrowed_by_name),
        cmocka_unit_test(test_unknown_name_lists_the_known),
        cmocka_unit_test(test_names_go_both_ways),
        cmocka_unit_test(test_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
