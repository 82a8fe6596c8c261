/* Running a program by the evaluator and by its plan, from equal storages. */
#include "tests/e2e/compare.h"

#include "base/random.h"
#include "frontend/carets.h"
#include "frontend/frontend.h"
#include "ir/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- what goes in ------------------------------------------------------------------------------ */

/* Element i of a storage: a float, or an id, the same for both runs. */
static double fill_value(const Storage *s, uint64_t seed, uint64_t stream, uint64_t i)
{
    if (strcmp(s->name, "$lr") == 0)
        return (float)1e-2;
    if (strcmp(s->name, "$clip") == 0 || strcmp(s->name, "$scale") == 0)
        return (float)0.5;
    if (strcmp(s->name, "$step") == 0)
        return 3;
    if (strcmp(s->name, "$past") == 0)
        return 0;
    if (s->type.dtype == DTYPE_i32)
        return (double)(random_u32(seed, stream, i)
                        % (uint32_t)(s->index_limit ? s->index_limit : 1000));
    const double x = random_normal(seed, stream, i);
    if (s->class == STORAGE_STATE)      /* second moments are not negative */
        return (float)(strstr(s->name, ".v.") ? 1e-2 * x * x : 1e-2 * x);
    return (float)(s->class == STORAGE_PARAM ? 0.1 * x + (s->init == INIT_ones) : x);
}

static void fill(const Storage *s, uint64_t seed, Tensor *t, void *data)
{
    uint64_t stream = 0;
    for (const char *c = s->name; *c; c++)
        stream = stream * 131 + (unsigned char)*c;
    for (int64_t i = 0; i < t->count; i++) {
        t->data[i] = fill_value(s, seed, stream, (uint64_t)i);
        if (data && s->type.dtype == DTYPE_i32)
            ((int32_t *)data)[i] = (int32_t)t->data[i];
        else if (data)
            ((float *)data)[i] = (float)t->data[i];
    }
}

/* ---- the reference ----------------------------------------------------------------------------- */

/* The program with only what gives it its meaning. */
static Graph *reference_graph(const Graph *model, Program program, const CompareOptions *o,
                              Arena *arena, Arena *scratch, DiagSink *diags)
{
    const PassOptions options = { .program = program, .batch = o->batch, .sequence = o->sequence,
                                  .chunk = o->sequence };
    static const char *const needed[] = { "specialize", "attention", "dce", "cache", "autodiff",
                                          "update" };
    Graph *g = graph_clone(model, arena);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        const PassInfo *pass = pass_find(needed[i]);
        if (pass->programs & 1u << program)
            assert_true(pass_run(pass, g, &options, diags, scratch));
    }
    return g;
}

/* ---- comparison -------------------------------------------------------------------------------- */

static double element(const Operand *o, const int64_t *at)
{
    int64_t offset = 0;
    for (int a = 0; a < o->rank; a++)
        offset += at[a] * o->stride[a];
    return o->dtype == DTYPE_i32 ? (double)((const int32_t *)o->data)[offset]
                                 : (double)((const float *)o->data)[offset];
}

static void compare_tensor(const char *name, const Tensor *want, const Operand *got,
                           double tolerance)
{
    int64_t at[MAX_RANK] = { 0 };
    double scale = 0, worst = 0;
    assert_int_equal(want->rank, got->rank);
    for (int a = 0; a < want->rank; a++)
        assert_int_equal(want->dim[a], got->dim[a]);
    for (int64_t i = 0; i < want->count; i++)
        scale = fmax(scale, isfinite(want->data[i]) ? fabs(want->data[i]) : 0);
    for (int64_t i = 0; i < want->count; i++) {
        const double x = element(got, at), d = fabs(x - want->data[i]);
        if (!(isinf(x) && x == want->data[i]) && !(isnan(x) && isnan(want->data[i])))
            worst = d > worst || isnan(d) ? d : worst;
        for (int a = want->rank; a-- > 0 && ++at[a] == want->dim[a];)
            at[a] = 0;
    }
    if (!(worst <= tolerance * scale + 1e-30))
        fail_msg("%s: off by %g where the largest value is %g", name, worst, scale);
}

static void compare_storage(const Storage *s, const Tensor *want, void *data, double tolerance)
{
    Operand got = { .data = data, .rank = want->rank, .dtype = s->type.dtype };
    int64_t stride = 1;
    for (int a = want->rank; a-- > 0;) {
        got.dim[a] = want->dim[a];
        got.stride[a] = stride;
        stride *= want->dim[a];
    }
    compare_tensor(s->name, want, &got, tolerance);
}

static PlanProgramKind kind_of(Program p)
{
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (strcmp(plan_program_name((PlanProgramKind)k), program_name(p)) == 0)
            return (PlanProgramKind)k;
    fail_msg("no such program in plans");
    return PLAN_score;
}

static void run_both(const Graph *ref, const Plan *plan, Program program, const CompareOptions *o,
                     Arena *arena)
{
    const PlanProgramKind kind = kind_of(program);
    const SessionOptions so = { .n_threads = o->n_threads ? o->n_threads : 1, .cpu = o->cpu,
                                .programs = 1u << kind };
    int64_t sizes[MAX_SYMBOLS];
    Session *s;
    Error err;
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)ref->n_symbols ? ref->symbol[i].max : 1;
    Eval e = eval_begin(ref, arena, sizes);
    if (!session_open(plan, &so, &s, &err) || !session_bind(s, kind, sizes, &err))
        fail_msg("%s", err.text);
    for (StorageId i = 0; i < ref->n_storages; i++)
        fill(&ref->storages[i], o->seed, &e.storages[i],
             session_storage_named(s, ref->storages[i].name));
    eval_run(&e);
    session_run(s, kind);
    for (uint32_t i = 0; i < ref->n_outputs; i++) {
        Operand got;
        assert_true(session_output(s, kind, ref->outputs[i].name, &got));
        compare_tensor(ref->outputs[i].name, &e.values[ref->outputs[i].value], &got, o->tolerance);
    }
    for (StorageId i = 0; i < ref->n_storages; i++) {
        void *data = session_storage_named(s, ref->storages[i].name);
        if (data)
            compare_storage(&ref->storages[i], &e.storages[i], data, o->tolerance);
    }
    session_close(s);
}

void compare_program(const Graph *model, Program program, const CompareOptions *o)
{
    const CompileOptions co = { .level = o->level, .batch = o->batch, .sequence = o->sequence,
                                .chunk = o->sequence, .programs = 1u << program };
    Arena arena, scratch;
    DiagSink diags;
    Buf bytes = { 0 };
    Plan plan;
    Error err;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    diag_init(&diags, &arena);
    Graph *ref = reference_graph(model, program, o, &arena, &scratch, &diags);
    assert_true(compile_plan(model, &co, &arena, &scratch, &diags, &bytes));
    if (!plan_view(bytes.data, bytes.len, &plan, &err))
        fail_msg("%s", err.text);
    run_both(ref, &plan, program, o, &arena);
    plan_close(&plan);
    buf_free(&bytes);
    arena_free(&scratch);
    arena_free(&arena);
}
