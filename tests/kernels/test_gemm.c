/* The matrix product on every instruction set that this processor has, against sums in double.
 *
 * Tolerance: a float sum of K products in any order, then scaled and added to C, is off by at most
 * gamma = (K + 3) u / (1 - (K + 3) u) of the sum of magnitudes, u = 2^-24 (Higham, "Accuracy and
 * Stability of Numerical Algorithms", 3.1); products rounded apart from sums, or made of three parts each,
 * cost one u more.  No sum is longer than a block of K, at most 256, and blocks are added to C, of
 * which there are at most K / 128 + 1: so a term goes through no more roundings than these together.  At
 * precision 1 the same holds of operands rounded to bf16, and each of K steps may flush what is below
 * the smallest normal number.
 *
 * Operands end where a page that may not be touched begins, scratch is filled with NaN, and every
 * element of C's memory that is not C's must keep its value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/half.h"
#include "base/random.h"
#include "runtime/kernels/gemm_packed.h"
#include "runtime/kernels/select.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t draws;

/* Uniform in 0..n-1. */
static int64_t draw(int64_t n)
{
    return (int64_t)(random_u32(7, 1, draws++) % (uint64_t)n);
}

static float draw_float(void)
{
    return (float)(random_uniform(7, 2, draws++) * 2 - 1);
}

/* Memory whose end is the end of the world. */
typedef struct Guarded {
    void *map;
    size_t mapped, bytes;
    float *p;
} Guarded;

static Guarded guarded(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Guarded g = { .bytes = bytes, .mapped = (bytes + page - 1) / page * page + page };
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect((char *)g.map + g.mapped - page, page, PROT_NONE), 0);
    g.p = (float *)(void *)((char *)g.map + g.mapped - page - bytes);
    return g;
}

static void release(Guarded *g)
{
    munmap(g->map, g->mapped);
}

/* Floats from the first element of `o` to its last. */
static int64_t extent(const Operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->rank; i++) {
        if (o->dim[i] == 0)
            return 0;
        n += (o->dim[i] - 1) * o->stride[i];
    }
    return n;
}

static int64_t elements(const Operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->rank; i++)
        n *= o->dim[i];
    return n;
}

/* A product under test: its call, and the memory of C, A and B. */
typedef struct Product {
    Operand operand[3];
    Call call;
    Guarded memory[3];
} Product;

/* Where element `index` of the row-major order lies. */
static int64_t at(const Operand *o, int64_t index)
{
    int64_t offset = 0;
    for (int i = o->rank - 1; i >= 0; i--) {
        offset += index % o->dim[i] * o->stride[i];
        index /= o->dim[i];
    }
    return offset;
}

static void fill(Product *p)
{
    for (int i = 0; i < 3; i++) {
        Operand *o = &p->operand[i];
        size_t n = (size_t)extent(o);
        p->memory[i] = guarded(n * dtype_size(o->dtype));
        o->data = p->memory[i].p;
        for (size_t j = 0; j < n; j++)
            if (o->dtype == DTYPE_bf16)
                ((uint16_t *)o->data)[j] = bf16_of_f32(draw_float());
            else
                ((float *)o->data)[j] = draw_float();
    }
    p->call.kernel = KERNEL_gemm;
    p->call.n_operands = 3;
    p->call.operand = p->operand;
}

static void free_product(Product *p)
{
    for (int i = 0; i < 3; i++)
        release(&p->memory[i]);
}

/* Runs all tasks in `pieces` ranges, cut anywhere, the last range first. */
static void run(const Product *p, const KernelTable *table, int pieces)
{
    Call call = p->call;
    kernel_prepare(&call);
    Guarded scratch = guarded((kernel_scratch(&call) + 63) / 64 * 64);
    int64_t end = call.n_tasks;
    while (end > 0) {
        int64_t begin = pieces > 1 ? draw(end) : 0;
        memset(scratch.p, 0xff, scratch.bytes);
        table->run[KERNEL_gemm](&call, begin, end, scratch.p);
        end = begin;
        pieces--;
    }
    release(&scratch);
}

/* Element `index` of a factor, as the product takes it. */
static double factor(const Product *p, int i, int64_t index)
{
    const Operand *o = &p->operand[i];
    if (o->dtype == DTYPE_bf16)
        return (double)f32_of_bf16(((const uint16_t *)o->data)[at(o, index)]);
    float x = ((const float *)o->data)[at(o, index)];
    return (double)(p->call.i[4] ? f32_of_bf16(bf16_of_f32(x)) : x);
}

