/* Times matrix products beside OpenBLAS and oneDNN, where they are installed (found when the program
 * runs), and beside the limit: the rate of multiply-adds that touch no memory.
 *
 *     bench_gemm [ISA] [ROUNDS] [SHAPE] [MODE]
 *
 * MODE: "float" (default); at precision 1 "bf16" (both operands have two bytes), "weights" (B alone),
 * "rounded" (neither); "wide" (B alone, precision 0).  A round takes the limit, this kernel, OpenBLAS and oneDNN in turn on one
 * thread, in time of that thread, so that what else the machine does counts little; and this kernel on
 * two threads by the wall clock.  Printed are medians: GFLOP/s, the share of the limit of the same
 * round, and the ratios to the others of the same round.  OpenBLAS is told its kernel by
 * OPENBLAS_CORETYPE; run with OMP_NUM_THREADS=1, which oneDNN reads; SHAPE picks the shapes whose name
 * contains it. */
#include "base/half.h"
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
    { "gpt2 down, dw", 1, 3072, 256, 768, true, false },
    { "gpt2 qkv, dx", 1, 256, 2304, 768, false, true },
    { "gpt2 qkv, dw", 1, 768, 256, 2304, true, false },
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

static const struct { const char *name; DType a, b; int64_t precision; } modes[] = {
    { "float", DTYPE_f32, DTYPE_f32, 0 },
    { "bf16", DTYPE_bf16, DTYPE_bf16, 1 },
    { "weights", DTYPE_f32, DTYPE_bf16, 1 },
    { "wide", DTYPE_f32, DTYPE_bf16, 0 },
    { "rounded", DTYPE_f32, DTYPE_f32, 1 },
};
enum { N_MODES = sizeof modes / sizeof *modes };

/* What a round times. */
enum { LIMIT, OURS, BLAS, DNN, OURS_ON_TWO, N_TIMES };
enum { MAX_ROUNDS = 101, MAX_THREADS = 2, ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef void Sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                   int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef int DnnSgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                     int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

static Sgemm *blas_sgemm;
typedef int DnnGemm16(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const uint16_t *a,
                      int64_t lda, const uint16_t *b, int64_t ldb, float beta, float *c, int64_t ldc);
static DnnSgemm *dnn_sgemm;
static DnnGemm16 *dnn_gemm16;
static const KernelTable *table;
static void *scratch[MAX_THREADS];

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *make(size_t n, DType t)
{
    char *p = aligned_alloc(64, (n * dtype_size(t) + 63) / 64 * 64);
    if (!p)
        exit(1);
    for (size_t i = 0; i < n; i++) {
        float x = (float)(i * 2654435761u % 1024) / 512 - 1;
        if (t == DTYPE_bf16)
            ((uint16_t *)(void *)p)[i] = bf16_of_f32(x);
        else
            ((float *)(void *)p)[i] = x;
    }
    return p;
}

static void run_ours(const Call *call, int threads)
{
    if (threads == 1) {
        table->run[KERNEL_gemm](call, 0, call->n_tasks, scratch[0]);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        int64_t i = omp_get_thread_num(), n = omp_get_num_threads();
        table->run[KERNEL_gemm](call, i * call->n_tasks / n, (i + 1) * call->n_tasks / n, scratch[i]);
    }
}

static void run_other(const Shape *s, const Call *call, int which)
{
    int64_t lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;
    for (int64_t i = 0; i < s->batch; i++) {
        const float *a = (const float *)call->operand[1].data + i * s->m * s->k;
        const float *b = (const float *)call->operand[2].data + i * s->k * s->n;
        float *c = (float *)call->operand[0].data + i * s->m * s->n;
        if (which == BLAS)
            blas_sgemm(ROW_MAJOR, s->ta ? TRANSPOSED : PLAIN, s->tb ? TRANSPOSED : PLAIN, (int)s->m,
                       (int)s->n, (int)s->k, 1, a, (int)lda, b, (int)ldb, 0, c, (int)s->n);
        else if (call->operand[1].dtype == DTYPE_bf16)
            dnn_gemm16(s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->m, s->n, s->k, 1,
                       (const uint16_t *)call->operand[1].data + i * s->m * s->k, lda,
                       (const uint16_t *)call->operand[2].data + i * s->k * s->n, ldb, 0, c, s->n);
        else
            dnn_sgemm(s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->m, s->n, s->k, 1, a, lda, b, ldb, 0, c,
                      s->n);
    }
}

/* Operations a second at the limit. */
static double time_limit(bool bf16)
{
    const ProbeFns *p = &table->probe;
    size_t rounds = 20000;
    volatile float sink;
    double start = now(CLOCK_THREAD_CPUTIME_ID);
    sink = bf16 ? p->bf16(rounds, 1) : p->fma(rounds, 1);
    (void)sink;
    return (bf16 ? p->bf16_ops : p->fma_ops) * (double)rounds / (now(CLOCK_THREAD_CPUTIME_ID) - start);
}

/* Operations a second of one product; small ones are repeated until a clock can tell. */
static double time_one(const Shape *s, const Call *call, int which)
{
    double flops = kernel_cost(call).flops;
    int repeats = 1 + (int)(2e8 / flops);
    clockid_t clock = which == OURS_ON_TWO ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    double start = now(clock);
    for (int i = 0; i < repeats; i++) {
        if (which == OURS || which == OURS_ON_TWO)
            run_ours(call, which == OURS ? 1 : 2);
        else
            run_other(s, call, which);
    }
    return flops * repeats / (now(clock) - start);
}

static Operand matrices(void *data, DType t, int64_t batch, int64_t rows, int64_t columns,
                        bool transposed)
{
    return (Operand){ .data = data, .rank = 3, .dtype = t, .dim = { batch, rows, columns },
                      .stride = { rows * columns, transposed ? 1 : columns,
                                  transposed ? rows : 1 } };
}

static double median(int rounds, double rate[][N_TIMES], int which, int beside)
{
    double x[MAX_ROUNDS];
    for (int r = 0; r < rounds; r++)
        x[r] = rate[r][which] / (beside < 0 ? 1e9 : rate[r][beside]);
    qsort(x, (size_t)rounds, sizeof *x, by_value);
    return x[rounds / 2];
}

static void bench(const Shape *s, int mode, int rounds)
{
    DType ta = modes[mode].a, tb = modes[mode].b;
    void *a = make((size_t)(s->batch * s->m * s->k), ta);
    void *b = make((size_t)(s->batch * s->k * s->n), tb);
    void *c = make((size_t)(s->batch * s->m * s->n), DTYPE_f32);
    Operand operand[3] = { matrices(c, DTYPE_f32, s->batch, s->m, s->n, false),
                           matrices(a, ta, s->batch, s->m, s->k, s->ta),
                           matrices(b, tb, s->batch, s->k, s->n, s->tb) };
    Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = operand, .f = { 1 },
                  .i = { [4] = modes[mode].precision } };
    kernel_prepare(&call);
    for (int i = 0; i < MAX_THREADS; i++)
        scratch[i] = aligned_alloc(64, (kernel_scratch(&call) + 63) / 64 * 64);
    double rate[MAX_ROUNDS][N_TIMES];
    bool plain = mode == 0, blas = plain && blas_sgemm;
    bool dnn = plain ? dnn_sgemm != NULL : ta == DTYPE_bf16 && tb == DTYPE_bf16 && dnn_gemm16;
    for (int r = 0; r < rounds; r++)
        for (int j = 0; j < N_TIMES; j++) {
            bool missing = (j == BLAS && !blas) || (j == DNN && !dnn);
            rate[r][j] = missing ? 0 : j == LIMIT ? time_limit(table->probe.bf16 && call.i[4])
                                                  : time_one(s, &call, j);
        }
    KernelCost cost = kernel_cost(&call);
    printf("%-24s %3lld x %5lld x %5lld -> %5lld ", s->name, (long long)s->batch, (long long)s->m,
           (long long)s->k, (long long)s->n);
    double ours = median(rounds, rate, OURS, -1), two = median(rounds, rate, OURS_ON_TWO, -1);
    printf(" %7.1f  %4.2f", ours, median(rounds, rate, OURS, LIMIT));
    printf(blas ? "  %4.2f" : "     -", median(rounds, rate, OURS, BLAS));
    printf(dnn ? "  %4.2f" : "     -", median(rounds, rate, OURS, DNN));
    printf(" %8.1f   %5.1f %5.1f GB/s\n", two, ours * cost.bytes / cost.flops,
           two * cost.bytes / cost.flops);
    fflush(stdout);
    for (int i = 0; i < MAX_THREADS; i++)
        free(scratch[i]);
    free(a);
    free(b);
    free(c);
}

