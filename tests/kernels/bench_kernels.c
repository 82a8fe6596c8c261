/* Times kernels, and where there are any, the same of other libraries.
 *
 *     bench_kernels [--cpu ISA] [--threads N] [--seconds S] [--beside] [WORD | CASE]...
 *     bench_kernels --asked [ISA]     for each line of standard input a line of JSON on standard output
 *
 * The first prints a table: of a case of every row of kernels.def, or of the CASEs (bench_case.h, each one
 * argument) and of all known ones that have a WORD in their line (`bench_kernels gemm_q`, `"row norm"`).
 * Times of one thread are the processor's, which other work changes less, those of several the wall clock's.
 * --beside adds the share of the limit and, of matrix products, each library's time over ours; all take turns
 * (bench_peers.h).
 *
 * A question is `WHO THREADS SECONDS CASE`, WHO being ours or a library:
 *
 *     ours 2 0.2 gemm 512 512 512 f32 nn
 *     {"seconds": 0.000571, "flops": 268435456, "bytes": 3145728}
 *
 *     limit 2 0.2 read 500000000
 *     {"rate": 4.1e10}
 *
 *     isa
 *     {"isa": "avx2"}
 *
 * Seconds are the median over batches of runs, each long enough for a clock, for about SECONDS; flops
 * and bytes are those of kernel_cost.  A limit is what the machine can do at most, by the wall clock
 * (probe.h): fma, bf16 (fma where no instruction multiplies bf16), int8 in operations a second; read, copy,
 * update, and the BYTES of memory that all threads together go over, in bytes a second.  copy is the better of
 * the two kinds of stores.
 * {"missing": "..."} answers what cannot be run here.  The case of the last question stays open, so that all
 * who are asked about it compute with the same memory.  OpenBLAS is told its kernels by OPENBLAS_CORETYPE. */
#include "tests/kernels/bench_peers.h"

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
    clockid_t clock;
} Bench;

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
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
        if (!bench_case_open(&b->open, line, b->table, err))
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

static double batch(Bench *b, BenchPeer who, int threads, int runs)
{
    const double from = now(b->clock);
    for (int i = 0; i < runs; i++) {
        bench_case_turn(&b->open);
        if (who == N_PEERS)
            run_ours(b, threads);
        else
            bench_peer_run(who, &b->open);
    }
    return now(b->clock) - from;
}

/* Seconds of one run. */
static double median_seconds(Bench *b, BenchPeer who, int threads, double seconds)
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
    const double from = now(CLOCK_MONOTONIC);
    while (n < MIN_BATCHES || (n < MAX_BATCHES && now(CLOCK_MONOTONIC) - from < seconds)) {
        took[n++] = batch(b, who, threads, runs) / runs;
        if (now(CLOCK_MONOTONIC) - from > 3 * seconds)
            break;
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    return took[n / 2];
}

/* ---- limits ----------------------------------------------------------------------------------- */

/* The median over rounds that all threads begin together, each on its part of the ring. */
static double probe_rate(const Bench *b, Probe p, int threads, double seconds)
{
    const ProbeFns *fn = &b->table->probe;
    const size_t each = b->ring_bytes / sizeof *b->ring / (size_t)threads / PROBE_UNIT * PROBE_UNIT;
    double rates[MAX_BATCHES];
    int n = 0;
    const double began = now(b->clock);
    do {
        double work = 0;
        const double from = now(b->clock);
#pragma omp parallel num_threads(threads) reduction(+ : work)
        do
            work += probe_run(fn, p, each, b->ring + each * (size_t)omp_get_thread_num());
        while (now(b->clock) - from < batch_seconds);
        rates[n++] = work / (now(b->clock) - from);
    } while (n < MAX_BATCHES && (n < 2 || now(b->clock) - began < seconds));
    qsort(rates, (size_t)n, sizeof *rates, by_value);
    return rates[n / 2];
}

