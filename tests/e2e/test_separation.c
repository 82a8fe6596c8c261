/* Between two meetings of the threads, does any touch what another writes?
 *
 * Nothing is asked of the compiler or of what kernels say about themselves: the kernels run, and as far
 * out of step as threads could ever be.  From one meeting to the next the first thread does all of its
 * shares before the second begins, and so on; then the whole run again with the last thread first.  Of
 * two accesses that no meeting separates both orders are met, so where they are to one byte and one of
 * them writes, one of the two runs gives other bytes than a run with a single thread.
 *
 * With a meeting left out on purpose this must notice, or it would prove nothing. */
#include "tests/e2e/compare.h"
#include "tests/e2e/compiled.h"
#include "tests/e2e/random_graph.h"

#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_THREADS = 4, N_RANDOM = 60, PAST = 4 };

/* How a run is out of step. */
typedef struct Order {
    int n_threads;
    bool backwards;
    int64_t without;                    /* this instruction's meeting is left out; -1: none is */
} Order;

static size_t largest_scratch(const Session *s, PlanProgramKind program)
{
    size_t most = 64;
    for (uint32_t k = 0; k < plan_program(session_plan(s), program)->n_instrs; k++) {
        const size_t bytes = kernel_scratch(session_call(s, program, k));
        most = bytes > most ? bytes : most;
    }
    return (most + 63) / 64 * 64;
}

/* Instructions [from, to), one thread after the other. */
static void run_stretch(Session *s, PlanProgramKind program, uint32_t from, uint32_t to,
                        const Order *o, void *scratch)
{
    for (int t = 0; t < o->n_threads; t++)
        for (uint32_t k = from; k < to; k++) {
            const Call *call = session_call(s, program, k);
            const KernelShare share = kernel_share(call, o->backwards ? o->n_threads - 1 - t : t,
                                                   o->n_threads);
            if (share.first < share.last)
                session_kernels(s)->run[call->kernel](call, share.first, share.last, scratch);
        }
}

static void run_apart(Session *s, PlanProgramKind program, const Order *o)
{
    const uint32_t n = plan_program(session_plan(s), program)->n_instrs;
    void *scratch = aligned_alloc(64, largest_scratch(s, program));
    assert_non_null(scratch);
    for (uint32_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n; to++)
            if (session_meets_before(s, program, to) && to != o->without)
                break;
        run_stretch(s, program, from, to, o, scratch);
    }
    free(scratch);
}

/* A program at some sizes, and what its storages hold before a run, one after the other. */
typedef struct Subject {
    const Compiled *compiled;
    PlanProgramKind program;
    int64_t sizes[MAX_SYMBOLS];
    Buf before;                         /* empty until the first run; owned */
} Subject;

static void fill(Subject *x, Session *s)
{
    const uint32_t programs = 1u << x->program;
    int32_t *past = session_storage_named(s, "$past");
    fill_storages(s, programs, 29);
    if (past)
        *past = PAST;
    record_storages(&x->before, s, programs);
}

static void fill_as_before(const Subject *x, Session *s)
{
    const Plan *p = session_plan(s);
    const char *from = x->before.data;
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++) {
        const size_t bytes = session_storage(s, i) ? storage_bytes(p, i, 1u << x->program) : 0;
        if (bytes > 0)
            memcpy(session_storage(s, i), from, bytes);
        from += bytes;
    }
}

static Session *begin(Subject *x, int n_threads)
{
    Session *s = compiled_session(x->compiled, 1u << x->program, n_threads, NULL);
    if (x->before.len == 0)
        fill(x, s);
    else
        fill_as_before(x, s);
    bind(s, x->program, x->sizes);
    return s;
}

static void end(Session *s, PlanProgramKind program, Buf *out)
{
    if (plan_program(session_plan(s), program)->n_outputs > 0)
        record_outputs(out, s, program);
    record_storages(out, s, 1u << program);
    session_close(s);
}

static bool same_out_of_step(Subject *x, const Order *o, const Buf *want)
{
    Buf got = { 0 };
    Session *s = begin(x, o->n_threads);
    run_apart(s, x->program, o);
    end(s, x->program, &got);
    const bool same = got.len == want->len && memcmp(got.data, want->data, want->len) == 0;
    buf_free(&got);
    return same;
}

static Buf one_thread(Subject *x)
{
    Buf want = { 0 };
    Session *s = begin(x, 1);
    assert_int_equal(session_barriers(s, x->program), 0);
    session_run(s, x->program);
    end(s, x->program, &want);
    return want;
}

static void expect_apart(Subject *x, const char *name)
{
    Buf want = one_thread(x);
    for (int n = 2; n <= MAX_THREADS; n++)
        for (int backwards = 0; backwards < 2; backwards++) {
            const Order o = { n, backwards, -1 };
            if (!same_out_of_step(x, &o, &want))
                fail_msg("%s %s: %d threads meet too seldom, %s", name,
                         plan_program_name(x->program), n, backwards ? "backwards" : "forwards");
        }
    buf_free(&want);
}

static void set_size(const Plan *p, Subject *x, PlanRole role, int64_t size)
{
    const int i = plan_symbol(p, role);
    if (i >= 0 && size < x->sizes[i])
        x->sizes[i] = size;
}

