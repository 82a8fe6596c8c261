/* Fusion: a reason for every edge that stays, and for every two readers of one value that stay apart. */
#include "tests/passes/lab.h"

#include "base/check.h"
#include "passes/fusion_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The edge between these two ops, of which the graph has one each. */
static const FusionEdge *edge_between(const FusionReport *r, const Graph *g, OpId from, OpId to)
{
    for (uint32_t i = 0; i < r->n_edges; i++)
        if (g->nodes[r->edges[i].producer].op == from && g->nodes[r->edges[i].reader].op == to)
            return &r->edges[i];
    return NULL;
}

typedef struct ReasonCase {
    FusionReason reason;
    OpId producer, reader;
    const char *body;                   /* after "graph", with storage x f32[4, 6] and seed */
} ReasonCase;

#define X "%0 = input() storage=\"x\" : f32[4, 6]\n"

/* x : f32[4, 6] times w, and a class for each row. */
#define LOGITS X "storage input \"w\" f32[6, 4]\nstorage input \"t\" i32[4]\n" \
    "%1 = input() storage=\"w\" : f32[6, 4]\n%2 = input() storage=\"t\" : i32[4]\n" \
    "%3 = matmul(%0, %1) : f32[4, 4]\n"

static const ReasonCase reason_cases[] = {
    { FUSION_kernel_reads, OP_exp, OP_matmul,
      X "%1 = exp(%0) : f32[4, 6]\n%2 = matmul(%0, %1) transpose_b=true : f32[4, 4]\n"
      "output \"y\" %2\n" },
    { FUSION_kernel_writes, OP_rope, OP_exp,
      "storage input \"h\" f32[1, 2, 3, 4]\nstorage input \"p\" i32[3]\n"
      "%0 = input() storage=\"h\" : f32[1, 2, 3, 4]\n%1 = input() storage=\"p\" : i32[3]\n"
      "%2 = rope(%0, %1) : f32[1, 2, 3, 4]\n%3 = exp(%2) : f32[1, 2, 3, 4]\noutput \"y\" %3\n" },
    { FUSION_moves, OP_exp, OP_concat,
      X "%1 = exp(%0) : f32[4, 6]\n%2 = concat(%1, %0) axis=0 : f32[8, 6]\noutput \"y\" %2\n" },
    { FUSION_moves, OP_copy, OP_exp,
      X "%1 = copy(%0) : f32[4, 6]\n%2 = exp(%1) : f32[4, 6]\noutput \"y\" %2\n" },
    { FUSION_other_axes, OP_exp, OP_sum,
      X "%1 = exp(%0) : f32[4, 6]\n%2 = sum(%1) axes=[0] : f32[1, 6]\noutput \"y\" %2\n" },
    { FUSION_not_row_op, OP_exp, OP_partial_sum,
      X "%1 = exp(%0) : f32[4, 6]\n%2 = partial_sum(%1) : f32[256]\noutput \"y\" %2\n" },
    { FUSION_view_between, OP_exp, OP_neg,
      X "%1 = exp(%0) : f32[4, 6]\n%2 = transpose(%1) a=0 b=1 : f32[6, 4]\n"
      "%3 = neg(%2) : f32[6, 4]\noutput \"y\" %3\n" },
    { FUSION_computed_later, OP_exp, OP_neg,
      X "%1 = exp(%0) : f32[4, 6]\n%2 = matmul(%1, %1) transpose_b=true : f32[4, 4]\n"
      "%3 = after(%1, %2) : f32[4, 6]\n%4 = neg(%3) : f32[4, 6]\noutput \"y\" %4\noutput \"z\" %2\n" },
    { FUSION_other_rows, OP_exp, OP_add,
      X "storage input \"w\" f32[6]\n%1 = input() storage=\"w\" : f32[6]\n%2 = exp(%1) : f32[6]\n"
      "%3 = add(%0, %2) : f32[4, 6]\noutput \"y\" %3\n" },
    { FUSION_random_space, OP_dropout, OP_mul,
      X "%1 = input() storage=\"$seed\" : i32[2]\n%2 = max(%0) axes=[1] : f32[4, 1]\n"
      "%3 = neg(%2) : f32[4, 1]\n%4 = partial_sum(%3) : f32[256]\n"
      "%5 = dropout(%3, %1) p=0.5 site=2 : f32[4, 1]\n%6 = mul(%0, %5) : f32[4, 6]\n"
      "output \"y\" %6\noutput \"z\" %4\n" },
    { FUSION_long_row, OP_exp, OP_sum,
      "storage input \"l\" f32[2, 9000]\n%0 = input() storage=\"l\" : f32[2, 9000]\n"
      "%1 = exp(%0) : f32[2, 9000]\n%2 = sum(%1) axes=[1] : f32[2, 1]\noutput \"y\" %2\n" },
    { FUSION_would_cycle, OP_exp, OP_add,
      "storage input \"s\" f32[4, 4]\n%0 = input() storage=\"s\" : f32[4, 4]\n"
      "%1 = exp(%0) : f32[4, 4]\n%2 = matmul(%1, %0) : f32[4, 4]\n"
      "%3 = add(%1, %2) : f32[4, 4]\noutput \"y\" %3\n" },
    { FUSION_few_rows, OP_matmul, OP_cross_entropy,
      LOGITS "%4, %5 = cross_entropy(%3, %2) : f32[4], f32[4]\noutput \"loss\" %4\n" },
    { FUSION_no_slope, OP_sin, OP_cross_entropy,
      LOGITS "%4 = sin(%3) : f32[4, 4]\n%5, %6 = cross_entropy(%4, %2) : f32[4], f32[4]\n"
      "output \"loss\" %5\n" },
    { FUSION_several_readers, OP_matmul, OP_cross_entropy,
      LOGITS "%4, %5 = cross_entropy(%3, %2) : f32[4], f32[4]\n%6 = max(%3) axes=[1] : f32[4, 1]\n"
      "%7 = reshape(%6) : f32[4]\n%8 = add(%4, %7) : f32[4]\noutput \"loss\" %8\n" },
    { FUSION_batched, OP_matmul, OP_cross_entropy,
      "storage input \"q\" f32[2, 4, 4]\nstorage input \"t\" i32[2, 4]\n"
      "%0 = input() storage=\"q\" : f32[2, 4, 4]\n%1 = input() storage=\"t\" : i32[2, 4]\n"
      "%2 = matmul(%0, %0) : f32[2, 4, 4]\n%3, %4 = cross_entropy(%2, %1) : f32[2, 4], f32[2, 4]\n"
      "output \"loss\" %3\n" },
};

