/* Names, tables, and the texts made of them: --dump=fusion and --emit=dot. */
#include "codegen/show.h"

#include "base/check.h"
#include "codegen/compile.h"
#include "codegen/dot.h"
#include "codegen/fusion_text.h"
#include "codegen/table.h"
#include "tests/passes/lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        { "h.3", "h.3", true },         { "h.3", "h.3.attn", true },  { "h.3", "h.31", false },
        { "h.*", "h.3.attn", true },    { "h.*.attn", "h.12.attn", true },
        { "h.*.attn", "h.1.mlp", false }, { "h.*", "h", false },      { "*", "wte", true },
        { "*.attn", "h.3.attn", false }, { "l*n", "ln", true },       { "l*.w", "layer.w", true },
        { "", "h", false },             { "", "", true },             { "h.3.attn", "h.3", false },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (path_matches(cases[i].pattern, cases[i].path) != cases[i].matches)
            fail_msg("`%s` and `%s`", cases[i].pattern, cases[i].path);
}

static void test_names(void **state)
{
    (void)state;
    Arena a;
    Buf out = { 0 };
    arena_init(&a, NULL);
    assert_string_equal(show_pattern(&a, "h.12.attn"), "h.*.attn");
    assert_string_equal(show_pattern(&a, "layers.3"), "layers.*");
    assert_string_equal(show_pattern(&a, "norm_1.x2"), "norm_1.x2");
    assert_string_equal(show_pattern(&a, ""), "");
    assert_string_equal(show_count(&a, 0), "0");
    assert_string_equal(show_count(&a, 999), "999");
    assert_string_equal(show_count(&a, 1234567), "1,234,567");
    show_json_string(&out, "a\"b\\c\n");
    assert_string_equal(out.data, "\"a\\\"b\\\\c\\u000a\"");
    buf_free(&out);
    arena_free(&a);
}

static void test_table(void **state)
{
    (void)state;
    Arena a;
    Buf out = { 0 };
    arena_init(&a, NULL);
    Table t = { .arena = &a, .columns = "lrl" };
    TABLE_ROW(&t, "name", "n", "what");
    TABLE_ROW(&t, "x", "1,000", "");
    TABLE_ROW(&t, "longer", "", "y");
    TABLE_ROW(&t, "", "", "");
    table_print(&out, &t, 2);
    assert_string_equal(out.data, "  name        n  what\n  x       1,000\n  longer         y\n\n");
    buf_free(&out);
    arena_free(&a);
}

static Graph *small_program(Lab *l, const char *model, Program p, const char *const *defines,
                            uint32_t n_defines)
{
    const CompileOptions options = { .level = 2 };
    char path[512];
    snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", model);
    lab_model(l, path, defines, n_defines);
    Graph *g = compile_program(l->g, p, &options, &l->arena, &l->scratch, &l->diags);
    assert_non_null(g);
    return g;
}

static const char fusion_of_mlp[] =
    "mlp, program score at B <= 1\n"
    "  nodes    8, of which 4 are in 2 groups\n"
    "  edges    2 fused, 5 not\n"
    "  traffic  21.8 KiB each node for itself, 20.8 KiB fused\n"
    "\n"
    "group 1\n"
    "  became   a row program: 2 instructions, reads 2, writes 1, 1 temporaries, 0 constants\n"
    "  traffic  768 B, 1.2 KiB each node for itself\n"
    "    %4  add   f32[B, 64]  mlp.smg:15  first\n"
    "    %5  relu  f32[B, 64]  mlp.smg:18\n";

static void test_fusion_text(void **state)
{
    (void)state;
    Lab l;
    Buf text = { 0 };
    const Graph *g = small_program(&l, "mlp", PROGRAM_score, NULL, 0);
    fusion_print(&text, g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    assert_int_equal(strncmp(text.data, fusion_of_mlp, strlen(fusion_of_mlp)), 0);
    assert_non_null(strstr(text.data, "\n    gemm                       3  19.3 KiB\n"));
    assert_non_null(strstr(text.data, "\nnot fused: 5 edges\n\n  kernel-reads-it, 2: "));
    assert_non_null(strstr(text.data, "\n    1 x  relu mlp.smg:18  -> matmul mlp.smg:15 second"));
    buf_free(&text);
    lab_end(&l);
}

/* Equal layers are shown once. */
static void test_repeats(void **state)
{
    (void)state;
    static const char *const depth[] = { "depth=9" };
    Lab l;
    Buf text = { 0 };
    const Graph *g = small_program(&l, "chargpt", PROGRAM_score, depth, 1);
    fusion_print(&text, g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    assert_non_null(strstr(text.data, ", and 8 like it\n"));
    assert_non_null(strstr(text.data, "    9 x  "));
    assert_null(strstr(text.data, "layer.4"));
    buf_free(&text);
    lab_end(&l);
}

typedef struct DotFacts {
    unsigned clusters, nodes, edges, rests;
} DotFacts;

/* Every end of an arrow is a node, and what opens closes. */
static DotFacts dot_facts(const Buf *text)
{
    DotFacts f = { 0 };
    unsigned open = 0;
    for (const char *s = text->data; *s; s = strchr(s, '\n') + 1) {
        char from[16], to[16], node[32];
        const size_t n = strcspn(s, "\n");
        open += s[n - 1] == '{';
        open -= s[n - 1] == '}';
        f.clusters += strncmp(s, "  subgraph cluster_", 19) == 0;
        f.rests += memmem(s, n, "shape=box3d", 11) != NULL;
        f.nodes += memmem(s, n, "[label=", 7) != NULL;
        if (sscanf(s, " %15s -> %15[a-z0-9];", from, to) != 2)
            continue;
        f.edges++;
        snprintf(node, sizeof node, "  %s [label=\"", from);
        assert_non_null(strstr(text->data, node));
        snprintf(node, sizeof node, strncmp(to, "out", 3) == 0 ? "  %s [shape=" : "  %s [label=\"", to);
        assert_non_null(strstr(text->data, node));
    }
    assert_int_equal(open, 0);
    return f;
}

static void test_dot(void **state)
{
    (void)state;
    static const char *const depth[] = { "depth=1" };
    Lab l;
    Buf text = { 0 };
    const Graph *g = small_program(&l, "chargpt", PROGRAM_train, depth, 1);
    dot_print(&text, g);
    const DotFacts f = dot_facts(&text);
    assert_int_equal(f.clusters, g->n_groups);
    assert_int_equal(f.rests, 0);
    assert_true(f.edges > g->n_nodes / 2);
    buf_free(&text);
    lab_end(&l);
}

/* Of many layers, their parameters, gradients and moments, the first is drawn, the others are a node; so
 * the picture does not grow with them. */
static void test_dot_repeats(void **state)
{
    (void)state;
    static const char *const depth[][1] = { { "depth=3" }, { "depth=12" } };
    DotFacts f[2];
    for (int i = 0; i < 2; i++) {
        Lab l;
        Buf text = { 0 };
        dot_print(&text, small_program(&l, "chargpt", PROGRAM_train, depth[i], 1));
        f[i] = dot_facts(&text);
        assert_non_null(strstr(text.data, i ? "\"layer.1 to layer.11, like layer.0\\n"
                                            : "\"layer.1 to layer.2, like layer.0\\n"));
        assert_non_null(strstr(text.data, " layer.0."));
        assert_null(strstr(text.data, "layer.1."));
        buf_free(&text);
        lab_end(&l);
    }
    assert_true(f[0].rests > 0 && f[0].rests == f[1].rests);
    assert_in_range(f[1].nodes, f[0].nodes, f[0].nodes + 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_fusion_text),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_dot_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