static void open_ring(Bench *b, size_t bytes)
{
    if (b->ring_bytes == bytes)
        return;
    free(b->ring);
    b->ring_bytes = bytes;
    b->ring = aligned_alloc(1 << 21, (bytes >> 21 << 21) + (1 << 21));
    CHECK(b->ring, "no memory");
    madvise(b->ring, bytes, MADV_HUGEPAGE);
    memset(b->ring, 1, bytes);
}

/* `what` is a probe's name and, where it moves bytes, how many; 0 when there is no such limit. */
static double limit_rate(Bench *b, const char *what, int threads, double seconds)
{
    char kind[8];
    double bytes = 0;
    Probe p;
    const int n = sscanf(what, "%7s %lf", kind, &bytes);
    if (n < 1 || !probe_from_name(kind, &p) || (probe_moves(p) && (n < 2 || bytes < 1e4 || bytes > 16e9)))
        return 0;
    if (p == PROBE_bf16 && !probe_exists(&b->table->probe, p))
        p = PROBE_fma;                  /* which is what multiplies bf16 then */
    if (!probe_exists(&b->table->probe, p))
        return 0;
    open_ring(b, probe_moves(p) ? (size_t)bytes : (size_t)threads * PROBE_UNIT * sizeof(float));
    if (p != PROBE_copy)
        return probe_rate(b, p, threads, seconds);
    const double plain = probe_rate(b, PROBE_copy, threads, seconds / 2);
    const double past = probe_rate(b, PROBE_stream, threads, seconds / 2);
    return plain > past ? plain : past;
}

/* The least time in which the machine can do the open product or attention: its operations at the rate of
 * their type, or its bytes as they are read from wherever so many stay.  0 for other families. */
static double limit_seconds(Bench *b, int threads)
{
    const Call *call = &b->open.call;
    const KernelCost cost = kernel_cost(call);
    char what[64];
    if (call->kernel > KERNEL_attention_grad || call->kernel == KERNEL_row)
        return 0;
    const bool in_bf16 = (call->kernel == KERNEL_gemm || call->kernel == KERNEL_gemm_shared) && call->i[4];
    const bool blocks = call->kernel == KERNEL_gemm_q || call->kernel == KERNEL_gemm_q_shared;
    const char *kind = blocks ? "int8" : in_bf16 ? "bf16" : "fma";
    const double flops = limit_rate(b, kind, threads, 0.01);
    const double computing = flops > 0 ? cost.flops / flops : 0;
    const double from = b->open.cold ? (double)(b->open.n_copies * b->open.copy_bytes) : cost.bytes;
    snprintf(what, sizeof what, "read %.0f", from < 1e4 ? 1e4 : from);
    const double moving = cost.bytes / limit_rate(b, what, threads, 0.01);
    return computing > moving ? computing : moving;
}

/* ---- questions -------------------------------------------------------------------------------- */

