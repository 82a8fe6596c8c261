/* Products with blocks on every instruction set, against double; panels against the rows they are made of.
 *
 * Tolerance: the oracle rounds A as the contract says and sums products of decoded numbers in double.
 * A body's whole numbers are exact; for each block its scales are multiplied (2 roundings, and those of
 * the parts of a scale: 1), and each of at most 2 terms is added (1 each, in a sum of 2 K / 16 terms).  So it
 * is off by at most gamma = (K / 8 + 4) u of the sum of magnitudes of the terms, which are those of
 * d q and of the least, u = 2^-24. */
#include "tests/kernels/harness.h"

#include "base/blocks.h"
#include "base/half.h"
#include "runtime/kernels/gemm_q.h"

enum { MOST = 64 * 1024 };

static const DType types[] = {
    DTYPE_q8_0, DTYPE_q4_0, DTYPE_q4_1, DTYPE_q5_0, DTYPE_q5_1, DTYPE_q4_k, DTYPE_q5_k, DTYPE_q6_k,
};

/* Random bits, with scales that are ordinary numbers unless `hostile`. */
static void fill_blocks(DType t, uint8_t *p, size_t n_blocks, bool hostile)
{
    size_t bytes = dtype_block_bytes(t);
    for (size_t i = 0; i < n_blocks * bytes; i++)
        p[i] = (uint8_t)draw(256);
    for (size_t b = 0; b < n_blocks && !hostile; b++)
        for (size_t at = 0; at < 4; at += 2) {
            size_t where = b * bytes + (t == DTYPE_q6_k ? 208 : at);
            uint16_t h = f16_of_f32(draw_float());
            if (at == 0 || !(t == DTYPE_q8_0 || t == DTYPE_q4_0 || t == DTYPE_q5_0 || t == DTYPE_q6_k))
                memcpy(p + where, &h, sizeof h);
        }
}

/* Adds B [n, k] of random blocks, packed; `rows` gets the rows it was packed from. */
static void add_blocks(Case *c, DType t, int64_t n, int64_t k, bool hostile, uint8_t *rows)
{
    static uint8_t temp[MOST];
    int64_t bytes = 0, row = 0;
    assert_true(panel_bytes(t, n, k, &bytes) && dtype_bytes(t, 1, k, &row));
    assert_in_range(bytes, 0, MOST);
    const int i = c->call.n_operands++;
    c->operand[i] = (Operand){ .rank = 2, .dtype = t, .dim = { n, k }, .stride = { k, 1 } };
    c->memory[i] = guarded((size_t)bytes);
    c->operand[i].data = c->memory[i].p;
    memset(c->memory[i].p, 0, (size_t)bytes);
    fill_blocks(t, (uint8_t *)c->memory[i].p, (size_t)(n * k / dtype_block(t)), hostile);
    memcpy(rows, c->memory[i].p, (size_t)(n * row));
    panel_pack(t, n, k, c->memory[i].p, temp);
}

/* A block of A as the contract rounds it. */
static void round_block(const float x[32], float *d, int q[32])
{
    float most = 0;
    for (int i = 0; i < 32; i++)
        most = isnan(x[i]) || isnan(most) ? NAN : fmaxf(most, fabsf(x[i]));
    *d = most / 127;
    bool number = isfinite(*d), some = *d >= FLT_MIN;
    float inverse = some ? 1 / *d : 0;
    for (int i = 0; i < 32; i++)
        q[i] = number && some ? (int)nearbyintf(x[i] * inverse) : 0;
    *d = !number ? NAN : some ? *d : 0;
}

/* Element (m, n) in double, and the sum of magnitudes of what is added. */
static double oracle(const Case *c, DType t, int64_t m, int64_t n, const uint8_t *rows, double *size)
{
    const int64_t k = c->operand[2].dim[1], block = dtype_block(t), group = blocks_group(t);
    double sum = 0;
    *size = 0;
    BlockParts b;
    for (int64_t at = 0; at < k; at += 32) {
        float x[32], d;
        int q[32];
        for (int i = 0; i < 32; i++)
            x[i] = *element(c, 1, m * k + at + i);
        round_block(x, &d, q);
        block_split(t, rows + (size_t)((n * k + at) / block) * dtype_block_bytes(t), &b);
        for (int i = 0; i < 32; i++) {
            int64_t in = at % block + i;
            double s = (double)b.scale[in / group], least = (double)b.least[in / group], a = (double)d * q[i];
            sum += a * (s * b.q[in] - least);
            *size += fabs(a * s * b.q[in]) + fabs(a * least);
        }
    }
    return sum;
}

