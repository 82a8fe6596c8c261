/* Coded matrices: every bit pattern comes back, and what reads one has the bits that it has with the matrix as it
 * was, on every instruction set that reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/half.h"
#include "base/random.h"
#include "runtime/kernels/gemm_coded.h"
#include "runtime/kernels/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t draws;

static int64_t draw(int64_t n)
{
    return (int64_t)(random_u32(11, 1, draws++) % (uint64_t)n);
}

static float draw_normal(void)
{
    return (float)random_normal(11, 2, draws++);
}

static void *allocate(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(p);
    return p;
}

static size_t size_of(DType type)
{
    return type == DTYPE_bf16 ? 2 : 4;
}

static void put(DType type, void *x, int64_t i, uint32_t bits)
{
    if (type == DTYPE_bf16)
        ((uint16_t *)x)[i] = (uint16_t)(bits >> 16);
    else
        ((uint32_t *)x)[i] = bits;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* How numbers are made. */
typedef enum Kind { NORMAL, ZEROS, SOME_ZEROS, ANYTHING, SOME_ODD, WIDE, SMALL, N_KINDS } Kind;

static uint32_t draw_bits(Kind kind)
{
    static const uint32_t odd[] = { 0x7f800000, 0xff800000, 0x7fc12345, 0xffa54321, 0x80000000, 0x00012345, 0x7f7fffff };
    switch (kind) {
    case NORMAL:     return bits_of(0.02f * draw_normal());
    case ZEROS:      return 0;
    case SOME_ZEROS: return draw(3) ? bits_of(draw_normal()) : (uint32_t)draw(2) << 31;
    case ANYTHING:   return random_u32(11, 3, draws++);
    case SOME_ODD:   return draw(4000) ? bits_of(draw_normal()) : odd[draw(7)];
    case WIDE:       return bits_of(ldexpf(draw_normal(), (int)draw(40) - 20));
    case SMALL:      return random_u32(11, 3, draws++) & 0x87ffffff;      /* exponents 0 to 15 */
    case N_KINDS:    break;
    }
    return 0;
}

static void *draw_matrix(DType type, Kind kind, int64_t n)
{
    void *x = allocate((size_t)n * size_of(type));
    for (int64_t i = 0; i < n; i++)
        put(type, x, i, draw_bits(kind));
    return x;
}

/* Memory whose end is the end of the world. */
typedef struct Guarded {
    char *map;
    size_t mapped;
    void *p;
} Guarded;

static Guarded guarded(const void *from, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Guarded g = { .mapped = (bytes + page - 1) / page * page + page };
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    g.p = g.map + g.mapped - page - bytes;
    memcpy(g.p, from, bytes);
    assert_int_equal(mprotect(g.map + g.mapped - page, page, PROT_NONE), 0);
    return g;
}

/* Of any set that the processor has. */
static CodedFill *draw_fill(void)
{
    int isa = (int)draw(N_ISAS);
    while (!isa_supported((Isa)isa))
        isa = (int)draw(N_ISAS);
    return kernels_table((Isa)isa)->packs.fill;
}

static CodedForm draw_form(void)
{
    return (CodedForm)draw(CODED_BYTES_DOWN + 1);
}

/* The matrix coded, in as many bytes as it takes; false where that does not pay. */
static bool code(DType type, CodedForm form, int64_t rows, int64_t columns, const void *from, Guarded *out)
{
    const size_t plain = (size_t)(rows * columns) * size_of(type);
    Coded c = coded_matrix(type, rows, columns, NULL);
    size_t bytes;
    if (!coded_pays(&c, 0))
        return false;
    void *data = allocate(plain);
    c = coded_matrix(type, rows, columns, data);
    coded_begin(&c, from, form);
    const int64_t some = draw(c.down + 1);
    draw_fill()(&c, from, some, c.down);
    draw_fill()(&c, from, 0, some);
    const bool pays = coded_end(&c, from);
    const int64_t n_plain = ((const CodedHead *)data)->n_plain;
    assert_int_equal(pays, coded_pays(&c, n_plain));
    assert_true(!pays || (coded_bytes(&c, n_plain, &bytes) && bytes <= plain - plain / 12));
    if (pays)
        *out = guarded(data, bytes);
    free(data);
    return pays;
}

static void assert_comes_back(DType type, int64_t rows, int64_t columns, const void *from, const void *coded)
{
    const Coded c = coded_matrix(type, rows, columns, (void *)(uintptr_t)coded);
    float *row = allocate((size_t)columns * sizeof *row);
    for (int64_t r = 0; r < rows; r++) {
        coded_row(&c, r, row);
        for (int64_t j = 0; j < columns; j++) {
            const int64_t i = r * columns + j;
            const uint32_t want = type == DTYPE_bf16 ? (uint32_t)((const uint16_t *)from)[i] << 16
                                                     : ((const uint32_t *)from)[i];
            assert_int_equal(bits_of(row[j]), want);
            if (draw(16) == 0)
                assert_int_equal(bits_of(coded_element(&c, r, j)), want);
        }
    }
    free(row);
}

