/* Fusion: the same groups and products however the graph is sorted. */
#include "tests/passes/lab.h"

#include "base/check.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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

#define UNTIL_LAYOUT "fold simplify absorb cse dce layout"

/* Groups, and with all fusions what products take in. */
static const char **fuse_all(Lab *l, Graph *g, uint32_t n_tags, Arena *arena)
{
    PassOptions options = { .level = 2, .program = g->program };
    for (Fusion f = 0; f < N_FUSIONS; f++)
        fusion_switch(&options.fusions, f, true);
    lab_fuse(l, g);
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

/* The column could join either product, and whichever it joins shuts out the other. */
static void test_any_order_of_rivals(void **state)
{
    (void)state;
    Lab l;
    Graph *g = lab_graph(&l,
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
    Graph *g = lab_graph(&l,
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
    Graph *g = lab_graph(&l,
        "graph \"g\" score\nfile 0 \"summands.smg\"\nstorage input \"x\" f32[4, 4]\n"
        "storage input \"z\" f32[4, 4]\n%0 = input() storage=\"x\" : f32[4, 4]\n"
        "%1 = input() storage=\"z\" : f32[4, 4]\n%2 = matmul(%0, %1) : f32[4, 4]\n"
        "%3 = matmul(%1, %0) : f32[4, 4]\n%4 = matmul(%0, %0) transpose_a=true : f32[4, 4]\n"
        "%5 = matmul(%1, %1) transpose_a=true : f32[4, 4]\n%6 = add(%2, %3) : f32[4, 4]\n"
        "%7 = add(%6, %4) : f32[4, 4]\n%8 = add(%5, %7) : f32[4, 4]\noutput \"y\" %8\n");
    assert_int_equal(check_shuffles(&l, g, "summands", false, SHUFFLES), 3);
    lab_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_any_order_without_places),
        cmocka_unit_test(test_any_order_of_rivals),
        cmocka_unit_test(test_any_order_of_siblings),
        cmocka_unit_test(test_any_order_of_summands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
