/* smrun bench: how fast a plan runs here. */
#include "base/check.h"
#include "base/progress.h"
#include "runtime/bench.h"
#include "runtime/bench_asked.h"
#include "runtime/command.h"
#include "runtime/limits.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static void print_generation(const char *what, const BenchGeneration *b)
{
    if (!b->measured)
        return;
    printf("%-38s %10.1f tokens/s  %8.3f ms/token", what, b->tokens_per_s, b->ms_per_token);
    if (b->bytes_per_token >= 0)
        printf("  %.0f bytes allocated per token", b->bytes_per_token);
    if (b->barriers > 0)
        printf("  %" PRIu32 " barriers", b->barriers);
    printf("  (positions %" PRId64 " to %" PRId64 ")\n", b->from, b->to);
}

static int print_bench(const BenchResult *r)
{
    print_generation("generation, recomputing every position", &r->recomputed);
    print_generation("generation with the cache", &r->cached);
    const BenchTraining *t = &r->training;
    if (!t->measured)
        return command_flushed();
    printf("%-38s %10.1f %s/s  %8.3f ms/step", "training", t->tokens_per_s,
           t->seq ? "tokens" : "samples", t->ms_per_step);
    if (t->bytes_per_step >= 0)
        printf("  %.0f bytes allocated per step", t->bytes_per_step);
    printf("  (batch %" PRId64, t->batch);
    if (t->seq)
        printf(", %" PRId64 " positions", t->seq);
    printf(")\n");
    return command_flushed();
}

static json_t *counted_json(double x)
{
    return x < 0 ? json_null() : json_real(x);
}

static json_t *bench_generation_json(const BenchGeneration *b)
{
    if (!b->measured)
        return json_null();
    return json_pack("{s:I, s:I, s:f, s:f, s:o, s:o, s:I}", "from", (json_int_t)b->from, "to",
                     (json_int_t)b->to, "tokens_per_s", b->tokens_per_s, "ms_per_token",
                     b->ms_per_token, "bytes_per_token", counted_json(b->bytes_per_token),
                     "allocations_per_token", counted_json(b->calls_per_token), "barriers_per_token",
                     (json_int_t)b->barriers);
}

static json_t *bench_json(const BenchResult *r, int threads)
{
    const BenchTraining *t = &r->training;
    json_t *training = t->measured
        ? json_pack("{s:I, s:I, s:f, s:f, s:o}", "batch", (json_int_t)t->batch, "seq",
                    (json_int_t)t->seq, "ms_per_step", t->ms_per_step, "tokens_per_s",
                    t->tokens_per_s, "bytes_per_step", counted_json(t->bytes_per_step))
        : json_null();
    return json_pack("{s:i, s:o, s:o, s:o}", "threads", threads, "recomputed",
                     bench_generation_json(&r->recomputed), "cached",
                     bench_generation_json(&r->cached), "training", training);
}

/* The machine itself: no plan is needed. */
static int bench_limits(const Common *c)
{
    Error err;
    Buf out = { 0 };
    LimitsReport r;
    const KernelTable *kernels = kernels_select(command_cpu(), &err);
    if (!kernels || !limits_report(kernels, command_threads(c), &r, &err))
        return command_fault(&err);
    bool ok = true;
    if (c->json)
        ok = limits_report_json(&out, &r);
    else
        limits_print(&out, &r);
    out.failed = out.failed || !ok;
    const int code = command_deliver(&out);
    buf_free(&out);
    return code;
}

/* A line of standard input asks for a round, a line of standard output answers it. */
static int bench_asked(const Plan *p, const BenchOptions *o)
{
    enum { LINE = 128 };
    char line[LINE];
    double seconds;
    Error err;
    BenchAsked a;
    int code = EXIT_DONE;
    bench_asked_begin(&a, p, o->n_threads, o->cpu);
    while (code == EXIT_DONE && !command_stop && fgets(line, sizeof line, stdin)) {
        if (!bench_asked_round(&a, line, &seconds, &err)) {
            code = command_fault(&err);
        } else {
            printf("{\"seconds\": %.9f}\n", seconds);
            code = command_flushed();
        }
    }
    bench_asked_end(&a);
    return code;
}

int smrun_bench(int argc, char **argv)
{
    Common c = { 0 };
    bool limits = false, asked = false;
    BenchResult r;
    BenchOptions o = { .seconds = 2 };
    Progress progress;
    const Arg options[] = {
        { "--seconds", "X", ARG_DOUBLE, &o.seconds, "at least, for each figure (default 2)", 0, 3600,
          NULL },
        { "--limits", NULL, ARG_FLAG, &limits, "what this machine can do at most; takes no plan", 0, 0,
          NULL },
        { "--asked", NULL, ARG_FLAG, &asked, "a round for each line of standard input: decode N, prefill "
          "N, train N", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "for machines", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun bench PLAN.smp [--asked] | --limits [--threads N] [--seconds X] [--json]",
               .about = "Measures what the plan can do, with random weights: tokens/s of generation at\n"
                        "positions 32 to 81, recomputing and with the cache, and time of a training step.\n"
                        "Figures are medians.\n\n"
                        "  smc compile models/profile.smg && smrun bench profile.smp",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (limits)
        return bench_limits(&c);
    if (!kernels_select(command_cpu(), &c.err))
        return command_fault(&c.err);
    if (!command_open_plan(&a, &plan, &code))
        return code;
    o.n_threads = command_threads(&c);
    o.cpu = command_cpu();
    progress_begin(&progress, stderr);
    o.progress = &progress;
    if (asked)
        code = bench_asked(&plan, &o);
    else if (!bench(&plan, &o, &r, &c.err))
        code = command_fault(&c.err);
    else if (c.json)
        code = command_deliver_json(bench_json(&r, o.n_threads));
    else
        code = print_bench(&r);
    plan_close(&plan);
    return code;
}