/* Two products of x : f32[4, 6], by w, v : f32[6, 4] and b : f32[6, 6], beside each other. */
#define XW X "storage input \"w\" f32[6, 4]\nstorage input \"v\" f32[6, 4]\n" \
    "%1 = input() storage=\"w\" : f32[6, 4]\n%2 = input() storage=\"v\" : f32[6, 4]\n"
#define TWO(a, b) XW "%3 = matmul(" a "\n%4 = " b "\noutput \"y\" %3\noutput \"z\" %4\n"
#define PLAIN "%0, %1) : f32[4, 4]"

#define ROWS "%1 = exp(%0) : f32[4, 6]\n%2 = sum(%0) axes=[1] : f32[4, 1]\noutput \"y\" %1\noutput \"z\" %2\n"

/* What a product makes, an activation and its slope. */
#define SLOPES "storage input \"w\" f32[4, 4]\n%1 = input() storage=\"w\" : f32[4, 4]\n" \
    "%2 = matmul(%1, %0) : f32[4, 6]\n" \
    "%3 = gelu(%2) : f32[4, 6]\n%4 = gelu_slope(%2) : f32[4, 6]\n"

static const struct {
    FusionReason reason;
    const char *off;                    /* --fusion */
    const char *body;
} sibling_cases[] = {
    { FUSION_none, "", TWO(PLAIN, "matmul(%0, %2) : f32[4, 4]") },
    { FUSION_switched_off, "-shared_input", TWO(PLAIN, "matmul(%0, %2) : f32[4, 4]") },
    { FUSION_other_side, "", TWO(PLAIN, "matmul(%1, %0) : f32[6, 6]") },
    { FUSION_other_layout, "",
      X "%1 = matmul(%0, %0) transpose_a=true : f32[6, 6]\n"
      "%2 = matmul(%0, %0) transpose_b=true : f32[4, 4]\noutput \"y\" %1\noutput \"z\" %2\n" },
    { FUSION_other_weights, "",
      TWO(PLAIN, "matmul(%0, %0) transpose_b=true : f32[4, 4]") },
    { FUSION_other_factor, "", TWO(PLAIN, "matmul(%0, %2) alpha=2 : f32[4, 4]") },
    { FUSION_other_factor, "", TWO(PLAIN, "matmul(%0, %2) precision=bf16 : f32[4, 4]") },
    { FUSION_has_epilogue, "", TWO(PLAIN, "product(%0, %2) activation=silu : f32[4, 4]") },
    { FUSION_batched, "",
      X "storage input \"s\" f32[3, 6, 4]\n%1 = input() storage=\"s\" : f32[3, 6, 4]\n"
      "%2 = matmul(%0, %1) : f32[3, 4, 4]\n%3 = matmul(%0, %0) transpose_b=true : f32[4, 4]\n"
      "output \"y\" %2\noutput \"z\" %3\n" },
    { FUSION_would_cycle, "",
      "storage input \"s\" f32[4, 4]\n%0 = input() storage=\"s\" : f32[4, 4]\n"
      "%1 = matmul(%0, %0) : f32[4, 4]\n%2 = exp(%1) : f32[4, 4]\n"
      "%3 = matmul(%0, %2) : f32[4, 4]\noutput \"y\" %3\n" },
    { FUSION_none, "", X ROWS },
    { FUSION_switched_off, "-shared_rows", X ROWS },
    { FUSION_switched_off, "-reductions", X ROWS },
    { FUSION_none, "", X SLOPES "output \"y\" %3\noutput \"z\" %4\n" },
    { FUSION_switched_off, "-slopes", X SLOPES "output \"y\" %3\noutput \"z\" %4\n" },
    { FUSION_still_needed, "", X SLOPES "output \"x\" %2\noutput \"y\" %3\noutput \"z\" %4\n" },
    { FUSION_still_needed, "", X "%1 = silu(%0) : f32[4, 6]\n%2 = silu_slope(%0) : f32[4, 6]\n"
      "output \"y\" %1\noutput \"z\" %2\n" },
    { FUSION_long_row, "",
      "storage input \"l\" f32[2, 9000]\n%0 = input() storage=\"l\" : f32[2, 9000]\n"
      "%1 = exp(%0) : f32[2, 9000]\n%2 = sum(%0) axes=[1] : f32[2, 1]\noutput \"y\" %1\noutput \"z\" %2\n" },
    { FUSION_would_cycle, "",
      "storage input \"s\" f32[4, 4]\n%0 = input() storage=\"s\" : f32[4, 4]\n"
      "%1 = max(%0) axes=[1] : f32[4, 1]\n%2 = matmul(%1, %1) transpose_b=true : f32[4, 4]\n"
      "%3 = add(%0, %2) : f32[4, 4]\noutput \"y\" %3\n" },
};

