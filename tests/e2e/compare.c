/* Running a program by the evaluator and by its plan, from equal storages. */
#include "tests/e2e/compare.h"

#include "bisect/held.h"
#include "frontend/carets.h"
#include "frontend/frontend.h"
#include "passes/weight_types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

Graph *compare_read(const char *path, const char *const *defines, uint32_t n_defines, Arena *arena)
{
    DiagSink diags;
    Sources sources = { 0 };
    const FrontendOptions options = { .defines = defines, .n_defines = n_defines,
                                      .sources = &sources,
                                      .library_dir = SOURCE_DIR "/models/lib" };
    diag_init(&diags, arena);
    Graph *g = frontend_read(path, &options, arena, &diags);
    if (!g) {
        Buf out = { 0 };
        carets_print(&out, &diags, &sources, false);
        fail_msg("%s", out.data);
    }
    return g;
}

/* ---- the reference ----------------------------------------------------------------------------- */

/* The program with only what gives it its meaning.  A product with blocks is one with w', which
 * `absorb` makes of a product with a transpose. */
static Graph *reference_graph(const Graph *model, Program program, const CompareOptions *o,
                              Arena *arena, Arena *scratch, DiagSink *diags)
{
    const PassOptions options = { .program = program, .batch = o->batch, .sequence = o->sequence,
                                  .chunk = o->sequence, .precision = o->precision,
                                  .cache = o->cache };
    static const char *const needed[] = { "specialize", "attention", "precision", "dce", "cache",
                                          "last", "autodiff", "update", "absorb", "store" };
    Graph *g = graph_clone(model, arena);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        const PassInfo *pass = pass_find(needed[i]);
        if (pass->programs & 1u << program && pass->level <= o->level)
            assert_true(pass_run(pass, g, &options, diags, scratch));
    }
    return g;
}

/* ---- comparison -------------------------------------------------------------------------------- */

static bool compare_all(const Trial *t, Session *s, PlanProgramKind kind, Arena *arena,
                        Difference *difference)
{
    const Graph *ref = t->exact.g;
    bool equal = true;
    for (uint32_t i = 0; i < ref->n_outputs && equal; i++) {
        Operand o;
        assert_true(session_output(s, kind, ref->outputs[i].name, &o));
        const Tensor got = held_tensor(&o, arena);
        equal = trial_output(t, &ref->outputs[i], &got, difference);
    }
    for (StorageId i = 0; i < ref->n_storages && equal; i++) {
        Tensor got;
        if (held_storage(s, &ref->storages[i], &t->exact.storages[i], arena, &got))
            equal = trial_storage(t, i, &got, difference);
    }
    return equal;
}

static bool run_both(const Graph *ref, const Plan *plan, Program program, const CompareOptions *o,
                     Arena *arena, Difference *difference)
{
    const PlanProgramKind kind = held_kind(program);
    const SessionOptions so = { .n_threads = o->n_threads ? o->n_threads : 1, .cpu = o->cpu,
                                .programs = 1u << kind };
    TrialInputs in = { .seed = o->seed, .past = o->past };
    Session *s;
    Error err;
    trial_largest(ref, in.sizes);
    if (o->run_batch)
        in.sizes[graph_batch(ref)] = o->run_batch;
    if (o->run_sequence)
        in.sizes[graph_sequence(ref)] = o->run_sequence;
    const Trial t = trial_run(ref, &in, UNIT_FLOAT, arena);
    if (!session_open(plan, &so, &s, &err) || !session_bind(s, kind, in.sizes, &err))
        fail_msg("%s", err.text);
    held_fill(s, ref, &in, arena);
    session_run(s, kind);
    const bool equal = compare_all(&t, s, kind, arena, difference);
    session_close(s);
    return equal;
}

static const Graph *with_weights(const Graph *model, const char *rule, Arena *arena,
                                 Arena *scratch)
{
    WeightRule parsed;
    Error err;
    if (!rule)
        return model;
    Graph *g = graph_clone(model, arena);
    if (!weight_rule_parse(rule, arena, &parsed, &err)
        || !weight_types_set(g, &parsed, 1, scratch, &err))
        fail_msg("%s", err.text);
    return g;
}

bool compare_program(const Graph *model, Program program, const CompareOptions *o,
                     Difference *difference)
{
    const CompileOptions co = { .level = o->level, .batch = o->batch, .sequence = o->sequence,
                                .chunk = o->sequence, .programs = 1u << program,
                                .fusions = o->fusions, .precision = o->precision,
                                .cache = o->cache };
    Arena arena, scratch;
    DiagSink diags;
    Buf bytes = { 0 };
    Plan plan;
    Error err;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    diag_init(&diags, &arena);
    model = with_weights(model, o->weights, &arena, &scratch);
    Graph *ref = reference_graph(model, program, o, &arena, &scratch, &diags);
    assert_true(compile_plan(model, &co, &arena, &scratch, &diags, &bytes));
    if (!plan_view(bytes.data, bytes.len, &plan, &err))
        fail_msg("%s", err.text);
    const bool equal = run_both(ref, &plan, program, o, &arena, difference);
    plan_close(&plan);
    buf_free(&bytes);
    arena_free(&scratch);
    arena_free(&arena);
    return equal;
}
