/* Timing of generation and training. */
#include "runtime/bench.h"

#include "base/check.h"
#include "base/random.h"
#include "runtime/generator.h"
#include "runtime/heap.h"
#include "runtime/random_inputs.h"
#include "runtime/sample.h"
#include "runtime/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_POSITION = 32, LAST_POSITION = 81, MAX_ROUNDS = 1000, MIN_ROUNDS = 3 };

/* Rounds of one measurement. */
typedef struct Rounds {
    double seconds[MAX_ROUNDS];
    int n;
    double began;
    uint64_t bytes, calls;              /* of the heap, when they began */
} Rounds;

static void rounds_begin(Rounds *r)
{
    *r = (Rounds){ .began = clock_seconds(), .bytes = heap_bytes(), .calls = heap_calls() };
}

static bool rounds_go_on(const Rounds *r, double seconds)
{
    return r->n < MIN_ROUNDS || (r->n < MAX_ROUNDS && clock_seconds() - r->began < seconds);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rounds_median(Rounds *r)
{
    qsort(r->seconds, (size_t)r->n, sizeof *r->seconds, by_size);
    return r->seconds[r->n / 2];
}

/* ---- generation ------------------------------------------------------------------------------- */

/* What each of the tokens from position `from` on can build upon. */
static void prefill(Generator *g, const int32_t *text, int64_t from)
{
    generator_clear(g);
    if (g->program == PLAN_generate && from > 1)
        generator_feed(g, text, from - 1);
}

/* The next token behind position n. */
static void next_token(Generator *g, Sampler *s, const int32_t *text, int64_t n)
{
    const bool again = g->program == PLAN_score;
    if (again)
        generator_clear(g);
    generator_feed(g, again ? text : text + n - 1, again ? n : 1);
    sampler_pick(s, g->logits, g->logits_stride, (uint64_t)n);
}

static void measure_generation(Generator *g, Sampler *s, const int32_t *text, double seconds,
                               BenchGeneration *out)
{
    Rounds r;
    const double tokens = (double)(out->to - out->from + 1);
    prefill(g, text, out->from);
    next_token(g, s, text, out->from);
    rounds_begin(&r);
    while (rounds_go_on(&r, seconds)) {
        prefill(g, text, out->from);
        const double from = clock_seconds();
        for (int64_t n = out->from; n <= out->to; n++)
            next_token(g, s, text, n);
        r.seconds[r.n++] = clock_seconds() - from;
    }
    const double all = tokens * r.n;
    out->bytes_per_token = heap_is_counted() ? (double)(heap_bytes() - r.bytes) / all : -1;
    out->calls_per_token = heap_is_counted() ? (double)(heap_calls() - r.calls) / all : -1;
    out->ms_per_token = 1e3 * rounds_median(&r) / tokens;
    out->tokens_per_s = 1e3 / out->ms_per_token;
    out->measured = true;
}

static bool bench_generation(const Plan *p, const BenchOptions *o, bool cache, BenchGeneration *out,
                             Error *err)
{
    const GeneratorOptions go = { .cache = cache, .n_threads = o->n_threads, .cpu = o->cpu };
    const SampleOptions greedy = { .top_p = 1, .repeat_penalty = 1 };
    Generator g;
    Sampler s = { 0 };
    int32_t text[LAST_POSITION];
    if (!generator_open(&g, p, &go, err))
        return false;
    out->to = g.context < LAST_POSITION ? g.context : LAST_POSITION;
    out->from = out->to < LAST_POSITION ? (out->to + 1) / 2 : FIRST_POSITION;
    for (int i = 0; i < LAST_POSITION; i++)
        text[i] = (int32_t)(random_u32(1, 2, (uint64_t)i) % (uint64_t)g.model.vocab);
    weights_init(g.session, 1);
    bool ok = sampler_open(&s, &greedy, g.model.vocab, err);
    if (ok) {
        measure_generation(&g, &s, text, o->seconds, out);
        out->barriers = session_barriers(g.session, g.program);
    }
    sampler_close(&s);
    generator_close(&g);
    return ok;
}

/* ---- training --------------------------------------------------------------------------------- */

static bool bench_training(const Plan *p, const BenchOptions *o, BenchTraining *out, Error *err)
{
    const SessionOptions so = { .n_threads = o->n_threads, .cpu = o->cpu,
                                .programs = 1u << PLAN_train };
    const int batch = plan_symbol(p, PLAN_BATCH), sequence = plan_symbol(p, PLAN_SEQUENCE);
    int64_t sizes[MAX_SYMBOLS];
    Session *s;
    Rounds r;
    plan_largest_sizes(p, PLAN_train, sizes);
    if (!session_open(p, &so, &s, err))
        return false;
    bool ok = session_bind(s, PLAN_train, sizes, err);
    if (ok) {
        weights_init(s, 1);
        random_inputs(s, sizes);
        session_run(s, PLAN_train);
        rounds_begin(&r);
        while (rounds_go_on(&r, o->seconds)) {
            const double from = clock_seconds();
            session_run(s, PLAN_train);
            r.seconds[r.n++] = clock_seconds() - from;
        }
        out->bytes_per_step = heap_is_counted() ? (double)(heap_bytes() - r.bytes) / r.n : -1;
        out->batch = batch >= 0 ? sizes[batch] : 1;
        out->seq = sequence >= 0 ? sizes[sequence] : 0;
        out->ms_per_step = 1e3 * rounds_median(&r);
        out->tokens_per_s = 1e3 / out->ms_per_step * (double)(out->batch * (out->seq ? out->seq : 1));
        out->measured = true;
    }
    session_close(s);
    return ok;
}

bool bench(const Plan *p, const BenchOptions *o, BenchResult *out, Error *err)
{
    TextModel m;
    *out = (BenchResult){ 0 };
    if (text_model_of(p, &m, err)) {
        if (text_model_logits(p, &m, PLAN_score, err)) {
            progress_line(o->progress, "generation, every position computed again ...");
            if (!bench_generation(p, o, false, &out->recomputed, err))
                return false;
        }
        if (text_model_logits(p, &m, PLAN_generate, err)) {
            progress_line(o->progress, "generation with the cache ...");
            if (!bench_generation(p, o, true, &out->cached, err))
                return false;
        }
    }
    if (plan_program(p, PLAN_train)) {
        progress_line(o->progress, "training steps ...");
        if (!bench_training(p, o, &out->training, err))
            return false;
    }
    return true;
}
