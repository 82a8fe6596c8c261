/* The row executor: programs as compilers make them against a naive interpreter (row_program.h), to the bit, for every
 * instruction set and any split of the tasks; and how rows become tasks, and what they cost. */
#include "tests/kernels/row_program.h"

/* Rows without columns: nothing is written, whatever else the program sums. */
static void test_no_columns(void **state)
{
    (void)state;
    Program r = { .p = { .rank = 2, .dim = { 3, 0 }, .consts = r.consts, .outputs = 1 << 1 | 1 << 2,
                         .temp_per_row = r.per_row, .instrs = r.instrs } };
    Case c = case_new(KERNEL_row);
    case_add(&c, DTYPE_f32, 2, r.p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 1 }, ROWS);
    c.operand[1].stride[1] = 0;
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 2, 0 }, ROWS);
    c.call.row = &r.p;
    program_add(&r, ROW_sum, 1, 0, 0);
    program_add(&r, ROW_column_sums, 2, 0, 0);
    CASE_EACH_ISA(&c, r.p.outputs, table)
        check_against_naive(&c, table, "no columns");
    case_free(&c);
}

/* softmax over rows of any length, from one operand into itself. */
static void test_softmax_in_place(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 1, 1 }, { 3, 17 }, { 200, 5 }, { 7, 1000 }, { 2, 20011 } };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        static Program r;
        Case c = program_case(&r, sizes[i][0], sizes[i][1], 1, 1);
        r.p.n_temps = 4;
        r.per_row[0] = r.per_row[2] = 1;
        program_add(&r, ROW_max, 1, 0, 0);
        program_add(&r, ROW_sub, 2, 0, 1);
        program_add(&r, ROW_exp, 2, 2, 0);
        program_add(&r, ROW_sum, 3, 2, 0);
        program_add(&r, ROW_div, 0, 2, 3);
        CASE_EACH_ISA(&c, 1, table) {
            check_against_naive(&c, table, "softmax");
            for (int64_t row = 0; row < sizes[i][0]; row++) {
                double sum = 0;
                for (int64_t j = 0; j < sizes[i][1]; j++)
                    sum += (double)*element(&c, 0, row * sizes[i][1] + j);
                /* Each weight carries the roundings of exp, sum and division. */
                expect_near("sum of weights", sum, 1, 40 * ULP);
            }
        }
        case_free(&c);
    }
}

/* y = (x - mean) rsqrt(var + eps), with the statistics kept, as a normalisation's forward does. */
static void test_normalisation(void **state)
{
    (void)state;
    static Program r;
    const int64_t n = 768, rows = 37;
    Case c = program_case(&r, rows, n, 1, 6);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, 1 }, ROWS);
    c.operand[2].stride[1] = 0;
    program_const(&r, 1.0f / 768);
    program_const(&r, 1e-5f);
    r.p.n_temps = 3;
    r.per_row[0] = 1;
    const int x = 0, y = 1, rstd = 2, scale = 3, eps = 4, mean = 5, d = 6, square = 7;
    program_add(&r, ROW_sum, mean, x, 0);
    program_add(&r, ROW_mul, mean, mean, scale);
    program_add(&r, ROW_sub, d, x, mean);
    program_add(&r, ROW_mul, square, d, d);
    program_add(&r, ROW_sum, rstd, square, 0);
    program_add(&r, ROW_mul, rstd, rstd, scale);
    program_add(&r, ROW_add, rstd, rstd, eps);
    program_add(&r, ROW_rsqrt, rstd, rstd, 0);
    program_add(&r, ROW_mul, y, d, rstd);
    CASE_EACH_ISA(&c, 6, table)
        check_against_naive(&c, table, "normalisation");
    case_free(&c);
}

/* Axes that are one run of memory in all operands are walked as one, whatever their number. */
static void test_long_runs_are_joined(void **state)
{
    (void)state;
    static Program r;
    Case c = program_case(&r, 1000, 3, 2, 2);
    program_add(&r, ROW_exp, 1, 0, 0);
    for (int i = 0; i < 2; i++) {
        c.operand[i].stride[0] = 3;
        c.operand[i].stride[1] = 1;
    }
    c.call.operand = c.operand;
    kernel_prepare(&c.call);
    assert_int_equal(c.call.n_tasks, 1);
    c.operand[0].stride[0] = 0;     /* a broadcast: no longer one run */
    kernel_prepare(&c.call);
    assert_int_equal(c.call.n_tasks, 1);
    r.p.dim[0] = c.operand[0].dim[0] = c.operand[1].dim[0] = 1000000;
    kernel_prepare(&c.call);
    assert_true(c.call.n_tasks > 500);
    KernelCost cost = kernel_cost(&c.call);
    assert_true(cost.flops == 3e6 && cost.bytes == 4 * (3e6 + 3));
    case_free(&c);
}

/* What a program has made is near; what it reads before it writes comes from memory and goes there. */
static void test_cost_of_own_results(void **state)
{
    (void)state;
    static Program r;
    Case c = program_case(&r, 4, 8, 3, 1u << 1 | 1u << 2);
    const double each = 4.0 * 4 * 8;
    program_add(&r, ROW_exp, 2, 0, 0);
    program_add(&r, ROW_mul, 1, 2, 0);
    c.call.operand = c.operand;
    assert_true(kernel_cost(&c.call).bytes == 3 * each);
    r.instrs[1].a = 1;
    assert_true(kernel_cost(&c.call).bytes == 4 * each);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_columns),
        cmocka_unit_test(test_softmax_in_place),
        cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_long_runs_are_joined),
        cmocka_unit_test(test_cost_of_own_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
