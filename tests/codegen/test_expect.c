/* Expectations: what is wrong with their text, and whether they hold of a small model. */
#include "codegen/expect.h"

#include "base/check.h"
#include "codegen/compile.h"
#include "tests/passes/lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    const char *text, *says;
} wrong[] = {
    { "", "begins with fused" },
    { "fuse(add, mul)", "not with `fuse`" },
    { "fused", "expected `(`" },
    { "fused(add)", "at least two" },
    { "fused(add mul)", "expected `,` or `)`" },
    { "fused(add, )", "expected an op" },
    { "fused(ad, mul)", "did you mean add?" },
    { "fused(add @, mul)", "path of a block" },
    { "fused(add:0, mul)", "a line number" },
    { "fused(add:x, mul)", "a line number" },
    { "fused(add, mul) x", "expected the end" },
    { "trian: fused(add, mul)", "no program is called trian" },
    { "model: fused(add, mul)", "no program is called model" },
    { "pool < 3", "`<=` or `>=`" },
    { "pool <= much", "a number" },
    { "pool <= 99999999999999999999", "a number" },
    { "not not has(add)", "not with `not`" },
    { "has(add,add,add,add,add,add,add,add,add,add,add,add,add,add,add,add,add)", "more than 16" },
};

static void test_wrong_text(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        Expectation e;
        Error err;
        assert_false(expectation_parse(wrong[i].text, &arena, &e, &err));
        if (!strstr(err.text, wrong[i].says))
            fail_msg("`%s`: %s", wrong[i].text, err.text);
    }
    arena_free(&arena);
}

static void test_text(void **state)
{
    (void)state;
    Arena arena;
    Expectation e;
    arena_init(&arena, NULL);
    const char text[] = " train : not  fused( gelu @ layer.*.mlp :42, @h, :7 ) ";
    assert_true(expectation_parse(text, &arena, &e, NULL));
    assert_int_equal(e.program, PROGRAM_train);
    assert_true(e.negated);
    assert_int_equal(e.kind, EXPECT_FUSED);
    assert_int_equal(e.n_selectors, 3);
    assert_int_equal(e.selectors[0].op, OP_gelu);
    assert_string_equal(e.selectors[0].path, "layer.*.mlp");
    assert_int_equal(e.selectors[0].line, 42);
    assert_true(e.selectors[1].any_op && e.selectors[2].any_op);
    assert_int_equal(e.selectors[2].line, 7);
    assert_true(expectation_parse("pool>=2K", &arena, &e, NULL));
    assert_int_equal(e.measure, MEASURE_pool);
    assert_true(e.at_least);
    assert_int_equal(e.limit, 2048);
    arena_free(&arena);
}

typedef struct ExpectCase {
    const char *text;
    ExpectResult result;
    const char *why;
} ExpectCase;

/* Of chargpt with two layers, program train. */
static const ExpectCase cases[] = {
    { "fused(gelu_slope, gelu)", EXPECT_HOLDS, NULL },
    { "fused(rsqrt @ layer.*.norm_2, sub, sum, mul)", EXPECT_HOLDS, NULL },
    { "train: fused(rsqrt @ layer, sub)", EXPECT_HOLDS, NULL },
    { "score: fused(rsqrt @ layer, sub)", EXPECT_SILENT, NULL },
    { "fused(tanh, add)", EXPECT_SILENT, NULL },
    { "fused(gelu, tanh)", EXPECT_FAILS, "nothing matches `tanh`" },
    { "fused(gelu, matmul @ layer.*.mlp.up)", EXPECT_FAILS, "several-readers" },
    { "fused(matmul @ layer.0.mlp.up, gelu)", EXPECT_FAILS, "in no group" },
    { "fused(gelu @ layer.0, rsqrt @ norm_out)", EXPECT_FAILS, "no value goes" },
    { "not fused(gelu, matmul)", EXPECT_HOLDS, NULL },
    { "not fused(gelu_slope, gelu)", EXPECT_FAILS, "is with them" },
    { "has(attention @ layer.0, attention @ layer.1)", EXPECT_HOLDS, NULL },
    { "has(attention @ layer.0, attention @ layer.2)", EXPECT_FAILS, "layer.2" },
    { "has(tanh)", EXPECT_SILENT, NULL },
    { "not has(tanh)", EXPECT_HOLDS, NULL },
    { "not has(attention)", EXPECT_FAILS, "there is attention" },
    { "groups >= 4", EXPECT_HOLDS, NULL },
    { "groups <= 4", EXPECT_FAILS, "groups is " },
    { "not groups <= 4", EXPECT_HOLDS, NULL },
    { "pool <= 1", EXPECT_FAILS, "pool is " },
    { "bound >= 1K", EXPECT_HOLDS, NULL },
    { "traffic >= 1M", EXPECT_HOLDS, NULL },
    { "barriers >= 10", EXPECT_HOLDS, NULL },
    { "instructions <= 10", EXPECT_FAILS, "instructions is " },
};

