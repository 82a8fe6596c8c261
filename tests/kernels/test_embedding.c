/* embedding, decode and embedding_grad: rows picked bit for bit, from tables of every type the numbers that
 * their bits stand for; sums in the order of the tokens, which are bit for bit those of a plain loop, with
 * ids outside the table among them. */
#include "tests/kernels/harness.h"

static const int64_t shapes[][4] = {
    /* V, C, tokens by two axes */
    { 5, 1, 1, 1 }, { 7, 33, 3, 5 }, { 3, 16, 0, 4 }, { 11, 100, 2, 40 }, { 2, 0, 2, 2 },
    { 300, 64, 7, 61 }, { 0, 4, 2, 3 },
};

static void draw_ids(Case *c, int ids, int64_t rows)
{
    static const int32_t wild[] = { -1, INT32_MIN, INT32_MAX };
    for (int64_t i = 0; i < elements(&c->operand[ids]); i++)
        *element_i32(c, ids, i) = draw(8) == 0 || rows == 0 ? wild[draw(3)]
                                : draw(16) == 0 ? (int32_t)rows : (int32_t)draw(rows);
}

static void test_embedding(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 4; round++) {
            int64_t v = shapes[s][0], n = shapes[s][1];
            Case c = case_new(KERNEL_embedding);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ shapes[s][2], shapes[s][3], n }, ROWS);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ v, n }, ROWS);
            case_add(&c, DTYPE_i32, 2, &shapes[s][2], ANY);
            draw_ids(&c, 2, v);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++) {
                    int64_t id = *element_i32(&c, 2, i / n);
                    float got = *element(&c, 0, i);
                    if (id < 0 || id >= v)
                        assert_true(isnan(got));
                    else
                        assert_memory_equal(&got, element(&c, 1, id * n + i % n), sizeof got);
                }
            }
            case_free(&c);
        }
}

/* ---- types of storage ------------------------------------------------------------------------- */

static const DType types[] = { DTYPE_f16, DTYPE_bf16, DTYPE_q8_0, DTYPE_q4_0, DTYPE_q4_1, DTYPE_q5_0,
                               DTYPE_q5_1, DTYPE_q4_k, DTYPE_q5_k, DTYPE_q6_k };
static double numbers[48 * 768];

/* Operand i becomes of the type, in panels where those are blocks. */
static void store(Case *c, int i, DType t)
{
    case_store(c, i, t, numbers);
    if (dtype_block(t) > 1)
        case_pack(c, i);
}

static void expect_number(const char *kernel, const KernelTable *table, DType t, float got, double want)
{
    const float expected = (float)want;
    if (memcmp(&got, &expected, sizeof got) != 0)
        fail_msg("%s of %s on %s: got %.9g, want %.9g", kernel, dtype_name(t), isa_name(table->isa), (double)got,
                 want);
}

/* Tables of less than a panel, of whole ones, and of one and a part. */
static void test_stored_table(void **state)
{
    static const int64_t rows[] = { 1, 16, 40 };
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (size_t s = 0; s < COUNT_OF(rows); s++) {
            const int64_t v = rows[s], n = max_i64(dtype_block(types[t]), 19) * (1 + (int64_t)s);
            Case c = case_new(KERNEL_embedding);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ 3, 11, n }, ROWS);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ v, n }, ROWS);
            case_add(&c, DTYPE_i32, 2, (int64_t[]){ 3, 11 }, ANY);
            store(&c, 1, types[t]);
            draw_ids(&c, 2, v);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++) {
                    const int64_t id = *element_i32(&c, 2, i / n);
                    const float got = *element(&c, 0, i);
                    if (id < 0 || id >= v)
                        assert_true(isnan(got));
                    else
                        expect_number("embedding", table, types[t], got, numbers[id * n + i % n]);
                }
            }
            case_free(&c);
        }
}

static void test_decode(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (int64_t rows = 1; rows <= 37; rows += 12) {
            const int64_t block = dtype_block(types[t]), n = (block > 1 ? block : 45) * (1 + draw(3));
            Case c = case_new(KERNEL_decode);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, n }, ROWS);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, n }, ROWS);
            store(&c, 1, types[t]);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < rows * n; i++)
                    expect_number("decode", table, types[t], *element(&c, 0, i), numbers[i]);
            }
            case_free(&c);
        }
}

static void test_check_stored(void **state)
{
    (void)state;
    Case c = case_new(KERNEL_decode);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 4, 64 }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 4, 64 }, ROWS);
    case_store(&c, 1, DTYPE_q8_0, numbers);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[1].dtype = DTYPE_f32;             /* nothing to decode */
    case_expect_illegal(&c);
    c.operand[1].dtype = DTYPE_q4_k;            /* rows of 64 are no blocks of 256 */
    case_expect_illegal(&c);
    c.operand[1].dtype = DTYPE_q8_0;
    c.operand[1].stride[0] = 96;                /* rows that do not begin where rows lie */
    case_expect_illegal(&c);
    c.operand[1].stride[0] = 64;
    c.operand[1].dim[0] = 5;
    case_expect_illegal(&c);
    case_free(&c);
}

