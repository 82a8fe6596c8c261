/* Times row programs on one thread: nanoseconds an element, and bytes moved a second.
 *
 *     bench_row [ISA]
 *
 * Each figure is the median of repeated runs over the same memory, 4 Mi elements
 * (from memory) and 4096 (from L1), in processor time, since machines are shared. */
#include "runtime/kernels/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ELEMENTS = 1 << 22, REPEATS = 15 };

typedef struct Bench {
    const char *name;
    int64_t rows, n;
    int n_operands;                     /* all of the space's size */
    RowProgram p;
    uint32_t consts[16];
    uint8_t per_row[8];
    RowInstr instrs[32];
} Bench;

static int in(Bench *b, RowOp op, int dst, int x, int y, int z)
{
    b->instrs[b->p.n_instrs++] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)dst,
                                             .a = (uint16_t)x, .b = (uint16_t)y,
                                             .c = (uint16_t)z };
    return dst;
}

static int constant(Bench *b, float value)
{
    memcpy(&b->consts[b->p.n_consts], &value, sizeof value);
    return b->n_operands + b->p.n_consts++;
}

static void build_map(Bench *b, RowOp op)
{
    b->n_operands = 2;
    b->p.outputs = 2;
    in(b, op, 1, 0, 0, 0);
}

/* Parameters, gradient, two moments: three of them in place. */
static void build_adamw(Bench *b)
{
    enum { P, G, M, V };
    b->n_operands = 4;
    b->p.outputs = 1 << P | 1 << M | 1 << V;
    int beta1 = constant(b, 0.9f), rest1 = constant(b, 0.1f), beta2 = constant(b, 0.999f);
    int rest2 = constant(b, 0.001f), eps = constant(b, 1e-8f), rate = constant(b, 1e-3f);
    int decay = constant(b, 0.9999f), unbias = constant(b, 1.1f), factor = constant(b, 0.5f);
    int t = b->n_operands + b->p.n_consts, u = t + 1;
    b->p.n_temps = 3;
    in(b, ROW_mul, t, G, factor, 0);
    in(b, ROW_mul, u, t, rest1, 0);
    in(b, ROW_mul, t, t, t, 0);
    in(b, ROW_mul, t, t, rest2, 0);
    in(b, ROW_mul, t + 2, M, beta1, 0);
    in(b, ROW_add, M, t + 2, u, 0);
    in(b, ROW_mul, u, V, beta2, 0);
    in(b, ROW_add, V, u, t, 0);
    in(b, ROW_sqrt, t, V, 0, 0);
    in(b, ROW_mul, t, t, unbias, 0);
    in(b, ROW_add, t, t, eps, 0);
    in(b, ROW_div, t, M, t, 0);
    in(b, ROW_mul, t, rate, t, 0);
    in(b, ROW_mul, u, P, decay, 0);
    in(b, ROW_sub, P, u, t, 0);
}

static void build_softmax(Bench *b)
{
    b->n_operands = 2;
    b->p.outputs = 2;
    b->p.n_temps = 3;
    b->per_row[0] = b->per_row[2] = 1;
    in(b, ROW_max, 2, 0, 0, 0);
    in(b, ROW_sub, 3, 0, 2, 0);
    in(b, ROW_exp, 3, 3, 0, 0);
    in(b, ROW_sum, 4, 3, 0, 0);
    in(b, ROW_recip, 4, 4, 0, 0);
    in(b, ROW_mul, 1, 3, 4, 0);
}

static void build_norm(Bench *b)
{
    b->n_operands = 2;
    b->p.outputs = 2;
    int scale = constant(b, 1.0f / 768), eps = constant(b, 1e-5f);
    b->p.n_temps = 4;
    b->per_row[0] = b->per_row[3] = 1;
    int mean = 4, d = 5, square = 6, rstd = 7;
    in(b, ROW_sum, mean, 0, 0, 0);
    in(b, ROW_mul, mean, mean, scale, 0);
    in(b, ROW_sub, d, 0, mean, 0);
    in(b, ROW_mul, square, d, d, 0);
    in(b, ROW_sum, rstd, square, 0, 0);
    in(b, ROW_mul, rstd, rstd, scale, 0);
    in(b, ROW_add, rstd, rstd, eps, 0);
    in(b, ROW_rsqrt, rstd, rstd, 0, 0);
    in(b, ROW_mul, 1, d, rstd, 0);
}

