/* Times attention and its gradient on one thread: causal, B = 1, for heads, size and positions.
 *     bench_attention [heads [groups [size]]]
 * Prints the median of several runs, with the share of products that the causal mask leaves.  Where keys
 * stand before the queries they are a cache, of each type that there is. */
#include "base/blocks.h"
#include "base/check.h"
#include "base/random.h"
#include "runtime/kernels/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS = 15 };

/* Of this thread: the machine may be busy with others. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *memory(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    CHECK(p, "no memory");
    return p;
}

static Operand tensor(int64_t heads, int64_t rows, int64_t size)
{
    Operand o = { .dim = { 1, heads, rows, size }, .rank = size > 0 ? 4 : 3, .dtype = DTYPE_f32 };
    int64_t n = heads * rows * (size > 0 ? size : 1);
    o.stride[0] = n;
    o.stride[1] = n / heads;
    o.stride[2] = size > 0 ? size : 1;
    o.stride[3] = 1;
    float *p = memory((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(random_uniform(1, 2, (uint64_t)i) * 2 - 1);
    o.data = p;
    return o;
}

/* The tensor as a cache of that type keeps it; the old memory is freed. */
static void store(Operand *o, DType t)
{
    const int64_t n = o->stride[0];
    int64_t bytes;
    bool ok = dtype_offset(t, n, &bytes);
    void *p = ok ? memory((size_t)bytes) : NULL;
    ok = ok && blocks_encode(t, (size_t)n, o->data, p, NULL);
    CHECK(ok, "heads of whole blocks");
    free(o->data);
    o->data = p;
    o->dtype = t;
}

static double median_seconds(Call *call, const KernelTable *table)
{
    double seconds[RUNS];
    kernel_prepare(call);
    void *scratch = memory(kernel_scratch(call));
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        int64_t repeats = 0;
        do {
            table->run[call->kernel](call, 0, call->n_tasks, scratch);
            repeats++;
        } while (now() - start < 0.01);
        seconds[i] = (now() - start) / (double)repeats;
    }
    free(scratch);
    qsort(seconds, RUNS, sizeof *seconds, by_value);
    return seconds[RUNS / 2];
}

static void report(const char *what, Call *call, const KernelTable *table)
{
    double s = median_seconds(call, table);
    printf("  %s %9.1f us %6.1f GFLOP/s", what, 1e6 * s, 1e-9 * kernel_cost(call).flops / s);
}

static void bench(const KernelTable *table, int64_t h, int64_t g, int64_t t, int64_t s, int64_t d,
                  DType stored)
{
    int32_t past = (int32_t)(s - t);
    Operand q = tensor(h, t, d), k = tensor(g, s, d), v = tensor(g, s, d), out = tensor(h, t, d);
    Operand lse = tensor(h, t, 0), dout = tensor(h, t, d);
    Operand dq = tensor(h, t, d), dk = tensor(g, s, d), dv = tensor(g, s, d);
    store(&k, stored);
    store(&v, stored);
    Operand forward[] = { out, lse, q, k, v, { .data = &past, .dtype = DTYPE_i32 } };
    Operand backward[] = { dq, dk, dv, q, k, v, out, lse, dout };
    Call call = { .kernel = KERNEL_attention, .n_operands = t < s ? 6 : 5, .operand = forward,
                  .i = { 1, 0, t < s }, .f = { 0.125 } };
    printf("%-7s %-4s T %5lld S %5lld", isa_name(table->isa), dtype_name(stored), (long long)t,
           (long long)s);
    report("forward", &call, table);
    if (t == s) {
        call = (Call){ .kernel = KERNEL_attention_grad, .n_operands = 9, .operand = backward,
                       .i = { 1 }, .f = { 0.125 } };
        report("backward", &call, table);
    }
    printf("\n");
    Operand *all[] = { &q, &k, &v, &out, &lse, &dout, &dq, &dk, &dv };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]->data);
}

int main(int argc, char **argv)
{
    int64_t h = argc > 1 ? atoll(argv[1]) : 12, g = argc > 2 ? atoll(argv[2]) : h;
    int64_t d = argc > 3 ? atoll(argv[3]) : 64;
    for (int i = 0; i < N_ISAS; i++) {
        const KernelTable *table = kernels_table((Isa)i);
        if (!isa_supported((Isa)i) || !kernels_own((Isa)i, KERNEL_attention))
            continue;
        for (int64_t t = 64; t <= 1024; t *= 4)
            bench(table, h, g, t, t, d, DTYPE_f32);
        static const DType types[] = { DTYPE_f32, DTYPE_bf16, DTYPE_q8_0 };
        for (size_t k = 0; k < COUNT_OF(types) && (types[k] != DTYPE_q8_0 || d % 32 == 0); k++) {
            for (int64_t s = 64; s <= 4096; s *= 8)
                bench(table, h, g, 1, s, d, types[k]);
            bench(table, h, g, 1, 32768, d, types[k]);
            bench(table, h, g, 8, 256, d, types[k]);
            bench(table, h, g, 256, 1024, d, types[k]);
        }
    }
    return 0;
}
