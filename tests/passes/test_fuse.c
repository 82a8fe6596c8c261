/* Fusion: the same groups and products however the graph is sorted, and a reason for every edge that stays. */
#include "lab.h"

#include "base/check.h"
#include "base/random.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/fusion_report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- shuffled graphs -------------------------------------------------------------------------- */

enum { SHUFFLES = 1000 };

/* Which nodes must run before which: inputs, and whoever reads a storage's old content, itself or
 * through views, before the write. */
typedef struct Before {
    const Graph *g;
    bool *edge;                         /* [later * n + earlier] */
} Before;

static void readers_before(Before *b, ValueId old, NodeId write)
{
    const Graph *g = b->g;
    for (NodeId r = 0; r < write; r++)
        for (unsigned i = 0; i < g->nodes[r].n_inputs; i++) {
            if (node_input(g, &g->nodes[r], i) != old)
                continue;
            b->edge[(size_t)write * g->n_nodes + r] = true;
            if (op_info(g->nodes[r].op)->class == CLASS_VIEW)
                readers_before(b, g->nodes[r].first_output, write);
        }
}

static Before before_of(const Graph *g, Arena *arena)
{
    Before b = { g, arena_array(arena, (size_t)g->n_nodes * g->n_nodes, sizeof *b.edge) };
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs; i++)
            b.edge[(size_t)n * g->n_nodes + g->values[node_input(g, node, i)].def] = true;
        if (op_info(node->op)->flags & OP_WRITES)
            readers_before(&b, node_input(g, node, 0), n);
    }
    return b;
}

/* Of the nodes that could run next, any with equal chance. */
static void random_order(const Before *b, uint64_t seed, NodeId *order, Arena *scratch)
{
    const uint32_t n = b->g->n_nodes;
    uint32_t *waits = arena_array(scratch, n, sizeof *waits);
    NodeId *ready = arena_array(scratch, n, sizeof *ready);
    uint32_t n_ready = 0;
    for (size_t at = 0; at < (size_t)n * n; at++)
        waits[at / n] += b->edge[at];
    for (NodeId i = 0; i < n; i++)
        if (waits[i] == 0)
            ready[n_ready++] = i;
    for (uint32_t k = 0; k < n; k++) {
        assert_true(n_ready > 0);
        const uint32_t pick = random_u32(seed, 1, k) % n_ready;
        order[k] = ready[pick];
        ready[pick] = ready[--n_ready];
        for (NodeId i = 0; i < n; i++)
            if (b->edge[(size_t)i * n + order[k]] && --waits[i] == 0)
                ready[n_ready++] = i;
    }
}

static void shuffle(Graph *g, const Before *b, uint64_t seed, Arena *scratch)
{
    NodeId *order = arena_array(scratch, g->n_nodes, sizeof *order);
    random_order(b, seed, order, scratch);
    Rewriter rw = rewrite_begin(g, scratch);
    for (NodeId k = 0; k < g->n_nodes; k++)
        rewrite_copy(&rw, order[k]);
    rewrite_end(&rw);
    arena_reset(scratch);
}

/* A node keeps its number in the length of its span, which nothing else here reads. */
static void tag_nodes(Graph *g, bool keep_places)
{
    for (NodeId n = 0; n < g->n_nodes; n++) {
        if (!keep_places) {
            g->nodes[n].span = (Span){ 0 };
            g->nodes[n].path = "";
        }
        g->nodes[n].span.length = n;
    }
}

/* For each tag what became of the node: its op, what it reads, and the least of its group; NULL when
 * another took it in. */
static const char **fates_of(const Graph *g, uint32_t n_tags, Arena *arena)
{
    const char **fate = arena_array(arena, n_tags, sizeof *fate);
    uint32_t *least = arena_array(arena, g->n_groups + 1, sizeof *least);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const uint32_t group = g->nodes[n].group, tag = g->nodes[n].span.length;
        least[group] = least[group] == 0 || tag + 1 < least[group] ? tag + 1 : least[group];
    }
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        Buf text = { 0 };
        buf_printf(&text, "%s", op_info(node->op)->name);
        for (unsigned i = 0; i < node->n_inputs; i++)
            buf_printf(&text, " %u", value_def(g, node_input(g, node, i))->span.length);
        if (node->group)
            buf_printf(&text, ", with %u", least[node->group] - 1);
        if (fate[node->span.length])
            fail_msg("%u is %s and %s", node->span.length, fate[node->span.length], text.data);
        fate[node->span.length] = arena_strdup(arena, text.data);
        buf_free(&text);
    }
    return fate;
}

