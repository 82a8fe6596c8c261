/* Gradients against central differences, in double: of every op that has one, and of the models. */
#include "tests/passes/lab.h"
#include "ops_cases.h"

#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void every_op_has_a_case(void **state)
{
    (void)state;
    for (int op = 0; op < N_OPS; op++) {
        bool found = !op_has_gradient((OpId)op);
        for (int i = 0; i < n_op_cases; i++)
            found = found || (int)op_cases[i].op == op;
        if (!found)
            fail_msg("no gradient test for %s", op_info((OpId)op)->name);
    }
}

static void every_op(void **state)
{
    (void)state;
    for (int i = 0; i < n_op_cases; i++) {
        Lab l;
        op_case_begin(&l, &op_cases[i]);
        lab_check_gradients(&l, l.g, 1000, 1e-7, op_cases[i].name);
        lab_end(&l);
    }
}

/* ---- conventions where there is no derivative ------------------------------------------------ */

typedef ValueId Function(Builder *b, ValueId x);

/* The gradient of sum(f(x)) at x. */
static void expect_gradient(Function *f, int64_t n, const double *x, const double *want)
{
    Lab l;
    lab_begin(&l);
    l.g->program = PROGRAM_train;
    const Shape shape = { 1, { dim_const(n) } };
    ValueId p = lab_tensor(&l, STORAGE_PARAM, "x", DTYPE_f32, 0, 1, &shape);
    graph_output(l.g, "loss", build_sum(&l.b, f(&l.b, p), ALL_AXES), (Span){ 0 });
    Graph *g = lab_passes(&l, PROGRAM_train, "autodiff");
    Eval e = lab_values(&l, g, &l.arena);
    memcpy(eval_storage(&e, "x")->data, x, (size_t)n * sizeof *x);
    eval_run(&e);
    const Tensor *grad = eval_output(&e, "grad.x");
    for (int64_t i = 0; i < n; i++)
        if (!(grad->data[i] == want[i]))
            fail_msg("slope %g at %g, not %g", grad->data[i], x[i], want[i]);
    lab_end(&l);
}
#define EXPECT(f, x, want) expect_gradient(f, COUNT_OF(((double[])x)), (double[])x, (double[])want)
#define LIST(...) { __VA_ARGS__ }

static ValueId f_abs(Builder *b, ValueId x) { return build1(b, OP_abs, x); }
static ValueId f_relu(Builder *b, ValueId x) { return build1(b, OP_relu, x); }
static ValueId f_max(Builder *b, ValueId x) { return build1(b, OP_max, x); }
static ValueId f_min(Builder *b, ValueId x) { return build1(b, OP_min, x); }

static ValueId f_maximum(Builder *b, ValueId x)
{
    return build2(b, OP_maximum, x, build_constant(b, 1));
}

static ValueId f_minimum(Builder *b, ValueId x)
{
    return build2(b, OP_minimum, x, build_constant(b, 1));
}

static ValueId f_square(Builder *b, ValueId x)
{
    return build2(b, OP_pow, x, build_constant(b, 2));
}

static ValueId f_power_1(Builder *b, ValueId x)
{
    return build2(b, OP_pow, x, build_constant(b, 1));
}

/* The exponents are the elements 2, 1, 0, as a value that is not known when compiling. */
static ValueId f_powers(Builder *b, ValueId x)
{
    NodeSpec spec = node_spec(OP_positions, NULL, 0, b->span, b->path);
    spec.attr[ATTR_INDEX(positions, length)].dim = dim_const(3);
    ValueId ascending = build1(b, OP_cast, graph_add(b->g, &spec, NULL));
    ValueId exponents = build2(b, OP_sub, build_constant(b, 2), ascending);
    return build2(b, OP_pow, x, exponents);
}

/* x[i] as an exponent of 0 and of 1. */
static ValueId f_of_zero(Builder *b, ValueId x)
{
    return build2(b, OP_pow, build_constant(b, 0), x);
}