typedef struct Sum {
    double value, size;
} Sum;

/* Of every element; the caller frees them. */
static Sum *all_sums(const Case *c, DType t, const uint8_t *rows)
{
    const int64_t n = c->operand[2].dim[0], count = elements(&c->operand[0]);
    Sum *sums = malloc(((size_t)count + 1) * sizeof *sums);
    assert_non_null(sums);
    for (int64_t i = 0; i < count; i++)
        sums[i].value = oracle(c, t, i / n, i % n, rows, &sums[i].size);
    return sums;
}

static void compare(const Case *c, DType t, const Sum *sums, const char *isa)
{
    const int64_t k = c->operand[2].dim[1], n = c->operand[2].dim[0], count = elements(&c->operand[0]);
    double gamma = ((double)k / 8 + 4) * ULP;
    for (int64_t i = 0; i < count; i++) {
        double want = c->call.f[0] * sums[i].value, tolerance = fabs(c->call.f[0]) * gamma * sums[i].size + 1e-37;
        double got = (double)*element(c, 0, i);
        if (isnan(want) ? !isnan(got) : !isinf(want) && fabs(want) < 3e38 && !(fabs(got - want) <= tolerance))
            fail_msg("%s on %s, [%lld, %lld] x [%lld]: element %lld is %.9g, want %.9g, tolerance %.3g",
                     dtype_name(t), isa, (long long)(count / n), (long long)k, (long long)n, (long long)i, got,
                     want, tolerance);
    }
}

/* On every instruction set; without rows the numbers are anything. */
static void run_and_compare(Case *c, DType t, const uint8_t *rows)
{
    Sum *sums = rows ? all_sums(c, t, rows) : NULL;
    CASE_EACH_ISA(c, 1, table) {
        if (sums)
            compare(c, t, sums, isa_name(table->isa));
    }
    free(sums);
}

/* Rows of A that try the rounding: zeros, subnormals, ties, and what is no number. */
static void spoil(Case *c, int64_t m, int64_t k)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 0, 1e-42f, 1e30f };
    for (int64_t r = 1; r < m; r += 3) {
        const float value = odd[draw((int64_t)COUNT_OF(odd))];
        if (isfinite(value))
            for (int64_t i = 0; i < k; i++)
                *element(c, 1, r * k + i) = value;
        else
            *element(c, 1, r * k + draw(k)) = value;
    }
}

static void check_case(DType t, const int64_t shape[4], bool odd, bool hostile)
{
    static uint8_t rows[MOST];
    const int64_t n = shape[2], k = shape[3] * dtype_block(t);
    Case c = case_new(KERNEL_gemm_q);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ shape[0], shape[1], n }, ROWS);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ shape[0], shape[1], k }, ROWS);
    add_blocks(&c, t, n, k, hostile, rows);
    c.call.f[0] = draw(2) ? 1 : 0.375;
    if (odd && k > 0)
        spoil(&c, shape[0] * shape[1], k);
    run_and_compare(&c, t, hostile ? NULL : rows);
    case_free(&c);
}

/*  leading, rows, columns, blocks */
static const int64_t shapes[][4] = {
    { 1, 1, 16, 1 }, { 1, 1, 1, 1 }, { 1, 1, 17, 2 }, { 1, 2, 31, 3 }, { 2, 2, 33, 1 }, { 1, 3, 48, 2 },
    { 1, 5, 15, 1 }, { 3, 4, 20, 1 }, { 1, 13, 16, 3 }, { 1, 49, 18, 1 }, { 2, 50, 5, 1 }, { 1, 97, 34, 1 },
    { 1, 21, 18, 9 },
    { 0, 3, 16, 1 }, { 1, 2, 0, 1 }, { 1, 3, 19, 0 },
};