/* The sum for element `index` of C, and the sum of magnitudes that bounds its error. */
static double oracle(const Product *p, const float *c, int64_t index, double *magnitude)
{
    const Operand *oc = &p->operand[0], *oa = &p->operand[1];
    int64_t n = oc->dim[oc->rank - 1], k = oa->dim[oa->rank - 1];
    int64_t row = index / n, batch = row / oc->dim[oc->rank - 2], column = index % n;
    double sum = 0, size = 0;
    for (int64_t i = 0; i < k; i++) {
        double a = factor(p, 1, row * k + i), b = factor(p, 2, (batch * k + i) * n + column);
        sum += a * b;
        size += fabs(a * b);
    }
    double alpha = (double)(float)p->call.f[0], old = p->call.i[0] ? (double)c[at(oc, index)] : 0;
    *magnitude = fabs(alpha) * size + fabs(old);
    return alpha * sum + old;
}

static void assert_close(const Product *p, const char *isa, int64_t index, double got, double want,
                         double magnitude)
{
    const Operand *a = &p->operand[1];
    double u = 0x1p-24, k = (double)a->dim[a->rank - 1];
    double ku = (fmin(k, 256 + k / 128 + 1) + 4) * u;
    double bound = ku / (1 - ku) * magnitude + (k + 1) * (double)FLT_MIN;
    bool same = isnan(want) ? isnan(got) : isinf(want) ? got == want : fabs(got - want) <= bound;
    if (!same)
        fail_msg("%s: element %lld is %.9g, expected %.9g within %.3g", isa, (long long)index, got,
                 want, bound);
}

/* Runs on every instruction set, whole and in pieces. */
static void verify(Product *p)
{
    Error err;
    if (!kernel_check(&p->call, &err))
        fail_msg("refused: %s", err.text);
    const Operand *c = &p->operand[0];
    size_t bytes = p->memory[0].bytes;
    float *before = malloc(bytes + 1), *whole = malloc(bytes + 1);
    bool *inside = calloc(bytes / sizeof(float) + 1, sizeof(bool));
    size_t n = (size_t)elements(c);
    double *want = calloc(n + 1, sizeof *want), *magnitude = calloc(n + 1, sizeof *magnitude);
    assert_true(before && whole && inside && want && magnitude);
    memcpy(before, c->data, bytes);
    for (size_t i = 0; i < n; i++) {
        inside[at(c, (int64_t)i)] = true;
        want[i] = oracle(p, before, (int64_t)i, &magnitude[i]);
    }
    for (int t = 0; t < N_ISAS; t++) {
        const char *isa = isa_name((Isa)t);
        if (!isa_supported((Isa)t) || !kernels_own((Isa)t, KERNEL_gemm))
            continue;
        memcpy(c->data, before, bytes);
        run(p, kernels_table((Isa)t), 1);
        memcpy(whole, c->data, bytes);
        for (size_t i = 0; i < n; i++)
            assert_close(p, isa, (int64_t)i, (double)whole[at(c, (int64_t)i)], want[i],
                         magnitude[i]);
        for (size_t i = 0; i < bytes / sizeof(float); i++)
            if (!inside[i] && memcmp(&whole[i], &before[i], sizeof(float)) != 0)
                fail_msg("%s: wrote outside of C at %zu", isa, i);
        for (int pieces = 2; pieces < 9; pieces += 3) {
            memcpy(c->data, before, bytes);
            run(p, kernels_table((Isa)t), pieces);
            if (memcmp(c->data, whole, bytes) != 0)
                fail_msg("%s: other bits when run in %d pieces", isa, pieces);
        }
    }
    memcpy(c->data, before, bytes);
    free(before);
    free(whole);
    free(inside);
    free(want);
    free(magnitude);
}

/* How a matrix lies: its rows one after the other, its columns, or with gaps both ways. */
typedef enum Layout { ROWS, COLUMNS, GAPS, N_LAYOUTS } Layout;

static Operand matrix(int64_t rows, int64_t columns, Layout layout, int64_t pad)
{
    Operand o = { .rank = 2, .dtype = DTYPE_f32, .dim = { rows, columns } };
    o.stride[0] = layout == ROWS ? columns + pad : layout == COLUMNS ? 1 : 3 * columns + pad;
    o.stride[1] = layout == ROWS ? 1 : layout == COLUMNS ? rows + pad : 3;
    return o;
}