/* Of gpt2 with two layers, program train: GELU is computed again in the backward pass. */
static const ExpectCase again[] = {
    { "fused(gelu_tanh, add @ h.*.mlp.c_fc)", EXPECT_HOLDS, NULL },
    { "fused(gelu_tanh_slope, gelu_tanh)", EXPECT_HOLDS, NULL },
    { "fused(gelu_tanh_slope, add @ h.*.mlp.c_fc)", EXPECT_FAILS, "computed-later" },
};

/* Of llama with one layer, program generate. */
#define PROJ(name) "matmul @ model.layers.*." name "_proj"
static const ExpectCase sharing[] = {
    { "fused(" PROJ("self_attn.q") ", " PROJ("self_attn.k") ", " PROJ("self_attn.v") ")", EXPECT_HOLDS,
      NULL },
    { "fused(" PROJ("mlp.gate") ", " PROJ("mlp.up") ")", EXPECT_HOLDS, NULL },
    { "not fused(" PROJ("self_attn.q") ", " PROJ("self_attn.o") ")", EXPECT_HOLDS, NULL },
};
static const ExpectCase apart[] = {
    { "fused(" PROJ("self_attn.q") ", " PROJ("self_attn.k") ")", EXPECT_FAILS, "switched-off" },
};

static void check_cases(const char *model, Program program, const char *const *small, uint32_t n_small,
                        const char *fusion, const ExpectCase *c, size_t n)
{
    CompileOptions options = { .level = 2 };
    Lab l;
    Error err;
    assert_true(fusion_parse(fusion, &options.fusions, &err));
    lab_model(&l, model, small, n_small);
    const Graph *g = compile_program(l.g, program, &options, &l.arena, &l.scratch, &l.diags);
    assert_non_null(g);
    for (size_t i = 0; i < n; i++) {
        Expectation e;
        const char *why = "";
        if (!expectation_parse(c[i].text, &l.arena, &e, &err))
            fail_msg("%s: %s", c[i].text, err.text);
        const ExpectResult r = expectation_check(&e, g, options.fusions, &l.arena, &l.scratch, &why);
        if (r != c[i].result || (c[i].why && !strstr(why, c[i].why)))
            fail_msg("%s: result %d, %s", c[i].text, (int)r, why);
    }
    lab_end(&l);
}

static void test_cases(void **state)
{
    (void)state;
    static const char *const two[] = { "depth=2" }, *const one[] = { "depth=1", "width=64", "heads=4" };
    check_cases(SOURCE_DIR "/models/chargpt.smg", PROGRAM_train, two, COUNT_OF(two), "", cases,
                COUNT_OF(cases));
    check_cases(SOURCE_DIR "/models/gpt2.smg", PROGRAM_train, two, COUNT_OF(two), "", again, COUNT_OF(again));
    check_cases(SOURCE_DIR "/models/llama.smg", PROGRAM_generate, one, COUNT_OF(one), "", sharing,
                COUNT_OF(sharing));
    check_cases(SOURCE_DIR "/models/llama.smg", PROGRAM_generate, one, COUNT_OF(one), "-shared_input", apart,
                COUNT_OF(apart));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_text),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