/* Storages stand before nodes in graph text. */
static const char *whole_text(Arena *a, const char *body)
{
    Buf nodes = { 0 }, out = { 0 };
    buf_puts(&out, "graph \"g\" score\nstorage input \"$seed\" i32[2]\n"
                   "storage input \"x\" f32[4, 6]\n");
    for (const char *line = body; *line; line += strcspn(line, "\n") + 1)
        buf_printf(strncmp(line, "storage", 7) ? &nodes : &out, "%.*s\n", (int)strcspn(line, "\n"),
                   line);
    buf_add(&out, nodes.data, nodes.len);
    const char *text = arena_strdup(a, out.data);
    buf_free(&nodes);
    buf_free(&out);
    return text;
}

static void test_reasons(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(reason_cases); i++) {
        const ReasonCase *c = &reason_cases[i];
        Arena texts;
        Lab l;
        arena_init(&texts, NULL);
        Graph *g = lab_graph(&l, whole_text(&texts, c->body));
        lab_fuse(&l, g);
        const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
        const FusionEdge *e = edge_between(&r, g, c->producer, c->reader);
        if (!e || e->reason != c->reason)
            fail_msg("case %zu: %s to %s: %s, not %s", i, op_info(c->producer)->name,
                     op_info(c->reader)->name, e ? fusion_reason_name(e->reason) : "no edge",
                     fusion_reason_name(c->reason));
        assert_int_equal(e->reason == FUSION_would_cycle, e->through != NO_NODE);
        if (e->through != NO_NODE)
            assert_int_equal(g->nodes[e->through].op, OP_matmul);
        lab_end(&l);
        arena_free(&texts);
    }
}

