/* Plans with a fusion switched off, each in turn, and those that are off by default switched on,
 * against the evaluator.
 *
 *     e2e_fusions [NAME]      of this fusion only */
#include "passes/specialize.h"
#include "tests/e2e/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *only;

typedef struct ModelCase {
    const char *path;
    const char *defines[8];
    uint32_t n_defines;
    int64_t sequence;
} ModelCase;

static const ModelCase cases[] = {
    { SOURCE_DIR "/models/gpt2.smg",
      { "vocab=37", "context=12", "width=16", "depth=1", "heads=2", "drop=0.25" }, 6, 11 },
    { SOURCE_DIR "/models/llama.smg",
      { "vocab=61", "context=12", "width=16", "depth=2", "heads=2", "kv_heads=1", "hidden=24" }, 7,
      9 },
    { SOURCE_DIR "/models/chargpt.smg", { "vocab=37", "context=12", "width=16", "depth=1" }, 4, 12 },
};

static void check_programs(const ModelCase *c, FusionSet fusions, const char *what)
{
    static const Program programs[] = { PROGRAM_eval, PROGRAM_train, PROGRAM_accumulate,
                                        PROGRAM_apply, PROGRAM_generate };
    Arena arena;
    arena_init(&arena, NULL);
    Graph *model = compare_read(c->path, c->defines, c->n_defines, &arena);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        const Program p = programs[i];
        const CompareOptions o = { .level = 2, .fusions = fusions, .sequence = c->sequence,
                                   .batch = p == PROGRAM_generate ? 1 : 3, .seed = 11 };
        Difference difference;
        if (p == PROGRAM_generate && !fusion_on(fusions, FUSE_attention))
            continue;                   /* caching is proved of attention, not of its parts */
        if (!compare_program(model, p, &o, &difference))
            fail_msg("%s, program %s, %s: %s", strrchr(c->path, '/') + 1, program_name(p), what,
                     difference.text);
    }
    arena_free(&arena);
}

static void check_everywhere(FusionSet fusions, const char *what)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_programs(&cases[i], fusions, what);
}

static void test_each_turned(void **state)
{
    (void)state;
    for (Fusion f = 0; f < N_FUSIONS; f++) {
        FusionSet set = { 0 };
        if (only && strcmp(only, fusion_table[f].name) != 0)
            continue;
        fusion_switch(&set, f, !fusion_table[f].on);
        check_everywhere(set, fusion_table[f].name);
    }
}

/* Columns are summed by row programs where there are enough rows, which no case above has. */
static void test_columns(void **state)
{
    (void)state;
    static const char *const lists[] = { "all", "none,+column_sums,+reductions", "-column_sums" };
    static const Program programs[] = { PROGRAM_train, PROGRAM_accumulate };
    Arena arena;
    arena_init(&arena, NULL);
    Graph *model = compare_read(SOURCE_DIR "/models/mlp.smg", NULL, 0, &arena);
    for (int i = 0; i < 6; i++) {
        CompareOptions o = { .level = 2, .batch = 1100, .seed = 12 };
        Difference difference;
        Error err;
        assert_true(fusion_parse(lists[i / 2], &o.fusions, &err));
        if (!compare_program(model, programs[i % 2], &o, &difference))
            fail_msg("mlp, program %s, %s: %s", program_name(programs[i % 2]), lists[i / 2], difference.text);
    }
    arena_free(&arena);
}

static void test_all_and_none(void **state)
{
    (void)state;
    static const char *const lists[] = { "all", "none" };
    for (int i = 0; i < 2 && !only; i++) {
        FusionSet set = { 0 };
        Error err;
        assert_true(fusion_parse(lists[i], &set, &err));
        check_everywhere(set, lists[i]);
    }
}

static void test_names(void **state)
{
    (void)state;
    FusionSet set = { 0 };
    Error err;
    assert_true(fusion_parse("none,+elementwise,-scales", &set, &err));
    for (Fusion f = 0; f < N_FUSIONS; f++)
        assert_int_equal(fusion_on(set, f), f == FUSE_elementwise);
    assert_true(fusion_parse("all,-scales,", &set, &err));
    for (Fusion f = 0; f < N_FUSIONS; f++)
        assert_int_equal(fusion_on(set, f), f != FUSE_scales);
    assert_false(fusion_parse("-reduction", &set, &err));
    assert_string_equal(err.text, "no fusion is called reduction; did you mean reductions?");
    assert_false(fusion_parse("+zzz", &set, &err));
    assert_string_equal(err.text, "no fusion is called zzz; smc passes lists them");
    assert_false(fusion_parse("-", &set, &err));
    assert_false(fusion_parse(",scales", &set, &err));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_each_turned),
        cmocka_unit_test(test_all_and_none),
        cmocka_unit_test(test_columns),
    };
    only = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