static void numbers_come_back(void **state)
{
    (void)state;
    int paid[N_KINDS] = { 0 };
    for (int i = 0; i < 140; i++) {
        const DType type = i % 2 ? DTYPE_bf16 : DTYPE_f32;
        const Kind kind = (Kind)(i / 2 % N_KINDS);
        const int64_t rows = 40 + draw(60), columns = 40 + draw(300);
        void *from = draw_matrix(type, kind, rows * columns);
        Guarded coded;
        if (code(type, draw_form(), rows, columns, from, &coded)) {
            paid[kind]++;
            assert_comes_back(type, rows, columns, from, coded.p);
            munmap(coded.map, coded.mapped);
        }
        free(from);
    }
    assert_int_equal(paid[ANYTHING], 0);
    assert_int_equal(paid[WIDE], 0);
    for (int k = 0; k < N_KINDS; k++)
        assert_true(k == ANYTHING || k == WIDE || paid[k] > 2);
}

/* All numbers of bf16, and all exponents of f32 with all sorts of fractions, among others that are common. */
static void every_pattern_comes_back(void **state)
{
    (void)state;
    enum { ROWS = 4096, COLUMNS = 512 };
    for (int t = 0; t < 4; t++) {
        const DType type = t ? DTYPE_bf16 : DTYPE_f32;
        const CodedForm form = t ? (CodedForm)(t - 1) : CODED_EXPONENTS;
        void *from = draw_matrix(type, SMALL, ROWS * COLUMNS);
        Guarded coded;
        for (uint32_t i = 0; i < 0x10000; i++)          /* in cells side by side, so that most stay as they are */
            put(type, from, i % 64 + i / 64 * COLUMNS,
                i << 16 | (t ? 0 : (uint32_t)draw(0x10000)));
        assert_true(code(type, form, ROWS, COLUMNS, from, &coded));
        assert_comes_back(type, ROWS, COLUMNS, from, coded.p);
        munmap(coded.map, coded.mapped);
        free(from);
    }
}

/* ---- products ----------------------------------------------------------------------------------- */

static void run(const KernelTable *table, Call *call, int pieces)
{
    kernel_prepare(call);
    void *scratch = allocate(kernel_scratch(call));
    for (int p = 0; p < pieces; p++) {
        const int64_t first = p * call->n_tasks / pieces, last = (p + 1) * call->n_tasks / pieces;
        if (first < last)
            table->run[call->kernel](call, first, last, scratch);
    }
    free(scratch);
}

typedef struct Case {
    int64_t m, k, n;
    bool turned;
    DType a, b;
    bool accumulate, rounds;
} Case;

static Call product(const Case *p, Operand operand[3], float *c, void *a, void *b)
{
    operand[0] = (Operand){ .data = c, .rank = 2, .dtype = DTYPE_f32, .dim = { p->m, p->n }, .stride = { p->n, 1 } };
    operand[1] = (Operand){ .data = a, .rank = 2, .dtype = p->a, .dim = { p->m, p->k }, .stride = { p->k, 1 } };
    operand[2] = (Operand){ .data = b, .rank = 2, .dtype = p->b, .dim = { p->k, p->n },
                            .stride = { p->turned ? 1 : p->n, p->turned ? p->k : 1 } };
    return (Call){ .kernel = KERNEL_gemm, .n_operands = 3, .operand = operand, .f = { 0.7 },
                   .i = { [0] = p->accumulate, [4] = p->rounds } };
}

static bool reads(const KernelTable *table, DType type)
{
    return type == DTYPE_f32 ? table->packs.codes_near : table->packs.codes;
}

/* Whole and in pieces, on every set that reads coded matrices; returns on how many it was compared. */
static int assert_same_products(const Case *p, Kind kind)
{
    const int64_t rows = p->turned ? p->n : p->k, columns = p->turned ? p->k : p->n;
    void *a = draw_matrix(p->a, NORMAL, p->m * p->k), *b = draw_matrix(p->b, kind, rows * columns);
    const size_t bytes = (size_t)(p->m * p->n) * sizeof(float);
    float *before = draw_matrix(DTYPE_f32, NORMAL, p->m * p->n), *want = allocate(bytes), *c = allocate(bytes);
    int met = 0;
    for (int t = 0; t < N_ISAS; t++) {
        Operand operand[3];
        Guarded coded;
        if (!isa_supported((Isa)t) || !reads(kernels_table((Isa)t), p->b))
            continue;
        const KernelTable *table = kernels_table((Isa)t);
        const bool down = table->packs.form == CODED_BYTES && !p->turned && draw(4);
        if (!code(p->b, down ? CODED_BYTES_DOWN : table->packs.form, rows, columns, b, &coded))
            continue;
        memcpy(want, before, bytes);
        Call call = product(p, operand, want, a, b);
        assert_int_equal(coded_use(&call, 2, rows, columns), p->turned ? CODED_TURNED : CODED_STRAIGHT);
        run(table, &call, 1);
        for (int pieces = 1; pieces < 6; pieces += 3) {
            memcpy(c, before, bytes);
            call = product(p, operand, c, a, coded.p);
            operand[2].layout = LAYOUT_CODED;
            run(table, &call, pieces);
            if (memcmp(c, want, bytes) != 0)
                fail_msg("%s: %d x %d x %d%s of %s, kind %d, has other bits with B coded, in %d pieces",
                         isa_name((Isa)t), (int)p->m, (int)p->k, (int)p->n, p->turned ? " turned" : "",
                         dtype_name(p->b), (int)kind, pieces);
            met++;
        }
        munmap(coded.map, coded.mapped);
    }
    free(c);
    free(want);
    free(before);
    free(b);
    free(a);
    return met;
}