/* Each program at `n_sizes` of these: its largest, one position (as tokens are generated), in between. */
static void expect_all_apart(const Compiled *c, const char *name, size_t n_sizes)
{
    static const int64_t sequences[3] = { INT64_MAX, 1, 3 };
    for (uint32_t i = 0; i < c->plan.n_programs; i++)
        for (size_t k = 0; k < n_sizes; k++) {
            Subject x = { .compiled = c, .program = (PlanProgramKind)c->plan.programs[i].kind };
            largest_sizes(&c->plan, x.program, x.sizes);
            set_size(&c->plan, &x, PLAN_SEQUENCE, sequences[k]);
            set_size(&c->plan, &x, PLAN_BATCH, sequences[k] == 3 ? 2 : INT64_MAX);
            expect_apart(&x, name);
            buf_free(&x.before);
        }
}

static const ModelSpec models[] = {
    { "mlp", { NULL } },
    { "chargpt", { "vocab=67", "context=40", "width=64", "depth=2" } },
    { "profile", { "vocab=67", "context=40", "width=64", "depth=1", "hidden=288" } },
    { "gpt2", { "vocab=131", "context=40", "width=96", "depth=2", "heads=3", "drop=0.1" } },
    { "llama", { "vocab=67", "context=40", "width=64", "depth=2", "heads=4", "kv_heads=2",
                 "hidden=160", "qk_norm=true", "rope_scaling=llama3", "rope_factor=8.0",
                 "rope_trained=8" } },
    { "gemma", { "vocab=67", "context=40", "width=64", "depth=2", "heads=4", "kv_heads=2",
                 "head=16", "hidden=96", "four_norms=true", "qk_norm=true", "score_cap=20.0",
                 "window=5", "global_every=2" } },
    { "moe", { "vocab=67", "context=40", "width=64", "depth=1", "heads=4", "kv_heads=2",
               "hidden=48", "experts=4", "chosen=2" } },
    { "phi3", { "vocab=67", "context=40", "width=64", "depth=2", "heads=4", "kv_heads=2",
                "rotary=6", "hidden=96", "rope_scaling=given" } },
};

/* All that the model can do; a program that it cannot have (mlp generates nothing) is none of ours. */
static void open_graph(Compiled *c, const Graph *model, const CompileOptions *o, Arena *arena)
{
    Arena scratch;
    DiagSink diags;
    Error err;
    *c = (Compiled){ 0 };
    arena_init(&scratch, NULL);
    diag_init(&diags, arena);
    if (!compile_plan(model, o, arena, &scratch, &diags, &c->bytes))
        fail_msg("%s", diags.n > 0 ? diags.diags[0].text : "out of memory");
    if (!plan_view(c->bytes.data, c->bytes.len, &c->plan, &err))
        fail_msg("%s", err.text);
    arena_free(&scratch);
}

static void open_model(Compiled *c, const ModelSpec *m, int level)
{
    const CompileOptions o = { .level = level, .batch = 5, .sequence = 37, .chunk = 9 };
    char path[512];
    uint32_t n = 0;
    Arena arena;
    arena_init(&arena, NULL);
    while (m->defines[n])
        n++;
    snprintf(path, sizeof path, "%s/models/%s.smg", SOURCE_DIR, m->name);
    open_graph(c, compare_read(path, m->defines, n, &arena), &o, &arena);
    arena_free(&arena);
}

static void test_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int level = 0; level <= 2; level += 2) {
            Compiled c;
            open_model(&c, &models[i], level);
            expect_all_apart(&c, models[i].name, level ? 3 : 1);
            compiled_close(&c);
        }
}

static void test_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_RANDOM; seed++) {
        const CompileOptions o = { .level = seed % 4 ? 2 : 0, .batch = 3, .sequence = 7,
                                   .fusions = { seed % 3 ? random_u32(seed, 1, 0) : 0 } };
        char name[32];
        Arena arena;
        Compiled c;
        arena_init(&arena, NULL);
        open_graph(&c, random_graph(seed, &arena), &o, &arena);
        snprintf(name, sizeof name, "random graph %d", (int)seed);
        expect_all_apart(&c, name, 2);
        compiled_close(&c);
        arena_free(&arena);
    }
}

/* Leaves out each meeting in turn: how often is that noticed? */
static uint32_t count_noticed(Subject *x, uint32_t *n_meetings)
{
    Buf want = one_thread(x);
    Session *s = begin(x, 2);
    uint32_t noticed = 0;
    *n_meetings = session_barriers(s, x->program);
    for (uint32_t k = 0; k < plan_program(session_plan(s), x->program)->n_instrs; k++) {
        Order o = { 2, false, k };
        if (!session_meets_before(s, x->program, k))
            continue;
        bool same = same_out_of_step(x, &o, &want);
        o.backwards = true;
        noticed += !(same && same_out_of_step(x, &o, &want));
    }
    session_close(s);
    buf_free(&want);
    return noticed;
}

static void test_missing_meetings_are_noticed(void **state)
{
    static const PlanProgramKind programs[] = { PLAN_train, PLAN_generate };
    (void)state;
    for (size_t i = 3; i <= 4; i++) {
        Compiled c;
        open_model(&c, &models[i], 2);
        for (size_t k = 0; k < 2; k++) {
            uint32_t n;
            Subject x = { .compiled = &c, .program = programs[k] };
            largest_sizes(&c.plan, x.program, x.sizes);
            if (x.program == PLAN_generate)
                set_size(&c.plan, &x, PLAN_SEQUENCE, 1);
            const uint32_t noticed = count_noticed(&x, &n);
            buf_free(&x.before);
            print_message("%s %s: %u of %u meetings are missed when left out\n", models[i].name,
                          plan_program_name(x.program), noticed, n);
            assert_true(n > 10 && noticed * 10 > n * 9);
        }
        compiled_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_missing_meetings_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
