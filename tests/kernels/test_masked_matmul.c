/* masked_matmul against sums in double, and with blocks against gemm_q, whose bits it has.
 *
 * Tolerance: a sum of K products in any order errs by at most K u times the sum of their sizes.  Rows
 * that are not asked for are zeros whatever stands in x and w. */
#include "tests/kernels/harness.h"

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

/* ---- weights in types of storage -------------------------------------------------------------- */

/* rows, columns, numbers of a row: one tile and several, one task and several. */
static const int64_t stored_shapes[][3] = {
    { 1, 40, 256 }, { 5, 150, 768 }, { 70, 33, 256 }, { 200, 17, 256 }, { 3, 1, 256 },
};

static double numbers[150 * 768];

static Case new_case(const int64_t d[3])
{
    Case c = case_new(KERNEL_masked_matmul);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ d[0], d[1] }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ d[0], d[2] }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ d[1], d[2] }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ d[0], 1 }, ANY);
    for (int64_t r = 0; r < d[0]; r++)
        if (draw(4) == 0)
            *element(&c, 3, r) = 0;
    return c;
}

/* Every row's product on this instruction set, by gemm_q. */
static float *whole_product(const Case *c, const KernelTable *table)
{
    const int64_t rows = c->operand[0].dim[0], columns = c->operand[0].dim[1];
    Operand operand[3] = { c->operand[0], c->operand[1], c->operand[2] };
    float *out = calloc((size_t)(rows * columns), sizeof *out);
    operand[0].data = out;
    operand[0].stride[0] = columns;
    Call call = { .kernel = KERNEL_gemm_q, .n_operands = 3, .operand = operand, .f = { 1 } };
    kernel_prepare(&call);
    Guarded scratch = guarded((kernel_scratch(&call) + 63) / 64 * 64);
    assert_non_null(out);
    table->run[KERNEL_gemm_q](&call, 0, call.n_tasks, scratch.p);
    release(&scratch);
    return out;
}

static void expect_blocks(const Case *c, const KernelTable *table)
{
    const int64_t columns = c->operand[0].dim[1];
    float *whole = whole_product(c, table);
    for (int64_t i = 0; i < elements(&c->operand[0]); i++) {
        const float want = fabsf(*element(c, 3, i / columns)) > 0 ? whole[i] : 0;
        if (memcmp(element(c, 0, i), &want, sizeof want) != 0)
            fail_msg("%s on %s: element %lld is %.9g, gemm_q has %.9g", dtype_name(c->operand[2].dtype),
                     isa_name(table->isa), (long long)i, (double)*element(c, 0, i), (double)want);
    }
    free(whole);
}

static void expect_numbers(const Case *c, const double *w)
{
    const int64_t columns = c->operand[0].dim[1], depth = c->operand[1].dim[1];
    for (int64_t i = 0; i < elements(&c->operand[0]); i++) {
        const int64_t row = i / columns, n = i % columns;
        double sum = 0, size = 0;
        for (int64_t k = 0; k < depth && fabsf(*element(c, 3, row)) > 0; k++) {
            sum += (double)*element(c, 1, row * depth + k) * w[n * depth + k];
            size += fabs((double)*element(c, 1, row * depth + k) * w[n * depth + k]);
        }
        expect_near("bf16", *element(c, 0, i), sum, (double)(depth + 4) * ULP * size);
    }
}

static void test_stored(void **state)
{
    static const DType types[] = { DTYPE_bf16, DTYPE_q8_0, DTYPE_q4_0, DTYPE_q4_1, DTYPE_q5_0, DTYPE_q5_1,
                                   DTYPE_q4_k, DTYPE_q5_k, DTYPE_q6_k };
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (size_t s = 0; s < COUNT_OF(stored_shapes); s++) {
            Case c = new_case(stored_shapes[s]);
            case_store(&c, 2, types[t], numbers);
            if (types[t] != DTYPE_bf16)
                case_pack(&c, 2);
            CASE_EACH_ISA(&c, 1, table) {
                if (types[t] == DTYPE_bf16)
                    expect_numbers(&c, numbers);
                else
                    expect_blocks(&c, table);
            }
            case_free(&c);
        }
}

/* Weights that nobody asks for are not touched: they lie where touching them ends the program. */
static void test_unread(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        Case c = new_case((const int64_t[]){ 5, 150, 768 });
        for (int64_t r = 0; r < 5; r++)
            *element(&c, 3, r) = 0;
        if (round) {
            case_store(&c, 2, DTYPE_q8_0, numbers);
            case_pack(&c, 2);
        }
        case_keep(&c);
        Guarded none = guarded(0);
        c.operand[2].data = (char *)none.map;
        for (int isa = 0; isa < N_ISAS; isa++)
            if (isa_brings(isa, KERNEL_masked_matmul)) {
                case_run(&c, kernels_table((Isa)isa), 3);
                for (int64_t i = 0; i < elements(&c.operand[0]); i++)
                    assert_true(*element(&c, 0, i) == 0);
            }
        release(&none);
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
    c.operand[3].dtype = DTYPE_f32;
    c.operand[2].dtype = DTYPE_f16;
    case_expect_illegal(&c);
    c.operand[2].dtype = DTYPE_q8_0;            /* rows of 4 */
    case_expect_illegal(&c);
    c.operand[2].dtype = DTYPE_bf16;
    case_expect_legal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_matmul),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_unread),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
