/* The same bytes for any number of threads: every storage and every output of training, scoring and
 * generation, on every instruction set that this processor has. */
#include "tests/e2e/compiled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 5, SEQUENCE = 37, CHUNK = 9, MAX_THREADS = 3, TRAIN_STEPS = 10, TOKENS = 30 };

static const ModelSpec models[] = {
    { "gpt2", { "vocab=67", "context=40", "width=48", "depth=2", "heads=3", "drop=0.1" } },
    { "llama", { "vocab=400", "context=40", "width=32", "depth=2", "heads=4", "kv_heads=2",
                 "hidden=80" } },
};

static void train(Session *s, Buf *out)
{
    int64_t sizes[MAX_SYMBOLS];
    largest_sizes(session_plan(s), PLAN_train, sizes);
    bind(s, PLAN_train, sizes);
    for (int32_t step = 1; step <= TRAIN_STEPS; step++) {
        int32_t *seed = session_storage_named(s, "$seed");
        *(int32_t *)session_storage_named(s, "$step") = step;
        if (seed)
            seed[0] = step;
        session_run(s, PLAN_train);
        record_outputs(out, s, PLAN_train);
    }
}

static void score(Session *s, Buf *out)
{
    int64_t sizes[MAX_SYMBOLS];
    largest_sizes(session_plan(s), PLAN_score, sizes);
    bind(s, PLAN_score, sizes);
    session_run(s, PLAN_score);
    record_outputs(out, s, PLAN_score);
}

/* A chunk, then one position after the other. */
static void generate(Session *s, Buf *out)
{
    const int sequence = plan_symbol(session_plan(s), PLAN_SEQUENCE);
    int64_t sizes[MAX_SYMBOLS];
    int32_t *past = session_storage_named(s, "$past");
    largest_sizes(session_plan(s), PLAN_generate, sizes);
    while (*past < TOKENS) {
        bind(s, PLAN_generate, sizes);
        session_run(s, PLAN_generate);
        record_outputs(out, s, PLAN_generate);
        *past += (int32_t)sizes[sequence];
        sizes[sequence] = 1;
    }
}

typedef struct Life {
    PlanProgramKind program;
    void (*live)(Session *s, Buf *out);
} Life;

static void record(const Compiled *c, const Life *life, int n_threads, const char *cpu, Buf *out)
{
    const uint32_t programs = 1u << life->program;
    Session *s = compiled_session(c, programs, n_threads, cpu);
    fill_storages(s, programs, 23);
    life->live(s, out);
    record_storages(out, s, programs);
    session_close(s);
}

static void expect_same(const ModelSpec *m, const Compiled *c, const Life *life, const char *cpu)
{
    Buf want = { 0 };
    record(c, life, 1, cpu, &want);
    for (int n = 2; n <= MAX_THREADS; n++) {
        Buf got = { 0 };
        record(c, life, n, cpu, &got);
        assert_int_equal(got.len, want.len);
        if (memcmp(got.data, want.data, want.len) != 0)
            fail_msg("%s %s on %s: %d threads give other bytes than one", m->name,
                     plan_program_name(life->program), cpu, n);
        buf_free(&got);
    }
    print_message("%s %s on %s: %zu bytes\n", m->name, plan_program_name(life->program), cpu,
                  want.len);
    buf_free(&want);
}

static void test_threads(void **state)
{
    static const Life lives[] = {
        { PLAN_train, train }, { PLAN_score, score }, { PLAN_generate, generate },
    };
    const CompileOptions co = { .level = 2, .batch = BATCH, .sequence = SEQUENCE, .chunk = CHUNK };
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        Compiled c;
        compiled_open(&c, &models[i], &co);
        for (Isa isa = 0; isa < N_ISAS; isa++)
            for (size_t k = 0; k < sizeof lives / sizeof *lives && isa_supported(isa); k++)
                expect_same(&models[i], &c, &lives[k], isa_name(isa));
        compiled_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
