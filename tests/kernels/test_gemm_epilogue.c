/* Bias, activation and residual inside of a product: the bits of the product with row instructions behind it. */
#include "tests/kernels/gemm_product.h"

#include <stdlib.h>
#include <string.h>

/* C as `table` makes it, and with the row instructions of the table behind it. */
static void finish_apart(const Product *p, const KernelTable *table, const float *bias, Operand r,
                         RowOp activation)
{
    Operand c = p->operand[0];
    const int64_t rows = c.dim[c.rank - 2];
    const size_t n = (size_t)c.dim[c.rank - 1];
    product_run(p, table, 1);
    for (int64_t row = 0; row < elements(&c) / c.dim[c.rank - 1]; row++) {
        const int64_t batch = row / rows;
        const int64_t at_c = (c.rank > 2 ? batch * c.stride[0] : 0) + row % rows * c.stride[c.rank - 2];
        const int64_t at_r = (c.rank > 2 ? batch * r.stride[0] : 0) + row % rows * r.stride[c.rank - 2];
        const Lane lane = { (float *)c.data + at_c, 0, 1 };
        const Lane add = { (float *)r.data + at_r, 0, 1 };
        if (bias)
            table->row[ROW_add].map2(1, n, lane, lane, (Lane){ (float *)(uintptr_t)bias, 0, 1 });
        table->row[activation].map1(1, n, lane, lane);
        if (r.data)
            table->row[ROW_add].map2(1, n, lane, lane, add);
    }
}

/* The same bits as a product with a row program behind it, in any pieces. */
static void verify_finished(Product *p, const Operand *residual, bool bias, RowOp activation)
{
    Operand all[5] = { p->operand[0], p->operand[1], p->operand[2] };
    Guarded b = guarded((size_t)all[0].dim[all[0].rank - 1] * sizeof(float)), r = { 0 };
    Product whole = *p;
    int32_t n = 3;
    Error err;
    for (size_t i = 0; i < b.bytes / sizeof(float); i++)
        b.p[i] = draw_float();
    if (bias)
        all[n++] = (Operand){ .rank = 1, .dtype = DTYPE_f32, .data = b.p, .stride = { 1 },
                              .dim = { all[0].dim[all[0].rank - 1] } };
    if (residual) {
        r = guarded((size_t)extent(residual) * sizeof(float));
        for (size_t i = 0; i < r.bytes / sizeof(float); i++)
            r.p[i] = draw_float();
        all[n] = *residual;
        all[n++].data = r.p;
    }
    whole.call.operand = all;
    whole.call.n_operands = n;
    whole.call.i[1] = bias;
    whole.call.i[2] = residual != NULL;
    whole.call.i[3] = activation;
    if (!kernel_check(&whole.call, &err))
        fail_msg("refused: %s", err.text);
    const size_t bytes = p->memory[0].bytes;
    float *before = malloc(bytes + 1), *want = malloc(bytes + 1);
    assert_true(before && want);
    memcpy(before, p->memory[0].p, bytes);
    for (Isa isa = 0; isa < N_ISAS; isa++) {
        const bool has = isa_brings((int)isa, KERNEL_gemm);
        for (int pieces = has ? 1 : 9; pieces < 8; pieces += 3) {
            memcpy(p->memory[0].p, before, bytes);
            finish_apart(p, kernels_table(isa), bias ? b.p : NULL,
                         residual ? all[n - 1] : (Operand){ 0 }, activation);
            memcpy(want, p->memory[0].p, bytes);
            memcpy(p->memory[0].p, before, bytes);
            product_run(&whole, kernels_table(isa), pieces);
            if (memcmp(p->memory[0].p, want, bytes) != 0)
                fail_msg("%s: not the bits of product and row program", isa_name(isa));
        }
    }
    free(before);
    free(want);
    release(&b);
    if (residual)
        release(&r);
}

static void test_epilogues(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 1, 40, 33 }, { 2, 33, 40 }, { 3, 5, 7 }, { 5, 37, 70 }, { 14, 32, 16 }, { 15, 33, 17 },
        { 29, 63, 31 }, { 70, 150, 20 }, { 33, 129, 600 }, { 4, 9, 0 }, { 1, 200, 9 },
    };
    static const RowOp acts[] = { ROW_copy, ROW_gelu_tanh, ROW_relu };
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 16; mode++) {
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            Product p = { .operand = { matrix(m, n, ROWS, mode & 1 ? 3 : 0), matrix(m, k, ROWS, 0),
                                       matrix(k, n, mode & 2 ? COLUMNS : ROWS, 0) } };
            const Operand residual = matrix(m, n, ROWS, 5);
            p.call.f[0] = 0.7;
            p.call.i[0] = mode % 5 == 4;
            p.call.i[4] = i % 2;
            product_fill(&p);
            verify_finished(&p, mode & 4 ? &residual : NULL, mode & 8, acts[(i + (size_t)mode) % 3]);
            product_free(&p);
        }
}

/* Leading axes that fold for C and not for the residual, and the other way round. */
static void test_epilogues_of_batches(void **state)
{
    (void)state;
    static const int64_t dim[] = { 4 };
    for (int mode = 0; mode < 4; mode++) {
        Product p = { .operand = { batched(matrix(6, 40, ROWS, 0), 1, dim, 1, mode & 1 ? 9 : 0),
                                   batched(matrix(6, 30, ROWS, 0), 1, dim, 1, 0),
                                   batched(matrix(30, 40, ROWS, 0), 1, dim, 0, 0) } };
        const Operand residual = batched(matrix(6, 40, ROWS, 0), 1, dim, 1, mode & 2 ? 7 : 0);
        p.call.f[0] = 1;
        product_fill(&p);
        verify_finished(&p, &residual, true, ROW_silu);
        product_free(&p);
    }
}

static void test_epilogue_refusals(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) {
        Operand operand[5] = { matrix(4, 6, ROWS, 0), matrix(4, 5, ROWS, 0), matrix(5, 6, ROWS, 0),
                               { .rank = 1, .dtype = DTYPE_f32, .dim = { 6 }, .stride = { 1 } },
                               matrix(4, 6, ROWS, 2) };
        Call call = { .kernel = KERNEL_gemm, .n_operands = 5, .operand = operand, .f = { 1 },
                      .i = { 0, 1, 1, ROW_gelu } };
        Error err = { "" };
        assert_true(kernel_check(&call, &err));
        switch (i) {
        case 0: call.n_operands = 4; break;
        case 1: call.i[1] = 2; break;
        case 2: call.i[3] = ROW_add; break;
        case 3: call.i[3] = ROW_i32_neg; break;
        case 4: call.i[3] = -1; break;
        case 5: operand[3].dim[0] = 5; break;
        case 6: operand[3].stride[0] = 2; break;
        case 7: operand[4].dim[0] = 3; break;
        case 8: call.i[3] = N_ROW_OPS; break;
        }
        assert_false(kernel_check(&call, &err));
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_epilogues_of_batches),
        cmocka_unit_test(test_epilogue_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
