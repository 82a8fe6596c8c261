/* The walk: pass after pass, each judged by what it was given and what it made of that. */
#include "bisect/bisect.h"

#include "base/check.h"
#include "bisect/oracle.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <stdio.h>
#include <string.h>

static const char *running;

const char *bisect_running(void)
{
    return running;
}

/* ---- one pass --------------------------------------------------------------------------------- */

/* A cached program has positions behind it, as far as its context allows. */
static int64_t past_of(const Graph *g, const int64_t *sizes)
{
    const int t = graph_sequence(g);
    if (g->program != PROGRAM_generate || t < 0 || graph_find_storage(g, "$past") == NO_STORAGE)
        return 0;
    const int64_t room = g->context - sizes[t];
    return room < 3 ? room : 3;
}

TrialInputs bisect_inputs(const Graph *g, const BisectOptions *options, bool smaller)
{
    TrialInputs in = { .seed = options->seed };
    trial_largest(g, in.sizes);
    for (int i = 0; i < MAX_SYMBOLS && smaller; i++)
        in.sizes[i] = in.sizes[i] > 2 ? in.sizes[i] - 2 : 1;
    in.past = past_of(g, in.sizes);
    return in;
}

static bool is_same_text(const Graph *a, const Graph *b)
{
    Buf x = { 0 }, y = { 0 };
    graph_print(&x, a);
    graph_print(&y, b);
    const bool same = x.len == y.len && !x.failed && !y.failed && memcmp(x.data, y.data, x.len) == 0;
    buf_free(&x);
    buf_free(&y);
    return same;
}

/* Sizes are those of the result: a model has none before `specialize`. */
static bool judge_sizes(const char *pass, const Graph *before, const Graph *after,
                        const BisectOptions *options, Difference *difference)
{
    bool right = true;
    for (int smaller = 0; smaller < 2 && right; smaller++) {
        Arena arena;
        arena_init(&arena, NULL);
        const TrialInputs in = bisect_inputs(after, options, smaller);
        right = oracle_judge(pass, before, after, &in, &arena, difference);
        arena_free(&arena);
    }
    return right;
}

bool bisect_judge(const PassInfo *pass, const Graph *before, const BisectOptions *options,
                  Arena *arena, Graph **after, bool *refused, Difference *difference)
{
    Arena scratch;
    DiagSink diags;
    Error err;
    bool right = true;
    Graph *g = graph_clone(before, arena);
    arena_init(&scratch, NULL);
    diag_init(&diags, arena);
    PassContext cx = { .options = &options->pass, .scratch = &scratch, .diags = &diags };
    running = pass->name;
    const bool ran = pass->run(g, &cx);
    arena_reset(&scratch);
    if (!ran) {
        *refused = true;
    } else if (!graph_verify(g, &scratch, &err)) {
        snprintf(difference->text, sizeof difference->text, "the graph is not legal: %.960s",
                 err.text);
        right = false;
    } else if (!is_same_text(before, g)) {
        right = judge_sizes(pass->name, before, g, options, difference);
    }
    running = NULL;
    arena_free(&scratch);
    if (after)
        *after = g;
    return right;
}

/* ---- the walk --------------------------------------------------------------------------------- */

static void blame(Bisection *out, const PassInfo *pass, const Graph *before,
                  const BisectOptions *options, Arena *arena, const Difference *difference)
{
    out->agrees = false;
    out->pass = pass->name;
    out->n_before = before->n_nodes;
    snprintf(out->fault, sizeof out->fault, "%s", difference->text);
    out->graph = bisect_small(pass, before, options, arena, &out->op);
}

static void walk_plan(Bisection *out, const Graph *g, const BisectOptions *options, Arena *arena)
{
    Difference difference;
    out->pass = "plan";
    out->n_before = g->n_nodes;
    out->agrees = bisect_plan(g, options, arena, &out->op, &difference);
    if (out->agrees)
        return;
    out->graph = g;
    snprintf(out->fault, sizeof out->fault, "%s", difference.text);
}

bool bisect_program(const Graph *model, const BisectOptions *options, Arena *arena,
                    DiagSink *diags, Bisection *out)
{
    Graph *g = graph_clone(model, arena);
    *out = (Bisection){ .agrees = true, .op = NO_NODE };
    for (int i = 0; i < n_passes && out->agrees; i++) {
        const PassInfo *pass = &pass_table[i];
        Difference difference;
        Graph *after = NULL;
        bool refused = false;
        if (!(pass->programs & 1u << options->program) || pass->level > options->pass.level)
            continue;
        out->n_passes++;
        const bool right = bisect_judge(pass, g, options, arena, &after, &refused, &difference);
        if (refused) {
            Arena scratch;
            arena_init(&scratch, NULL);
            PassContext cx = { .options = &options->pass, .scratch = &scratch, .diags = diags };
            pass->run(graph_clone(g, arena), &cx);      /* once more, for its diagnostics */
            arena_free(&scratch);
            return false;
        }
        if (!right)
            blame(out, pass, g, options, arena, &difference);
        g = after;
    }
    if (out->agrees)
        walk_plan(out, g, options, arena);
    return true;
}
