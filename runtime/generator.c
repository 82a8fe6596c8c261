/* Feeding a language model, with its cache or without. */
#include "runtime/generator.h"

#include "base/check.h"
#include "runtime/weights.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool check_program(const Plan *p, PlanProgramKind program, Error *err)
{
    if (plan_program(p, program))
        return true;
    return error_set(err, "the plan of %s has no program %s: %s",
                     plan_string(p, p->header->model), plan_program_name(program),
                     program == PLAN_generate
                     ? "its compiler said why it cannot generate with a cache; --no-cache "
                       "recomputes every position" : "its model has no outputs");
}

/* How many positions a text may have. */
static int64_t context_of(const Generator *g)
{
    const int64_t context = g->plan->header->context;
    const int64_t longest = plan_program(g->plan, g->program)->max[g->model.sequence];
    if (g->program == PLAN_generate)
        return context > 0 ? context : longest;
    return context > 0 && context < longest ? context : longest;
}

static size_t weight_bytes(const Plan *p)
{
    int64_t count, bytes;
    uint32_t n_tensors;
    weights_count(p, &count, &bytes, &n_tensors);
    return (size_t)bytes;
}

bool generator_open(Generator *g, const Plan *p, const GeneratorOptions *o, Error *err)
{
    *g = (Generator){ .plan = p, .program = o->cache ? PLAN_generate : PLAN_score };
    if (!text_model_of(p, &g->model, err) || !check_program(p, g->program, err))
        return false;
    g->logits_name = text_model_logits(p, &g->model, g->program, err);
    if (!g->logits_name)
        return false;
    plan_largest_sizes(p, g->program, g->sizes);
    g->sizes[g->model.batch] = 1;
    g->context = context_of(g);
    g->chunk = g->sizes[g->model.sequence];
    if (o->cache && o->chunk > g->chunk)
        return error_set(err, "--chunk %" PRId64 ": this plan computes at most %" PRId64 " positions "
                         "at once; compile it with --chunk %" PRId64 " (a published model: smrun import --chunk)",
                         o->chunk, g->chunk, o->chunk);
    g->chunk = o->cache && o->chunk ? o->chunk : g->chunk;
    g->ids = calloc((size_t)g->context, sizeof *g->ids);
    if (!g->ids)
        return error_set(err, "out of memory");
    /* Weights in the cores' own caches are read as fast as they lie. */
    const size_t bytes = weight_bytes(p);
    const CacheSizes caches = cpu_caches();
    const SessionOptions so = { .n_threads = o->n_threads, .cpu = o->cpu,
                                .programs = 1u << g->program, .given = o->given,
                                .pack = !o->given && bytes / (size_t)o->n_threads >= caches.l2,
                                .near = bytes <= caches.l3 / 2 };
    if (!session_open(p, &so, &g->session, err)) {
        generator_close(g);
        return false;
    }
    g->past = session_storage_named(g->session, "$past");
    return true;
}

void generator_close(Generator *g)
{
    session_close(g->session);
    free(g->ids);
    *g = (Generator){ 0 };
}

void generator_clear(Generator *g)
{
    g->n = 0;
    g->logits = NULL;
}

/* Runs `n` ids as the positions from `past` on. */
static void run(Generator *g, const int32_t *ids, int64_t n, int64_t past)
{
    Operand logits;
    Error err;
    g->sizes[g->model.sequence] = n;
    bool ok = session_bind(g->session, g->program, g->sizes, &err);
    CHECK(ok, "%s", err.text);
    memcpy(session_storage(g->session, g->model.tokens), ids, (size_t)n * sizeof *ids);
    if (g->past)
        *g->past = (int32_t)past;
    session_run(g->session, g->program);
    ok = session_output(g->session, g->program, g->logits_name, &logits);
    CHECK(ok && logits.rank == 3, "output %s was found when the generator opened", g->logits_name);
    g->logits = (const float *)logits.data + (logits.dim[1] - 1) * logits.stride[1];
    g->logits_stride = logits.stride[2];
}

void generator_feed(Generator *g, const int32_t *ids, int64_t n)
{
    CHECK(n >= 1 && n <= g->context - g->n, "%" PRId64 " ids behind %" PRId64, n, g->n);
    memcpy(g->ids + g->n, ids, (size_t)n * sizeof *ids);
    if (g->program == PLAN_score) {
        g->n += n;
        run(g, g->ids, g->n, 0);
        return;
    }
    for (int64_t done = 0; done < n;) {
        const int64_t part = n - done < g->chunk ? n - done : g->chunk;
        run(g, ids + done, part, g->n);
        g->n += part;
        done += part;
    }
}
