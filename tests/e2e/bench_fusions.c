/* What each fusion is worth: programs of the shipped models with and without it.
 *
 *     bench_fusions [--json] [--seconds X] [--fusion NAME[,NAME...]] [--model NAME]
 *                   [--control]
 *
 * Two plans, the defaults with one fusion on and with it off (or with several, where a list is
 * given), run in turns on one thread,
 * A B B A, on the same numbers.  A figure is the median over pairs of the processor time without the
 * fusion over that with it: above 1 it pays.  Processor time, because machines are shared; what two
 * threads gain from fewer barriers is not in it.  Programs whose instructions a fusion leaves as they
 * were are not in the table.  With --control both plans are the same, which shows how far from 1 a
 * figure may be and mean nothing. */
#include "passes/specialize.h"
#include "tests/e2e/compiled.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { MAX_PAIRS = 400, MIN_PAIRS = 7 };

typedef struct BenchCase {
    const char *name;
    ModelSpec model;
    int64_t batch, sequence;            /* of training and evaluation */
    int64_t past;                       /* of generation, one position further */
} BenchCase;

static const BenchCase cases[] = {
    { "chargpt", { "chargpt", { "vocab=65", "context=64" } }, 12, 64, 32 },
    { "gpt2", { "gpt2", { "context=128", "depth=2", "vocab=8192" } }, 4, 64, 64 },
    { "llama", { "llama", { "context=256", "width=288", "depth=6", "heads=6", "kv_heads=6",
                            "hidden=768" } }, 4, 64, 64 },
    { "profile", { "profile", { NULL } }, 4, 128, 64 },
};
static const PlanProgramKind programs[] = { PLAN_eval, PLAN_train, PLAN_accumulate, PLAN_apply,
                                            PLAN_generate };

typedef struct Options {
    bool json, control;
    double seconds;
    const char *fusion, *model;
} Options;

typedef struct Figure {
    double ratio, ms;                   /* without over with; with */
    int pairs;
} Figure;

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one pair of plans ------------------------------------------------------------------------- */

static void compile_with(const BenchCase *c, PlanProgramKind kind, FusionSet fusions, Compiled *out)
{
    Program p;
    CHECK(program_from_name(plan_program_name(kind), &p), "a program of plans");
    const bool one = kind == PLAN_generate;
    const CompileOptions o = { .level = 2, .batch = one ? 1 : c->batch, .fusions = fusions,
                               .sequence = one ? 0 : c->sequence, .programs = 1u << p };
    compiled_open(out, &c->model, &o);
}

static bool same_instructions(const Plan *a, const Plan *b)
{
    const PlanHeader *x = a->header, *y = b->header;
    return x->file_bytes == y->file_bytes
        && memcmp(a->instrs, b->instrs, x->instrs.count * sizeof *a->instrs) == 0
        && memcmp(a->operands, b->operands, x->operands.count * sizeof *a->operands) == 0
        && memcmp(a->rows, b->rows, x->rows.count * sizeof *a->rows) == 0;
}

static Session *open_filled(const BenchCase *c, const Compiled *plan, PlanProgramKind kind)
{
    const uint32_t bit = 1u << kind;
    Session *s = compiled_session(plan, bit, 1, NULL);
    int64_t sizes[MAX_SYMBOLS];
    largest_sizes(&plan->plan, kind, sizes);
    fill_storages(s, bit, 1);
    if (kind == PLAN_generate) {
        const int t = plan_symbol(&plan->plan, PLAN_SEQUENCE);
        if (t >= 0)
            sizes[t] = 1;
        int32_t *past = session_storage_named(s, "$past");
        if (past)
            *past = (int32_t)c->past;
    }
    bind(s, kind, sizes);
    return s;
}

