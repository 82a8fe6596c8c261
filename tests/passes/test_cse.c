/* Common subexpressions in tables full enough that unequal nodes meet in one slot: what differs in
 * one attribute stays apart, and every twin is found. */
#include "base/check.h"
#include "tests/passes/lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { N_KINDS = 400 };

static ValueId add(Lab *l, OpId op, ValueId x, AttrValue first, AttrValue second)
{
    NodeSpec spec = node_spec(op, &x, op_info(op)->min_inputs, (Span){ 0 }, "");
    spec.attr[0] = first;
    spec.attr[1] = second;
    return graph_add(l->g, &spec, NULL);
}

/* A graph of N_KINDS nodes by `one`, each there `times` times, becomes one of N_KINDS. */
static void check_kinds(ValueId one(Lab *l, ValueId x, int64_t i), int times)
{
    Lab l;
    lab_begin(&l);
    const Shape shape = { 2, { dim_const(2 * N_KINDS), dim_const(2) } };
    const ValueId x = lab_tensor(&l, STORAGE_INPUT, "x", DTYPE_f32, 0, 1, &shape);
    for (int k = 0; k < times; k++)
        for (int64_t i = 0; i < N_KINDS; i++)
            one(&l, x, i);
    const Graph *g = lab_passes(&l, PROGRAM_model, "cse");
    assert_int_equal(g->n_nodes, 1 + N_KINDS);
    for (NodeId n = 1; n < g->n_nodes; n++)
        for (unsigned a = 0; a < op_info(g->nodes[n].op)->n_attrs; a++)
            assert_memory_equal(&g->nodes[n].attr[a].i, &l.g->nodes[n].attr[a].i, sizeof(int64_t));
    lab_end(&l);
}

static ValueId whole_number(Lab *l, ValueId x, int64_t i)
{
    return add(l, OP_dropout, x, (AttrValue){ .f = 0.5 }, (AttrValue){ .i = i });
}

static ValueId fraction(Lab *l, ValueId x, int64_t i)
{
    return add(l, OP_dropout, x, (AttrValue){ .f = (double)i / 1000 }, (AttrValue){ .i = 7 });
}

static ValueId type_of_constant(Lab *l, ValueId x, int64_t i)
{
    const DType dtype = i % 2 ? DTYPE_f32 : DTYPE_i32;
    return add(l, OP_constant, x, (AttrValue){ .f = (double)(i / 2) }, (AttrValue){ .i = dtype });
}

static ValueId size(Lab *l, ValueId x, int64_t i)
{
    return add(l, OP_extent, x, (AttrValue){ .dim = dim_const(i + 1) }, (AttrValue){ 0 });
}

static ValueId input_of_two(Lab *l, ValueId x, int64_t i)
{
    (void)i;                            /* each reads the one before it, but for the first */
    const bool first = l->g->n_nodes == 1 || l->g->n_nodes == 1 + N_KINDS;
    return build1(&l->b, OP_tanh, first ? x : l->g->nodes[l->g->n_nodes - 1].first_output);
}

static void test_kinds(void **state)
{
    (void)state;
    for (int times = 1; times <= 2; times++) {
        check_kinds(whole_number, times);
        check_kinds(fraction, times);
        check_kinds(type_of_constant, times);
        check_kinds(size, times);
        check_kinds(input_of_two, times);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kinds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
