/* Products of random numbers, and what they shall be in double. */
#include "tests/kernels/gemm_product.h"

#include "base/half.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Operand matrix(int64_t rows, int64_t columns, Layout layout, int64_t pad)
{
    Operand o = { .rank = 2, .dtype = DTYPE_f32, .dim = { rows, columns } };
    o.stride[0] = layout == ROWS ? columns + pad : layout == COLUMNS ? 1 : 3 * columns + pad;
    o.stride[1] = layout == ROWS ? 1 : layout == COLUMNS ? rows + pad : 3;
    return o;
}

Operand batched(Operand o, int lead, const int64_t *dim, unsigned present, int64_t gap)
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

void product_fill(Product *p)
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

void product_free(Product *p)
{
    for (int i = 0; i < 3; i++)
        release(&p->memory[i]);
}

void product_run(const Product *p, const KernelTable *table, int pieces)
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

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    assert_non_null(p);
    return p;
}

/* The elements of a factor in row-major order, as the product takes them. */
static double *factor(const Product *p, int operand)
{
    const Operand *o = &p->operand[operand];
    const int64_t n = elements(o);
    double *x = allocate((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = at(o, i);
        if (o->dtype == DTYPE_bf16)
            x[i] = (double)f32_of_bf16(((const uint16_t *)o->data)[from]);
        else if (p->call.i[4])
            x[i] = (double)f32_of_bf16(bf16_of_f32(((const float *)o->data)[from]));
        else
            x[i] = (double)((const float *)o->data)[from];
    }
    return x;
}

/* What C shall be, in row-major order. */
typedef struct Wanted {
    double *value, *magnitude;          /* sums, and the sums of magnitudes that bound their errors */
} Wanted;

static Wanted oracle(const Product *p)
{
    const Operand *c = &p->operand[0];
    const int64_t count = elements(c), m = c->dim[c->rank - 2], n = c->dim[c->rank - 1];
    const int64_t k = p->operand[1].dim[c->rank - 1];
    const Wanted w = { allocate((size_t)count, sizeof(double)), allocate((size_t)count, sizeof(double)) };
    double *a = factor(p, 1), *all_b = factor(p, 2);
    for (int64_t row = 0; row * n < count; row++) {
        const double *b = all_b + row / m * k * n;
        double *sum = w.value + row * n, *size = w.magnitude + row * n;
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < n; j++) {
                const double term = a[row * k + i] * b[i * n + j];
                sum[j] += term;
                size[j] += fabs(term);
            }
    }
    const double alpha = (double)(float)p->call.f[0];
    for (int64_t i = 0; i < count; i++) {
        const double old = p->call.i[0] ? (double)((const float *)c->data)[at(c, i)] : 0;
        w.value[i] = alpha * w.value[i] + old;
        w.magnitude[i] = fabs(alpha) * w.magnitude[i] + fabs(old);
    }
    free(a);
    free(all_b);
    return w;
}

static void assert_close(const Product *p, const char *isa, int64_t index, double got, const Wanted *w)
{
    const Operand *a = &p->operand[1];
    const double u = 0x1p-24, k = (double)a->dim[a->rank - 1], want = w->value[index];
    const double ku = (fmin(k, 256 + k / 128 + 1) + 4) * u;
    const double bound = ku / (1 - ku) * w->magnitude[index] + (k + 1) * (double)FLT_MIN;
    const bool same = isnan(want) ? isnan(got) : isinf(want) ? got == want : fabs(got - want) <= bound;
    if (!same)
        fail_msg("%s: element %lld is %.9g, expected %.9g within %.3g", isa, (long long)index, got,
                 want, bound);
}

/* Every element is near what is wanted, and what lies between them is as it was. */
static void check_results(const Product *p, const char *isa, const float *before, const Wanted *w)
{
    const Operand *c = &p->operand[0];
    const float *got = c->data;
    const size_t n = p->memory[0].bytes / sizeof(float);
    bool *inside = allocate(n, sizeof *inside);
    for (int64_t i = 0; i < elements(c); i++) {
        const int64_t place = at(c, i);
        inside[place] = true;
        assert_close(p, isa, i, (double)got[place], w);
    }
    for (size_t i = 0; i < n; i++)
        if (!inside[i] && memcmp(&got[i], &before[i], sizeof(float)) != 0)
            fail_msg("%s: wrote outside of C at %zu", isa, i);
    free(inside);
}

void product_verify(Product *p)
{
    Error err;
    if (!kernel_check(&p->call, &err))
        fail_msg("refused: %s", err.text);
    const size_t bytes = p->memory[0].bytes;
    float *c = p->operand[0].data, *before = allocate(bytes, 1), *whole = allocate(bytes, 1);
    memcpy(before, c, bytes);
    Wanted w = oracle(p);
    for (int t = 0; t < N_ISAS; t++) {
        const char *isa = isa_name((Isa)t);
        if (!isa_brings(t, KERNEL_gemm))
            continue;
        memcpy(c, before, bytes);
        product_run(p, kernels_table((Isa)t), 1);
        check_results(p, isa, before, &w);
        memcpy(whole, c, bytes);
        for (int pieces = 2; pieces < 9; pieces += 3) {
            memcpy(c, before, bytes);
            product_run(p, kernels_table((Isa)t), pieces);
            if (memcmp(c, whole, bytes) != 0)
                fail_msg("%s: other bits when run in %d pieces", isa, pieces);
        }
    }
    memcpy(c, before, bytes);
    free(before);
    free(whole);
    free(w.value);
    free(w.magnitude);
}

static const struct { DType a, b; int64_t precision; } modes[N_GEMM_MODES] = {
    { DTYPE_f32, DTYPE_f32, 1 },  { DTYPE_f32, DTYPE_bf16, 0 },  { DTYPE_f32, DTYPE_bf16, 1 },
    { DTYPE_bf16, DTYPE_f32, 0 }, { DTYPE_bf16, DTYPE_bf16, 1 }, { DTYPE_bf16, DTYPE_f32, 1 },
    { DTYPE_bf16, DTYPE_bf16, 0 },
};

void verify_plain(int64_t m, int64_t n, int64_t k, Layout a, Layout b, int64_t pad, double alpha, bool accumulate)
{
    static size_t turn;
    for (int plain = 0; plain < 2; plain++) {
        Product p = { .operand = { matrix(m, n, ROWS, pad), matrix(m, k, a, pad), matrix(k, n, b, pad) } };
        p.call.f[0] = alpha;
        p.call.i[0] = accumulate;
        if (!plain) {
            const size_t mode = turn++ % COUNT_OF(modes);
            p.operand[1].dtype = modes[mode].a;
            p.operand[2].dtype = modes[mode].b;
            p.call.i[4] = modes[mode].precision;
        }
        product_fill(&p);
        product_verify(&p);
        product_free(&p);
    }
}