/* Runs of about two milliseconds are one measurement. */
static double time_of(Session *s, PlanProgramKind kind, int repeats)
{
    const double from = thread_seconds();
    for (int i = 0; i < repeats; i++)
        session_run(s, kind);
    return (thread_seconds() - from) / repeats;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static Figure alternate(Session *with, Session *without, PlanProgramKind kind, double seconds)
{
    double ratios[MAX_PAIRS], times[MAX_PAIRS], spent = 0;
    const double once = time_of(with, kind, 1) + time_of(without, kind, 1);
    const int repeats = once < 4e-3 ? (int)(4e-3 / once) + 1 : 1;
    int n = 0;
    while (n < MIN_PAIRS || (n < MAX_PAIRS && spent < seconds)) {
        const bool first = n % 2 == 0;
        const double a = time_of(first ? with : without, kind, repeats);
        const double b = time_of(first ? without : with, kind, repeats);
        times[n] = first ? a : b;
        ratios[n++] = first ? b / a : a / b;
        spent += (a + b) * repeats;
    }
    return (Figure){ median(ratios, n), 1e3 * median(times, n), n };
}

/* False when the fusion does not touch the program. */
static bool measure(const BenchCase *c, PlanProgramKind kind, uint64_t fusions, const Options *o,
                    Figure *out)
{
    FusionSet with = { 0 }, without = { 0 };
    Compiled a, b;
    for (Fusion f = 0; f < N_FUSIONS; f++)
        if (fusions >> f & 1) {
            fusion_switch(&with, f, true);
            fusion_switch(&without, f, o->control);
        }
    if (kind == PLAN_generate && (fusions >> FUSE_attention & 1))
        return false;                   /* caching is proved of attention, not of its parts */
    compile_with(c, kind, with, &a);
    compile_with(c, kind, without, &b);
    const bool differ = o->control || !same_instructions(&a.plan, &b.plan);
    if (differ) {
        Session *x = open_filled(c, &a, kind), *y = open_filled(c, &b, kind);
        *out = alternate(x, y, kind, o->seconds);
        session_close(x);
        session_close(y);
    }
    compiled_close(&a);
    compiled_close(&b);
    return differ;
}

/* ---- the table --------------------------------------------------------------------------------- */

static void print_figure(const Options *o, const BenchCase *c, PlanProgramKind kind,
                         const char *name, const char *is, const Figure *x)
{
    static bool any;
    if (o->json)
        printf("%s\n  { \"fusion\": \"%s\", \"is\": \"%s\", \"model\": \"%s\", "
               "\"program\": \"%s\", \"without_over_with\": %.4f, \"ms_with\": %.4f, "
               "\"pairs\": %d }", any ? "," : "[", name, is, c->name, plan_program_name(kind),
               x->ratio, x->ms, x->pairs);
    else
        printf("%-18s %-4s  %-8s %-10s  %6.3f  %10.3f ms  %4d\n", name, is, c->name,
               plan_program_name(kind), x->ratio, x->ms, x->pairs);
    any = true;
    fflush(stdout);
}

static void bench_set(const Options *o, uint64_t fusions, const char *name, const char *is)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t k = 0; k < COUNT_OF(programs); k++) {
            Figure x;
            if (o->model && strcmp(o->model, cases[i].name) != 0)
                continue;
            if (measure(&cases[i], programs[k], fusions, o, &x))
                print_figure(o, &cases[i], programs[k], name, is, &x);
        }
}

static bool bench_all(const Options *o)
{
    FusionSet asked = { 0 };
    Error err;
    uint64_t bits = 0;
    for (Fusion f = 0; f < N_FUSIONS; f++)
        fusion_switch(&asked, f, false);
    if (o->fusion && !fusion_parse(o->fusion, &asked, &err))
        return fprintf(stderr, "bench_fusions: %s\n", err.text), false;
    for (Fusion f = 0; f < N_FUSIONS; f++)
        bits |= (uint64_t)fusion_on(asked, f) << f;
    if (!o->json)
        printf("%-18s %-4s  %-8s %-10s  %6s  %13s  %s\n", "fusion", "is", "model", "program",
               "ratio", "with it", "pairs");
    if (o->fusion && strchr(o->fusion, ','))
        bench_set(o, bits, o->fusion, "list");
    for (Fusion f = 0; f < N_FUSIONS && !(o->fusion && strchr(o->fusion, ',')); f++)
        if (!o->fusion || bits >> f & 1)
            bench_set(o, (uint64_t)1 << f, fusion_table[f].name, fusion_table[f].on ? "on" : "off");
    if (o->json)
        puts("\n]");
    return true;
}

int main(int argc, char **argv)
{
    Options o = { .seconds = 2 };
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        const bool json = strcmp(argv[i], "--json") == 0;
        if (json || strcmp(argv[i], "--control") == 0) {
            *(json ? &o.json : &o.control) = true;
            continue;
        }
        if (strcmp(argv[i], "--seconds") == 0)
            o.seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--fusion") == 0)
            o.fusion = value;
        else if (strcmp(argv[i], "--model") == 0)
            o.model = value;
        else
            return fprintf(stderr, "usage: bench_fusions [--json] [--seconds X] [--fusion NAMES] "
                           "[--model NAME] [--control]\n"), 2;
        i++;
    }
    return bench_all(&o) ? 0 : 2;
}
