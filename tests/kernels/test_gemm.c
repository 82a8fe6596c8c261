/* The matrix product on every instruction set that this processor has, against sums in double (gemm_product.h):
 * sizes around every tile and block, layouts, batches and numbers that are not finite. */
#include "tests/kernels/gemm_product.h"

#include <math.h>
#include <string.h>

/* One row and a few, where weights are streamed: several blocks of K, whole and broken runs of pairs, more
 * columns than sums that are kept, and columns that fill no vector. */
static void test_streams(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 1, 4096, 40 }, { 1, 4131, 19 }, { 1, 16, 517 }, { 1, 37, 600 }, { 2, 35, 288 }, { 1, 41, 1024 },
        { 3, 9, 95 }, { 1, 8300, 6 },
    };
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t mode = 0; mode < 2 * N_GEMM_MODES; mode++)
            verify_plain(sizes[i][0], sizes[i][1], sizes[i][2], mode % 3 == 2 ? COLUMNS : ROWS,
                         mode >= N_GEMM_MODES ? ROWS : COLUMNS, mode % 2 ? 3 : 0, -0.7, mode % 4 == 3);
}

static void test_layouts(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 1, 1, 1 }, { 1, 40, 33 }, { 3, 5, 7 }, { 5, 37, 70 }, { 8, 8, 8 }, { 14, 32, 16 },
        { 15, 33, 17 }, { 29, 63, 31 }, { 70, 150, 20 }, { 33, 129, 300 },
    };
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int a = 0; a < N_LAYOUTS; a++)
            for (int b = 0; b < N_LAYOUTS; b++)
                for (int mode = 0; mode < 4; mode++)
                    verify_plain(sizes[i][0], sizes[i][1], sizes[i][2], (Layout)a, (Layout)b,
                                 mode & 1 ? 3 : 0, mode & 1 ? -0.37 : 1, mode >> 1);
}

/* One off on either side of every register tile, at few and at many rows. */
static void test_edges(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 30; m++)
        for (int64_t n = 1; n <= 66; n += n % 8 == 1 ? 6 : 1)
            verify_plain(m, n, 18, ROWS, n % 2 ? ROWS : COLUMNS, 0, 1, m % 2);
    for (int64_t k = 1; k <= 40; k++)
        for (int64_t m = 1; m <= 13; m += 4)
            verify_plain(m, 35, k, k % 2 ? ROWS : COLUMNS, k % 3 ? ROWS : COLUMNS, 1, 1, false);
    for (int64_t n = 100; n <= 600; n += 83)
        for (int64_t m = 1; m <= 8; m++)
            verify_plain(m, n, 19, ROWS, m % 2 ? ROWS : COLUMNS, 0, 1, true);
}

/* Several blocks of K, and of B at the smallest caches. */
static void test_blocks(void **state)
{
    (void)state;
    for (int64_t k = 250; k <= 1300; k += 262)
        for (int b = 0; b < 2; b++)
            verify_plain(30, 40, k, b ? COLUMNS : ROWS, b ? COLUMNS : ROWS, 0, 0.5, k % 4 == 2);
    verify_plain(20, 2100, 40, ROWS, ROWS, 0, 1, false);
    /* More rows of A than are packed together, whole panels and not; more of B than a block. */
    for (int mode = 0; mode < N_GEMM_MODES; mode++) {
        verify_plain(200 + mode, 30 + mode, 37, mode % 2 ? COLUMNS : ROWS, mode % 3 ? ROWS : COLUMNS, 0, 1, true);
        verify_plain(384 + mode % 2, 9, 258, ROWS, ROWS, mode, 1, false);
    }
    verify_plain(210, 1040, 14, COLUMNS, ROWS, 3, 1, true);
    verify_plain(40, 1100, 260, COLUMNS, COLUMNS, 0, 1, false);
    verify_plain(3, 1300, 520, COLUMNS, ROWS, 0, 1, false);
}

static void test_random(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++) {
        int64_t m = 1 + draw(i % 3 ? 20 : 150), n = 1 + draw(i % 2 ? 40 : 300);
        int64_t k = 1 + draw(i % 5 ? 50 : 400);
        Layout a = (Layout)draw(N_LAYOUTS), b = (Layout)draw(N_LAYOUTS);
        verify_plain(m, n, k, a, b, draw(5), (double)draw_float(), draw(2) == 1);
    }
}