static void at_ties_and_corners(void **state)
{
    (void)state;
    EXPECT(f_abs, LIST(-2, 0, 3), LIST(-1, 0, 1));
    EXPECT(f_relu, LIST(-2, 0, 3), LIST(0, 0, 1));
    EXPECT(f_max, LIST(1, 4, 4, 2), LIST(0, 0.5, 0.5, 0));
    EXPECT(f_min, LIST(1, 4, 1, 1), LIST(1.0 / 3, 0, 1.0 / 3, 1.0 / 3));
    EXPECT(f_maximum, LIST(0, 1, 2), LIST(0, 0.5, 1));
    EXPECT(f_minimum, LIST(0, 1, 2), LIST(1, 0.5, 0));
    EXPECT(f_square, LIST(-3, 0, 3), LIST(-6, 0, 6));
    EXPECT(f_power_1, LIST(-3, 0, 3), LIST(1, 1, 1));
    EXPECT(f_powers, LIST(0, 0, 0), LIST(0, 1, 0));
    EXPECT(f_of_zero, LIST(0, 1, 2.5), LIST(0, 0, 0));
}

/* ---- the graph that comes out ---------------------------------------------------------------- */

static unsigned count_ops(const Graph *g, OpId op)
{
    unsigned n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static const OpCase *find_case(const char *name)
{
    for (int i = 0; i < n_op_cases; i++)
        if (strcmp(op_cases[i].name, name) == 0)
            return &op_cases[i];
    fail_msg("no case %s", name);
    return NULL;
}

static void parts_of_a_split_are_joined(void **state)
{
    (void)state;
    Lab l;
    op_case_begin(&l, find_case("slice split"));
    Graph *g = lab_passes(&l, PROGRAM_train, "autodiff");
    assert_int_equal(count_ops(g, OP_concat), 1);
    assert_int_equal(count_ops(g, OP_pad), 0);
    lab_end(&l);
    op_case_begin(&l, find_case("slice"));
    g = lab_passes(&l, PROGRAM_train, "autodiff");
    assert_int_equal(count_ops(g, OP_concat), 0);
    assert_int_equal(count_ops(g, OP_pad), 1);
    lab_end(&l);
}

/* The gradient of [B, T, K] @ [K, N] by the matrix: one [K, N] product, never one per sample. */
static void one_product_for_all_rows(void **state)
{
    (void)state;
    Lab l;
    op_case_begin(&l, find_case("matmul rows"));
    Graph *g = lab_passes(&l, PROGRAM_train, "autodiff");
    bool found = false;
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (g->nodes[n].op == OP_matmul) {
            const Shape *s = &value_type(g, g->nodes[n].first_output)->shape;
            found = found || (s->rank == 2 && dim_is(s->dim[0], 4) && dim_is(s->dim[1], 2));
        }
    assert_true(found);
    assert_int_equal(count_ops(g, OP_matmul), 3);
    lab_end(&l);
}

static void nodes_keep_their_place(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, "model m\nbatch B\ninput x : f32[B, 3]\nparam w[3, 2] = normal(1)\n"
                 "output y = tanh(x @ w)\ntrain {\n  loss mean(y * y)\n"
                 "  optimizer sgd(lr = 0.1, momentum = 0.0)\n}\n");
    Graph *g = lab_passes(&l, PROGRAM_train, "specialize");
    const NodeId n_forward = g->n_nodes;
    g = lab_passes(&l, PROGRAM_train, "specialize autodiff");
    for (NodeId n = n_forward; n < g->n_nodes; n++)
        assert_true(g->nodes[n].span.line >= 4);
    lab_end(&l);
}

/* ---- what cannot be differentiated ----------------------------------------------------------- */

static void no_gradient_is_an_error(void **state)
{
    (void)state;
    Lab l;
    lab_begin(&l);
    l.g->program = PROGRAM_train;
    const Shape shape = { 1, { dim_const(4) } };
    ValueId p = lab_tensor(&l, STORAGE_PARAM, "x", DTYPE_f32, 0, 1, &shape);
    l.b.span = (Span){ 0, 7, 3, 2 };
    ValueId sums = build1(&l.b, OP_partial_sum, p);
    graph_output(l.g, "loss", build_sum(&l.b, sums, ALL_AXES), (Span){ 0 });
    Graph *g;
    assert_false(lab_try_passes(&l, PROGRAM_train, "autodiff", &g));
    assert_int_equal(l.diags.n_errors, 1);
    assert_int_equal(l.diags.diags[0].code, DIAG_E0431);
    assert_int_equal(l.diags.diags[0].span.line, 7);
    assert_non_null(strstr(l.diags.diags[0].text, "partial_sum"));
    lab_end(&l);
}

