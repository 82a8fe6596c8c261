/* Epilogues: every reason by a smallest graph, switches, and that the order of nodes does not enter.
 * What the pass makes of graphs stands in golden/epilogue. */
#include "tests/passes/lab.h"

#include "base/check.h"
#include "passes/fusion_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define T6 " : f32[4, 6]"
#define HEAD \
    "graph \"g\" score\nstorage input \"x\" f32[4, 6]\nstorage param \"w\" f32[6, 6] init=zeros\n" \
    "storage param \"b\" f32[6] init=zeros\nstorage input \"r\" f32[4, 6]\n" \
    "%0 = input() storage=\"x\"" T6 "\n%1 = param() storage=\"w\" : f32[6, 6]\n" \
    "%2 = param() storage=\"b\" : f32[6]\n%3 = input() storage=\"r\"" T6 "\n"

static FusionSet set_of(const char *text)
{
    FusionSet set = { 0 };
    Error err;
    assert_true(fusion_parse(text, &set, &err));
    return set;
}

static void run(Lab *l, Graph *g, FusionSet fusions)
{
    const PassOptions options = { .level = 2, .program = g->program, .fusions = fusions };
    assert_true(pass_run(pass_find("fuse"), g, &options, &l->diags, &l->scratch));
    assert_true(pass_run(pass_find("epilogue"), g, &options, &l->diags, &l->scratch));
}

static uint32_t count(const Graph *g, OpId op)
{
    uint32_t n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

/* ---- reasons ---------------------------------------------------------------------------------- */

typedef struct ReasonCase {
    FusionReason reason;
    OpId producer, reader;
    const char *fusions, *text;
} ReasonCase;

static const ReasonCase reason_cases[] = {
    { FUSION_switched_off, OP_matmul, OP_add, "all,-product_bias",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = add(%4, %2)" T6 "\noutput \"y\" %5\n" },
    { FUSION_switched_off, OP_matmul, OP_gelu, "all,-product_activation",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = gelu(%4)" T6 "\noutput \"y\" %5\n" },
    { FUSION_switched_off, OP_matmul, OP_add, "all,-product_residual",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = add(%4, %3)" T6 "\noutput \"y\" %5\n" },
    { FUSION_several_readers, OP_matmul, OP_gelu, "all",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = gelu(%4)" T6 "\noutput \"y\" %5\noutput \"p\" %4\n" },
    { FUSION_no_epilogue, OP_matmul, OP_mul, "all",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = mul(%4, %3)" T6 "\noutput \"y\" %5\n" },
    { FUSION_made_in_group, OP_matmul, OP_add, "all",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = mul(%0, %3)" T6 "\n%6 = add(%4, %5)" T6
      "\noutput \"y\" %6\n" },
    { FUSION_epilogue_full, OP_product, OP_silu, "all",
      HEAD "%4 = product(%0, %1) activation=gelu" T6 "\n%5 = silu(%4)" T6 "\noutput \"y\" %5\n" },
    { FUSION_stored_weights, OP_matmul, OP_gelu, "all",
      "graph \"g\" score\nstorage input \"x\" f32[4, 6]\nstorage param \"w\" bf16[6, 6] init=zeros\n"
      "%0 = input() storage=\"x\"" T6 "\n%1 = param() storage=\"w\" : bf16[6, 6]\n"
      "%2 = matmul(%0, %1)" T6 "\n%3 = gelu(%2)" T6 "\noutput \"y\" %3\n" },
    { FUSION_saves_nothing, OP_matmul, OP_add, "all",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = add(%4, %2)" T6 "\n%6 = gelu(%5)" T6
      "\n%7 = gelu_slope(%5)" T6 "\noutput \"y\" %6\noutput \"z\" %7\n" },
    { FUSION_shares_input, OP_matmul, OP_gelu, "all",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = matmul(%0, %1) alpha=1" T6 "\n%6 = gelu(%4)" T6
      "\noutput \"y\" %6\noutput \"z\" %5\n" },
    { FUSION_view_between, OP_matmul, OP_gelu, "all",
      HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = transpose(%4) a=0 b=1 : f32[6, 4]\n"
      "%6 = gelu(%5) : f32[6, 4]\noutput \"y\" %6\n" },
};

static const FusionEdge *edge_between(const FusionReport *r, const Graph *g, OpId from, OpId to)
{
    for (uint32_t i = 0; i < r->n_edges; i++)
        if (g->nodes[r->edges[i].producer].op == from && g->nodes[r->edges[i].reader].op == to)
            return &r->edges[i];
    return NULL;
}

static void test_reasons(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(reason_cases); i++) {
        const ReasonCase *c = &reason_cases[i];
        const FusionSet fusions = set_of(c->fusions);
        Lab l;
        Graph *g = lab_graph(&l, c->text);
        run(&l, g, fusions);
        const FusionReport r = fusion_report(g, fusions, &l.arena, &l.scratch);
        const FusionEdge *e = edge_between(&r, g, c->producer, c->reader);
        if (!e || e->reason != c->reason)
            fail_msg("case %zu: %s to %s: %s, not %s", i, op_info(c->producer)->name,
                     op_info(c->reader)->name, e ? fusion_reason_name(e->reason) : "no edge",
                     fusion_reason_name(c->reason));
        lab_end(&l);
    }
}