/* Types of A and B, and precision: all that a product may ask for. */
static const struct { DType a, b; int64_t precision; } modes[] = {
    { DTYPE_f32, DTYPE_f32, 1 },  { DTYPE_f32, DTYPE_bf16, 0 },  { DTYPE_f32, DTYPE_bf16, 1 },
    { DTYPE_bf16, DTYPE_f32, 0 }, { DTYPE_bf16, DTYPE_bf16, 1 }, { DTYPE_bf16, DTYPE_f32, 1 },
    { DTYPE_bf16, DTYPE_bf16, 0 },
};

/* A product of floats, and of one mode after the other. */
static void verify_plain(int64_t m, int64_t n, int64_t k, Layout a, Layout b, int64_t pad,
                         double alpha, bool accumulate)
{
    static size_t turn;
    for (int plain = 0; plain < 2; plain++) {
        Product p = { .operand = { matrix(m, n, ROWS, pad), matrix(m, k, a, pad),
                                   matrix(k, n, b, pad) } };
        p.call.f[0] = alpha;
        p.call.i[0] = accumulate;
        if (!plain) {
            size_t mode = turn++ % COUNT_OF(modes);
            p.operand[1].dtype = modes[mode].a;
            p.operand[2].dtype = modes[mode].b;
            p.call.i[4] = modes[mode].precision;
        }
        fill(&p);
        verify(&p);
        free_product(&p);
    }
}

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
        for (size_t mode = 0; mode < 2 * COUNT_OF(modes); mode++)
            verify_plain(sizes[i][0], sizes[i][1], sizes[i][2], mode % 3 == 2 ? COLUMNS : ROWS,
                         mode >= COUNT_OF(modes) ? ROWS : COLUMNS, mode % 2 ? 3 : 0, -0.7, mode % 4 == 3);
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

/* Leading axes with sizes `dim`; an operand whose bit is not set for an axis repeats along it. */
static Operand batched(Operand o, int lead, const int64_t *dim, unsigned present, int64_t gap)
{
    Operand r = { .rank = o.rank + lead, .dtype = o.dtype };
    int64_t step = extent(&o) + gap;
    memcpy(r.dim + lead, o.dim, 2 * sizeof *o.dim);
    memcpy(r.stride + lead, o.stride, 2 * sizeof *o.stride);
    for (int i = lead - 1; i >= 0; i--) {
        r.dim[i] = dim[i];
        r.stride[i] = present >> i & 1 ? step : 0;
        step *= present >> i & 1 ? dim[i] : 1;
    }
    return r;
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
    fill(&p);
    verify(&p);
    free_product(&p);
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
    fill(&p);
    fill(&flat);
    kernel_prepare(&p.call);
    kernel_prepare(&flat.call);
    assert_int_equal(p.call.n_tasks, flat.call.n_tasks);
    assert_memory_equal(p.call.derived, flat.call.derived, sizeof flat.call.derived);
    verify(&p);
    free_product(&p);
    free_product(&flat);
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
    fill(&p);
    verify(&p);
    free_product(&p);

    /* A folds into rows, C does not. */
    Product gaps = { .operand = { batched(matrix(6, 40, ROWS, 0), 1, dim, 1, 9),
                                  batched(matrix(6, 30, ROWS, 0), 1, dim, 1, 0),
                                  batched(matrix(30, 40, ROWS, 0), 1, dim, 0, 0) } };
    gaps.call.f[0] = 1;
    fill(&gaps);
    verify(&gaps);
    free_product(&gaps);

    Product column = { .operand = { { .rank = 2, .dtype = DTYPE_f32, .dim = { 45, 1 },
                                      .stride = { 7, 9 } },
                                    matrix(45, 30, ROWS, 0), matrix(30, 1, ROWS, 0) } };
    column.call.f[0] = 1;
    fill(&column);
    verify(&column);
    free_product(&column);
}

/* ---- what follows the product ------------------------------------------------------------------ */

