/* Caches of bf16 and q8_0: generation against the evaluator, which knows what each stands for, in chunks of
 * several sizes and on every instruction set; the same bytes for any number of threads; and the memory. */
#include "tests/e2e/compare.h"
#include "tests/e2e/compiled.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CONTEXT = 96, VOCAB = 33, MAX_DEFINES = 8 };

/* Heads of 32; two heads share a key. */
static const ModelSpec models[] = {
    { "gpt2", { "vocab=33", "context=96", "width=64", "depth=1", "heads=2" } },
    { "llama", { "vocab=33", "context=96", "width=64", "depth=2", "heads=2", "kv_heads=1", "hidden=32" } },
};
static const DType types[] = { DTYPE_bf16, DTYPE_q8_0 };

/* ---- against the evaluator ---------------------------------------------------------------------- */

static void check_chunk(const Graph *model, const char *cpu, DType cache, int64_t chunk, int64_t past)
{
    const CompareOptions o = { .level = 2, .cache = cache, .cpu = cpu, .batch = 1, .sequence = chunk,
                               .past = past, .seed = 5 };
    Difference difference;
    if (!compare_program(model, PROGRAM_generate, &o, &difference))
        fail_msg("%s on %s, cache %s, %d positions behind %d: %s", model->name, cpu, dtype_name(cache),
                 (int)chunk, (int)past, difference.text);
}

static void test_evaluator(void **state)
{
    (void)state;
    static const struct { int64_t chunk, past; } runs[] = { { 1, 70 }, { 7, 0 }, { 64, 30 } };
    for (size_t m = 0; m < COUNT_OF(models); m++) {
        Arena arena;
        char path[256];
        uint32_t n = 0;
        arena_init(&arena, NULL);
        snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", models[m].name);
        while (models[m].defines[n])
            n++;
        const Graph *model = compare_read(path, models[m].defines, n, &arena);
        for (Isa isa = 0; isa < N_ISAS; isa++)
            for (size_t k = 0; k < COUNT_OF(types) * COUNT_OF(runs) && isa_supported(isa); k++)
                if (kernels_own(isa, KERNEL_attention))
                    check_chunk(model, isa_name(isa), types[k % COUNT_OF(types)],
                                runs[k / COUNT_OF(types)].chunk, runs[k / COUNT_OF(types)].past);
        arena_free(&arena);
    }
}

/* ---- threads ------------------------------------------------------------------------------------- */

/* The logits behind a chunk and then position by position, and the caches. */
static void record(const Compiled *c, int n_threads, Buf *out)
{
    enum { FIRST = 19, MORE = 5 };
    Session *s = compiled_session(c, 1u << PLAN_generate, n_threads, NULL);
    fill_storages(s, 1u << PLAN_generate, 3);
    int32_t *past = session_storage_named(s, "$past");
    for (int32_t n = FIRST, i = 0; i <= MORE; i++, n = 1) {
        int64_t sizes[MAX_SYMBOLS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
        sizes[plan_symbol(&c->plan, PLAN_SEQUENCE)] = n;
        bind(s, PLAN_generate, sizes);
        session_run(s, PLAN_generate);
        const Operand o = output(s, PLAN_generate, "logits");
        buf_add(out, o.data, VOCAB * sizeof(float));
        *past += n;
    }
    for (int32_t i = 0; i < (int32_t)c->plan.n_storages; i++)
        if (c->plan.storages[i].class == PLAN_STATE)
            buf_add(out, session_storage(s, i), storage_bytes(&c->plan, i, 1u << PLAN_generate));
    session_close(s);
}

static void test_threads(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(types); k++) {
        const CompileOptions co = { .level = 2, .batch = 1, .chunk = 32, .cache = types[k],
                                    .programs = 1u << PROGRAM_generate };
        Compiled c;
        Buf one = { 0 }, more = { 0 };
        compiled_open(&c, &models[1], &co);
        record(&c, 1, &one);
        for (int n = 2; n <= 3; n++) {
            more.len = 0;
            record(&c, n, &more);
            assert_int_equal(one.len, more.len);
            assert_memory_equal(one.data, more.data, one.len);
        }
        buf_free(&one);
        buf_free(&more);
        compiled_close(&c);
    }
}

/* ---- memory -------------------------------------------------------------------------------------- */

/* Two layers keep a key and a value of 32 numbers for each of 96 positions. */
static void test_memory(void **state)
{
    (void)state;
    static const struct { DType type; size_t bytes; } want[] = {
        { DTYPE_f32, 2 * 2 * 96 * 32 * 4 }, { DTYPE_bf16, 2 * 2 * 96 * 32 * 2 }, { DTYPE_q8_0, 2 * 2 * 96 * 34 },
    };
    size_t total[COUNT_OF(want)];
    for (size_t k = 0; k < COUNT_OF(want); k++) {
        const CompileOptions co = { .level = 2, .batch = 1, .chunk = 8, .cache = want[k].type,
                                    .programs = 1u << PROGRAM_generate };
        const SessionOptions so = { .n_threads = 1, .programs = 1u << PLAN_generate };
        SessionSize size;
        Compiled c;
        Error err;
        compiled_open(&c, &models[1], &co);
        assert_true(session_size(&c.plan, &so, &size, &err));
        assert_int_equal(size.state, want[k].bytes);
        total[k] = size.total - size.scratch;
        compiled_close(&c);
    }
    for (size_t k = 1; k < COUNT_OF(want); k++)     /* nothing else grows instead */
        assert_true(total[0] - total[k] == want[0].bytes - want[k].bytes);
}

/* ---- what cannot be ------------------------------------------------------------------------------- */

/* Heads of 24 fit no blocks: the whole compilation fails, whatever else it could have had. */
static void test_refusal(void **state)
{
    (void)state;
    static const char *const defines[] = { "vocab=33", "context=96", "width=96", "depth=1", "heads=4" };
    const CompileOptions co = { .level = 2, .batch = 1, .cache = DTYPE_q8_0 };
    Arena arena, scratch;
    DiagSink diags;
    Buf bytes = { 0 };
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    diag_init(&diags, &arena);
    const Graph *model = compare_read(SOURCE_DIR "/models/gpt2.smg", defines, COUNT_OF(defines), &arena);
    assert_false(compile_plan(model, &co, &arena, &scratch, &diags, &bytes));
    assert_int_equal(diags.n_errors, 1);
    assert_int_equal(diags.diags[0].code, DIAG_E0434);
    assert_non_null(strstr(diags.diags[0].text, "keys of 24 numbers a head cannot be kept as q8_0"));
    buf_free(&bytes);
    arena_free(&scratch);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluator),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
