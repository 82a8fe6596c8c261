/* Times matrix products, beside OpenBLAS where it is installed (it is found when the program runs).
 *
 *     bench_gemm [ISA] [ROUNDS] [SHAPE]
 *
 * Every shape is timed in rounds, each round taking this kernel and OpenBLAS in turn on one thread
 * and on two; of each, the best round is printed in GFLOP/s, then the median.  OpenBLAS is told its
 * kernel by OPENBLAS_CORETYPE; SHAPE picks the shapes whose name contains it. */
#include "runtime/kernels/select.h"

#include <dlfcn.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Shape {
    const char *name;
    int64_t batch, m, k, n;
    bool ta, tb;
} Shape;

static const Shape shapes[] = {
    { "square 512", 1, 512, 512, 512, false, false },
    { "square 1024", 1, 1024, 1024, 1024, false, false },
    { "gpt2 qkv", 1, 256, 768, 2304, false, false },
    { "gpt2 up", 1, 256, 768, 3072, false, false },
    { "gpt2 down", 1, 256, 3072, 768, false, false },
    { "gpt2 logits, tied", 1, 256, 768, 50257, false, true },
    { "gpt2 up, dx", 1, 256, 3072, 768, false, true },
    { "gpt2 up, dw", 1, 768, 256, 3072, true, false },
    { "gpt2 up, dw 1024", 1, 768, 1024, 3072, true, false },
    { "gpt2 logits, dx", 1, 256, 50257, 768, false, false },
    { "gpt2 logits, dw", 1, 50257, 256, 768, true, false },
    { "nano qkv", 1, 768, 128, 384, false, false },
    { "nano proj", 1, 768, 128, 128, false, false },
    { "nano up", 1, 768, 128, 512, false, false },
    { "nano down", 1, 768, 512, 128, false, false },
    { "nano up, dx", 1, 768, 512, 128, false, true },
    { "nano up, dw", 1, 128, 768, 512, true, false },
    { "scores 64x64x32", 48, 64, 32, 64, false, true },
    { "values 64x64x32", 48, 64, 64, 32, false, false },
    { "scores 256x256x64", 12, 256, 64, 256, false, true },
    { "square 128", 1, 128, 128, 128, false, false },
    { "square 64", 1, 64, 64, 64, false, false },
    { "rows 32", 1, 32, 768, 3072, false, false },
    { "rows 16", 1, 16, 768, 3072, false, false },
    { "rows 8", 1, 8, 768, 3072, false, false },
    { "rows 4", 1, 4, 768, 3072, false, false },
    { "row", 1, 1, 768, 3072, false, false },
    { "row, transposed", 1, 1, 768, 3072, false, true },
    { "row, small", 1, 1, 288, 768, false, false },
    { "row, small, transposed", 1, 1, 288, 768, false, true },
    { "row, logits", 1, 1, 768, 50257, false, false },
    { "row, logits, tied", 1, 1, 768, 50257, false, true },
    { "rows 4, logits, tied", 1, 4, 768, 50257, false, true },
};

enum { MAX_ROUNDS = 101, MAX_THREADS = 2, ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef void Sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                   int lda, const float *b, int ldb, float beta, float *c, int ldc);

static Sgemm *blas_sgemm;
static void (*blas_threads)(int);
static KernelFn *kernel;
static void *scratch[MAX_THREADS];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float *make(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    if (!p)
        exit(1);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(i * 2654435761u % 1024) / 512 - 1;
    return p;
}

static void run_ours(const Call *call, int threads)
{
#pragma omp parallel num_threads(threads)
    {
        int64_t i = omp_get_thread_num(), n = omp_get_num_threads();
        kernel(call, i * call->n_tasks / n, (i + 1) * call->n_tasks / n, scratch[i]);
    }
}

static void run_blas(const Shape *s, const Call *call)
{
    for (int64_t i = 0; i < s->batch; i++)
        blas_sgemm(ROW_MAJOR, s->ta ? TRANSPOSED : PLAIN, s->tb ? TRANSPOSED : PLAIN, (int)s->m,
                   (int)s->n, (int)s->k, 1, (const float *)call->operand[1].data + i * s->m * s->k,
                   (int)(s->ta ? s->m : s->k),
                   (const float *)call->operand[2].data + i * s->k * s->n,
                   (int)(s->tb ? s->k : s->n), 0, (float *)call->operand[0].data + i * s->m * s->n,
                   (int)s->n);
}