/* C as `table` makes it, and with the row instructions of the table behind it. */
static void finish_apart(const Product *p, const KernelTable *table, const float *bias, Operand r,
                         RowOp activation)
{
    Operand c = p->operand[0];
    const int64_t rows = c.dim[c.rank - 2];
    const size_t n = (size_t)c.dim[c.rank - 1];
    run(p, table, 1);
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
        const bool has = isa_supported(isa) && kernels_own(isa, KERNEL_gemm);
        for (int pieces = has ? 1 : 9; pieces < 8; pieces += 3) {
            memcpy(p->memory[0].p, before, bytes);
            finish_apart(p, kernels_table(isa), bias ? b.p : NULL,
                         residual ? all[n - 1] : (Operand){ 0 }, activation);
            memcpy(want, p->memory[0].p, bytes);
            memcpy(p->memory[0].p, before, bytes);
            run(&whole, kernels_table(isa), pieces);
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
            fill(&p);
            verify_finished(&p, mode & 4 ? &residual : NULL, mode & 8, acts[(i + (size_t)mode) % 3]);
            free_product(&p);
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
        fill(&p);
        verify_finished(&p, &residual, true, ROW_silu);
        free_product(&p);
    }
}

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
        const bool has = isa_supported(isa) && kernels_own(isa, KERNEL_gemm);
        for (int pieces = has ? 1 : 9; pieces < 8; pieces += 3) {
            memcpy(p->memory[0].p, before, bytes);
            run(p, kernels_table(isa), 1);
            memcpy(want, p->memory[0].p, bytes);
            memcpy(p->memory[0].p, before, bytes);
            memset(s.p, 0xff, s.bytes);
            run(&whole, kernels_table(isa), pieces);
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
            fill(&p);
            verify_squared(&p);
            free_product(&p);
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
        fill(&p);
        p.memory[1].p[ROW * p.operand[1].stride[0] + AT] = 3.4e38f;
        for (int64_t j = 0; j < columns[i]; j++)
            p.memory[2].p[AT * p.operand[2].stride[0] + j] *= 1e-37f;
        verify_squared(&p);
        free_product(&p);
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
        fill(&p);
        memset(p.operand[1].data, 0, (size_t)k * sizeof(float));
        ((float *)p.operand[2].data)[draw(n * k)] = special[i % 3];
        ((float *)p.operand[1].data)[draw(m * k)] = special[draw(5)];
        if (i % 8 == 7)
            ((float *)p.operand[0].data)[draw(m * n)] = special[draw(5)];
        verify(&p);
        free_product(&p);
    }
}

/* ---- B packed before ------------------------------------------------------------------------------ */

/* Packs B for the set, in memory that ends where it must; false where the set would have it as it is. */
static bool pack_b(Product *p, const KernelTable *table, Guarded *packed)
{
    Operand *b = &p->operand[2];
    bool split;
    size_t bytes;
    assert_true(gemm_reads_as_b(&p->call, 2, &split));
    const OperandLayout layout = split ? table->packs.split : table->packs.whole;
    const GemmUnpacked from = { b->data, b->dim[0], b->dim[1] };
    if (layout == LAYOUT_STRIDES)
        return false;
    assert_true(gemm_packed_bytes(from.k, from.n, &bytes));
    *packed = guarded(bytes);
    const int64_t panels = (from.n + GEMM16_NR - 1) / GEMM16_NR, some = draw(panels + 1);
    gemm_packed_fill(&from, layout, some, panels, (void *)packed->p);
    gemm_packed_fill(&from, layout, 0, some, (void *)packed->p);
    b->data = packed->p;
    b->layout = layout;
    return true;
}

/* Whole and in pieces, packed, has the bits that it has without. */
static void verify_packed(Product *p, int *met)
{
    const size_t bytes = p->memory[0].bytes;
    const Operand b = p->operand[2];
    float *c = p->operand[0].data, *before = malloc(bytes), *want = malloc(bytes);
    assert_true(before && want);
    memcpy(before, c, bytes);
    for (int t = 0; t < N_ISAS; t++) {
        Guarded packed;
        if (!isa_supported((Isa)t))
            continue;
        const KernelTable *table = kernels_table((Isa)t);
        run(p, table, 1);
        memcpy(want, c, bytes);
        for (int pieces = 1; pieces < 6 && pack_b(p, table, &packed); pieces += 4) {
            memcpy(c, before, bytes);
            run(p, table, pieces);
            if (memcmp(c, want, bytes) != 0)
                fail_msg("%s: %lld x %lld x %lld has other bits with B packed, in %d pieces", isa_name((Isa)t),
                         (long long)p->operand[0].dim[0], (long long)p->operand[1].dim[1],
                         (long long)b.dim[1], pieces);
            p->operand[2] = b;
            release(&packed);
            ++*met;
        }
        memcpy(c, before, bytes);
    }
    free(before);
    free(want);
}

