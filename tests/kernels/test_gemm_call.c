/* What a product is cut into, what scratch it needs, and which calls are none. */
#include "tests/kernels/gemm_product.h"

/* [B, T, C] [C, N] is one product of B T rows, so that its tasks are those of the flat one. */
static void test_leading_axes_fold(void **state)
{
    (void)state;
    static const int64_t dim[] = { 3, 4 };
    Product p = { .operand = { batched(matrix(7, 50, ROWS, 0), 2, dim, 3, 0),
                               batched(matrix(7, 20, ROWS, 0), 2, dim, 3, 0),
                               batched(matrix(20, 50, ROWS, 0), 2, dim, 0, 0) } };
    Product flat = { .operand = { matrix(84, 50, ROWS, 0), matrix(84, 20, ROWS, 0),
                                  matrix(20, 50, ROWS, 0) } };
    p.call.f[0] = flat.call.f[0] = 1;
    product_fill(&p);
    product_fill(&flat);
    kernel_prepare(&p.call);
    kernel_prepare(&flat.call);
    assert_int_equal(p.call.n_tasks, flat.call.n_tasks);
    assert_memory_equal(p.call.derived, flat.call.derived, sizeof flat.call.derived);
    product_verify(&p);
    product_free(&p);
    product_free(&flat);
}

/* Scratch grows with the sizes, and no further than 2 MiB. */
static void test_scratch(void **state)
{
    (void)state;
    size_t most = 0;
    for (int axis = 0; axis < 3; axis++) {
        size_t last = 0;
        for (int64_t size = 0; size < 5000; size = size * 5 / 4 + 1) {
            int64_t m = axis == 0 ? size : 9, n = axis == 1 ? size : 2000;
            int64_t k = axis == 2 ? size : 2000;
            Operand operand[3] = { matrix(m, n, ROWS, 0), matrix(m, k, ROWS, 0),
                                   matrix(k, n, ROWS, 0) };
            Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = operand,
                          .i = { [4] = axis == 2 } };
            kernel_prepare(&call);
            size_t bytes = kernel_scratch(&call);
            assert_true(bytes >= last);
            last = bytes;
        }
        most = last > most ? last : most;
    }
    assert_true(most <= 2 << 20);
}

/* Enough tasks for 16 threads wherever there is work for them. */
static void test_tasks(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 512, 512, 512 }, { 1024, 1024, 1024 }, { 256, 2304, 768 }, { 256, 768, 3072 },
        { 256, 50257, 768 }, { 768, 3072, 256 }, { 768, 384, 128 }, { 768, 128, 128 },
        { 1, 3072, 768 },
    };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        Operand operand[3] = { matrix(m, n, ROWS, 0), matrix(m, k, ROWS, 0),
                               matrix(k, n, ROWS, 0) };
        Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = operand };
        kernel_prepare(&call);
        assert_true(call.n_tasks >= 48);
        assert_true(kernel_cost(&call).flops == 2.0 * (double)(m * n * k));
        assert_true(kernel_cost(&call).bytes == 4.0 * (double)(m * n + m * k + k * n));
    }
}

static void test_refusals(void **state)
{
    (void)state;
    const Operand c = matrix(4, 6, ROWS, 0), a = matrix(4, 5, ROWS, 0), b = matrix(5, 6, ROWS, 0);
    for (int i = 0; i < 12; i++) {
        Operand operand[3] = { c, a, b };
        Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = operand, .f = { 1 } };
        Error err = { "" };
        assert_true(kernel_check(&call, &err));
        switch (i) {
        case 0: operand[1].dim[1] = 4; break;
        case 1: operand[2].dim[1] = 5; break;
        case 2: operand[0].dim[0] = 3; break;
        case 3: operand[0].stride[1] = 2; break;
        case 4: operand[0].stride[0] = 5; break;
        case 5: operand[0].stride[0] = 0; break;
        case 6: operand[2].dtype = DTYPE_i32; break;
        case 7: operand[1].rank = 1; break;
        case 8: call.i[0] = 2; break;
        case 9: operand[1].stride[0] = -1; break;
        case 10: call.i[4] = 2; break;
        case 11: operand[0].dtype = DTYPE_bf16; break;
        }
        assert_false(kernel_check(&call, &err));
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leading_axes_fold),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