/* Seconds of one product; small ones are repeated until a clock can tell. */
static double time_one(const Shape *s, const Call *call, bool blas, int threads)
{
    int repeats = 1 + (int)(2e8 / kernel_cost(call).flops);
    if (blas)
        blas_threads(threads);
    double start = now();
    for (int i = 0; i < repeats; i++) {
        if (blas)
            run_blas(s, call);
        else
            run_ours(call, threads);
    }
    return (now() - start) / repeats;
}

static Operand matrices(float *data, int64_t batch, int64_t rows, int64_t columns, bool transposed)
{
    return (Operand){ .data = data, .rank = 3, .dtype = DTYPE_f32, .dim = { batch, rows, columns },
                      .stride = { rows * columns, transposed ? 1 : columns,
                                  transposed ? rows : 1 } };
}

static void bench(const Shape *s, int rounds)
{
    float *a = make((size_t)(s->batch * s->m * s->k)), *b = make((size_t)(s->batch * s->k * s->n));
    float *c = make((size_t)(s->batch * s->m * s->n));
    Operand operand[3] = { matrices(c, s->batch, s->m, s->n, false),
                           matrices(a, s->batch, s->m, s->k, s->ta),
                           matrices(b, s->batch, s->k, s->n, s->tb) };
    Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = operand, .f = { 1 } };
    kernel_prepare(&call);
    for (int i = 0; i < MAX_THREADS; i++)
        scratch[i] = aligned_alloc(64, (kernel_scratch(&call) + 63) / 64 * 64);
    double t[4][MAX_ROUNDS];
    for (int r = 0; r < rounds; r++)
        for (int j = 0; j < 4; j++)
            t[j][r] = j % 2 && !blas_sgemm ? 1e9 : time_one(s, &call, j % 2, 1 + j / 2);
    KernelCost cost = kernel_cost(&call);
    printf("%-24s %3lld x %5lld x %5lld -> %5lld ", s->name, (long long)s->batch, (long long)s->m,
           (long long)s->k, (long long)s->n);
    for (int j = 0; j < 4; j++) {
        qsort(t[j], (size_t)rounds, sizeof *t[j], by_value);
        printf(" %6.1f (%5.1f)", cost.flops / t[j][0] / 1e9, cost.flops / t[j][rounds / 2] / 1e9);
    }
    printf("   %5.1f %5.1f GB/s\n", cost.bytes / t[0][0] / 1e9, cost.bytes / t[2][0] / 1e9);
    fflush(stdout);
    for (int i = 0; i < MAX_THREADS; i++)
        free(scratch[i]);
    free(a);
    free(b);
    free(c);
}

static void find_blas(void)
{
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW);
    void *sgemm = lib ? dlsym(lib, "cblas_sgemm") : NULL;
    void *threads = lib ? dlsym(lib, "openblas_set_num_threads") : NULL;
    if (!sgemm || !threads)
        return;
    memcpy(&blas_sgemm, &sgemm, sizeof sgemm);
    memcpy(&blas_threads, &threads, sizeof threads);
}

int main(int argc, char **argv)
{
    Error err;
    const KernelTable *table = kernels_select(argc > 1 ? argv[1] : NULL, &err);
    if (!table) {
        fprintf(stderr, "bench_gemm: %s\n", err.text);
        return 1;
    }
    kernel = table->run[KERNEL_gemm];
    int rounds = argc > 2 ? atoi(argv[2]) : 7;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    find_blas();
    printf("%s, GFLOP/s, best (median) of %d; 1 thread: ours, OpenBLAS; 2 threads: the same; "
           "ours in GB/s\n", isa_name(table->isa), rounds);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (argc <= 3 || strstr(shapes[i].name, argv[3]))
            bench(&shapes[i], rounds);
    return 0;
}