/* Sizes around cells, steps, blocks of K and the few rows that have paths of their own. */
static void products_are_the_same(void **state)
{
    (void)state;
    static const int64_t ms[] = { 1, 2, 3, 4, 5, 6, 7, 13, 31, 32, 33, 70, 1, 1 };
    static const int64_t ns[] = { 32, 33, 40, 64, 96, 130, 200, 333 }, ks[] = { 32, 33, 64, 130, 256, 288, 300, 576, 1030 };
    static const Kind kinds[] = { NORMAL, SOME_ZEROS, SOME_ODD, NORMAL, SMALL };
    int met = 0;
    for (int i = 0; i < 420; i++) {
        Case p = { .m = ms[i % 14], .n = ns[draw(8)], .k = ks[draw(9)], .turned = draw(2), .accumulate = draw(2) };
        p.b = draw(2) ? DTYPE_bf16 : DTYPE_f32;
        p.a = p.b == DTYPE_bf16 && draw(3) == 0 ? DTYPE_bf16 : DTYPE_f32;
        p.rounds = p.b == DTYPE_bf16 && draw(2);
        met += assert_same_products(&p, kinds[i % 5]);
    }
    bool halves = false, floats = false;
    for (int t = 0; t < N_ISAS; t++) {
        halves |= isa_supported((Isa)t) && reads(kernels_table((Isa)t), DTYPE_bf16);
        floats |= isa_supported((Isa)t) && reads(kernels_table((Isa)t), DTYPE_f32);
    }
    /* None on processors without a set that reads them: so it is on Arm. */
    assert_true(met >= 150 * (halves + floats));
}

static void picked_rows_are_the_same(void **state)
{
    (void)state;
    enum { V = 79, C = 95, N = 9 };
    int32_t ids[N] = { 0, 78, 3, 17, 79, 68, -1, 5, 33 };
    for (int i = 0; i < 4; i++) {
        const DType type = i ? DTYPE_bf16 : DTYPE_f32;
        const CodedForm form = i ? (CodedForm)(i - 1) : CODED_EXPONENTS;
        void *from = draw_matrix(type, SMALL, V * C);
        float want[N * C], got[N * C];
        Guarded coded;
        assert_true(code(type, form, V, C, from, &coded));
        for (int t = 0; t < N_ISAS; t++) {
            Operand o[3] = {
                { .data = want, .rank = 2, .dtype = DTYPE_f32, .dim = { N, C }, .stride = { C, 1 } },
                { .data = from, .rank = 2, .dtype = type, .dim = { V, C }, .stride = { C, 1 } },
                { .data = ids, .rank = 1, .dtype = DTYPE_i32, .dim = { N }, .stride = { 1 } },
            };
            Call call = { .kernel = KERNEL_embedding, .n_operands = 3, .operand = o };
            if (!isa_supported((Isa)t))
                continue;
            assert_int_equal(coded_use(&call, 1, V, C), CODED_ROWS);
            run(kernels_table((Isa)t), &call, 1);
            o[0].data = got;
            o[1].data = coded.p;
            o[1].layout = LAYOUT_CODED;
            run(kernels_table((Isa)t), &call, 2);
            assert_memory_equal(got, want, sizeof want);
        }
        munmap(coded.map, coded.mapped);
        free(from);
    }
}

/* What no kernel reads coded. */
static void refusals(void **state)
{
    (void)state;
    const Case p = { .m = 1, .k = 64, .n = 96, .turned = true, .a = DTYPE_f32, .b = DTYPE_f32 };
    Operand o[3];
    Call call = product(&p, o, NULL, NULL, NULL);
    assert_int_equal(coded_use(&call, 2, 96, 64), CODED_TURNED);
    assert_int_equal(coded_use(&call, 1, 1, 64), CODED_NOT);            /* A */
    assert_int_equal(coded_use(&call, 2, 95, 64), CODED_NOT);           /* a part of it */
    o[2].stride[1] = 65;
    assert_int_equal(coded_use(&call, 2, 96, 64), CODED_NOT);
    o[2].stride[1] = 64;
    call.i[4] = 1;                                                      /* floats that are rounded */
    assert_int_equal(coded_use(&call, 2, 96, 64), CODED_NOT);
    call.i[4] = 0;
    call.kernel = KERNEL_copy;
    assert_int_equal(coded_use(&call, 2, 96, 64), CODED_NOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(every_pattern_comes_back),
        cmocka_unit_test(products_are_the_same),
        cmocka_unit_test(picked_rows_are_the_same),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
