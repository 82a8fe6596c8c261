/* Recomputation changes where bytes come from and no bit of what is computed: training steps of the
 * shipped models, dropout on, with everything kept, with what is recomputed without being asked for,
 * and under limits down to the least that can be met; and a session's pool keeps to the limit.  Nor does
 * it matter to a bit where operands of products in bf16 are rounded. */
#include "passes/specialize.h"
#include "tests/e2e/compare.h"
#include "tests/e2e/compiled.h"

#include "base/check.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TRAINING = 1u << PLAN_train | 1u << PLAN_accumulate, N_STEPS = 2 };

static const ModelSpec models[] = {
    { "mlp", { NULL } },
    { "gpt2", { "vocab=67", "context=24", "width=32", "depth=4", "heads=4", "drop=0.25" } },
    { "llama", { "vocab=67", "context=24", "width=32", "depth=3", "heads=4", "kv_heads=2",
                 "hidden=80" } },
    { "gemma", { "vocab=67", "context=24", "width=32", "depth=2", "heads=4", "kv_heads=2", "head=8",
                 "hidden=48" } },
    { "chargpt", { "vocab=67", "context=24", "width=32", "depth=3" } },
};

static CompileOptions with_limit(int64_t limit, DType precision)
{
    return (CompileOptions){ .level = 2, .batch = 3, .memory_limit = limit, .precision = precision,
                             .programs = 1u << PROGRAM_train | 1u << PROGRAM_accumulate };
}

/* ---- one run ---------------------------------------------------------------------------------- */

/* What a program leaves behind: every storage that is no copy of another, and its outputs. */
static void run_program(const Compiled *c, PlanProgramKind program, Buf *out)
{
    Session *s = compiled_session(c, 1u << program, 2, NULL);
    int64_t sizes[MAX_SYMBOLS];
    fill_storages(s, 1u << program, 11);
    largest_sizes(&c->plan, program, sizes);
    for (int step = 0; step < N_STEPS; step++) {
        bind(s, program, sizes);
        session_run(s, program);
        buf_add(out, output(s, program, "loss").data, sizeof(float));
    }
    for (uint32_t i = 0; i < c->plan.n_storages; i++) {
        const void *data = session_storage(s, (int32_t)i);
        if (data && !c->plan.storages[i].rounded_of)
            buf_add(out, data, storage_bytes(&c->plan, (int32_t)i, 1u << program));
    }
    session_close(s);
}

typedef struct Result {
    Buf bits[N_PLAN_PROGRAMS];
    int64_t pool[N_PLAN_PROGRAMS];
    uint32_t n_instrs;
} Result;

static Result run_with(const ModelSpec *spec, const CompileOptions *o)
{
    Result r = { 0 };
    Compiled c;
    compiled_open(&c, spec, o);
    for (PlanProgramKind p = 0; p < N_PLAN_PROGRAMS; p++) {
        if (!(TRAINING >> p & 1))
            continue;
        const SessionOptions so = { .n_threads = 1, .programs = 1u << p };
        SessionSize size;
        Error err;
        assert_true(session_size(&c.plan, &so, &size, &err));
        r.pool[p] = (int64_t)size.pool;
        r.n_instrs += plan_program(&c.plan, p)->n_instrs;
        run_program(&c, p, &r.bits[p]);
    }
    compiled_close(&c);
    return r;
}

static void result_free(Result *r)
{
    for (PlanProgramKind p = 0; p < N_PLAN_PROGRAMS; p++)
        buf_free(&r->bits[p]);
}

static void expect_same_bits(const ModelSpec *spec, const Result *want, const Result *got,
                             int64_t limit)
{
    for (PlanProgramKind p = 0; p < N_PLAN_PROGRAMS; p++) {
        const Buf *a = &want->bits[p], *b = &got->bits[p];
        size_t at = 0;
        assert_int_equal(a->len, b->len);
        while (at < a->len && a->data[at] == b->data[at])
            at++;
        if (at < a->len)
            fail_msg("%s, limit %" PRId64 ", program %s: byte %zu of %zu differs", spec->name, limit,
                     plan_program_name(p), at, a->len);
        assert_true(got->pool[p] <= limit);
    }
}

/* ---- limits ----------------------------------------------------------------------------------- */