static void find_others(void)
{
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW), *dnn = dlopen("libdnnl.so.2", RTLD_NOW);
    void *sgemm = lib ? dlsym(lib, "cblas_sgemm") : NULL;
    void *threads = lib ? dlsym(lib, "openblas_set_num_threads") : NULL;
    if (sgemm && threads) {
        void (*set_threads)(int);
        memcpy(&set_threads, &threads, sizeof threads);
        memcpy(&blas_sgemm, &sgemm, sizeof sgemm);
        set_threads(1);
    }
    sgemm = dnn ? dlsym(dnn, "dnnl_sgemm") : NULL;
    memcpy(&dnn_sgemm, &sgemm, sizeof sgemm);
    sgemm = dnn ? dlsym(dnn, "dnnl_gemm_bf16bf16f32") : NULL;
    memcpy(&dnn_gemm16, &sgemm, sizeof sgemm);
}

int main(int argc, char **argv)
{
    Error err;
    table = kernels_select(argc > 1 ? argv[1] : NULL, &err);
    if (!table) {
        fprintf(stderr, "bench_gemm: %s\n", err.text);
        return 1;
    }
    int rounds = argc > 2 ? atoi(argv[2]) : 7, mode = 0;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    for (int i = 0; argc > 4 && i < N_MODES; i++)
        if (strcmp(modes[i].name, argv[4]) == 0)
            mode = i;
    find_others();
    printf("%s, %s, medians of %d\n%-52s GFLOP/s limit  BLAS oneDNN  2 threads   1 and 2 threads\n",
           isa_name(table->isa), modes[mode].name, rounds, "");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (argc <= 3 || strstr(shapes[i].name, argv[3]))
            bench(&shapes[i], mode, rounds);
    return 0;
}
