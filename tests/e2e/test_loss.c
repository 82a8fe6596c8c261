/* The output matrix with the cross entropy in chunks of rows: against the evaluator, at the sizes
 * that were compiled for and at smaller ones, where the last chunks are cut short or empty. */
#include "tests/e2e/compare.h"

#include "passes/specialize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

typedef struct ModelCase {
    const char *path;
    const char *defines[8];
    uint32_t n_defines;
    const char *op;                     /* what the training step must hold */
    unsigned n_ops;
} ModelCase;

/* 4 x 200 rows of 4100 logits make three chunks. */
enum { BATCH = 4, SEQUENCE = 200 };

static const ModelCase cases[] = {
    { SOURCE_DIR "/models/gpt2.smg",
      { "vocab=4100", "context=200", "width=8", "depth=1", "heads=1" }, 5,
      "linear_cross_entropy_grad", 1 },
    { SOURCE_DIR "/tests/e2e/models/squared_loss.smg", { NULL }, 0, "linear_cross_entropy", 1 },
};

static const struct { int64_t batch, sequence; } runs[] = {
    { BATCH, SEQUENCE }, { 2, 134 }, { 3, 90 }, { 1, 5 },
};

static void check(const ModelCase *c, Program p, bool on, int64_t batch, int64_t sequence)
{
    Arena arena;
    Difference difference;
    arena_init(&arena, NULL);
    Graph *model = compare_read(c->path, c->defines, c->n_defines, &arena);
    CompareOptions o = { .level = 2, .batch = BATCH, .sequence = SEQUENCE, .run_batch = batch,
                         .run_sequence = sequence, .n_threads = 2, .seed = 5 };
    fusion_switch(&o.fusions, FUSE_chunked_loss, on);
    if (!compare_program(model, p, &o, &difference))
        fail_msg("%s, program %s at %lld x %lld: %s", strrchr(c->path, '/') + 1, program_name(p),
                 (long long)batch, (long long)sequence, difference.text);
    arena_free(&arena);
}

static void test_training(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof runs / sizeof *runs; k++)
            check(&cases[i], PROGRAM_train, true, runs[k].batch, runs[k].sequence);
}

static void test_evaluation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i], PROGRAM_eval, true, 3, 111);
}

static void test_switched_off(void **state)
{
    (void)state;
    check(&cases[1], PROGRAM_train, false, 2, 134);
}

static Graph *lowered(const ModelCase *c, Program p, Arena *arena, Arena *scratch)
{
    DiagSink diags;
    diag_init(&diags, arena);
    const CompileOptions o = { .level = 2, .batch = BATCH, .sequence = SEQUENCE };
    Graph *model = compare_read(c->path, c->defines, c->n_defines, arena);
    Graph *g = compile_program(model, p, &o, arena, scratch, &diags);
    assert_non_null(g);
    return g;
}

/* No value has as many elements as the logits, and training runs through the chunks once where it
 * can. */
static void test_no_logits(void **state)
{
    (void)state;
    static const Program programs[] = { PROGRAM_eval, PROGRAM_train, PROGRAM_accumulate };
    for (size_t i = 0; i < 3 * (sizeof cases / sizeof *cases); i++) {
        Arena arena, scratch;
        arena_init(&arena, NULL);
        arena_init(&scratch, NULL);
        const ModelCase *c = &cases[i / 3];
        const Program p = programs[i % 3];
        const Graph *g = lowered(c, p, &arena, &scratch);
        unsigned n_ops = 0;
        for (NodeId n = 0; n < g->n_nodes; n++)
            n_ops += strcmp(op_info(g->nodes[n].op)->name, c->op) == 0;
        for (BufferId b = 0; b < g->n_buffers; b++)
            assert_true(g->buffers[b].bytes < (int64_t)4 * BATCH * SEQUENCE * 4100 / 2);
        assert_true(p == PROGRAM_eval || n_ops == c->n_ops);
        arena_free(&scratch);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_logits),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