/* The smallest limit that the message for one that cannot be met names. */
static int64_t least_limit(const ModelSpec *spec, DType precision)
{
    char path[512];
    Arena arena, scratch;
    DiagSink diags;
    Buf plan = { 0 };
    uint32_t n = 0;
    int64_t least = 0;
    const CompileOptions o = with_limit(1, precision);
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    diag_init(&diags, &arena);
    while (n < COUNT_OF(spec->defines) && spec->defines[n])
        n++;
    snprintf(path, sizeof path, "%s/models/%s.smg", SOURCE_DIR, spec->name);
    const Graph *model = compare_read(path, spec->defines, n, &arena);
    assert_false(compile_plan(model, &o, &arena, &scratch, &diags, &plan));
    assert_int_equal(diags.n_errors, 1);
    assert_int_equal(diags.diags[0].code, DIAG_E0433);
    assert_true(diags.diags[0].n_notes > 0);
    const char *named = strstr(diags.diags[0].text, "least it can be given is ");
    assert_non_null(named);
    assert_int_equal(sscanf(named, "least it can be given is %" SCNd64, &least), 1);
    buf_free(&plan);
    arena_free(&scratch);
    arena_free(&arena);
    return least;
}

static Result run_limited(const ModelSpec *spec, int64_t limit, DType precision)
{
    const CompileOptions o = with_limit(limit, precision);
    return run_with(spec, &o);
}

static void check_model(const ModelSpec *spec, DType precision)
{
    enum { N_LIMITS = 4 };
    Result kept = run_limited(spec, INT64_MAX, precision), free_ = run_limited(spec, 0, precision);
    const int64_t most = kept.pool[PLAN_train], least = least_limit(spec, precision);
    bool recomputed = false;
    expect_same_bits(spec, &kept, &free_, INT64_MAX);
    assert_true(free_.pool[PLAN_train] <= most && least <= free_.pool[PLAN_train]);
    for (int k = 0; k <= N_LIMITS; k++) {
        const int64_t limit = least + (most - least) * k / N_LIMITS;
        Result r = run_limited(spec, limit, precision);
        expect_same_bits(spec, &kept, &r, limit);
        recomputed = recomputed || r.n_instrs > kept.n_instrs;
        print_message("%s: limit %" PRId64 ", pool %" PRId64 " of %" PRId64 ", %u instructions of %u\n",
                      spec->name, limit, r.pool[PLAN_train], most, r.n_instrs, kept.n_instrs);
        result_free(&r);
    }
    assert_true(recomputed || least == most);
    result_free(&kept);
    result_free(&free_);
}

static void test_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(models); i++)
        check_model(&models[i], DTYPE_f32);
    check_model(&models[1], DTYPE_bf16);
}

/* Rounded where it is computed, or by each product that reads it: of more rows than are multiplied one by one,
 * for those sum in another order where a matrix is of bf16. */
static void test_rounding(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        CompileOptions o = with_limit(0, DTYPE_bf16);
        if (strcmp(models[i].name, "mlp") == 0)
            o.batch = 40;
        Result stored = run_with(&models[i], &o);
        fusion_switch(&o.fusions, FUSE_rounding, false);
        Result packed = run_with(&models[i], &o);
        expect_same_bits(&models[i], &packed, &stored, INT64_MAX);
        print_message("%s: pool %" PRId64 " of %" PRId64 "\n", models[i].name,
                      stored.pool[PLAN_train], packed.pool[PLAN_train]);
        assert_true(strcmp(models[i].name, "gpt2") != 0
                    || stored.pool[PLAN_train] < packed.pool[PLAN_train]);
        result_free(&stored);
        result_free(&packed);
    }
}

/* Who waits for a search is told each choice, and never more of them than there may be. */
typedef struct Told {
    int64_t tried, most;
} Told;

static void tell(void *arg, Program program, int64_t tried, int64_t most)
{
    Told *told = arg;
    assert_int_equal(program, PROGRAM_train);
    assert_int_equal(tried, told->tried + 1);
    assert_true(tried <= most && (told->most == 0 || most == told->most));
    *told = (Told){ tried, most };
}

/* What docs/memory.md promises of GPT-2 124M at a batch of 4 and 1024 positions, gradients of the
 * parameters included. */
static void test_gpt2(void **state)
{
    (void)state;
    static const struct { int64_t limit, most; } promises[] = {
        { 0, 1930000000 }, { 1000000000, 1000000000 }, { 700000000, 700000000 },
    };
    Arena arena, scratch;
    DiagSink diags;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    diag_init(&diags, &arena);
    const Graph *model = compare_read(SOURCE_DIR "/models/gpt2.smg", NULL, 0, &arena);
    for (size_t i = 0; i < COUNT_OF(promises); i++) {
        Told told = { 0 };
        const CompileOptions o = { .level = 2, .batch = 4, .sequence = 1024,
                                   .memory_limit = promises[i].limit,
                                   .watch = &(SearchWatch){ tell, &told } };
        const Graph *g = compile_program(model, PROGRAM_train, &o, &arena, &scratch, &diags);
        assert_non_null(g);
        assert_true(g->pool_bytes <= promises[i].most);
        assert_int_equal(told.tried > 0, promises[i].limit > 0);
    }
    arena_free(&scratch);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models), cmocka_unit_test(test_rounding), cmocka_unit_test(test_gpt2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
