/* How fast products with blocks are:
 *
 *     bench_gemm_q [ISA] [ROUNDS] [SHAPE]
 *
 * For every type and shape, on 1 and on 2 threads: of one row, GB/s of weights, streamed from a ring of
 * matrices larger than most caches; of 512 rows, GOP/s (a multiplication and an addition are two).  Best,
 * then the median; time of the processor, which other work on the machine changes less, divided by
 * threads.  `read` is what a plain loop over the same ring reads. */
#include "runtime/kernels/panel.h"
#include "runtime/kernels/select.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 101, MAX_THREADS = 2 };

typedef struct Shape { const char *name; int64_t k, n; } Shape;

static const Shape shapes[] = {
    { "135M up", 576, 1536 }, { "135M logits", 576, 49152 }, { "1.1B up", 2048, 5632 },
    { "1.1B down", 5632, 2048 },
};

static const DType types[] = {
    DTYPE_q8_0, DTYPE_q4_0, DTYPE_q4_1, DTYPE_q5_0, DTYPE_q5_1, DTYPE_q4_k, DTYPE_q5_k, DTYPE_q6_k,
};

static const size_t ring_bytes = (size_t)256 << 20;
static uint8_t *ring;
static float *a, *c;
static void *scratch[MAX_THREADS];
static const KernelTable *table;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *x, const void *y)
{
    double p = *(const double *)x, q = *(const double *)y;
    return (p > q) - (p < q);
}

static Operand matrix(void *data, DType t, int64_t rows, int64_t columns)
{
    return (Operand){ .data = data, .rank = 2, .dtype = t, .dim = { rows, columns }, .stride = { columns, 1 } };
}

/* Seconds of a thread for one product; `repeats` of them, each with another matrix of the ring. */
static double time_products(DType t, const Shape *s, int64_t m, int threads, int repeats)
{
    int64_t bytes = 0;
    if (!panel_bytes(t, s->n, s->k, &bytes))
        return 0;
    const int64_t copies = (int64_t)ring_bytes / bytes;
    double start = cpu_seconds();
#pragma omp parallel num_threads(threads)
    for (int i = 0; i < repeats; i++) {
        Operand operand[3] = { matrix(c, DTYPE_f32, m, s->n), matrix(a, DTYPE_f32, m, s->k),
                               matrix(ring + i % copies * bytes, t, s->n, s->k) };
        Call call = { .kernel = KERNEL_gemm_q, .n_operands = 3, .operand = operand, .f = { 1 } };
        kernel_prepare(&call);
        int64_t thread = omp_get_thread_num();
        table->run[KERNEL_gemm_q](&call, thread * call.n_tasks / threads,
                                  (thread + 1) * call.n_tasks / threads, scratch[thread]);
    }
    return (cpu_seconds() - start) / threads / repeats;
}

static void bench(DType t, const Shape *s, int rounds)
{
    int64_t bytes = 0;
    printf("%-5s %-12s", dtype_name(t), s->name);
    for (int64_t m = 1; m <= 512 && panel_bytes(t, s->n, s->k, &bytes); m += 511)
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            double seconds[MAX_ROUNDS], work = m == 1 ? (double)bytes : 2.0 * (double)(m * s->n * s->k);
            int repeats = m == 1 ? (int)(100000000 / bytes) + 1 : 1 + (int)(2e9 / work);
            for (int r = 0; r < rounds; r++)
                seconds[r] = time_products(t, s, m, threads, repeats);
            qsort(seconds, (size_t)rounds, sizeof *seconds, by_value);
            printf("  %7.1f (%6.1f)", work / seconds[0] * 1e-9, work / seconds[rounds / 2] * 1e-9);
            fflush(stdout);
        }
    printf("\n");
}

static void bench_read(int rounds)
{
    double best = 1e9;
    float sink = 0;
    for (int r = 0; r < rounds; r++) {
        double start = cpu_seconds();
        sink += table->probe.read(ring_bytes / sizeof(float), (const float *)(const void *)ring);
        double seconds = cpu_seconds() - start;
        best = seconds < best ? seconds : best;
    }
    printf("read, 1 thread: %.1f GB/s%s\n", (double)ring_bytes / best * 1e-9, sink == 1 ? "" : "");
}

int main(int argc, char **argv)
{
    Error err;
    table = kernels_select(argc > 1 ? argv[1] : NULL, &err);
    if (!table) {
        fprintf(stderr, "bench_gemm_q: %s\n", err.text);
        return 1;
    }
    int rounds = argc > 2 ? atoi(argv[2]) : 5;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    ring = aligned_alloc(4096, ring_bytes);
    a = calloc(512 * 8192, sizeof *a);
    c = calloc((size_t)512 * 49152, sizeof *c);
    for (int i = 0; i < MAX_THREADS; i++)
        scratch[i] = aligned_alloc(64, (size_t)2 << 20);
    if (!ring || !a || !c || !scratch[0] || !scratch[1])
        return 1;
    for (size_t i = 0; i < ring_bytes; i++)
        ring[i] = (uint8_t)(i * 2654435761u >> 13) & 0xbf;       /* no scale is infinite */
    for (int i = 0; i < 512 * 8192; i++)
        a[i] = (float)(i % 255 - 127) / 127;
    bench_read(rounds);
    printf("%s, best (median) of %d; one row, GB/s of weights on 1 and 2 threads; 512 rows, GOP/s\n",
           isa_name(table->isa), rounds);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            if (argc <= 3 || strstr(shapes[s].name, argv[3]))
                bench(types[t], &shapes[s], rounds);
    return 0;
}