/* The edge beside which two products, or two rows, stand. */
static const FusionEdge *siblings(const FusionReport *r)
{
    for (uint32_t i = 0; i < r->n_edges; i++)
        if (r->edges[i].siblings)
            return &r->edges[i];
    return NULL;
}

static void test_readers_of_one_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sibling_cases); i++) {
        Arena texts;
        Lab l;
        Error err;
        PassOptions options = { .level = 2, .program = PROGRAM_score };
        arena_init(&texts, NULL);
        Graph *g = lab_graph(&l, whole_text(&texts, sibling_cases[i].body));
        assert_true(fusion_parse(sibling_cases[i].off, &options.fusions, &err));
        assert_true(pass_run(pass_find("fuse"), g, &options, &l.diags, &l.scratch));
        const FusionReport r = fusion_report(g, options.fusions, &l.arena, &l.scratch);
        const FusionEdge *e = siblings(&r);
        const FusionReason got = e ? e->reason : FUSION_none;
        if (got != sibling_cases[i].reason)
            fail_msg("case %zu: %s, not %s", i, fusion_reason_name(got),
                     fusion_reason_name(sibling_cases[i].reason));
        assert_int_equal(g->n_groups, got == FUSION_none);
        lab_end(&l);
        arena_free(&texts);
    }
}

/* A sum of `n` inputs. */
static Graph *wide_sum(Lab *l, int n)
{
    const Dim dims[] = { dim_const(4), dim_const(6) };
    const Shape shape = type_of(DTYPE_f32, 2, dims).shape;
    lab_begin(l);
    l->g->program = PROGRAM_score;
    ValueId sum = NO_VALUE;
    for (int i = 0; i < n; i++) {
        Storage s = { .name = arena_printf(&l->arena, "x%d", i), .class = STORAGE_INPUT,
                      .type = { DTYPE_f32, shape } };
        const ValueId x = build_storage(&l->b, graph_storage(l->g, s));
        sum = i ? build2(&l->b, OP_add, sum, x) : x;
    }
    graph_output(l->g, "y", sum, (Span){ 0 });
    return l->g;
}

static void test_too_many_operands(void **state)
{
    (void)state;
    Lab l;
    Graph *g = wide_sum(&l, 40);
    lab_fuse(&l, g);
    const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    assert_int_equal(g->n_groups, 2);
    assert_int_equal(r.n_edges, 1);
    assert_int_equal(r.edges[0].reason, FUSION_too_many_operands);
    assert_int_equal(r.n_fused, 39 - 1 - 1);
    lab_end(&l);
}

