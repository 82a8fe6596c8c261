/* Times kernels, and where there are any, the same of other libraries.
 *
 *     bench_kernels [ISA]             a table: a case of every row of kernels.def, on one thread
 *     bench_kernels --asked [ISA]     for each line of standard input a line of JSON on standard output
 *
 * A question is `WHO THREADS SECONDS CASE` (bench_case.h), WHO being ours or a library (bench_peers.h):
 *
 *     ours 2 0.2 gemm 512 512 512 f32 nn
 *     {"seconds": 0.000571, "flops": 268435456, "bytes": 3145728}
 *
 *     limit 2 0.2 read 500000000
 *     {"rate": 4.1e10}
 *
 * Seconds are the median over batches of runs, each long enough for a clock, for about SECONDS; flops
 * and bytes are those of kernel_cost.  A limit is what the machine can do at most, by the wall clock: fma and
 * bf16 in operations a second; read BYTES and copy BYTES (read and written), in bytes a second, all
 * threads together, each over a part of as many bytes as are said.  {"missing": "..."} answers what cannot be run here.  The case of
 * the last question stays open, so that all who are asked about it compute with the same memory.
 * OpenBLAS is told its kernels by OPENBLAS_CORETYPE. */
#include "bench_peers.h"

#include "base/check.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MAX_THREADS = 64, MAX_BATCHES = 201, MIN_BATCHES = 5, LINE = 256 };
static const double batch_seconds = 4e-3;

typedef struct Bench {
    const KernelTable *table;
    BenchCase open;
    char line[LINE];                    /* the case that is open, "" when none is */
    void *scratch[MAX_THREADS];
    float *ring;                        /* of the last limit that took memory */
    size_t ring_bytes;
} Bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void close_case(Bench *b)
{
    for (int i = 0; i < MAX_THREADS; i++) {
        free(b->scratch[i]);
        b->scratch[i] = NULL;
    }
    bench_case_close(&b->open);
    b->line[0] = '\0';
}

static bool open_case(Bench *b, const char *line, int threads, Error *err)
{
    if (strcmp(b->line, line) != 0) {
        close_case(b);
        if (!bench_case_open(&b->open, line, err))
            return false;
        snprintf(b->line, sizeof b->line, "%s", line);
    }
    const size_t bytes = (kernel_scratch(&b->open.call) + 127) / 64 * 64;
    for (int i = 0; i < threads; i++)
        if (!b->scratch[i])
            b->scratch[i] = aligned_alloc(64, bytes);
    return true;
}

static void run_ours(const Bench *b, int threads)
{
    const Call *call = &b->open.call;
    KernelFn *run = b->table->run[call->kernel];
    if (threads == 1) {
        run(call, 0, call->n_tasks, b->scratch[0]);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        const int64_t i = omp_get_thread_num(), n = omp_get_num_threads();
        run(call, i * call->n_tasks / n, (i + 1) * call->n_tasks / n, b->scratch[i]);
    }
}

static double batch(const Bench *b, BenchPeer who, int threads, int runs)
{
    const double from = now();
    for (int i = 0; i < runs; i++) {
        if (who == N_PEERS)
            run_ours(b, threads);
        else
            bench_peer_run(who, &b->open);
    }
    return now() - from;
}