static void verify_batched(int lead, const int64_t *dim, int64_t m, int64_t n, int64_t k,
                           unsigned in_a, unsigned in_b, int64_t gap)
{
    Product p = { .operand = {
        batched(matrix(m, n, ROWS, gap), lead, dim, ~0u, gap),
        batched(matrix(m, k, ROWS, gap), lead, dim, in_a, gap),
        batched(matrix(k, n, gap % 2 ? COLUMNS : ROWS, 0), lead, dim, in_b, gap),
    } };
    p.call.f[0] = 1;
    product_fill(&p);
    product_verify(&p);
    product_free(&p);
}

static void test_batches(void **state)
{
    (void)state;
    static const int64_t dim[] = { 2, 3, 1, 2 };
    for (int lead = 1; lead <= 4; lead++)
        for (unsigned a = 0; a < 1u << lead; a++)
            for (unsigned b = 0; b < 1u << lead; b++)
                for (int64_t gap = 0; gap < 2; gap++) {
                    verify_batched(lead, dim, 1, 20, 9, a, b, gap);
                    verify_batched(lead, dim, 17, 33, 9, a, b, gap);
                    verify_batched(lead, dim, 5, 1, 9, a, b, gap);
                }
    static const int64_t many[] = { 30, 4 };
    verify_batched(2, many, 40, 70, 12, 3, 3, 1);
    verify_batched(2, many, 40, 70, 12, 3, 0, 0);
}

/* C may lie in any order of axes: here [M, batch, N]. */
static void test_strided_output(void **state)
{
    (void)state;
    static const int64_t dim[] = { 5 };
    Product p = { .operand = { { .rank = 3, .dtype = DTYPE_f32, .dim = { 5, 19, 21 },
                                 .stride = { 22, 5 * 22 + 3, 1 } },
                               batched(matrix(19, 30, ROWS, 2), 1, dim, 1, 0),
                               batched(matrix(30, 21, ROWS, 0), 1, dim, 1, 0) } };
    p.call.f[0] = 1;
    product_fill(&p);
    product_verify(&p);
    product_free(&p);

    /* A folds into rows, C does not. */
    Product gaps = { .operand = { batched(matrix(6, 40, ROWS, 0), 1, dim, 1, 9),
                                  batched(matrix(6, 30, ROWS, 0), 1, dim, 1, 0),
                                  batched(matrix(30, 40, ROWS, 0), 1, dim, 0, 0) } };
    gaps.call.f[0] = 1;
    product_fill(&gaps);
    product_verify(&gaps);
    product_free(&gaps);

    Product column = { .operand = { { .rank = 2, .dtype = DTYPE_f32, .dim = { 45, 1 },
                                      .stride = { 7, 9 } },
                                    matrix(45, 30, ROWS, 0), matrix(30, 1, ROWS, 0) } };
    column.call.f[0] = 1;
    product_fill(&column);
    product_verify(&column);
    product_free(&column);
}

/* Zeros do not hide what is not finite. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float special[] = { NAN, INFINITY, -INFINITY, 0, -0.0f, 1e38f };
    for (int i = 0; i < 40; i++) {
        const int64_t large = i % 5 < 2 ? 6 : 1;        /* where floats are split, in several panels */
        int64_t m = 1 + draw(20 * large), n = 1 + draw(70 * large), k = 1 + draw(40 * large);
        Product p = { .operand = { matrix(m, n, ROWS, 0), matrix(m, k, ROWS, 0),
                                   matrix(k, n, i % 2 ? COLUMNS : ROWS, 0) } };
        p.call.f[0] = 1;
        p.call.i[0] = i % 4 >= 2;
        p.call.i[4] = i % 16 >= 8;
        product_fill(&p);
        memset(p.operand[1].data, 0, (size_t)k * sizeof(float));
        ((float *)p.operand[2].data)[draw(n * k)] = special[i % 3];
        ((float *)p.operand[1].data)[draw(m * k)] = special[draw(5)];
        if (i % 8 == 7)
            ((float *)p.operand[0].data)[draw(m * n)] = special[draw(5)];
        product_verify(&p);
        product_free(&p);
    }
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        verify_plain(5, 40, 0, ROWS, ROWS, 2, 1, mode);
        verify_plain(1, 70, 0, ROWS, COLUMNS, 2, 1, mode);
        verify_plain(0, 5, 3, ROWS, ROWS, 0, 1, mode);
        verify_plain(5, 0, 3, ROWS, ROWS, 0, 1, mode);
    }
    Product p = { .operand = { matrix(0, 5, ROWS, 0), matrix(0, 3, ROWS, 0),
                               matrix(3, 5, ROWS, 0) } };
    product_fill(&p);
    p.call.n_tasks = 9;
    kernel_prepare(&p.call);
    assert_int_equal(p.call.n_tasks, 0);
    product_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_strided_output),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