static void fuse(Lab *l, Graph *g)
{
    const PassOptions options = { .level = 2, .program = g->program };
    assert_true(pass_run(pass_find("fuse"), g, &options, &l->diags, &l->scratch));
}

#define UNTIL_LAYOUT "fold simplify absorb cse dce layout"

/* Groups, and with all fusions what products take in. */
static const char **fuse_all(Lab *l, Graph *g, uint32_t n_tags, Arena *arena)
{
    PassOptions options = { .level = 2, .program = g->program };
    for (Fusion f = 0; f < N_FUSIONS; f++)
        fusion_switch(&options.fusions, f, true);
    fuse(l, g);
    assert_true(g->n_groups > 0);
    assert_true(pass_run(pass_find("epilogue"), g, &options, &l->diags, &l->scratch));
    return fates_of(g, n_tags, arena);
}

/* Returns how many nodes products took in. */
static uint32_t check_shuffles(Lab *l, Graph *g, const char *what, bool keep_places,
                               uint64_t n_shuffles)
{
    Arena arena;
    uint32_t n_taken = 0;
    tag_nodes(g, keep_places);
    const Before before = before_of(g, &l->arena);
    const char **want = fuse_all(l, graph_clone(g, &l->arena), g->n_nodes, &l->arena);
    arena_init(&arena, NULL);
    for (uint64_t seed = 1; seed <= n_shuffles; seed++) {
        Graph *copy = graph_clone(g, &arena);
        shuffle(copy, &before, seed, &l->scratch);
        const char **got = fuse_all(l, copy, g->n_nodes, &arena);
        for (NodeId n = 0; n < g->n_nodes; n++)
            if (!got[n] != !want[n] || (got[n] && strcmp(got[n], want[n]) != 0))
                fail_msg("%s, shuffle %u: node %u is %s, not %s", what, (unsigned)seed, n,
                         got[n] ? got[n] : "taken in", want[n] ? want[n] : "taken in");
        arena_reset(&arena);
    }
    arena_free(&arena);
    for (NodeId n = 0; n < g->n_nodes; n++)
        n_taken += !want[n];
    return n_taken;
}

static void check_model(const char *model, const char *const *defines, uint32_t n_defines,
                        const char *passes, bool keep_places, uint64_t n_shuffles)
{
    Lab l;
    lab_model(&l, model, defines, n_defines);
    Graph *g = lab_passes(&l, PROGRAM_train, passes);
    const uint32_t n_taken = check_shuffles(&l, g, model, keep_places, n_shuffles);
    assert_true(n_taken > 0 || keep_places);
    lab_end(&l);
}

static void test_any_order(void **state)
{
    (void)state;
    static const char *const small[] = { "depth=1", "drop=0.1" };
    check_model(SOURCE_DIR "/models/chargpt.smg", small, COUNT_OF(small),
                   "specialize attention fold simplify cse dce autodiff update decompose "
                   UNTIL_LAYOUT, true, SHUFFLES);
}

static void test_any_order_without_places(void **state)
{
    (void)state;
    static const char *const small[] = { "depth=2" };
    check_model(SOURCE_DIR "/models/mlp.smg", NULL, 0,
                   "specialize autodiff update decompose " UNTIL_LAYOUT, false, SHUFFLES);
    check_model(SOURCE_DIR "/models/chargpt.smg", small, COUNT_OF(small),
                   "specialize attention autodiff update decompose " UNTIL_LAYOUT, false, 100);
    check_model(SOURCE_DIR "/models/llama.smg", small, COUNT_OF(small),
                   "specialize attention autodiff update decompose " UNTIL_LAYOUT, false, 100);
}

/* ---- reasons ---------------------------------------------------------------------------------- */

static Graph *read_graph(Lab *l, const char *text)
{
    Error err;
    lab_begin(l);
    Graph *g = graph_read(text, strlen(text), &l->arena, &err);
    if (!g || !graph_verify(g, &l->scratch, &err))
        fail_msg("%s\n%s", err.text, text);
    return g;
}

