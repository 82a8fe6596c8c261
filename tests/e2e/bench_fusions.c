/* What each fusion is worth: programs of the shipped models with and without it.
 *
 *     bench_fusions [--json | --table] [--seconds X] [--fusion NAME[,NAME...]] [--model NAME]
 *                   [--control]
 *
 * Two plans, the defaults with one fusion on and with it off (or with several, where a list is
 * given), run in turns on one thread,
 * A B B A, on the same numbers.  A figure is the median over pairs of the processor time without the
 * fusion over that with it: above 1 it pays.  Processor time, because machines are shared; what two
 * threads gain from fewer barriers is not in it.  Programs whose instructions a fusion leaves as they
 * were are not in the table.  With --control both plans are the same, which shows how far from 1 a
 * figure may be and mean nothing.
 *
 * --table prints all of it for docs/fusion.md, with a verdict on each fusion.  A plan is measured against
 * itself three times for each model and program; a figure is slower when it lies further below 1 than
 * any of these from 1, and does so again when it is measured a second time.  The exit status is 1 when a
 * fusion that is on by default makes a program slower. */
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
    { "gpt2", { "gpt2", { "context=128", "depth=1", "vocab=2048" } }, 4, 64, 64 },
    { "llama", { "llama", { "context=256", "width=288", "depth=6", "heads=6", "kv_heads=6",
                            "hidden=768" } }, 4, 64, 64 },
    { "profile", { "profile", { NULL } }, 4, 128, 64 },
    { "gemma", { "gemma", { "vocab=4096", "context=128", "width=256", "depth=2", "heads=4",
                            "kv_heads=1", "head=64", "hidden=1024" } }, 4, 64, 64 },
    { "mlp", { "mlp", { NULL } }, 256, 0, 0 },
};
static const PlanProgramKind programs[] = { PLAN_eval, PLAN_train, PLAN_accumulate, PLAN_apply,
                                            PLAN_generate };

typedef struct Options {
    bool json, control, table;
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

/* ---- one fusion after the other ----------------------------------------------------------------- */

static bool is_asked(const Options *o, size_t model)
{
    return !o->model || strcmp(o->model, cases[model].name) == 0;
}

/* The multi-layer perceptron has no sequence to generate. */
static bool has_program(size_t model, PlanProgramKind kind)
{
    return kind != PLAN_generate || cases[model].past > 0;
}

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
            if (!is_asked(o, i) || !has_program(i, programs[k]))
                continue;
            if (measure(&cases[i], programs[k], fusions, o, &x))
                print_figure(o, &cases[i], programs[k], name, is, &x);
        }
}

/* ---- the table with verdicts -------------------------------------------------------------------- */

enum { N_CASES = COUNT_OF(cases), N_KINDS = COUNT_OF(programs), CONTROLS = 3 };

/* How far from 1 a plan against itself was, of each model and program; 0: there is none. */
static double strayed[N_CASES][N_KINDS];

static double distance(double ratio)
{
    return ratio > 1 ? ratio - 1 : 1 - ratio;
}

static void measure_controls(const Options *o)
{
    const Options control = { .control = true, .seconds = o->seconds };
    for (size_t i = 0; i < N_CASES; i++)
        for (size_t k = 0; k < N_KINDS; k++)
            for (int n = 0; n < CONTROLS && is_asked(o, i) && has_program(i, programs[k]); n++) {
                Figure x;
                measure(&cases[i], programs[k], 0, &control, &x);
                if (distance(x.ratio) > strayed[i][k])
                    strayed[i][k] = distance(x.ratio);
            }
}

static void print_cell(bool any, const char *sign, double x)
{
    if (any)
        printf(" %s%.3f |", sign, x);
    else
        printf(" |");
}