/* Sizes around panels, steps, blocks of K and the few rows that have paths of their own. */
static void test_packed(void **state)
{
    static const int64_t ms[] = { 1, 2, 3, 4, 5, 6, 7, 13, 31, 32, 33, 64, 70 };
    static const int64_t ns[] = { 2, 15, 16, 17, 32, 33, 48, 64, 96, 130, 200 };
    static const int64_t ks[] = { 1, 16, 31, 32, 33, 64, 130, 256, 272, 300, 576, 1030 };
    int met = 0, wanted = 0;
    (void)state;
    for (int i = 0; i < 400; i++) {
        const int64_t m = ms[i % 13], n = ns[draw(11)], k = ks[draw(12)];
        const bool across = draw(4) == 0;
        Product p = { .operand = {
            { .rank = 2, .dtype = DTYPE_f32, .dim = { m, n }, .stride = { n + draw(3), 1 } },
            { .rank = 2, .dtype = draw(3) ? DTYPE_f32 : DTYPE_bf16, .dim = { m, k },
              .stride = { across ? 1 : k, across ? m : 1 } },
            { .rank = 2, .dtype = DTYPE_bf16, .dim = { k, n }, .stride = { n, 1 } },
        } };
        fill(&p);
        p.call.i[0] = draw(2);
        p.call.i[4] = draw(2);
        p.call.f[0] = draw(2) ? 1 : 0.7;
        if (i % 7 == 0)                 /* a panel of A that has no parts */
            for (int j = 0; j < 2; j++)
                if (p.operand[1].dtype == DTYPE_f32)
                    ((float *)p.operand[1].data)[draw(m * k)] = j ? INFINITY : NAN;
        for (int t = 0; t < N_ISAS; t++)
            wanted += isa_supported((Isa)t) && (Isa)t == kernels_table((Isa)t)->isa
                && kernels_table((Isa)t)->packs.whole != LAYOUT_STRIDES;
        verify_packed(&p, &met);
        free_product(&p);
    }
    assert_true(wanted == 0 || met > wanted / 2);
}

/* Rows of A in whole lines of memory are read where they lie, others packed: with the same bits, beside a B that
 * is packed and one that is not. */
