/* The op table as facts, diagnostics, and graphs being made, copied and rewritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/infer.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/ir/sample.h"

#include <stdio.h>
#include <string.h>

static void assert_same_text(const Graph *a, const Graph *b)
{
    Buf x = { 0 }, y = { 0 };
    graph_print(&x, a);
    graph_print(&y, b);
    assert_string_equal(x.data, y.data);
    buf_free(&x);
    buf_free(&y);
}

static void ops_are_facts(void **state)
{
    (void)state;
    for (int i = 0; i < N_OPS; i++) {
        const OpInfo *info = op_info((OpId)i);
        OpId found;
        assert_true(op_from_name(info->name, &found));
        assert_int_equal(found, i);
        assert_true(info->min_inputs <= info->max_inputs);
        assert_in_range(info->n_outputs, 1, MAX_OUTPUTS);
        for (int a = 0; a < info->n_attrs; a++)
            assert_int_equal(op_attr((OpId)i, info->attrs[a].name), a);
    }
    OpId none;
    assert_false(op_from_name("matmull", &none));
    assert_int_equal(op_attr(OP_matmul, "beta"), -1);
    assert_int_equal(op_info(OP_neg)->n_attrs, 0);
    assert_int_equal(op_info(OP_rope)->n_attrs, 3);
    assert_string_equal(op_info(OP_rope)->attrs[1].name, "style");
    assert_true(op_info(OP_rope)->attrs[0].value == 10000);
    assert_int_equal(ATTR_INDEX(attention, site), 5);
    NodeSpec spec = node_spec(OP_cross_entropy, NULL, 0, (Span){ 0 }, NULL);
    assert_int_equal(NODE_ATTR(&spec, cross_entropy, ignore).i, -100);
}

static void programs_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < N_PROGRAMS; i++) {
        Program p;
        assert_true(program_from_name(program_name((Program)i), &p));
        assert_int_equal(p, i);
    }
    Program none;
    assert_false(program_from_name("trains", &none));
}

/* ---- diagnostics ----------------------------------------------------------------------------- */

static void every_code_explains_itself(void **state)
{
    (void)state;
    for (int i = 0; i < N_DIAGS; i++) {
        DiagCode found;
        const char *name = diag_code_name((DiagCode)i);
        assert_int_equal(strlen(name), 5);
        assert_true(diag_code_from_name(name, &found));
        assert_int_equal(found, i);
        assert_true(*diag_code_title((DiagCode)i) != 0);
        if (strlen(diag_code_text((DiagCode)i)) < 20)
            fail_msg("%s explains nothing", name);
        if (name[1] == '0' && name[2] == '2' && !strstr(diag_code_text((DiagCode)i), "\n    "))
            fail_msg("%s shows no example", name);
    }
    DiagCode none;
    assert_false(diag_code_from_name("E9999", &none));
}

static void repetitions_count_once(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    DiagSink s;
    diag_init(&s, &arena);
    const Span here = { 0, 12, 9, 5 }, there = { 0, 13, 9, 5 };
    diag_error(&s, here, DIAG_E0210, "matmul: %s", "differ");
    diag_label(&s, "x is %d", 1);
    for (int i = 0; i < 1000; i++) {
        diag_error(&s, here, DIAG_E0210, "matmul: differ");
        diag_label(&s, "another label");
        diag_note(&s, there, "another note");
    }
    diag_error(&s, there, DIAG_E0210, "matmul: differ");
    diag_error(&s, here, DIAG_E0202, "matmul: differ");
    diag_warning(&s, here, DIAG_E0210, "matmul: differ");
    diag_note(&s, there, "see %d", 7);
    assert_int_equal(s.n, 4);
    assert_int_equal(s.n_errors, 3);
    assert_string_equal(s.diags[0].text, "matmul: differ");
    assert_string_equal(s.diags[0].label, "x is 1");
    assert_int_equal(s.diags[0].n_notes, 0);
    assert_int_equal(s.diags[3].n_notes, 1);
    assert_string_equal(s.diags[3].notes[0].text, "see 7");
    for (uint32_t i = 0; i < 5000; i++)
        diag_error(&s, (Span){ 0, i % 2500 + 100, 1, 1 }, DIAG_E0200, "many");
    assert_int_equal(s.n, 2504);
    arena_free(&arena);
}