/* Seconds of one run. */
static double median_seconds(const Bench *b, BenchPeer who, int threads, double seconds)
{
    double took[MAX_BATCHES];
    int n = 0, runs = 1;
    if (who != N_PEERS)
        bench_peer_threads(who, threads);
    double one = batch(b, who, threads, 1);
    if (one < 10 * batch_seconds)
        one = batch(b, who, threads, 1);
    if (one < batch_seconds)
        runs = one > 1e-8 ? (int)(batch_seconds / one) + 1 : 1000;
    const double from = now();
    while (n < MIN_BATCHES || (n < MAX_BATCHES && now() - from < seconds)) {
        took[n++] = batch(b, who, threads, runs) / runs;
        if (now() - from > 3 * seconds)
            break;
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    return took[n / 2];
}

/* ---- limits ----------------------------------------------------------------------------------- */

typedef struct Probe {
    const ProbeFns *fn;
    char kind;                          /* f, b: operations; r, c: bytes */
    size_t floats;                      /* of all threads */
    float *memory;
} Probe;

static volatile float sink;

/* Thread i's part, once; the operations or bytes of it. */
static double probe_once(const Probe *p, int i, int threads)
{
    enum { ROUNDS = 20000 };
    const size_t each = p->floats / (size_t)threads / (2 * PROBE_FLOATS) * (2 * PROBE_FLOATS);
    float *part = p->memory ? p->memory + each * (size_t)i : NULL;
    switch (p->kind) {
    case 'f':
        sink = p->fn->fma(ROUNDS, 0.5f);
        return ROUNDS * p->fn->fma_ops;
    case 'b':
        sink = p->fn->bf16(ROUNDS, 0.5f);
        return ROUNDS * p->fn->bf16_ops;
    case 'r':
        sink = p->fn->read(each, part);
        break;
    case 'c':
        p->fn->copy(each / 2, part, part + each / 2);
        break;
    }
    return (double)(each * sizeof *part);
}

/* The median over rounds that all threads begin together. */
static double probe_rate(const Probe *p, int threads, double seconds)
{
    double rates[MAX_BATCHES];
    int n = 0;
    const double began = now();
    do {
        double work = 0;
        const double from = now();
#pragma omp parallel num_threads(threads) reduction(+ : work)
        do
            work += probe_once(p, omp_get_thread_num(), threads);
        while (now() - from < batch_seconds);
        rates[n++] = work / (now() - from);
    } while (n < MAX_BATCHES && (n < 2 || now() - began < seconds));
    qsort(rates, (size_t)n, sizeof *rates, by_value);
    return rates[n / 2];
}

static void answer_limit(Bench *b, const char *what, int threads, double seconds)
{
    char kind[8] = "";
    double bytes = 0;
    const int n = sscanf(what, "%7s %lf", kind, &bytes);
    Probe p = { .fn = &b->table->probe, .kind = kind[0] };
    const bool moves = strcmp(kind, "read") == 0 || strcmp(kind, "copy") == 0;
    if (moves ? n < 2 || bytes < 1e4 || bytes > 16e9
              : strcmp(kind, "fma") != 0 && (strcmp(kind, "bf16") != 0 || !p.fn->bf16)) {
        printf("{\"missing\": \"no such limit here\"}\n");
        return;
    }
    if (moves) {
        p.floats = (size_t)bytes / sizeof *p.memory;
        if (b->ring_bytes != (size_t)bytes) {
            free(b->ring);
            b->ring_bytes = (size_t)bytes;
            b->ring = aligned_alloc(1 << 21, (b->ring_bytes >> 21 << 21) + (1 << 21));
            CHECK(b->ring, "no memory");
            madvise(b->ring, b->ring_bytes, MADV_HUGEPAGE);
            memset(b->ring, 1, b->ring_bytes);
        }
        p.memory = b->ring;
    }
    printf("{\"rate\": %.9g}\n", probe_rate(&p, threads, seconds));
}

/* ---- questions -------------------------------------------------------------------------------- */

static void answer(Bench *b, const char *line)
{
    char who[24];
    int threads, used = 0;
    double seconds;
    Error err;
    if (sscanf(line, "%23s %d %lf %n", who, &threads, &seconds, &used) != 3 || !used || threads < 1
        || threads > MAX_THREADS) {
        printf("{\"missing\": \"not understood: WHO THREADS SECONDS CASE\"}\n");
        return;
    }
    const BenchPeer peer = bench_peer_named(who);
    if (strcmp(who, "limit") == 0) {
        answer_limit(b, line + used, threads, seconds);
    } else if (peer == N_PEERS && strcmp(who, "ours") != 0) {
        printf("{\"missing\": \"nobody is called %s\"}\n", who);
    } else if (!open_case(b, line + used, threads, &err)) {
        fprintf(stderr, "bench_kernels: %s\n", err.text);
        printf("{\"missing\": \"no such case\"}\n");
    } else if (peer != N_PEERS && !bench_peer_can(peer, &b->open)) {
        printf("{\"missing\": \"%s is not installed, or has no such product\"}\n", who);
    } else {
        const KernelCost cost = kernel_cost(&b->open.call);
        printf("{\"seconds\": %.9g, \"flops\": %.0f, \"bytes\": %.0f}\n",
               median_seconds(b, peer, threads, seconds), cost.flops, cost.bytes);
    }
}

static void table_of_all(Bench *b)
{
    char line[128];
    Error err;
    printf("%s, one thread, medians\n%-36s %12s %10s %8s\n", isa_name(b->table->isa), "", "us",
           "GFLOP/s", "GB/s");
    for (int i = 0; bench_case_default(i, line); i++) {
        const bool ok = open_case(b, line, 1, &err);
        CHECK(ok, "%s", err.text);
        const double s = median_seconds(b, N_PEERS, 1, 0.05);
        const KernelCost cost = kernel_cost(&b->open.call);
        printf("%-36s %12.2f %10.2f %8.2f\n", line, 1e6 * s, 1e-9 * cost.flops / s,
               1e-9 * cost.bytes / s);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const bool asked = argc > 1 && strcmp(argv[1], "--asked") == 0;
    const char *isa = argc > 1 + asked ? argv[1 + asked] : getenv("SMG_CPU");
    char line[LINE];
    Error err;
    Bench b = { .table = kernels_select(isa, &err) };
    if (!b.table) {
        fprintf(stderr, "bench_kernels: %s\n", err.text);
        return 1;
    }
    if (!asked)
        table_of_all(&b);
    while (asked && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(&b, line);
        fflush(stdout);
    }
    close_case(&b);
    free(b.ring);
    return 0;
}
