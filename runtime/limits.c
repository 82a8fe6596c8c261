/* Measuring the machine: every thread runs the same loop over memory of its own for a few rounds, and
 * their median rates are added up. */
#include "runtime/limits.h"

#include "base/check.h"
#include "base/str.h"
#include "runtime/threads.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9 };
static const double round_seconds = 1e-3;
/* Memory is read in slices of this size, each round another one, so that none is in a cache. */
enum { SLICE = 16 << 20 };

static const char *const level_names[N_LIMIT_LEVELS] = {
#define X(name) [LIMIT_##name] = #name,
    LIMIT_LEVELS(X)
#undef X
};

const char *limit_level_name(LimitLevel level)
{
    return level_names[level];
}

/* One thread's measurement: what it runs, over what, and the rate it found. */
typedef struct Task {
    const ProbeFns *fn;
    Probe probe;
    float *memory;
    size_t floats;                      /* that one pass goes over */
    size_t floats_all;                  /* passes follow one another in these; a multiple of floats */
    size_t at;
    double rate;                        /* operations or bytes a second */
} Task;

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs the loop once; the operations or bytes it took. */
static double once(Task *t)
{
    float *p = t->memory + t->at;
    t->at = (t->at + t->floats) % t->floats_all;
    return probe_run(t->fn, t->probe, t->floats, p);
}