static void verify_rows(int64_t m, int64_t n, int64_t k)
{
    Product p = { .operand = {
        { .rank = 2, .dtype = DTYPE_f32, .dim = { m, n }, .stride = { n, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { m, k }, .stride = { k, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { k, n }, .stride = { n, 1 } },
    } };
    const size_t bytes = sizeof(float) * (size_t)(m * n);
    uint16_t *apart = malloc(sizeof *apart * (size_t)(m * (k + 2)));
    float *want = malloc(bytes);
    fill(&p);
    p.call.i[4] = 1;
    p.call.f[0] = 1;
    Operand *a = &p.operand[1];
    const Operand lies = *a;
    assert_true(apart && want);
    for (int64_t i = 0; i < m; i++)
        memcpy(apart + i * (k + 2), (const uint16_t *)lies.data + i * k, sizeof *apart * (size_t)k);
    for (int t = 0; t < N_ISAS; t++) {
        if (!isa_supported((Isa)t) || kernels_table((Isa)t)->packs.whole == LAYOUT_STRIDES)
            continue;
        a->data = apart;
        a->stride[0] = k + 2;
        run(&p, kernels_table((Isa)t), 1);
        memcpy(want, p.operand[0].data, bytes);
        *a = lies;
        run(&p, kernels_table((Isa)t), 1);
        if (memcmp(p.operand[0].data, want, bytes) != 0)
            fail_msg("%s: %lld x %lld x %lld has other bits where rows of A lie apart", isa_name((Isa)t),
                     (long long)m, (long long)k, (long long)n);
    }
    free(apart);
    free(want);
    free_product(&p);
}

static void test_rows(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 16, 64, 160 }, { 48, 40, 1088 }, { 170, 320, 544 }, { 128, 33, 1024 }, { 33, 70, 256 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        verify_rows(sizes[i][0], sizes[i][1], sizes[i][2]);
}

/* A B of many columns, each a run of memory, is packed with all of its K at once: a few of its columns alone, which
 * are packed by blocks of K, have the same bits. */
static void test_many_columns(void **state)
{
    (void)state;
    const int64_t m = 20, k = 544, n = 61720, some = 100, first = n - some;
    Product p = { .operand = {
        { .rank = 2, .dtype = DTYPE_f32, .dim = { m, n }, .stride = { n, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { m, k }, .stride = { k, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { k, 1 }, .stride = { 1, k } },
    } };
    fill(&p);
    uint16_t *b = malloc(sizeof *b * (size_t)(k * n));
    float *c = p.operand[0].data, *few = malloc(sizeof *few * (size_t)(m * some));
    assert_true(b && few);
    for (int64_t i = 0; i < k * n; i++)
        b[i] = bf16_of_f32((float)(i * 7919 % 65537 - 32768) / 32768);
    p.call.i[4] = 1;
    p.call.f[0] = 1;
    for (int t = 0; t < N_ISAS; t++) {
        if (!isa_supported((Isa)t) || kernels_table((Isa)t)->packs.whole == LAYOUT_STRIDES)
            continue;
        Product all = p, part = p;
        all.call.operand = all.operand;
        all.operand[2].data = b;
        all.operand[2].dim[1] = n;
        run(&all, kernels_table((Isa)t), 1);
        part.call.operand = part.operand;
        part.operand[0] = (Operand){ .rank = 2, .dtype = DTYPE_f32, .dim = { m, some }, .stride = { some, 1 },
                                     .data = few };
        part.operand[2].data = b + first * k;
        part.operand[2].dim[1] = some;
        run(&part, kernels_table((Isa)t), 1);
        for (int64_t i = 0; i < m; i++)
            if (memcmp(c + i * n + first, few + i * some, sizeof *few * (size_t)some) != 0)
                fail_msg("%s: row %lld has other bits among many columns", isa_name((Isa)t), (long long)i);
    }
    free(b);
    free(few);
    free_product(&p);
}

/* Rows enough to fetch a packed B's next block beside this one's products, whose last columns are fewer. */
static void test_packed_blocks(void **state)
{
    (void)state;
    int met = 0;
    Product p = { .operand = {
        { .rank = 2, .dtype = DTYPE_f32, .dim = { 144, 600 }, .stride = { 600, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { 144, 576 }, .stride = { 576, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { 576, 600 }, .stride = { 600, 1 } },
    } };
    fill(&p);
    p.call.i[4] = 1;
    p.call.f[0] = 1;
    verify_packed(&p, &met);
    free_product(&p);
}

/* What is no matrix to pack. */
static void test_packed_refusals(void **state)
{
    bool split;
    (void)state;
    Operand o[4] = {
        { .rank = 3, .dtype = DTYPE_f32, .dim = { 2, 4, 64 }, .stride = { 256, 64, 1 } },
        { .rank = 3, .dtype = DTYPE_f32, .dim = { 2, 4, 32 }, .stride = { 128, 32, 1 } },
        { .rank = 3, .dtype = DTYPE_bf16, .dim = { 2, 32, 64 }, .stride = { 0, 64, 1 } },
    };
    Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = o, .f = { 1 } };
    assert_true(gemm_reads_as_b(&call, 2, &split) && split);
    call.i[4] = 1;
    assert_true(gemm_reads_as_b(&call, 2, &split) && !split);
    assert_false(gemm_reads_as_b(&call, 1, &split));
    o[2].stride[0] = 32 * 64;
    assert_false(gemm_reads_as_b(&call, 2, &split));                    /* a batch of matrices */
    o[2].stride[0] = 0;
    o[2].stride[1] = 65;
    assert_false(gemm_reads_as_b(&call, 2, &split));                    /* part of a larger one */
    o[2].stride[1] = 1;
    o[2].stride[2] = 32;
    assert_false(gemm_reads_as_b(&call, 2, &split));                    /* transposed */
    o[2].stride[1] = 64;
    o[2].stride[2] = 1;
    o[2].dtype = DTYPE_f32;
    assert_false(gemm_reads_as_b(&call, 2, &split));
    o[2].dtype = DTYPE_bf16;
    call.kernel = KERNEL_masked_matmul;
    assert_false(gemm_reads_as_b(&call, 2, &split));
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
    fill(&p);
    p.call.n_tasks = 9;
    kernel_prepare(&p.call);
    assert_int_equal(p.call.n_tasks, 0);
    free_product(&p);
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
        cmocka_unit_test(test_streams), cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_leading_axes_fold),
        cmocka_unit_test(test_strided_output),
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_epilogues_of_batches),
        cmocka_unit_test(test_epilogue_refusals),
        cmocka_unit_test(test_squares),
        cmocka_unit_test(test_squares_beside_large),
        cmocka_unit_test(test_squares_refusals),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_packed_blocks),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_many_columns),
        cmocka_unit_test(test_packed_refusals),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