/* The lse of attention is a second result, which has none either. */
static void second_results_have_no_gradient(void **state)
{
    (void)state;
    Lab l;
    op_case_begin(&l, find_case("attention"));
    const Node *n = value_def(l.g, l.g->outputs[0].value);
    ValueId lse = n->first_output + 1;
    l.g->n_outputs = 0;
    graph_output(l.g, "loss", build_sum(&l.b, lse, ALL_AXES), (Span){ 0 });
    Graph *g;
    assert_false(lab_try_passes(&l, PROGRAM_train, "autodiff", &g));
    assert_int_equal(l.diags.diags[0].code, DIAG_E0431);
    lab_end(&l);
}

/* A parameter that only a comparison reads, and one that nothing reads. */
static void without_influence_zero_and_a_warning(void **state)
{
    (void)state;
    Lab l;
    lab_begin(&l);
    l.g->program = PROGRAM_train;
    const Shape shape = { 1, { dim_const(4) } };
    ValueId x = lab_tensor(&l, STORAGE_PARAM, "x", DTYPE_f32, 1, 2, &shape);
    ValueId y = lab_tensor(&l, STORAGE_PARAM, "y", DTYPE_f32, 1, 2, &shape);
    graph_storage(l.g, (Storage){ .name = "z", .class = STORAGE_PARAM,
                                  .type = { DTYPE_f32, shape } });
    ValueId positive = build2(&l.b, OP_gt, y, build_constant(&l.b, 0));
    ValueId kept = build3(&l.b, OP_where, positive, x, build_constant(&l.b, 0));
    graph_output(l.g, "loss", build_sum(&l.b, kept, ALL_AXES), (Span){ 0 });
    Graph *g = lab_passes(&l, PROGRAM_train, "autodiff");
    Eval e = lab_values(&l, g, &l.arena);
    eval_run(&e);
    for (int i = 0; i < 4; i++) {
        assert_true(eval_output(&e, "grad.x")->data[i] == 1);
        assert_true(eval_output(&e, "grad.y")->data[i] == 0);
        assert_true(eval_output(&e, "grad.z")->data[i] == 0);
    }
    assert_int_equal(l.diags.n_errors, 0);
    assert_int_equal(l.diags.n, 2);
    assert_int_equal(l.diags.diags[0].code, DIAG_W0502);
    assert_true(l.diags.diags[0].warning);
    lab_end(&l);
}

/* ---- models ---------------------------------------------------------------------------------- */

static void check_model(const char *path, const char *const *defines, uint32_t n, int64_t length)
{
    Lab l;
    lab_model(&l, path, defines, n);
    l.sizes[0] = 2;
    l.sizes[1] = length;
    Graph *forward = lab_passes(&l, PROGRAM_train, "specialize");
    lab_check_gradients(&l, forward, 6, 1e-7, path);
    lab_end(&l);
}

static void gpt2(void **state)
{
    (void)state;
    const char *defines[] = { "vocab=11", "context=8", "width=8", "depth=2", "heads=2",
                              "drop=0.2" };
    check_model(SOURCE_DIR "/models/gpt2.smg", defines, COUNT_OF(defines), 5);
}

static void llama(void **state)
{
    (void)state;
    const char *defines[] = { "vocab=11", "context=8", "width=8", "depth=2", "heads=4",
                              "kv_heads=2", "hidden=12", "qkv_bias=true" };
    check_model(SOURCE_DIR "/models/llama.smg", defines, COUNT_OF(defines), 5);
}

static void llama_tied(void **state)
{
    (void)state;
    const char *defines[] = { "vocab=11", "context=8", "width=8", "depth=1", "heads=2",
                              "kv_heads=1", "hidden=12", "tied=true" };
    check_model(SOURCE_DIR "/models/llama.smg", defines, COUNT_OF(defines), 5);
}

static void mlp(void **state)
{
    (void)state;
    const char *defines[] = { "inputs=5", "hidden=7" };
    check_model(SOURCE_DIR "/models/mlp.smg", defines, COUNT_OF(defines), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(every_op),
        cmocka_unit_test(at_ties_and_corners),
        cmocka_unit_test(parts_of_a_split_are_joined),
        cmocka_unit_test(one_product_for_all_rows),
        cmocka_unit_test(nodes_keep_their_place),
        cmocka_unit_test(no_gradient_is_an_error),
        cmocka_unit_test(second_results_have_no_gradient),
        cmocka_unit_test(without_influence_zero_and_a_warning),
        cmocka_unit_test(gpt2),
        cmocka_unit_test(llama),
        cmocka_unit_test(llama_tied),
        cmocka_unit_test(mlp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