static void answer(Bench *b, const char *line)
{
    char who[24];
    int threads, used = 0;
    double seconds;
    Error err;
    if (strcmp(line, "isa") == 0) {
        printf("{\"isa\": \"%s\"}\n", isa_name(b->table->isa));
        return;
    }
    if (sscanf(line, "%23s %d %lf %n", who, &threads, &seconds, &used) != 3 || !used || threads < 1
        || threads > MAX_THREADS) {
        printf("{\"missing\": \"not understood: WHO THREADS SECONDS CASE\"}\n");
        return;
    }
    const BenchPeer peer = bench_peer_named(who);
    if (strcmp(who, "limit") == 0) {
        const double rate = limit_rate(b, line + used, threads, seconds);
        if (rate > 0)
            printf("{\"rate\": %.9g}\n", rate);
        else
            printf("{\"missing\": \"no such limit here\"}\n");
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

/* ---- the table -------------------------------------------------------------------------------- */

typedef struct Table {
    int threads;
    double seconds;
    bool beside, head;
} Table;

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

/* Ours, the libraries and the limit in turn; what is told of them is the median of each round's ratio. */
static void print_beside(Bench *b, const Table *t)
{
    enum { ROUNDS = 5 };
    double ratio[N_PEERS + 1][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        const double ours = median_seconds(b, N_PEERS, t->threads, t->seconds / ROUNDS);
        for (BenchPeer p = 0; p < N_PEERS; p++)
            if (bench_peer_can(p, &b->open))
                ratio[p][r] = median_seconds(b, p, t->threads, t->seconds / ROUNDS) / ours;
        ratio[N_PEERS][r] = limit_seconds(b, t->threads) / ours;
    }
    if (ratio[N_PEERS][0] > 0)
        printf(" %6.2f", median(ratio[N_PEERS], ROUNDS));
    for (BenchPeer p = 0; p < N_PEERS; p++)
        if (bench_peer_can(p, &b->open))
            printf("  %s %.2f", bench_peer_name(p), median(ratio[p], ROUNDS));
}

static void print_case(Bench *b, Table *t, const char *line)
{
    Error err;
    if (!t->head)
        printf("%s, %d thread%s, medians\n%-36s %12s %10s %8s%s\n", isa_name(b->table->isa), t->threads,
               t->threads > 1 ? "s" : "", "", "us", "GFLOP/s", "GB/s", t->beside ? "  limit" : "");
    t->head = true;
    if (!open_case(b, line, t->threads, &err)) {
        printf("%-36s %s\n", line, err.text);
        return;
    }
    b->clock = t->threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    const double s = median_seconds(b, N_PEERS, t->threads, t->seconds);
    const KernelCost cost = kernel_cost(&b->open.call);
    printf("%-36s %12.2f %10.2f %8.2f", line, 1e6 * s, 1e-9 * cost.flops / s, 1e-9 * cost.bytes / s);
    if (t->beside)
        print_beside(b, t);
    printf("\n");
    fflush(stdout);
}

static void print_known(Bench *b, Table *t, const char *word)
{
    char line[128];
    for (int i = 0; bench_case_default(i, line); i++)
        if (!word || strstr(line, word))
            print_case(b, t, line);
    for (int i = 0; word && bench_case_further(i, line); i++)
        if (strstr(line, word))
            print_case(b, t, line);
}

/* A case or a word, whichever it is. */
static void print_asked(Bench *b, Table *t, const char *word)
{
    BenchCase probe;
    Error err;
    const bool is_case = bench_case_open(&probe, word, b->table, &err);
    bench_case_close(&probe);
    if (is_case)
        print_case(b, t, word);
    else
        print_known(b, t, word);
}

static void answer_all(Bench *b)
{
    char line[LINE];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(b, line);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const bool asked = argc > 1 && strcmp(argv[1], "--asked") == 0;
    const char *isa = asked && argc > 2 ? argv[2] : getenv("SMG_CPU");
    Table t = { .threads = 1, .seconds = 0.05 };
    Error err;
    int i = 1;
    for (; !asked && i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--beside") == 0)
            t.beside = true;
        else if (i + 1 < argc && strcmp(argv[i], "--cpu") == 0)
            isa = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--threads") == 0)
            t.threads = atoi(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0)
            t.seconds = atof(argv[++i]);
        else
            t.threads = 0;
    }
    Bench b = { .table = kernels_select(isa, &err), .clock = CLOCK_MONOTONIC };
    if (!b.table || t.threads < 1 || t.threads > MAX_THREADS) {
        fprintf(stderr, "bench_kernels: %s\n", b.table ? "see the head of bench_kernels.c" : err.text);
        return 1;
    }
    if (asked)
        answer_all(&b);
    else if (i == argc)
        print_known(&b, &t, NULL);
    for (; !asked && i < argc; i++)
        print_asked(&b, &t, argv[i]);
    close_case(&b);
    free(b.ring);
    return 0;
}