/* As often as makes reading the clock cost nothing beside it. */
static double pass(Task *t)
{
    enum { ENOUGH = 1 << 20 };
    double work = 0;
    do
        work += once(t);
    while (work < ENOUGH);
    return work;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_task(Task *t)
{
    double rate[ROUNDS];
    pass(t);
    for (int r = 0; r < ROUNDS; r++) {
        const double from = thread_seconds();
        double work = 0, spent;
        do {
            work += pass(t);
            spent = thread_seconds() - from;
        } while (spent < round_seconds);
        rate[r] = work / spent;
    }
    qsort(rate, ROUNDS, sizeof *rate, by_value);
    t->rate = rate[ROUNDS / 2];
}

static void measure_one(void *tasks, int thread)
{
    measure_task((Task *)tasks + thread);
}

/* The sum over the threads, each with `bytes` of its own at memory + thread * stride; 0 without memory. */
static double measure(const ProbeFns *fn, Probe probe, int n_threads, char *memory, size_t stride,
                      size_t bytes, size_t pass_bytes)
{
    double sum = 0;
    Task *tasks = calloc((size_t)n_threads, sizeof *tasks);
    for (int i = 0; tasks && i < n_threads; i++)
        tasks[i] = (Task){ .fn = fn, .probe = probe, .floats = pass_bytes / sizeof(float),
                           .memory = (float *)(void *)(memory + (size_t)i * stride),
                           .floats_all = bytes / pass_bytes * pass_bytes / sizeof(float) };
    if (tasks)
        threads_each(n_threads, measure_one, tasks);
    for (int i = 0; tasks && i < n_threads; i++)
        sum += tasks[i].rate;
    free(tasks);
    return sum;
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Bytes a thread goes over at each level: well within it, and well beyond the one before.  A last
 * level of hundreds of megabytes is a share of a large machine, and reading all of it proves little. */
static void choose_sizes(Limits *l)
{
    const CacheSizes c = cpu_caches();
    const size_t n = (size_t)l->n_threads, unit = 4096;
    const long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const size_t spare = pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 4 : 0;
    const size_t largest = at_most(spare, (size_t)256 << 20);
    l->cache[LIMIT_L1] = c.l1 * n;
    l->cache[LIMIT_L2] = c.l2 * n;
    l->cache[LIMIT_L3] = c.l3;
    l->cache[LIMIT_memory] = SIZE_MAX;
    l->probed[LIMIT_L1] = c.l1 / 2;
    l->probed[LIMIT_L2] = c.l2 / 2;
    l->probed[LIMIT_L3] = at_most(c.l2 * 4, c.l3 / 2 / n);
    l->probed[LIMIT_memory] = at_most(c.l3 * 2, largest) / n;
    for (int k = N_LIMIT_LEVELS - 1; k >= 0; k--) {
        const size_t bytes = at_most(l->probed[k], l->probed[LIMIT_memory]);
        l->probed[k] = bytes < unit ? unit : bytes / unit * unit;
    }
}

/* Passes of a cache's size go round in it; memory is walked through slice after slice. */
static size_t pass_bytes(const Limits *l, LimitLevel level)
{
    return level == LIMIT_memory ? at_most(SLICE, l->probed[level]) : l->probed[level];
}

bool limits_measure(const KernelTable *kernels, int n_threads, Limits *out, Error *err)
{
    *out = (Limits){ .isa = kernels->isa, .n_threads = n_threads };
    choose_sizes(out);
    const size_t stride = out->probed[LIMIT_memory], total = stride * (size_t)n_threads;
    char *memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return error_set(err, "out of memory: measuring this machine takes %zu bytes", total);
    madvise(memory, total, MADV_HUGEPAGE);
    /* Pages that were never written are all the same page of zeros. */
    memset(memory, 1, total);
    const ProbeFns *fn = &kernels->probe;
    double *const computing[] = { [PROBE_fma] = &out->fma, [PROBE_bf16] = &out->bf16,
                                  [PROBE_int8] = &out->int8 };
    for (Probe p = PROBE_fma; p <= PROBE_int8; p++)
        if (probe_exists(fn, p))
            *computing[p] = measure(fn, p, n_threads, memory, stride, stride, out->probed[LIMIT_L1]);
    for (int k = 0; k < N_LIMIT_LEVELS; k++) {
        const size_t each = pass_bytes(out, (LimitLevel)k), bytes = out->probed[k];
        const double copy = measure(fn, PROBE_copy, n_threads, memory, stride, bytes, each);
        const double stream = measure(fn, PROBE_stream, n_threads, memory, stride, bytes, each);
        out->read[k] = measure(fn, PROBE_read, n_threads, memory, stride, bytes, each);
        out->copy[k] = copy > stream ? copy : stream;
        out->update[k] = measure(fn, PROBE_update, n_threads, memory, stride, bytes, each);
    }
    munmap(memory, total);
    return true;
}

LimitRate limits_rate(const Limits *l, KernelUnit unit)
{
    static const double products[] = { [UNIT_bf16_six] = 6, [UNIT_bf16_three] = 3, [UNIT_bf16] = 1 };
    LimitRate best = { l->fma, "FMA" };
    if (unit == UNIT_int8 && l->int8 > best.rate)
        best = (LimitRate){ l->int8, "int8" };
    if (unit != UNIT_fma && unit != UNIT_int8 && l->bf16 / products[unit] > best.rate)
        best = (LimitRate){ l->bf16 / products[unit], "bf16" };
    return best;
}

double limits_both_ways(const Limits *l, LimitLevel level)
{
    return fmax(l->read[level], fmax(l->copy[level], l->update[level]));
}

/* A set's own rate; what it has from a weaker one is told there. */
static bool is_own(Isa isa, Probe p)
{
    const ProbeFns *fn = &kernels_table(isa)->probe, *weaker = isa ? &kernels_table(isa - 1)->probe : NULL;
    if (!isa_supported(isa) || !probe_exists(fn, p))
        return false;
    return !weaker || (p == PROBE_fma ? fn->fma.run != weaker->fma.run
                     : p == PROBE_bf16 ? fn->bf16.run != weaker->bf16.run
                                       : fn->int8.run != weaker->int8.run);
}

bool limits_report(const KernelTable *kernels, int n_threads, LimitsReport *out, Error *err)
{
    float unused[PROBE_UNIT] = { 0 };
    *out = (LimitsReport){ .n_threads = n_threads };
    for (Probe p = PROBE_fma; p <= PROBE_int8; p++)
        for (int i = 0; i < N_ISAS; i++)
            for (int k = 0; is_own((Isa)i, p) && k < 2; k++)
                out->computing[p][i][k] = measure(&kernels_table((Isa)i)->probe, p, k ? n_threads : 1,
                                                  (char *)unused, 0, sizeof unused, sizeof unused);
    return limits_measure(kernels, 1, &out->best[0], err)
        && limits_measure(kernels, n_threads, &out->best[1], err);
}

/* What moves bytes, in the order that it is told. */
static const struct { const char *name; size_t at; } moving[] = {
    { "read", offsetof(Limits, read) },
    { "copy", offsetof(Limits, copy) },
    { "update", offsetof(Limits, update) },
};

static const double *rates_of(const Limits *l, size_t at)
{
    return (const void *)((const char *)l + at);
}

void limits_print(Buf *out, const LimitsReport *r)
{
    static const char *const computing[] = { "float FMA", "bf16 dot", "byte dot" };
    char cpu[128], size[32];
    cpu_model(cpu, sizeof cpu);
    buf_printf(out, "%s: medians, processor time\n\n%-28s %12s %9d thread%s\n", cpu, "", "1 thread",
               r->n_threads, r->n_threads > 1 ? "s" : "");
    for (Probe p = PROBE_fma; p <= PROBE_int8; p++)
        for (int i = 0; i < N_ISAS; i++)
            if (r->computing[p][i][0] > 0)
                buf_printf(out, "%s, %-17s %12.1f %12.1f %s\n", computing[p], isa_name((Isa)i),
                           1e-9 * r->computing[p][i][0], 1e-9 * r->computing[p][i][1],
                           p == PROBE_int8 ? "GOP/s" : "GFLOP/s");
    for (size_t m = 0; m < COUNT_OF(moving); m++)
        for (int k = 0; k < N_LIMIT_LEVELS; k++) {
            const Limits *one = &r->best[0], *all = &r->best[1];
            str_bytes(size, sizeof size, one->probed[k]);
            buf_printf(out, "%-6s %-6s %12s  %12.1f %12.1f GB/s\n", moving[m].name, level_names[k],
                       size, 1e-9 * rates_of(one, moving[m].at)[k], 1e-9 * rates_of(all, moving[m].at)[k]);
        }
    buf_puts(out, "\ncopy counts bytes read and bytes written, by the stores that are faster there; update,\n"
                  "what an optimizer moves: four runs read, three of them written back\n");
}

json_t *limits_json(const Limits *l)
{
    json_t *j = json_pack("{s:i, s:f, s:f, s:f}", "threads", l->n_threads, "flops_per_second",
                          l->fma, "bf16_flops_per_second", l->bf16, "int8_ops_per_second", l->int8);
    for (size_t m = 0; m < COUNT_OF(moving); m++) {
        char key[32];
        json_t *levels = json_object();
        for (int k = 0; k < N_LIMIT_LEVELS; k++)
            json_object_set_new(levels, level_names[k], json_real(rates_of(l, moving[m].at)[k]));
        snprintf(key, sizeof key, "%s_bytes_per_second", moving[m].name);
        json_object_set_new(j, key, levels);
    }
    return j;
}

/* Of each set that has one, on one thread and on all. */
static json_t *rates_json(const double rate[N_ISAS][2])
{
    json_t *j = json_object();
    for (int i = 0; i < N_ISAS; i++)
        if (rate[i][0] > 0)
            json_object_set_new(j, isa_name((Isa)i), json_pack("[f, f]", rate[i][0], rate[i][1]));
    return j;
}

bool limits_report_json(Buf *out, const LimitsReport *r)
{
    char cpu[128];
    cpu_model(cpu, sizeof cpu);
    json_t *j = json_pack("{s:s, s:s, s:[i, i], s:o, s:o, s:o, s:[o, o]}", "cpu", cpu, "isa",
                          isa_name(r->best[0].isa), "threads", 1, r->n_threads,
                          "fma_flops_per_second", rates_json(r->computing[PROBE_fma]),
                          "bf16_flops_per_second", rates_json(r->computing[PROBE_bf16]),
                          "int8_ops_per_second", rates_json(r->computing[PROBE_int8]),
                          "limits", limits_json(&r->best[0]), limits_json(&r->best[1]));
    char *text = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        buf_printf(out, "%s\n", text);
    json_decref(j);
    free(text);
    return text && !out->failed;
}
