/* masked_matmul against sums in double.
 *
 * Tolerance: a sum of K products in any order errs by at most K u times the sum of their sizes.  Rows
 * that are not asked for are zeros whatever stands in x and w. */
#include "harness.h"

static const int64_t shapes[][4] = {
    /* rows by two axes, K, N */
    { 1, 1, 1, 1 }, { 1, 1, 64, 33 }, { 2, 5, 7, 3 }, { 1, 4, 131, 40 }, { 3, 2, 300, 17 },
    { 2, 0, 4, 5 }, { 1, 3, 0, 4 }, { 2, 2, 5, 0 },
};

static void expect_element(const Case *c, const int64_t *shape, int64_t i)
{
    const int64_t row = i / shape[3], n = i % shape[3];
    const float gate = *element(c, 3, row);
    double sum = 0, size = 0;
    for (int64_t k = 0; k < shape[2] && fabsf(gate) > 0; k++) {
        const double p = (double)*element(c, 1, row * shape[2] + k)
                         * (double)*element(c, 2, n * shape[2] + k);
        sum += p;
        size += fabs(p);
    }
    expect_near("masked_matmul", *element(c, 0, i), sum, (double)(shape[2] + 4) * ULP * size);
}

static void test_masked_matmul(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 4; round++) {
            const int64_t *d = shapes[s];
            Case c = case_new(KERNEL_masked_matmul);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ d[0], d[1], d[3] }, ROWS);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ d[0], d[1], d[2] }, ROWS);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ d[3], d[2] }, ROWS);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ d[0], d[1], 1 }, ANY);
            for (int64_t r = 0; r < d[0] * d[1]; r++)
                if (draw(2)) {
                    *element(&c, 3, r) = draw(2) ? 0.0f : -0.0f;
                    for (int64_t k = 0; k < d[2]; k++)
                        *element(&c, 1, r * d[2] + k) = NAN;
                }
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++)
                    expect_element(&c, d, i);
            }
            case_free(&c);
        }
}

static void test_check(void **state)
{
    (void)state;
    Case c = case_new(KERNEL_masked_matmul);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ 2, 3, 5 }, ROWS);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ 2, 3, 4 }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 5, 4 }, ROWS);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ 2, 3, 1 }, ROWS);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[2].dim[0] = 6;
    case_expect_illegal(&c);
    c.operand[2].dim[0] = 5;
    c.operand[1].dim[2] = 3;
    case_expect_illegal(&c);
    c.operand[1].dim[2] = 4;
    c.operand[3].dim[1] = 2;
    case_expect_illegal(&c);
    c.operand[3].dim[1] = 3;
    c.operand[3].dtype = DTYPE_i32;
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_matmul),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