static void test_embedding_grad(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 4; round++) {
            int64_t v = shapes[s][0], n = shapes[s][1];
            Case c = case_new(KERNEL_embedding_grad);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ v, n }, ROWS);
            case_add(&c, DTYPE_i32, 2, &shapes[s][2], ANY);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ shapes[s][2], shapes[s][3], n }, ROWS);
            draw_ids(&c, 1, v);
            case_keep(&c);
            float *want = malloc((size_t)(v * n + 1) * sizeof *want);
            assert_non_null(want);
            for (int64_t i = 0; i < v * n; i++)
                want[i] = *element(&c, 0, i);
            for (int64_t i = 0; i < elements(&c.operand[2]); i++) {
                int64_t id = *element_i32(&c, 1, i / n);
                if (id >= 0 && id < v)
                    want[id * n + i % n] += *element(&c, 2, i);
            }
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < v * n; i++)
                    assert_memory_equal(element(&c, 0, i), &want[i], sizeof(float));
            }
            free(want);
            case_free(&c);
        }
}

typedef struct Squares { double *table, *want, *size; } Squares;

/* The table as its rows are added, by how much the squares of 32 columns change, and how large the terms of
 * that are. */
static Squares follow(const Case *c)
{
    const int64_t v = c->operand[0].dim[0], n = c->operand[0].dim[1], terms = elements(&c->operand[2]);
    Squares s = { malloc((size_t)(v * n + 1) * sizeof(double)), calloc((size_t)n / 32 + 1, sizeof(double)),
                  calloc((size_t)n / 32 + 1, sizeof(double)) };
    assert_true(s.table && s.want && s.size);
    for (int64_t i = 0; i < v * n; i++)
        s.table[i] = *element(c, 0, i);
    for (int64_t i = 0; i < terms; i++) {
        const int64_t id = *element_i32(c, 1, i / n), b = i % n / 32;
        if (id < 0 || id >= v)
            continue;
        double *old = &s.table[id * n + i % n], g = *element(c, 2, i);
        s.want[b] += g * (*old + (*old + g));
        s.size[b] += fabs(g) * (2 * fabs(*old) + fabs(g) + (double)terms * ULP);
        *old += g;
    }
    return s;
}

/* Of t terms, each within four roundings, added one by one and then over the columns: within t + 9 of the
 * sum of their sizes. */
static void test_squares(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 4; round++) {
            const int64_t v = shapes[s][0], n = shapes[s][1], tokens = shapes[s][2] * shapes[s][3];
            Case c = case_new(KERNEL_embedding_grad);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ v, n }, ROWS);
            case_add(&c, DTYPE_i32, 2, &shapes[s][2], ANY);
            case_add(&c, DTYPE_f32, 3, (int64_t[]){ shapes[s][2], shapes[s][3], n }, ROWS);
            case_add(&c, DTYPE_f32, 1, (int64_t[]){ (n + 31) / 32 }, ANY);
            c.call.i[0] = 1;
            draw_ids(&c, 1, v);
            case_keep(&c);
            const Squares q = follow(&c);
            CASE_EACH_ISA(&c, 9, isa) {
                for (int64_t b = 0; b < elements(&c.operand[3]); b++)
                    expect_near("squares", *element(&c, 3, b), q.want[b],
                                (double)(tokens + 9) * ULP * q.size[b]);
            }
            free(q.table);
            free(q.want);
            free(q.size);
            case_free(&c);
        }
}

static void test_check(void **state)
{
    (void)state;
    Case c = case_new(KERNEL_embedding);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 4, 8 }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 8 }, ROWS);
    case_add(&c, DTYPE_i32, 1, (int64_t[]){ 4 }, ANY);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[2].dim[0] = 5;
    case_expect_illegal(&c);
    c.operand[2].dim[0] = 4;
    c.operand[1].dim[1] = 7;
    case_expect_illegal(&c);
    c.operand[1].dim[1] = 8;
    c.operand[1].stride[1] = 2;
    case_expect_illegal(&c);
    c.operand[1].stride[1] = 1;
    c.operand[0].stride[0] = 0;
    case_expect_illegal(&c);
    c.operand[0].stride[0] = -8;
    case_expect_illegal(&c);
    c.operand[0].stride[0] = 8;
    c.operand[2].dtype = DTYPE_f32;
    case_expect_illegal(&c);
    c.operand[2].dtype = DTYPE_i32;
    c.operand[0].rank = 0;
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_stored_table),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_check_stored),
        cmocka_unit_test(test_embedding_grad),
        cmocka_unit_test(test_squares),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
