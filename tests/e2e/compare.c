/* Running a program by the evaluator and by its plan, from equal storages. */
#include "tests/e2e/compare.h"

#include "base/random.h"
#include "frontend/carets.h"
#include "frontend/frontend.h"
#include "ir/eval.h"
#include "tests/e2e/noise.h"

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

enum { NOISY_RUNS = 4 };
/* The largest of a few random draws stands for a bound: errors that conspire reach some times it. */
static const double slack = 8;

/* The exact run, and those with errors of the size that float arithmetic makes. */
typedef struct Reference {
    Eval exact, noisy[NOISY_RUNS];
} Reference;

static double element(const Operand *o, const int64_t *at)
{
    int64_t offset = 0;
    for (int a = 0; a < o->rank; a++)
        offset += at[a] * o->stride[a];
    return o->dtype == DTYPE_i32 ? (double)((const int32_t *)o->data)[offset]
                                 : (double)((const float *)o->data)[offset];
}

static double stray(const Tensor *want, const Tensor *const noisy[NOISY_RUNS], int64_t i)
{
    double most = 0;
    for (int k = 0; k < NOISY_RUNS; k++)
        if (isfinite(noisy[k]->data[i]))
            most = fmax(most, fabs(noisy[k]->data[i] - want->data[i]));
    return most;
}

/* Root mean square of the strays: what a single element's few draws may have missed. */
static double typical_stray(const Tensor *want, const Tensor *const noisy[NOISY_RUNS])
{
    double sum = 0;
    for (int64_t i = 0; i < want->count; i++)
        if (isfinite(want->data[i]))
            sum += pow(stray(want, noisy, i), 2);
    return want->count ? sqrt(sum / (double)want->count) : 0;
}

static bool same_special(double x, double want)
{
    return (isnan(x) && isnan(want)) || (isinf(want) && x == want);
}

static bool compare_tensor(const char *name, const Tensor *want,
                           const Tensor *const noisy[NOISY_RUNS], const Operand *got,
                           Difference *difference)
{
    int64_t at[MAX_RANK] = { 0 };
    const double typical = typical_stray(want, noisy);
    assert_int_equal(want->rank, got->rank);
    for (int a = 0; a < want->rank; a++)
        assert_int_equal(want->dim[a], got->dim[a]);
    for (int64_t i = 0; i < want->count; i++) {
        const double x = element(got, at), w = want->data[i];
        const double bound = slack * fmax(stray(want, noisy, i), typical) + 0x1p-23 * fabs(w)
            + 0x1p-140;
        if (!same_special(x, w) && !(fabs(x - w) <= bound)) {
            snprintf(difference->text, sizeof difference->text,
                     "%s, element %lld: %.9g, not %.9g; off by %.3g where %.3g is allowed", name,
                     (long long)i, x, w, fabs(x - w), bound);
            return false;
        }
        for (int a = want->rank; a-- > 0 && ++at[a] == want->dim[a];)
            at[a] = 0;
    }
    return true;
}

static bool compare_output(const Reference *r, const Output *o, const Operand *got,
                           Difference *difference)
{
    const Tensor *noisy[NOISY_RUNS];
    for (int k = 0; k < NOISY_RUNS; k++)
        noisy[k] = &r->noisy[k].values[o->value];
    return compare_tensor(o->name, &r->exact.values[o->value], noisy, got, difference);
}

static bool compare_storage(const Reference *r, StorageId id, void *data, Difference *difference)
{
    const Storage *s = &r->exact.g->storages[id];
    const Tensor *want = &r->exact.storages[id], *noisy[NOISY_RUNS];
    Operand got = { .data = data, .rank = want->rank, .dtype = s->type.dtype };
    int64_t stride = 1;
    for (int k = 0; k < NOISY_RUNS; k++)
        noisy[k] = &r->noisy[k].storages[id];
    for (int a = want->rank; a-- > 0;) {
        got.dim[a] = want->dim[a];
        got.stride[a] = stride;
        stride *= want->dim[a];
    }
    return compare_tensor(s->name, want, noisy, &got, difference);
}

static PlanProgramKind kind_of(Program p)
{
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (strcmp(plan_program_name((PlanProgramKind)k), program_name(p)) == 0)
            return (PlanProgramKind)k;
    fail_msg("no such program in plans");
    return PLAN_score;
}

static Eval run_reference(const Graph *ref, const CompareOptions *o, const int64_t *sizes,
                          Noise *noise, Arena *arena)
{
    Eval e = eval_begin(ref, arena, sizes);
    for (StorageId i = 0; i < ref->n_storages; i++)
        fill(&ref->storages[i], o->seed, &e.storages[i], NULL);
    if (noise) {
        e.after = noise_after;
        e.arg = noise;
    }
    eval_run(&e);
    return e;
}

static bool compare_all(const Reference *r, Session *s, PlanProgramKind kind,
                        Difference *difference)
{
    const Graph *ref = r->exact.g;
    bool equal = true;
    for (uint32_t i = 0; i < ref->n_outputs && equal; i++) {
        Operand got;
        assert_true(session_output(s, kind, ref->outputs[i].name, &got));
        equal = compare_output(r, &ref->outputs[i], &got, difference);
    }
    for (StorageId i = 0; i < ref->n_storages && equal; i++) {
        void *data = session_storage_named(s, ref->storages[i].name);
        equal = !data || compare_storage(r, i, data, difference);
    }
    return equal;
}

static bool run_both(const Graph *ref, const Plan *plan, Program program, const CompareOptions *o,
                     Arena *arena, Difference *difference)
{
    const PlanProgramKind kind = kind_of(program);
    const SessionOptions so = { .n_threads = o->n_threads ? o->n_threads : 1, .cpu = o->cpu,
                                .programs = 1u << kind };
    int64_t sizes[MAX_SYMBOLS];
    Reference r;
    Session *s;
    Error err;
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)ref->n_symbols ? ref->symbol[i].max : 1;
    if (o->run_batch)
        sizes[graph_batch(ref)] = o->run_batch;
    if (o->run_sequence)
        sizes[graph_sequence(ref)] = o->run_sequence;
    r.exact = run_reference(ref, o, sizes, NULL, arena);
    for (int k = 0; k < NOISY_RUNS; k++) {
        Noise noise = { .seed = 1000 + (uint64_t)k, .arena = arena };
        r.noisy[k] = run_reference(ref, o, sizes, &noise, arena);
    }
    if (!session_open(plan, &so, &s, &err) || !session_bind(s, kind, sizes, &err))
        fail_msg("%s", err.text);
    Eval again = eval_begin(ref, arena, sizes);
    for (StorageId i = 0; i < ref->n_storages; i++)
        fill(&ref->storages[i], o->seed, &again.storages[i],
             session_storage_named(s, ref->storages[i].name));
    session_run(s, kind);
    const bool equal = compare_all(&r, s, kind, difference);
    session_close(s);
    return equal;
}

bool compare_program(const Graph *model, Program program, const CompareOptions *o,
                     Difference *difference)
{
    const CompileOptions co = { .level = o->level, .batch = o->batch, .sequence = o->sequence,
                                .chunk = o->sequence, .programs = 1u << program,
                                .fusions = o->fusions };
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
    const bool equal = run_both(ref, &plan, program, o, &arena, difference);
    plan_close(&plan);
    buf_free(&bytes);
    arena_free(&scratch);
    arena_free(&arena);
    return equal;
}