static double seconds(void)
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

/* Median seconds of one run of the whole call. */
static double time_call(const KernelTable *table, Call *call)
{
    void *scratch = aligned_alloc(64, (kernel_scratch(call) + 127) / 64 * 64);
    double t[REPEATS];
    if (!scratch)
        exit(1);
    kernel_prepare(call);
    int64_t elements = call->operand[0].dim[0] * call->operand[0].dim[1];
    int64_t inner = 1 + (1 << 20) / elements;
    for (int r = 0; r < REPEATS; r++) {
        double start = seconds();
        for (int64_t k = 0; k < inner; k++)
            table->run[KERNEL_row](call, 0, call->n_tasks, scratch);
        t[r] = (seconds() - start) / (double)inner;
    }
    free(scratch);
    qsort(t, REPEATS, sizeof *t, by_value);
    return t[REPEATS / 2];
}

static void run(const KernelTable *table, Bench *b, float *const memory[4])
{
    Operand operand[4];
    b->p.rank = 2;
    b->p.dim[0] = b->rows;
    b->p.dim[1] = b->n;
    b->p.consts = b->consts;
    b->p.temp_per_row = b->per_row;
    b->p.instrs = b->instrs;
    for (int i = 0; i < b->n_operands; i++)
        operand[i] = (Operand){ .data = memory[i], .rank = 2, .dim = { b->rows, b->n },
                                .stride = { b->n, 1 }, .dtype = DTYPE_f32 };
    Call call = { .kernel = KERNEL_row, .n_operands = b->n_operands, .operand = operand,
                  .row = &b->p };
    Error err;
    if (!kernel_check(&call, &err)) {
        fprintf(stderr, "%s: %s\n", b->name, err.text);
        exit(1);
    }
    double s = time_call(table, &call), elements = (double)(b->rows * b->n);
    printf("%-8s %-16s %8lld x %-8lld %7.3f ns/element %7.2f GB/s\n", isa_name(table->isa), b->name,
           (long long)b->rows, (long long)b->n, s / elements * 1e9,
           kernel_cost(&call).bytes / s * 1e-9);
}

static void run_named(const KernelTable *table, const char *name, int64_t rows, int64_t n,
                      void (*build)(Bench *), float *const memory[4])
{
    Bench b = { .name = name, .rows = rows, .n = n };
    build(&b);
    run(table, &b, memory);
}

int main(int argc, char **argv)
{
    Error err;
    const KernelTable *table = kernels_select(argc > 1 ? argv[1] : NULL, &err);
    float *memory[4];
    if (!table) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    for (int i = 0; i < 4; i++) {
        memory[i] = aligned_alloc(4096, MAX_ELEMENTS * sizeof(float));
        if (!memory[i])
            return 1;
        for (size_t k = 0; k < MAX_ELEMENTS; k++)
            memory[i][k] = (float)(k * 2654435761u % 1000) / 500 - (i < 3 ? 1.0f : 0.0f);
    }
    static const RowOp ops[] = { ROW_copy, ROW_add, ROW_exp, ROW_log, ROW_tanh, ROW_erf, ROW_sin,
                                 ROW_pow, ROW_sigmoid, ROW_silu, ROW_gelu, ROW_gelu_tanh,
                                 ROW_silu_slope, ROW_gelu_slope, ROW_gelu_tanh_slope };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int64_t n = 4096; n <= MAX_ELEMENTS; n <<= 10) {
            Bench b = { .name = row_op_name(ops[i]), .rows = 1, .n = n };
            build_map(&b, ops[i]);
            run(table, &b, memory);
        }
    for (int64_t n = 4096; n <= MAX_ELEMENTS; n <<= 10)
        run_named(table, "adamw", 1, n, build_adamw, memory);
    for (int64_t n = 16; n <= 16384; n *= 4)
        run_named(table, "softmax", (1 << 20) / n, n, build_softmax, memory);
    run_named(table, "norm", 256, 768, build_norm, memory);
    run_named(table, "norm", 4096, 768, build_norm, memory);
    for (int i = 0; i < 4; i++)
        free(memory[i]);
    return 0;
}