/* Where the pass did not run the report does not say that nothing stood in the way. */
static void test_not_tried(void **state)
{
    (void)state;
    Lab l;
    Graph *g = lab_graph(&l, HEAD "%4 = matmul(%0, %1)" T6 "\n%5 = add(%4, %2)" T6
                        "\noutput \"y\" %5\n");
    const FusionReport r = fusion_report(g, set_of("all"), &l.arena, &l.scratch);
    assert_int_equal(edge_between(&r, g, OP_matmul, OP_add)->reason, FUSION_not_tried);
    lab_end(&l);
}

/* ---- any order -------------------------------------------------------------------------------- */

/* The same sum of three products, in six orders of its products. */
static void test_any_order(void **state)
{
    (void)state;
    static const char *const products[] = {
        "matmul(%0, %1)", "matmul(%3, %1)", "matmul(%0, %1) transpose_b=true"
    };
    static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 },
                                     { 2, 0, 1 }, { 2, 1, 0 } };
    char first[3][64] = { "" };
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        Lab l;
        Buf text = { 0 };
        int at[3];
        buf_puts(&text, HEAD);
        for (int k = 0; k < 3; k++) {
            buf_printf(&text, "%%%d = %s" T6 "\n", 4 + k, products[orders[i][k]]);
            at[orders[i][k]] = 4 + k;
        }
        buf_printf(&text, "%%7 = add(%%%d, %%%d)" T6 "\n%%8 = add(%%7, %%%d)" T6
                   "\noutput \"y\" %%8\n", at[0], at[1], at[2]);
        Graph *g = lab_graph(&l, text.data);
        run(&l, g, set_of("all"));
        assert_int_equal(count(g, OP_matmul), 1);
        assert_int_equal(count(g, OP_product), 2);
        assert_int_equal(count(g, OP_add), 0);
        int n = 0;
        for (NodeId k = 0; k < g->n_nodes; k++) {
            const Node *node = &g->nodes[k];
            if (node->op != OP_matmul && node->op != OP_product)
                continue;
            char what[64];
            snprintf(what, sizeof what, "%s %u %d", op_info(node->op)->name,
                     node_input(g, node, 0), (int)NODE_ATTR(node, matmul, transpose_b).i);
            if (i == 0)
                memcpy(first[n], what, sizeof what);
            assert_string_equal(what, first[n++]);
        }
        buf_free(&text);
        lab_end(&l);
    }
}

/* In every program of every model: no product is left that a step would still pay for. */
static void test_every_edge_has_a_reason(void **state)
{
    (void)state;
    static const char *const models[] = { "mlp", "chargpt", "llama", "gpt2" };
    static const char *const shallow[] = { "depth=2" };
    const FusionSet all = set_of("all");
    for (size_t i = 0; i < COUNT_OF(models); i++)
        for (Program p = PROGRAM_score; p < N_PROGRAMS; p++) {
            Lab l;
            char path[512];
            if (p == PROGRAM_generate && i == 0)
                continue;               /* no sequence to generate */
            snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", models[i]);
            lab_model(&l, path, shallow, i > 0);
            const PassOptions options = { .level = 2, .program = p, .batch = 4, .fusions = all };
            Graph *g = graph_clone(l.g, &l.arena);
            assert_true(passes_run(g, &options, &l.diags, &l.scratch, NULL));
            const FusionReport r = fusion_report(g, all, &l.arena, &l.scratch);
            lab_check_reasons(&r);
            lab_end(&l);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_not_tried),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_every_edge_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