/* The column could join either product, and whichever it joins shuts out the other. */
static void test_any_order_of_rivals(void **state)
{
    (void)state;
    Lab l;
    Graph *g = read_graph(&l,
        "graph \"g\" score\nfile 0 \"rivals.smg\"\nstorage input \"c\" f32[4, 1]\n"
        "storage input \"x\" f32[4, 6]\n"
        "storage input \"z\" f32[4, 8]\n%0 = input() storage=\"c\" : f32[4, 1]\n"
        "%1 = input() storage=\"x\" : f32[4, 6]\n%2 = input() storage=\"z\" : f32[4, 8]\n"
        "%3 = exp(%0) : f32[4, 1]\n%4 = mul(%1, %3) : f32[4, 6]\n%5 = mul(%2, %3) : f32[4, 8]\n"
        "output \"a\" %4\noutput \"b\" %5\n");
    check_shuffles(&l, g, "rivals", false, 100);
    lab_end(&l);
}

/* One product of an input could go with the first or the last, which waits for the first; the others with
 * either. */
static void test_any_order_of_siblings(void **state)
{
    (void)state;
    Lab l;
    Graph *g = read_graph(&l,
        "graph \"g\" score\nfile 0 \"siblings.smg\"\nstorage input \"x\" f32[4, 4]\n"
        "storage input \"w\" f32[4, 4]\n%0 = input() storage=\"x\" : f32[4, 4]\n"
        "%1 = input() storage=\"w\" : f32[4, 4]\n%2 = matmul(%0, %1) : f32[4, 4]\n"
        "%3 = exp(%2) : f32[4, 4]\n%4 = neg(%1) : f32[4, 4]\n%5 = matmul(%0, %4) : f32[4, 4]\n"
        "%6 = exp(%1) : f32[4, 4]\n%7 = matmul(%0, %6) : f32[4, 4]\n%8 = matmul(%0, %3) : f32[4, 4]\n"
        "%9 = add(%5, %7) : f32[4, 4]\n%10 = add(%9, %8) : f32[4, 4]\noutput \"y\" %10\n");
    check_shuffles(&l, g, "siblings", false, SHUFFLES);
    lab_end(&l);
}

/* Each product of a sum could add to the others. */
static void test_any_order_of_summands(void **state)
{
    (void)state;
    Lab l;
    Graph *g = read_graph(&l,
        "graph \"g\" score\nfile 0 \"summands.smg\"\nstorage input \"x\" f32[4, 4]\n"
        "storage input \"z\" f32[4, 4]\n%0 = input() storage=\"x\" : f32[4, 4]\n"
        "%1 = input() storage=\"z\" : f32[4, 4]\n%2 = matmul(%0, %1) : f32[4, 4]\n"
        "%3 = matmul(%1, %0) : f32[4, 4]\n%4 = matmul(%0, %0) transpose_a=true : f32[4, 4]\n"
        "%5 = matmul(%1, %1) transpose_a=true : f32[4, 4]\n%6 = add(%2, %3) : f32[4, 4]\n"
        "%7 = add(%6, %4) : f32[4, 4]\n%8 = add(%5, %7) : f32[4, 4]\noutput \"y\" %8\n");
    assert_int_equal(check_shuffles(&l, g, "summands", false, SHUFFLES), 3);
    lab_end(&l);
}

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
        Graph *g = read_graph(&l, whole_text(&texts, c->body));
        fuse(&l, g);
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
        Graph *g = read_graph(&l, whole_text(&texts, sibling_cases[i].body));
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
    fuse(&l, g);
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
    fuse(&l, g);
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
    fuse(&l, g);
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
    Graph *g = read_graph(&l, whole_text(&texts,
        X "%1 = constant() value=2 : f32[]\n%2 = mul(%0, %0) : f32[4, 6]\n"
        "%3 = mul(%2, %1) : f32[4, 6]\n%4 = sum(%3) axes=[1] : f32[4, 1]\n"
        "%5 = add(%3, %4) : f32[4, 6]\noutput \"y\" %5\n"));
    const FusionReport before = fusion_report(g, (FusionSet){ 0 }, &l.arena, &l.scratch);
    fuse(&l, g);
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
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_any_order_without_places),
        cmocka_unit_test(test_any_order_of_rivals),
        cmocka_unit_test(test_any_order_of_siblings),
        cmocka_unit_test(test_any_order_of_summands),
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
