/* Decompose keeps what a graph computes, and leaves nothing that has no instruction. */
#include "tests/passes/lab.h"
#include "ops_cases.h"

#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Every output of both graphs, from the same values. */
static void expect_same(Lab *l, const Graph *before, const Graph *after, double tolerance,
                        const char *what)
{
    Arena arena;
    arena_init(&arena, NULL);
    Eval a = lab_values(l, before, &arena), b = lab_values(l, after, &arena);
    eval_run(&a);
    eval_run(&b);
    assert_int_equal(before->n_outputs, after->n_outputs);
    for (uint32_t i = 0; i < before->n_outputs; i++) {
        const char *name = before->outputs[i].name;
        assert_true(type_equal(value_type(before, before->outputs[i].value),
                               value_type(after, after->outputs[i].value)));
        lab_compare(eval_output(&b, name), eval_output(&a, name), tolerance, what);
    }
    arena_free(&arena);
}

static void every_op(void **state)
{
    (void)state;
    for (int i = 0; i < n_op_cases; i++) {
        Lab l;
        op_case_begin(&l, &op_cases[i]);
        expect_same(&l, l.g, lab_passes(&l, PROGRAM_train, "decompose"), 1e-12, op_cases[i].name);
        lab_end(&l);
    }
}

/* With its backward pass, of which every sum over a stretched axis is decomposed too. */
static void every_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < n_op_cases; i++) {
        Lab l;
        op_case_begin(&l, &op_cases[i]);
        Graph *before = lab_passes(&l, PROGRAM_train, "autodiff");
        Graph *after = lab_passes(&l, PROGRAM_train, "autodiff decompose");
        expect_same(&l, before, after, 1e-12, op_cases[i].name);
        lab_end(&l);
    }
}

/* ---- infinite values ------------------------------------------------------------------------- */

static void expect_row(OpId op, int64_t axes, const double *row, int64_t n, double want)
{
    Lab l;
    lab_begin(&l);
    l.g->program = PROGRAM_score;
    const Shape shape = { 2, { dim_const(1), dim_const(n) } };
    NodeSpec spec = node_spec(op, (ValueId[]){ lab_tensor(&l, STORAGE_INPUT, "x", DTYPE_f32, 0, 1,
                                                          &shape) }, 1, (Span){ 0 }, "");
    spec.attr[0].i = axes;
    graph_output(l.g, "y", graph_add(l.g, &spec, NULL), (Span){ 0 });
    Graph *g = lab_passes(&l, PROGRAM_score, "decompose");
    Eval e = lab_values(&l, g, &l.arena);
    memcpy(eval_storage(&e, "x")->data, row, (size_t)n * sizeof *row);
    eval_run(&e);
    const double y = eval_output(&e, "y")->data[0];
    if (y != want && !(fabs(y - want) < 1e-12))
        fail_msg("%s gives %g, not %g", op_info(op)->name, y, want);
    lab_end(&l);
}

static void infinite_values(void **state)
{
    (void)state;
    const double none[] = { -INFINITY, -INFINITY }, some[] = { -INFINITY, 2 };
    const double most[] = { INFINITY, 2 }, far[] = { 1000, 1000 };
    expect_row(OP_logsumexp, 2, none, 2, -INFINITY);
    expect_row(OP_logsumexp, 2, some, 2, 2);
    expect_row(OP_logsumexp, 2, most, 2, INFINITY);
    expect_row(OP_logsumexp, ALL_AXES, far, 2, 1000 + log(2));
    expect_row(OP_softmax, 1, some, 2, 0);
    expect_row(OP_softmax, 1, far, 2, 0.5);
    expect_row(OP_max, ALL_AXES, none, 2, -INFINITY);
}

/* ---- the shape of what is left --------------------------------------------------------------- */

static unsigned count_ops(const Graph *g, OpId op)
{
    unsigned n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static Graph *reduce_graph(Lab *l, OpId op, int64_t axes)
{
    lab_begin(l);
    l->g->program = PROGRAM_score;
    const Shape shape = { 3, { dim_const(2), dim_const(3), dim_const(4) } };
    NodeSpec spec = node_spec(op, (ValueId[]){ lab_tensor(l, STORAGE_INPUT, "x", DTYPE_f32, 0, 1,
                                                          &shape) }, 1, (Span){ 0 }, "");
    spec.attr[0].i = axes;
    graph_output(l->g, "y", graph_add(l->g, &spec, NULL), (Span){ 0 });
    return lab_passes(l, PROGRAM_score, "decompose");
}

static void the_last_axis_alone(void **state)
{
    (void)state;
    Lab l;
    Graph *g = reduce_graph(&l, OP_sum, 1 | 4);
    assert_int_equal(count_ops(g, OP_sum), 2);
    assert_int_equal(g->nodes[g->n_nodes - 2].attr[0].i, 4);
    assert_int_equal(g->nodes[g->n_nodes - 1].attr[0].i, 1);
    lab_end(&l);
    g = reduce_graph(&l, OP_max, 1 | 2);
    assert_int_equal(count_ops(g, OP_max), 1);
    lab_end(&l);
}

static void sums_of_everything_in_two_stages(void **state)
{
    (void)state;
    Lab l;
    Graph *g = reduce_graph(&l, OP_mean, ALL_AXES);
    assert_int_equal(count_ops(g, OP_partial_sum), 1);
    assert_int_equal(count_ops(g, OP_sum), 1);
    assert_int_equal(count_ops(g, OP_mul), 1);
    assert_int_equal(count_ops(g, OP_extent), 0);       /* the size is a constant */
    lab_end(&l);
}

/* ---- models ---------------------------------------------------------------------------------- */

static void models(void **state)
{
    (void)state;
    const char *gpt2[] = { "vocab=11", "context=8", "width=8", "depth=2", "heads=2", "drop=0.2" };
    const char *llama[] = { "vocab=11", "context=8", "width=8", "depth=2", "heads=4",
                            "kv_heads=2", "hidden=12" };
    const struct {
        const char *path, **defines;
        uint32_t n;
    } model[] = {
        { SOURCE_DIR "/models/gpt2.smg", gpt2, COUNT_OF(gpt2) },
        { SOURCE_DIR "/models/llama.smg", llama, COUNT_OF(llama) },
        { SOURCE_DIR "/models/mlp.smg", NULL, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(model); i++) {
        Lab l;
        lab_model(&l, model[i].path, model[i].defines, model[i].n);
        l.sizes[0] = 2;
        l.sizes[1] = 5;
        Graph *before = lab_passes(&l, PROGRAM_train, "specialize autodiff");
        Graph *after = lab_passes(&l, PROGRAM_train, "specialize autodiff decompose");
        expect_same(&l, before, after, 1e-11, model[i].path);
        lab_end(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op),
        cmocka_unit_test(every_gradient),
        cmocka_unit_test(infinite_values),
        cmocka_unit_test(the_last_axis_alone),
        cmocka_unit_test(sums_of_everything_in_two_stages),
        cmocka_unit_test(models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
