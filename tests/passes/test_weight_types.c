/* The rules of --weights: what they say, and what is refused with a message. */
#include "passes/weight_types.h"

#include "tests/passes/lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_rules(void **state)
{
    (void)state;
    Arena arena;
    WeightRule r;
    Error err;
    arena_init(&arena, NULL);
    assert_true(weight_rule_parse("bf16", &arena, &r, &err));
    assert_string_equal(r.pattern, "*");
    assert_int_equal(r.n, 1);
    assert_int_equal(r.type[0], DTYPE_bf16);
    assert_true(weight_rule_parse("h.*.mlp.*=q4_k,q8_0,f32", &arena, &r, &err));
    assert_string_equal(r.pattern, "h.*.mlp.*");
    assert_int_equal(r.n, 3);
    assert_int_equal(r.type[0], DTYPE_q4_k);
    assert_int_equal(r.type[1], DTYPE_q8_0);
    assert_int_equal(r.type[2], DTYPE_f32);
    arena_free(&arena);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *rule, *why; } wrong[] = {
        { "q9", "q9 is no type of weights" }, { "i32", "i32 is no type of weights" },
        { "", "is no type of weights" }, { "x=", "is no type of weights" },
        { "bf16,", "is no type of weights" }, { "f16", "bf16 takes as little memory" },
        { "q4_k,f16", "bf16 takes as little memory" },
        { "bf16,bf16,bf16,bf16,bf16,bf16,bf16,bf16,bf16", "more than" },
    };
    Arena arena;
    arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        WeightRule r;
        Error err;
        assert_false(weight_rule_parse(wrong[i].rule, &arena, &r, &err));
        assert_non_null(strstr(err.text, wrong[i].why));
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