static void test_products(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (size_t s = 0; s < COUNT_OF(shapes); s++)
            for (int odd = 0; odd < 2; odd++)
                check_case(types[t], shapes[s], odd, false);
}

/* Any bits are a matrix: scales that are no numbers, whole numbers at their limits. */
static void test_hostile(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (int round = 0; round < 8; round++)
            check_case(types[t], (int64_t[]){ 1, 1 + draw(14), 1 + draw(40), 1 + draw(2) }, round % 2, true);
}

/* Whole numbers are exact and scales meet them in one order: groups of every size, tiles and vectors of
 * every width leave the same bits.  The rows are more than a tile, blocks more than are opened at a time. */
static void test_bits(void **state)
{
    (void)state;
    static uint8_t rows[MOST];
    enum { M = GEMM_Q_TILE + 5, N = 19 };
    static float first[M * N];
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        const int64_t k = dtype_block(types[t]) == 32 ? 32 * (GEMM_Q_OPENED + 7) : 9 * 256;
        Case c = case_new(KERNEL_gemm_q);
        case_add(&c, DTYPE_f32, 2, (int64_t[]){ M, N }, ROWS);
        case_add(&c, DTYPE_f32, 2, (int64_t[]){ M, k }, ROWS);
        add_blocks(&c, types[t], N, k, false, rows);
        c.call.f[0] = 1;
        int n_runs = 0;
        CASE_EACH_ISA(&c, 1, table) {
            for (int64_t i = 0; i < (int64_t)COUNT_OF(first); i++) {
                float got = *element(&c, 0, i);
                if (n_runs == 0)
                    first[i] = got;
                else if (memcmp(&got, &first[i], sizeof got) != 0)
                    fail_msg("%s on %s: element %lld is %.9g, elsewhere %.9g", dtype_name(types[t]),
                             isa_name(table->isa), (long long)i, (double)got, (double)first[i]);
            }
            n_runs++;
        }
        case_free(&c);
    }
}

/* The largest and the smallest bytes on both sides: nothing saturates on its way. */
static void test_extremes(void **state)
{
    (void)state;
    static uint8_t rows[MOST];
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (int pattern = 0; pattern < 4; pattern++) {
            const int64_t k = dtype_block(types[t]);
            Case c = case_new(KERNEL_gemm_q);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 17 }, ROWS);
            case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, k }, ROWS);
            add_blocks(&c, types[t], 17, k, false, rows);
            for (int64_t i = 0; i < 3 * k; i++)
                *element(&c, 1, i) = pattern & 1 ? -5 : 5;
            static uint8_t temp[MOST];
            panel_unpack(types[t], 17, k, c.memory[2].p, temp);
            const size_t bytes = dtype_block_bytes(types[t]);
            for (size_t i = 0; i < 17; i++)
                for (size_t j = types[t] == DTYPE_q6_k ? 0 : 4; j < (types[t] == DTYPE_q6_k ? 208 : bytes); j++)
                    ((uint8_t *)c.memory[2].p)[i * bytes + j] =
                        pattern & 2 ? 0xff : types[t] == DTYPE_q8_0 ? 0x80 : 0;
            memcpy(rows, c.memory[2].p, 17 * bytes);
            panel_pack(types[t], 17, k, c.memory[2].p, temp);
            c.call.f[0] = 1;
            run_and_compare(&c, types[t], rows);
            case_free(&c);
        }
}

static void test_panels(void **state)
{
    (void)state;
    static uint8_t rows[MOST], temp[MOST], data[MOST];
    static float want[1024], got[1024];
    for (size_t t = 0; t < COUNT_OF(types); t++)
        for (int64_t n = 1; n < 40; n += 13) {
            const int64_t k = 2 * dtype_block(types[t]);
            int64_t bytes = 0, row = 0;
            assert_true(panel_bytes(types[t], n, k, &bytes) && dtype_bytes(types[t], 1, k, &row));
            fill_blocks(types[t], rows, (size_t)(2 * n), false);
            memset(data, 0, (size_t)bytes);
            memcpy(data, rows, (size_t)(n * row));
            panel_pack(types[t], n, k, data, temp);
            for (int64_t r = 0; r < n; r++) {
                blocks_decode(types[t], (size_t)k, rows + r * row, want);
                panel_decode_row(types[t], k, data, r, got);
                assert_memory_equal(got, want, (size_t)k * sizeof *want);
            }
            panel_unpack(types[t], n, k, data, temp);
            assert_memory_equal(data, rows, (size_t)(n * row));
        }
}

