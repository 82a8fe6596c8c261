/* Rounds on demand. */
#include "runtime/bench_asked.h"

#include "base/progress.h"
#include "base/random.h"
#include "runtime/random_inputs.h"
#include "runtime/text_model.h"
#include "runtime/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void bench_asked_begin(BenchAsked *a, const Plan *p, int n_threads, const char *cpu)
{
    *a = (BenchAsked){ .plan = p, .n_threads = n_threads, .cpu = cpu };
}

void bench_asked_end(BenchAsked *a)
{
    if (a->generator.session)
        generator_close(&a->generator);
    session_close(a->trainer);
    a->trainer = NULL;
}

static bool open_generator(BenchAsked *a, Error *err)
{
    const GeneratorOptions o = { .cache = true, .n_threads = a->n_threads, .cpu = a->cpu };
    if (a->generator.session)
        return true;
    bench_asked_end(a);
    if (!generator_open(&a->generator, a->plan, &o, err))
        return false;
    weights_stand_in(a->generator.session);
    return true;
}

static bool open_trainer(BenchAsked *a, Error *err)
{
    const SessionOptions o = { .n_threads = a->n_threads, .cpu = a->cpu,
                               .programs = 1u << PLAN_train };
    int64_t sizes[MAX_SYMBOLS];
    if (a->trainer)
        return true;
    bench_asked_end(a);
    if (!plan_program(a->plan, PLAN_train))
        return error_set(err, "the plan of %s has no program train",
                         plan_string(a->plan, a->plan->header->model));
    plan_largest_sizes(a->plan, PLAN_train, sizes);
    if (!session_open(a->plan, &o, &a->trainer, err))
        return false;
    if (!session_bind(a->trainer, PLAN_train, sizes, err)) {
        bench_asked_end(a);
        return false;
    }
    weights_stand_in(a->trainer);
    random_inputs(a->trainer, sizes);
    return true;
}

/* n tokens behind an empty cache, `at_once` in each run. */
static bool generate(BenchAsked *a, int64_t n, int64_t at_once, double *seconds, Error *err)
{
    enum { PART = 1024 };
    int32_t ids[PART];
    if (!open_generator(a, err))
        return false;
    Generator *g = &a->generator;
    if (n > g->context || n > PART)
        return error_set(err, "%" PRId64 " tokens: the plan's context is %" PRId64
                         ", and %d are the most here", n, g->context, PART);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)(random_u32(1, 2, (uint64_t)i) % (uint64_t)g->model.vocab);
    generator_clear(g);
    const double from = clock_seconds();
    for (int64_t i = 0; i < n; i += at_once)
        generator_feed(g, ids + i, at_once < n - i ? at_once : n - i);
    *seconds = clock_seconds() - from;
    return true;
}

static bool train(BenchAsked *a, int64_t n, double *seconds, Error *err)
{
    if (!open_trainer(a, err))
        return false;
    const double from = clock_seconds();
    for (int64_t i = 0; i < n; i++)
        session_run(a->trainer, PLAN_train);
    *seconds = clock_seconds() - from;
    return true;
}

bool bench_asked_round(BenchAsked *a, const char *line, double *seconds, Error *err)
{
    char what[16];
    int64_t n;
    if (sscanf(line, "%15s %" SCNd64, what, &n) == 2 && n >= 1) {
        if (strcmp(what, "decode") == 0)
            return generate(a, n, 1, seconds, err);
        if (strcmp(what, "prefill") == 0)
            return generate(a, n, n, seconds, err);
        if (strcmp(what, "train") == 0)
            return train(a, n, seconds, err);
    }
    return error_set(err, "\"%.40s\": one of decode N, prefill N, train N, N at least 1", line);
}
