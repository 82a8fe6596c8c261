/* The output matrix with the cross entropy in chunks of rows: against the evaluator, at the sizes
 * that were compiled for and at smaller ones, where the last chunks are cut short or empty; the same
 * bits for any number of threads; and the step that takes the gradients. */
#include "passes/specialize.h"
#include "runtime/kernels/row_adamw.h"
#include "tests/e2e/compare.h"
#include "tests/e2e/compiled.h"

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
    { SOURCE_DIR "/tests/e2e/models/capped_loss.smg", { NULL }, 0, "linear_cross_entropy_grad", 1 },
    { SOURCE_DIR "/tests/e2e/models/biased_loss.smg", { NULL }, 0, "linear_cross_entropy_grad", 1 },
    { SOURCE_DIR "/models/gemma.smg",
      { "vocab=4100", "context=200", "width=8", "depth=1", "heads=1", "head=8", "hidden=16",
        "logit_cap=30" }, 8, "linear_cross_entropy_grad", 1 },
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
        for (size_t k = i < 2 ? 0 : 1; k < sizeof runs / sizeof *runs; k += i < 2 ? 1 : 2)
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

/* All parameters after a step at sizes that cut a chunk short. */
static void take_step(const Compiled *c, int n_threads, Buf *out)
{
    Session *s = compiled_session(c, 1u << PLAN_train, n_threads, NULL);
    int64_t sizes[MAX_SYMBOLS];
    fill_storages(s, 1u << PLAN_train, 3);
    largest_sizes(&c->plan, PLAN_train, sizes);
    sizes[plan_symbol(&c->plan, PLAN_SEQUENCE)] = 190;
    bind(s, PLAN_train, sizes);
    session_run(s, PLAN_train);
    for (int32_t i = 0; i < (int32_t)c->plan.n_storages; i++)
        if (c->plan.storages[i].class == PLAN_PARAM)
            buf_add(out, session_storage(s, i), storage_bytes(&c->plan, i, 1u << PLAN_train));
    session_close(s);
}

static const ModelSpec gpt2 = {
    "gpt2", { "vocab=4100", "context=200", "width=8", "depth=1", "heads=1" }
};
static const CompileOptions four_texts = {
    .level = 2, .batch = BATCH, .sequence = SEQUENCE, .programs = 1u << PROGRAM_train
};

static void test_same_bits(void **state)
{
    (void)state;
    Compiled c;
    Buf one = { 0 }, three = { 0 };
    compiled_open(&c, &gpt2, &four_texts);
    take_step(&c, 1, &one);
    take_step(&c, 3, &three);
    assert_true(one.len > 0 && one.len == three.len);
    assert_memory_equal(one.data, three.data, one.len);
    buf_free(&one);
    buf_free(&three);
    compiled_close(&c);
}

static int n_rounded_gradients(const Plan *plan)
{
    int n = 0;
    const PlanProgram *p = plan_program(plan, PLAN_train);
    for (uint32_t k = 0; k < p->n_instrs; k++) {
        const PlanInstr *in = &plan->instrs[p->first_instr + k];
        n += strcmp(plan_string(plan, in->kernel), "cross_entropy_grad") == 0
             && plan->operands[in->first_operand].dtype == DTYPE_bf16;
    }
    return n;
}

/* In bf16 the matrix is rounded once for all chunks, and so is the gradient of the logits, or both by each of their
 * products. */
static void test_rounding(void **state)
{
    (void)state;
    Buf bits[2] = { { 0 } };
    for (int off = 0; off < 2; off++) {
        static const ModelSpec wide = {      /* a matrix that is rounded for all, not by each */
            "gpt2", { "vocab=4100", "context=200", "width=128", "depth=1", "heads=2" }
        };
        CompileOptions o = four_texts;
        Compiled c;
        o.precision = DTYPE_bf16;
        fusion_switch(&o.fusions, FUSE_rounding, !off);
        compiled_open(&c, &wide, &o);
        assert_int_equal(n_rounded_gradients(&c.plan) > 0, !off);
        take_step(&c, 2, &bits[off]);
        compiled_close(&c);
    }
    assert_true(bits[0].len > 0 && bits[0].len == bits[1].len);
    assert_memory_equal(bits[0].data, bits[1].data, bits[0].len);
    buf_free(&bits[0]);
    buf_free(&bits[1]);
}

/* Every parameter's step is the one that kernels have a loop for. */
static void test_steps_are_known(void **state)
{
    (void)state;
    Compiled c;
    int64_t sizes[MAX_SYMBOLS];
    unsigned n_steps = 0, n_params = 0;
    compiled_open(&c, &gpt2, &four_texts);
    Session *s = compiled_session(&c, 1u << PLAN_train, 1, NULL);
    largest_sizes(&c.plan, PLAN_train, sizes);
    bind(s, PLAN_train, sizes);
    for (uint32_t k = 0; k < plan_program(&c.plan, PLAN_train)->n_instrs; k++) {
        const Call *call = session_call(s, PLAN_train, k);
        n_steps += call->kernel == KERNEL_row && row_adamw(call).found;
    }
    for (uint32_t i = 0; i < c.plan.n_storages; i++)
        n_params += c.plan.storages[i].class == PLAN_PARAM;
    assert_true(n_params > 10);
    assert_int_equal(n_steps, n_params);
    session_close(s);
    compiled_close(&c);
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

/* No value has more than half as many elements as the logits, and training runs through the chunks once where it
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
            assert_true(g->buffers[b].bytes <= (int64_t)4 * BATCH * SEQUENCE * 4100 / 2);
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
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_steps_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
