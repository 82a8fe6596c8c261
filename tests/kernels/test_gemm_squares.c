/* Products that also sum the squares of what they write, by columns and groups of 64 rows. */
#include "tests/kernels/gemm_product.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A product with squares: C with the bits that it has without (but for a single column, which without
 * is the row of the transposed product), and squares that are the same in any
 * pieces and near those of C's elements.  Of a sum of at most 64 squares in float, each rounded and
 * added, the error is within 65 roundings of it. */
static void verify_squared(Product *p)
{
    const Operand *c = &p->operand[0];
    const int64_t m = c->dim[0], n = c->dim[1], groups = (m + 63) / 64;
    Operand all[4] = { p->operand[0], p->operand[1], p->operand[2], matrix(groups, n, ROWS, 2) };
    Guarded s = guarded((size_t)extent(&all[3]) * sizeof(float));
    Product whole = *p;
    Error err;
    all[3].data = s.p;
    whole.call.operand = all;
    whole.call.n_operands = 4;
    whole.call.i[5] = 1;
    if (!kernel_check(&whole.call, &err))
        fail_msg("refused: %s", err.text);
    const size_t bytes = p->memory[0].bytes;
    float *before = malloc(bytes + 1), *want = malloc(bytes + 1), *once = malloc(s.bytes + 1);
    assert_true(before && want && once);
    memcpy(before, p->memory[0].p, bytes);
    for (Isa isa = 0; isa < N_ISAS; isa++) {
        const bool has = isa_brings((int)isa, KERNEL_gemm);
        for (int pieces = has ? 1 : 9; pieces < 8; pieces += 3) {
            memcpy(p->memory[0].p, before, bytes);
            product_run(p, kernels_table(isa), 1);
            memcpy(want, p->memory[0].p, bytes);
            memcpy(p->memory[0].p, before, bytes);
            memset(s.p, 0xff, s.bytes);
            product_run(&whole, kernels_table(isa), pieces);
            if (n > 1)
                assert_memory_equal(p->memory[0].p, want, bytes);
            for (int64_t i = 0; i < groups * n; i++) {
                double sum = 0;
                for (int64_t r = i / n * 64; r < m && r < (i / n + 1) * 64; r++) {
                    const double x = p->memory[0].p[r * c->stride[0] + i % n];
                    sum += x * x;
                }
                const double got = s.p[i / n * all[3].stride[0] + i % n];
                if (!(fabs(got - sum) <= 65 * 0x1p-24 * sum))
                    fail_msg("%s: squares [%lld] are %g, not %g", isa_name(isa), (long long)i, got, sum);
            }
            if (pieces > 1)
                assert_memory_equal(s.p, once, s.bytes);
            memcpy(once, s.p, s.bytes);
        }
    }
    free(before);
    free(want);
    free(once);
    release(&s);
}

static void test_squares(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 1, 40, 33 }, { 3, 5, 7 }, { 65, 37, 70 }, { 64, 32, 16 }, { 130, 33, 300 },
        { 29, 63, 31 }, { 200, 150, 20 }, { 4, 9, 0 }, { 70, 1, 9 }, { 288, 300, 24 },
    };
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int mode = 0; mode < 8; mode++) {
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            Product p = { .operand = { matrix(m, n, ROWS, mode & 1 ? 3 : 0),
                                       matrix(m, k, mode & 2 ? COLUMNS : ROWS, 0),
                                       matrix(k, n, ROWS, 0) } };
            p.call.f[0] = 0.7;
            p.call.i[0] = mode == 7;
            p.call.i[4] = mode & 4 && i % 2;
            product_fill(&p);
            verify_squared(&p);
            product_free(&p);
        }
}

/* Rows that AMX multiplies plainly, for bf16 rounds one of their numbers to infinity, between others, whose sums are
 * still on their way: in a column of panels that is walked downwards, and in the only one. */
static void test_squares_beside_large(void **state)
{
    (void)state;
    enum { M = 96, K = 64, ROW = 40, AT = 3 };
    static const int64_t columns[] = { 20, 256 };
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        Product p = { .operand = { matrix(M, columns[i], ROWS, 0), matrix(M, K, ROWS, 0),
                                   matrix(K, columns[i], ROWS, 0) } };
        p.call.f[0] = 1;
        product_fill(&p);
        p.memory[1].p[ROW * p.operand[1].stride[0] + AT] = 3.4e38f;
        for (int64_t j = 0; j < columns[i]; j++)
            p.memory[2].p[AT * p.operand[2].stride[0] + j] *= 1e-37f;
        verify_squared(&p);
        product_free(&p);
    }
}

static void test_squares_refusals(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        Operand operand[4] = { matrix(70, 6, ROWS, 0), matrix(70, 5, ROWS, 0), matrix(5, 6, ROWS, 0),
                               matrix(2, 6, ROWS, 0) };
        Call call = { .kernel = KERNEL_gemm, .n_operands = 4, .operand = operand, .f = { 1 },
                      .i = { 0, 0, 0, 0, 0, 1 } };
        Error err = { "" };
        assert_true(kernel_check(&call, &err));
        switch (i) {
        case 0: call.n_operands = 3; break;
        case 1: call.i[5] = 2; break;
        case 2: operand[3].dim[0] = 1; break;
        case 3: operand[3].dim[1] = 5; break;
        case 4: operand[3].stride[0] = 5; break;
        case 5: call.i[5] = 0; break;
        }
        assert_false(kernel_check(&call, &err));
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_squares),
        cmocka_unit_test(test_squares_beside_large),
        cmocka_unit_test(test_squares_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