static void print_head(const Options *o)
{
    printf("| fusion | by default | model |");
    for (size_t k = 0; k < N_KINDS; k++)
        printf(" %s |", plan_program_name(programs[k]));
    printf(" verdict |\n|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < N_CASES; i++) {
        if (!is_asked(o, i))
            continue;
        printf("| a plan against itself | | %s |", cases[i].name);
        for (size_t k = 0; k < N_KINDS; k++)
            print_cell(strayed[i][k] > 0, "+-", strayed[i][k]);
        printf(" |\n");
    }
    fflush(stdout);
}

/* One line: a fusion in the programs of one model.  True when it makes one slower. */
static bool table_row(const Options *o, Fusion f, size_t model)
{
    Figure x[N_KINDS] = { { 0 } };
    bool touched[N_KINDS] = { false }, any = false, slower = false, faster = false;
    for (size_t k = 0; k < N_KINDS; k++) {
        const uint64_t bit = (uint64_t)1 << f;
        if (!has_program(model, programs[k])
            || !measure(&cases[model], programs[k], bit, o, &x[k]))
            continue;
        const double least = 1 - strayed[model][k];
        bool below = x[k].ratio < least;
        if (below)
            below = measure(&cases[model], programs[k], bit, o, &x[k]) && x[k].ratio < least;
        touched[k] = any = true;
        slower = slower || below;
        faster = faster || x[k].ratio > 1 + strayed[model][k];
    }
    if (!any)
        return false;
    printf("| `%s` | %s | %s |", fusion_table[f].name, fusion_table[f].on ? "on" : "off",
           cases[model].name);
    for (size_t k = 0; k < N_KINDS; k++)
        print_cell(touched[k], "", x[k].ratio);
    printf(" %s |\n", slower ? "slower" : faster ? "pays" : "no difference");
    fflush(stdout);
    return slower;
}

/* False when a fusion that is on makes a program slower. */
static bool print_table(const Options *o, uint64_t fusions)
{
    bool none_slower = true;
    measure_controls(o);
    print_head(o);
    for (Fusion f = 0; f < N_FUSIONS; f++)
        for (size_t i = 0; i < N_CASES; i++)
            if ((fusions >> f & 1) && is_asked(o, i) && table_row(o, f, i) && fusion_table[f].on)
                none_slower = false;
    printf("\n%s\n", none_slower ? "None that is on by default makes a program slower."
                                  : "Some that are on by default make programs slower.");
    return none_slower;
}

/* ---- the command -------------------------------------------------------------------------------- */

/* 0, 1 when the table holds a verdict of slower, 2 when the options make no sense. */
static int bench_all(const Options *o)
{
    FusionSet asked = { 0 };
    Error err;
    uint64_t bits = 0;
    for (Fusion f = 0; f < N_FUSIONS; f++)
        fusion_switch(&asked, f, false);
    if (o->fusion && !fusion_parse(o->fusion, &asked, &err))
        return fprintf(stderr, "bench_fusions: %s\n", err.text), 2;
    for (Fusion f = 0; f < N_FUSIONS; f++)
        bits |= (uint64_t)fusion_on(asked, f) << f;
    if (o->table)
        return !print_table(o, o->fusion ? bits : ~(uint64_t)0);
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
    return 0;
}

int main(int argc, char **argv)
{
    Options o = { .seconds = 2 };
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        const bool json = strcmp(argv[i], "--json") == 0, table = strcmp(argv[i], "--table") == 0;
        if (json || table || strcmp(argv[i], "--control") == 0) {
            *(json ? &o.json : table ? &o.table : &o.control) = true;
            continue;
        }
        if (strcmp(argv[i], "--seconds") == 0)
            o.seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--fusion") == 0)
            o.fusion = value;
        else if (strcmp(argv[i], "--model") == 0)
            o.model = value;
        else
            return fprintf(stderr, "usage: bench_fusions [--json | --table] [--seconds X] [--fusion NAMES] "
                           "[--model NAME] [--control]\n"), 2;
        i++;
    }
    return bench_all(&o);
}
