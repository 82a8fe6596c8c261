/* Every program of the shipped models, at small sizes, against the evaluator: at -O0 and -O2, for
 * every instruction set that this processor has. */
#include "passes/specialize.h"
#include "tests/e2e/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct ModelCase {
    const char *path;
    const char *defines[16];
    uint32_t n_defines;
    int64_t sequence;                   /* 0: the model has none */
} ModelCase;

static const ModelCase cases[] = {
    { SOURCE_DIR "/models/mlp.smg", { 0 }, 0, 0 },
    { SOURCE_DIR "/models/gpt2.smg",
      { "vocab=67", "context=24", "width=32", "depth=2", "heads=4" }, 5, 19 },
    { SOURCE_DIR "/models/gpt2.smg",
      { "vocab=67", "context=24", "width=32", "depth=1", "heads=4", "drop=0.25" }, 6, 24 },
    { SOURCE_DIR "/models/llama.smg",
      { "vocab=67", "context=24", "width=32", "depth=2", "heads=4", "kv_heads=2", "hidden=48" }, 7,
      17 },
    { SOURCE_DIR "/models/llama.smg",
      { "vocab=67", "context=24", "width=32", "depth=2", "heads=4", "kv_heads=2", "hidden=48",
        "rope_scaling=llama3", "rope_factor=8.0", "rope_trained=8", "head=12", "qk_norm=true",
        "qkv_bias=true", "window=5", "nope_every=2", "tied=true" }, 16, 17 },
    { SOURCE_DIR "/models/gemma.smg",
      { "vocab=67", "context=24", "width=32", "depth=2", "heads=4", "kv_heads=2", "head=12",
        "hidden=48", "four_norms=true", "qk_norm=true", "score_cap=20.0", "logit_cap=10.0",
        "window=5", "global_every=2", "local_base=100.0", "rope_factor=8.0" }, 16, 17 },
    { SOURCE_DIR "/models/moe.smg",
      { "vocab=67", "context=24", "width=32", "depth=1", "heads=4", "kv_heads=2", "hidden=24",
        "experts=4", "chosen=2" }, 9, 17 },
    { SOURCE_DIR "/models/phi3.smg",
      { "vocab=67", "context=24", "width=32", "depth=2", "heads=4", "kv_heads=2", "rotary=6",
        "hidden=48", "rope_scaling=given", "rope_magnitude=1.2" }, 10, 17 },
    { SOURCE_DIR "/models/chargpt.smg",
      { "vocab=67", "context=24", "width=32", "depth=2" }, 4, 24 },
    { SOURCE_DIR "/models/profile.smg",
      { "vocab=67", "context=24", "width=64", "depth=1", "hidden=96" }, 5, 8 },
};

static void check_case(const ModelCase *c, int level, const char *cpu)
{
    Arena arena;
    arena_init(&arena, NULL);
    Graph *model = compare_read(c->path, c->defines, c->n_defines, &arena);
    for (Program p = PROGRAM_score; p < N_PROGRAMS; p++) {
        const CompareOptions o = { .level = level, .cpu = cpu, .batch = p == PROGRAM_generate ? 1 : 3,
                                   .sequence = c->sequence, .seed = 7 };
        Difference difference;
        if (!program_possible(model, p))
            continue;
        print_message("%s %s -O%d %s\n", strrchr(c->path, '/') + 1, program_name(p), level,
                      cpu ? cpu : "best");
        if (!compare_program(model, p, &o, &difference))
            fail_msg("%s", difference.text);
    }
    arena_free(&arena);
}

static void test_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(&cases[i], 0, NULL);
        check_case(&cases[i], 2, NULL);
    }
}

static void test_instruction_sets(void **state)
{
    (void)state;
    for (Isa isa = 0; isa < N_ISAS; isa++)
        if (isa_supported(isa))
            check_case(&cases[3], 2, isa_name(isa));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_instruction_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