/* Nine products of x, by x + 0, x + 1 ..: one more than a call takes. */
static void test_too_many_products(void **state)
{
    (void)state;
    Lab l;
    Graph *g = wide_sum(&l, 2);
    const ValueId x = g->outputs[0].value;
    for (int i = 0; i < 9; i++) {
        const ValueId w = build_scale(&l.b, x, i + 2);
        NodeSpec spec = node_spec(OP_matmul, (ValueId[]){ x, w }, 2, (Span){ 0 }, "");
        spec.attr[ATTR_INDEX(matmul, transpose_b)].i = 1;
        spec.attr[ATTR_INDEX(matmul, alpha)].f = 1;
        graph_output(g, arena_printf(&l.arena, "y%d", i), graph_add(g, &spec, NULL), (Span){ 0 });
    }
    lab_fuse(&l, g);
    const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    uint32_t n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == OP_matmul && g->nodes[i].group;
    assert_int_equal(n, 8);
    const FusionEdge *e = siblings(&r);
    assert_non_null(e);
    assert_int_equal(e->reason, FUSION_too_many_operands);
    lab_end(&l);
}

static void test_too_many_nodes(void **state)
{
    (void)state;
    Lab l;
    Graph *g = wide_sum(&l, 2);
    ValueId y = g->outputs[0].value;
    for (int i = 0; i < 250; i++)
        y = build1(&l.b, OP_neg, y);
    g->outputs[0].value = y;
    lab_fuse(&l, g);
    const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    assert_int_equal(g->n_groups, 2);
    assert_int_equal(r.n_edges, 1);
    assert_int_equal(r.edges[0].reason, FUSION_too_many_nodes);
    lab_end(&l);
}

static void test_not_tried(void **state)
{
    (void)state;
    Lab l;
    Graph *g = wide_sum(&l, 5);
    const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    assert_int_equal(r.n_fused, 0);
    assert_int_equal(r.n_edges, 3);
    for (uint32_t i = 0; i < r.n_edges; i++)
        assert_int_equal(r.edges[i].reason, FUSION_not_tried);
    lab_end(&l);
}

/* Three maps and a row sum over x: alone each reads and writes; together x once, and y. */
static void test_traffic(void **state)
{
    (void)state;
    Lab l;
    Arena texts;
    arena_init(&texts, NULL);
    Graph *g = lab_graph(&l, whole_text(&texts,
        X "%1 = constant() value=2 : f32[]\n%2 = mul(%0, %0) : f32[4, 6]\n"
        "%3 = mul(%2, %1) : f32[4, 6]\n%4 = sum(%3) axes=[1] : f32[4, 1]\n"
        "%5 = add(%3, %4) : f32[4, 6]\noutput \"y\" %5\n"));
    const FusionReport before = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    lab_fuse(&l, g);
    const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    const int64_t whole = 24 * 4, column = 4 * 4;
    assert_int_equal(r.n_units, 1);
    assert_int_equal(r.n_edges, 0);
    assert_int_equal(r.n_fused, 4);
    assert_int_equal(r.units[0].traffic.before, 4 * whole + whole + column + 2 * whole + column);
    assert_int_equal(r.units[0].traffic.after, 2 * whole);
    assert_int_equal(before.traffic.after, r.traffic.before);
    lab_end(&l);
    arena_free(&texts);
}

/* After the pass no edge is left that could still be taken, in any program of any model. */
static void test_every_edge_has_a_reason(void **state)
{
    (void)state;
    static const char *const models[] = { "mlp", "chargpt", "llama", "gpt2" };
    static const char *const shallow[] = { "depth=2" };
    static const char lowering[] = "decompose fold simplify absorb cse dce norm layout fuse";
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Lab l;
        char path[512], passes[256];
        snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", models[i]);
        snprintf(passes, sizeof passes, "specialize attention loss autodiff loss update %s", lowering);
        lab_model(&l, path, shallow, i > 0);
        Graph *g = lab_passes(&l, PROGRAM_train, passes);
        const FusionReport r = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
        assert_true(r.n_fused > r.n_edges / 2);
        assert_true(r.traffic.after < r.traffic.before);
        lab_check_reasons(&r);
        lab_end(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_readers_of_one_value),
        cmocka_unit_test(test_too_many_operands),
        cmocka_unit_test(test_too_many_nodes),
        cmocka_unit_test(test_too_many_products),
        cmocka_unit_test(test_not_tried),
        cmocka_unit_test(test_traffic),
        cmocka_unit_test(test_every_edge_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