static void diagnostics_sort_by_place(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    DiagSink s;
    diag_init(&s, &arena);
    assert_int_equal(diag_file(&s, "a.smg"), 0);
    assert_int_equal(diag_file(&s, "b.smg"), 1);
    assert_int_equal(diag_file(&s, "a.smg"), 0);
    diag_error(&s, (Span){ 1, 1, 1, 1 }, DIAG_E0200, "5");
    diag_error(&s, (Span){ 0, 9, 2, 1 }, DIAG_E0200, "3");
    diag_error(&s, (Span){ 0, 9, 2, 1 }, DIAG_E0200, "4");
    diag_error(&s, (Span){ 0, 9, 1, 1 }, DIAG_E0200, "2");
    diag_error(&s, (Span){ 0, 2, 7, 1 }, DIAG_E0200, "1");
    diag_sort(&s);
    for (uint32_t i = 0; i < s.n; i++)
        assert_int_equal(s.diags[i].text[0], '1' + (int)i);
    diag_error(&s, (Span){ 2, 1, 1, 1 }, DIAG_E0200, "6");
    assert_int_equal(s.n, 6);
    assert_string_equal(s.diags[5].text, "6");
    arena_free(&arena);
}

/* ---- building -------------------------------------------------------------------------------- */

static void nodes_are_added(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Sample s = sample_begin(&arena);
    Graph *g = s.g;
    Dim dims[] = { s.B, dim_const(4), s.T, dim_const(8) };
    ValueId q = sample_input(&s, DTYPE_f32, 4, dims), k = sample_input(&s, DTYPE_f32, 4, dims);
    ValueId out = build3(&s.b, OP_attention, q, k, k);
    assert_int_equal(g->n_values, 4);
    assert_int_equal(out, 2);
    const Node *n = value_def(g, out + 1);
    assert_int_equal(g->values[out + 1].index, 1);
    assert_int_equal(n->n_inputs, 3);
    assert_int_equal(node_input(g, n, 2), k);
    assert_int_equal(n->span.line, 20);
    assert_string_equal(n->path, "h.0.attn");
    assert_int_equal(value_type(g, out + 1)->shape.rank, 3);
    assert_int_equal(g->values[out].place.buffer, NO_BUFFER);
    ValueId swapped = build_transpose(&s.b, q, -1, -2);
    assert_int_equal(NODE_ATTR(value_def(g, swapped), transpose, a).i, 2);
    assert_int_equal(NODE_ATTR(value_def(g, swapped), transpose, b).i, 3);
    graph_output(g, "o", out, (Span){ 0 });
    uint32_t *uses = graph_uses(g, &arena);
    assert_int_equal(uses[q], 2);
    assert_int_equal(uses[k], 2);
    assert_int_equal(uses[out], 1);
    assert_int_equal(uses[swapped], 0);
    arena_free(&arena);
}

static void what_changes_nothing_adds_nothing(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Sample s = sample_begin(&arena);
    ValueId x = sample_input(&s, DTYPE_f32, 2, (Dim[]){ s.B, dim_const(8) });
    const Shape *shape = &value_type(s.g, x)->shape;
    uint32_t n = s.g->n_nodes;
    assert_int_equal(build_scale(&s.b, x, 1), x);
    assert_int_equal(build_reshape(&s.b, x, shape), x);
    assert_int_equal(build_broadcast(&s.b, x, shape), x);
    assert_int_equal(build_transpose(&s.b, x, 1, 1), x);
    assert_int_equal(s.g->n_nodes, n);
    ValueId eight = build_extent(&s.b, dim_const(8)), batch = build_extent(&s.b, s.B);
    assert_int_equal(value_def(s.g, eight)->op, OP_constant);
    assert_int_equal(value_def(s.g, batch)->op, OP_extent);
    ValueId zeros = build_zeros(&s.b, &(Type){ DTYPE_i32, *shape });
    assert_int_equal(value_type(s.g, zeros)->dtype, DTYPE_i32);
    assert_true(shape_equal(&value_type(s.g, zeros)->shape, shape));
    arena_free(&arena);
}

static void symbols_and_storages(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = graph_new(&arena, "g", PROGRAM_model);
    assert_int_equal(graph_sequence(g), -1);
    assert_int_equal(graph_batch(g), -1);
    for (int i = 0; i < MAX_SYMBOLS; i++)
        assert_int_equal(graph_symbol(g, (char[]){ (char)('a' + i), 0 },
                                      i == 3 ? ROLE_SEQUENCE : i == 2 ? ROLE_BATCH : ROLE_FREE, 0,
                                      (Span){ 0 }), i);
    assert_int_equal(graph_symbol(g, "one_more", ROLE_FREE, 0, (Span){ 0 }), -1);
    assert_int_equal(graph_sequence(g), 3);
    assert_int_equal(graph_batch(g), 2);
    assert_int_equal(graph_find_storage(g, "w"), NO_STORAGE);
    StorageId w = graph_storage(g, (Storage){ .name = "w", .type = type_scalar(DTYPE_f32) });
    assert_int_equal(graph_find_storage(g, "w"), w);
    uint32_t a = graph_origin(g, "width", (Span){ 0, 5, 1, 5 });
    assert_true(a > 0);
    assert_string_equal(g->origins[a].name, "width");
    arena_free(&arena);
}

