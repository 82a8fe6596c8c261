/* Weights and caches stored as bf16 and in blocks, and products in bf16: programs against the evaluator,
 * which knows what each stands for. */
#include "tests/e2e/compare.h"

#include "base/check.h"
#include "passes/specialize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

typedef struct StorageCase {
    const char *model, *defines[8];
    CompareOptions options;
    unsigned programs;                  /* bits */
} StorageCase;

#define GPT2 "gpt2", { "vocab=67", "context=24", "width=32", "depth=2", "heads=4" }
#define LLAMA "llama", { "vocab=67", "context=24", "width=64", "depth=2", "heads=4", "kv_heads=2", \
                         "hidden=96" }

#define WIDE "llama", { "vocab=67", "context=24", "width=256", "depth=1", "heads=4", "kv_heads=2", \
                        "hidden=256" }

#define MOE "moe", { "vocab=67", "context=24", "width=64", "depth=1", "heads=4", "kv_heads=2", \
                     "hidden=96", "experts=4" }

static const StorageCase cases[] = {
    { GPT2, { .level = 2, .weights = "wpe.*=bf16" }, FOR_INFERENCE },
    { GPT2, { .level = 2, .weights = "wpe.*=q8_0" }, FOR_INFERENCE },
    { GPT2, { .level = 2, .weights = "bf16" }, FOR_INFERENCE },
    { GPT2, { .level = 0, .weights = "bf16" }, FOR_INFERENCE },
    { LLAMA, { .level = 2, .weights = "bf16" }, FOR_INFERENCE },
    { LLAMA, { .level = 0, .weights = "bf16" }, FOR_INFERENCE },
    { LLAMA, { .level = 0, .weights = "q4_0" }, FOR_INFERENCE },
    { LLAMA, { .level = 2, .weights = "q8_0" }, FOR_INFERENCE },
    { LLAMA, { .level = 2, .weights = "q5_1" }, FOR_INFERENCE },
    { WIDE, { .level = 2, .weights = "q4_k", .n_threads = 2 }, FOR_INFERENCE },
    { WIDE, { .level = 2, .weights = "q6_k,q8_0" }, FOR_INFERENCE },
    { MOE, { .level = 2, .weights = "bf16" }, FOR_INFERENCE },
    { MOE, { .level = 2, .weights = "q8_0", .n_threads = 2 }, FOR_INFERENCE },
    { MOE, { .level = 0, .weights = "q4_0" }, FOR_INFERENCE },
    { GPT2, { .level = 2, .cache = DTYPE_bf16 }, FOR(generate) },
    { LLAMA, { .level = 2, .cache = DTYPE_bf16, .weights = "bf16" }, FOR(generate) },
    { GPT2, { .level = 2, .precision = DTYPE_bf16 }, FOR_ALL },
    { LLAMA, { .level = 2, .precision = DTYPE_bf16 }, FOR_ALL },
    { LLAMA, { .level = 2, .precision = DTYPE_bf16, .weights = "bf16" }, FOR_INFERENCE },
    { LLAMA, { .level = 0, .precision = DTYPE_bf16 }, FOR_ALL },
};

static void check_case(const StorageCase *c)
{
    Arena arena;
    char path[256];
    uint32_t n = 0;
    snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", c->model);
    while (n < COUNT_OF(c->defines) && c->defines[n])
        n++;
    arena_init(&arena, NULL);
    Graph *model = compare_read(path, c->defines, n, &arena);
    for (Program p = PROGRAM_score; p < N_PROGRAMS; p++) {
        CompareOptions o = c->options;
        Difference difference;
        o.batch = p == PROGRAM_generate ? 1 : 3;
        o.sequence = 17;
        o.seed = 7;
        if (!(c->programs >> p & 1) || !program_possible(model, p))
            continue;
        print_message("%s %s -O%d, weights %s, cache %s, precision %s\n", c->model,
                      program_name(p), o.level, o.weights ? o.weights : "f32",
                      dtype_name(o.cache), dtype_name(o.precision));
        if (!compare_program(model, p, &o, &difference))
            fail_msg("%s", difference.text);
    }
    arena_free(&arena);
}

static void test_storage(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_case(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_storage) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