static void test_check(void **state)
{
    (void)state;
    static uint8_t rows[MOST];
    Case c = case_new(KERNEL_gemm_q);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 4, 20 }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 4, 256 }, ROWS);
    add_blocks(&c, DTYPE_q4_k, 20, 256, false, rows);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[2].dim[1] = 224;
    case_expect_illegal(&c);
    c.operand[2].dim[1] = 512;
    case_expect_illegal(&c);
    c.operand[2].dim[1] = 256;
    c.operand[2].dim[0] = 21;
    case_expect_illegal(&c);
    c.operand[2].dim[0] = 20;
    c.operand[2].stride[0] = 512;
    case_expect_illegal(&c);
    c.operand[2].stride[0] = 256;
    c.operand[2].dtype = DTYPE_f32;
    case_expect_illegal(&c);
    c.operand[2].dtype = DTYPE_q4_k;
    c.operand[0].stride[0] = 0;
    case_expect_illegal(&c);
    case_free(&c);
}

/* Products of one A have the bits that each has alone. */
static void check_shared(DType t, int n, int64_t lead, int64_t m, int64_t blocks, const int64_t *columns)
{
    static uint8_t rows[MOST];
    const int64_t k = blocks * dtype_block(t);
    Case c = case_new(KERNEL_gemm_q_shared);
    for (int i = 0; i < n; i++)
        case_add(&c, DTYPE_f32, 3, (int64_t[]){ lead, m, columns[i] }, ROWS);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ lead, m, k }, ROWS);
    for (int i = 0; i < n; i++)
        add_blocks(&c, t, columns[i], k, false, rows);
    c.call.f[0] = 0.375;
    CASE_EACH_ISA(&c, (1u << n) - 1, table) {
        for (int i = 0; i < n; i++) {
            Case one = { .operand = { c.operand[i], c.operand[n], c.operand[n + 1 + i] } };
            float *together = malloc(c.memory[i].bytes + 1);
            assert_non_null(together);
            memcpy(together, c.memory[i].p, c.memory[i].bytes);
            memcpy(c.memory[i].p, c.before[i], c.memory[i].bytes);
            one.call = (Call){ .kernel = KERNEL_gemm_q, .n_operands = 3, .operand = one.operand, .f = { 0.375 } };
            case_run(&one, table, 1);
            if (memcmp(together, c.memory[i].p, c.memory[i].bytes) != 0)
                fail_msg("%s on %s: product %d of %d has other bits alone", dtype_name(t), isa_name(table->isa),
                         i + 1, n);
            free(together);
        }
    }
    case_free(&c);
}

static void test_shared(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        check_shared(types[i], 3, 1, 1, 2, (int64_t[]){ 48, 16, 17 });
        check_shared(types[i], 2, 2, 3, 1, (int64_t[]){ 33, 40 });
        check_shared(types[i], 3, 1, 60, 1, (int64_t[]){ 20, 0, 35 });
        check_shared(types[i], 8, 1, 7, 1, (int64_t[]){ 16, 1, 2, 3, 4, 18, 6, 7 });
    }
    Case c = case_new(KERNEL_gemm_q_shared);
    static uint8_t rows[MOST];
    for (int i = 0; i < 3; i++)
        case_add(&c, DTYPE_f32, 2, (int64_t[]){ 4, i < 2 ? 16 : 32 }, ROWS);
    for (int i = 0; i < 2; i++)
        add_blocks(&c, i ? DTYPE_q4_0 : DTYPE_q8_0, 16, 32, false, rows);
    case_expect_illegal(&c);            /* B of several types */
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_products), cmocka_unit_test(test_hostile), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_bits), cmocka_unit_test(test_panels), cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