/* ---- copies and the rewriter ----------------------------------------------------------------- */

/* The copy keeps nothing of an arena that is gone. */
static void clones_stand_alone(void **state)
{
    (void)state;
    Arena arena, other;
    arena_init(&arena, NULL);
    arena_init(&other, NULL);
    Graph *g = sample_placed(&arena);
    Graph *near = graph_clone(g, &arena), *far = graph_clone(g, &other);
    Graph *like = graph_like(g, &other, PROGRAM_score);
    assert_same_text(g, near);
    assert_ptr_not_equal(far->files[0], g->files[0]);
    near->nodes[0].group = 1;
    near->storages[0].train_only = true;
    assert_int_equal(g->nodes[0].group, 0);
    assert_false(g->storages[0].train_only);
    Buf before = { 0 }, after = { 0 };
    graph_print(&before, g);
    arena_free(&arena);
    graph_print(&after, far);
    assert_string_equal(before.data, after.data);
    assert_int_equal(like->program, PROGRAM_score);
    assert_int_equal(like->n_storages, far->n_storages);
    assert_int_equal(like->n_symbols, 3);
    assert_int_equal(like->n_nodes + like->n_values + like->n_outputs + like->n_buffers, 0);
    assert_int_equal(like->loss, NO_VALUE);
    assert_int_equal(like->pool_bytes, -1);
    buf_free(&before);
    buf_free(&after);
    arena_free(&other);
}

static void copy_all(Graph *g, Arena *scratch)
{
    Rewriter rw = rewrite_begin(g, scratch);
    for (NodeId n = 0; n < rw.old->n_nodes; n++)
        rewrite_copy(&rw, n);
    rewrite_end(&rw);
}

/* Many times over, because each rewrite builds on the arrays that an earlier one left. */
static void copying_every_node_changes_nothing(void **state)
{
    (void)state;
    Arena arena, scratch;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    Graph *g = sample_graph(&arena);
    g->n_groups = 2;
    g->nodes[1].group = g->nodes[2].group = 1;
    g->nodes[3].group = 2;
    Graph *kept = graph_clone(g, &arena);
    size_t used = 0;
    for (int i = 0; i < 6; i++) {
        copy_all(g, &scratch);
        arena_reset(&scratch);
        assert_same_text(g, kept);
        if (i == 2)
            used = arena.used;
    }
    assert_int_equal(arena.used, used);     /* and takes no more memory after the second */
    arena_free(&scratch);
    arena_free(&arena);
}

/* relu(x) becomes maximum(x, 0), with its place, and those who read it read that. */
static void replacing_a_node(void **state)
{
    (void)state;
    Arena arena, scratch;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    Sample s = sample_begin(&arena);
    Graph *g = s.g;
    ValueId x = sample_input(&s, DTYPE_f32, 1, &s.B);
    s.b.path = "mlp";
    ValueId y = build1(&s.b, OP_relu, x);
    s.b.path = "";
    ValueId z = build1(&s.b, OP_neg, y);
    graph_output(g, "z", z, (Span){ 0 });
    g->loss = build_sum(&s.b, z, ALL_AXES);

    Rewriter rw = rewrite_begin(g, &scratch);
    for (NodeId n = 0; n < rw.old->n_nodes; n++) {
        const Node *node = &rw.old->nodes[n];
        if (node->op != OP_relu) {
            rewrite_copy(&rw, n);
            continue;
        }
        Builder b = rewrite_builder(&rw, n);
        ValueId in = rewrite_of(&rw, node_input(rw.old, node, 0));
        rw.map[node->first_output] = build2(&b, OP_maximum, in, build_constant(&b, 0));
    }
    rewrite_end(&rw);
    Error err;
    assert_true(graph_verify(g, &scratch, &err));
    const Node *neg = value_def(g, g->outputs[0].value);
    const Node *maximum = value_def(g, node_input(g, neg, 0));
    assert_int_equal(neg->op, OP_neg);
    assert_int_equal(maximum->op, OP_maximum);
    assert_string_equal(maximum->path, "mlp");
    assert_int_equal(maximum->span.line, 20);
    assert_int_equal(value_def(g, g->loss)->op, OP_sum);
    arena_free(&scratch);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_are_facts),
        cmocka_unit_test(programs_have_names),
        cmocka_unit_test(every_code_explains_itself),
        cmocka_unit_test(repetitions_count_once),
        cmocka_unit_test(diagnostics_sort_by_place),
        cmocka_unit_test(nodes_are_added),
        cmocka_unit_test(what_changes_nothing_adds_nothing),
        cmocka_unit_test(symbols_and_storages),
        cmocka_unit_test(clones_stand_alone),
        cmocka_unit_test(copying_every_node_changes_nothing),
        cmocka_unit_test(replacing_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
