/* Which programs a model has, and what each keeps of it. */
#include "tests/passes/lab.h"

#include "base/check.h"
#include "passes/specialize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEAD \
    "model m\nbatch B\nsequence T <= 128\ninput tokens : i32[B, T]\n" \
    "param table[9, 4] = normal(1)\nh = embedding(table, tokens)\n"
#define HEADS "q = reshape(h, [B, 1, T, 4])\na = reshape(attention(q, q, q), [B, T, 4])\n"
#define TRAIN \
    "train {\n  input targets : i32[B, T]\n" \
    "  loss mean(cross_entropy(y @ table', targets))\n" \
    "  optimizer adamw(lr = 1e-3, beta1 = 0.9, beta2 = 0.99, eps = 1e-8, weight_decay = 0.1)\n}\n"
static const char full[] =
    HEAD HEADS "d = dropout(h, 0.0)\noutput y = a + d + dropout(h, 0.25)\n" TRAIN;

static unsigned count_ops(const Graph *g, OpId op)
{
    unsigned n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static bool specialize(Lab *l, Program p, int64_t batch, int64_t sequence, int64_t chunk,
                       Graph **out)
{
    const PassOptions options = { .level = 2, .program = p, .batch = batch, .sequence = sequence,
                                  .chunk = chunk };
    *out = graph_clone(l->g, &l->arena);
    return pass_run(pass_find("specialize"), *out, &options, &l->diags, &l->scratch);
}

static Graph *program_of(Lab *l, Program p)
{
    Graph *g;
    assert_true(specialize(l, p, 0, 0, 0, &g));
    assert_int_equal(g->program, p);
    return g;
}

/* ---- which programs -------------------------------------------------------------------------- */

static void expect_programs(const char *text, const char *programs)
{
    Lab l;
    lab_text(&l, text);
    for (int p = 0; p < N_PROGRAMS; p++) {
        const char *name = program_name((Program)p);
        const bool listed = strstr(programs, name) != NULL;
        if (program_possible(l.g, (Program)p) != listed)
            fail_msg("%s is %s", name, listed ? "refused" : "allowed");
        Graph *g;
        const uint32_t errors = l.diags.n_errors;
        assert_int_equal(specialize(&l, (Program)p, 0, 0, 0, &g), listed);
        assert_int_equal(l.diags.n_errors > errors, !listed);
    }
    lab_end(&l);
}

static void possible_programs(void **state)
{
    (void)state;
    expect_programs(full, "score eval train accumulate apply generate");
    expect_programs(HEAD "output y = h\n", "score generate");
    expect_programs("model m\nbatch B\ninput x : f32[B, 3]\noutput y = x\n", "score");
    expect_programs("model m\nbatch B\ninput x : f32[B, 3]\nparam w[3] = ones\noutput y = x\n"
                    "train {\n  loss mean(x * w)\n  optimizer sgd(lr = 0.1, momentum = 0.0)\n}\n",
                    "score eval train accumulate apply");
}

/* ---- roots ----------------------------------------------------------------------------------- */

static void roots(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, full);
    static const struct {
        Program program;
        const char *output;
        bool targets;
    } want[] = {
        { PROGRAM_score, "y", false }, { PROGRAM_eval, "loss", true },
        { PROGRAM_train, "loss", true }, { PROGRAM_accumulate, "loss", true },
        { PROGRAM_generate, "y", false },
    };
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        const Graph *g = program_of(&l, want[i].program);
        assert_int_equal(g->n_outputs, 1);
        assert_string_equal(g->outputs[0].name, want[i].output);
        assert_int_equal(g->loss, NO_VALUE);
        assert_int_equal(graph_find_storage(g, "targets") != NO_STORAGE, want[i].targets);
        assert_int_not_equal(graph_find_storage(g, "tokens"), NO_STORAGE);
    }
    const Graph *apply = program_of(&l, PROGRAM_apply);
    assert_int_equal(apply->n_nodes, 0);
    assert_int_equal(apply->n_outputs, 0);
    assert_int_equal(apply->n_storages, 1);
    assert_string_equal(apply->storages[0].name, "table");
    lab_end(&l);
}

/* Storages that are dropped must not leave sources that name others. */
static void sources_keep_their_storages(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, "model m\nbatch B\ninput unread : f32[B, 2]\ninput x : f32[B, 3]\n"
                 "param w[3] = ones\noutput y = x * w\n");
    const Graph *g = program_of(&l, PROGRAM_score);
    assert_int_equal(g->n_storages, 2);
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (g->nodes[n].n_inputs == 0) {
            const Storage *s = &g->storages[g->nodes[n].attr[0].i];
            assert_string_equal(s->name, g->nodes[n].op == OP_param ? "w" : "x");
        }
    lab_end(&l);
}

/* ---- dropout --------------------------------------------------------------------------------- */

static const Node *find_op(const Graph *g, OpId op)
{
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (g->nodes[n].op == op)
            return &g->nodes[n];
    fail_msg("no %s", op_info(op)->name);
    return NULL;
}

static void dropout_off(void **state)
{
    (void)state;
    const Program programs[] = { PROGRAM_score, PROGRAM_eval, PROGRAM_generate };
    Lab l;
    lab_text(&l, full);
    NodeId at = 0;
    while (l.g->nodes[at].op != OP_attention)
        at++;
    NODE_ATTR(&l.g->nodes[at], attention, drop).f = 0.5;
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        const Graph *g = program_of(&l, programs[i]);
        assert_int_equal(count_ops(g, OP_dropout), 0);
        assert_int_equal(graph_find_storage(g, "$seed"), NO_STORAGE);
        assert_int_equal(find_op(g, OP_attention)->n_inputs, 3);
        assert_true(NODE_ATTR(find_op(g, OP_attention), attention, drop).f == 0);
    }
    lab_end(&l);
}

static void dropout_on(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, full);
    const Graph *g = program_of(&l, PROGRAM_train);
    assert_int_equal(find_op(g, OP_attention)->n_inputs, 3);    /* nothing is dropped there */
    NodeId at = 0;
    while (l.g->nodes[at].op != OP_attention)
        at++;
    NODE_ATTR(&l.g->nodes[at], attention, drop).f = 0.5;
    g = program_of(&l, PROGRAM_accumulate);
    assert_int_equal(count_ops(g, OP_dropout), 1);              /* not the one of probability 0 */
    const StorageId seed = graph_find_storage(g, "$seed");
    assert_int_not_equal(seed, NO_STORAGE);
    const Node *drop = find_op(g, OP_dropout), *attention = find_op(g, OP_attention);
    assert_true(NODE_ATTR(drop, dropout, p).f == 0.25);
    assert_true(NODE_ATTR(attention, attention, drop).f == 0.5);
    assert_int_equal(drop->n_inputs, 2);
    assert_int_equal(attention->n_inputs, 4);
    assert_int_equal(node_input(g, drop, 1), node_input(g, attention, 3));
    assert_int_equal(value_def(g, node_input(g, drop, 1))->attr[0].i, seed);
    lab_end(&l);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void expect_sizes(Lab *l, Program p, int64_t batch, int64_t sequence, int64_t chunk,
                         int64_t want_batch, int64_t want_sequence)
{
    Graph *g;
    assert_true(specialize(l, p, batch, sequence, chunk, &g));
    assert_int_equal(g->symbol[graph_batch(g)].max, want_batch);
    assert_int_equal(g->symbol[graph_sequence(g)].max, want_sequence);
}

static void sizes(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, full);
    expect_sizes(&l, PROGRAM_train, 0, 0, 0, 1, 128);
    expect_sizes(&l, PROGRAM_train, 12, 64, 7, 12, 64);
    expect_sizes(&l, PROGRAM_score, 3, 128, 0, 3, 128);
    expect_sizes(&l, PROGRAM_generate, 12, 100, 0, 1, 64);
    expect_sizes(&l, PROGRAM_generate, 0, 0, 7, 1, 7);
    expect_sizes(&l, PROGRAM_generate, 0, 0, 1000, 1, 128);
    assert_int_equal(program_of(&l, PROGRAM_generate)->context, 128);
    assert_int_equal(program_of(&l, PROGRAM_train)->context, 128);

    Graph *g;
    assert_false(specialize(&l, PROGRAM_train, 1, 129, 0, &g));
    assert_int_equal(l.diags.diags[0].code, DIAG_E0430);
    assert_int_equal(l.diags.diags[0].span.line, 3);
    lab_end(&l);
}

static void sizes_without_a_bound(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, "model m\nbatch B\nsequence T\ndim N\ninput x : f32[B, T, N]\noutput y = x\n");
    expect_sizes(&l, PROGRAM_score, 0, 0, 0, 1, 1024);
    expect_sizes(&l, PROGRAM_score, 0, 5000, 0, 1, 5000);
    expect_sizes(&l, PROGRAM_generate, 0, 5000, 0, 1, 64);
    Graph *g;
    assert_true(specialize(&l, PROGRAM_generate, 0, 5000, 0, &g));
    assert_int_equal(g->context, 5000);
    assert_int_equal(g->symbol[2].max, 1024);
    lab_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(possible_programs),
        cmocka_unit_test(roots),
        cmocka_unit_test(sources_keep_their_storages),
        cmocka_unit_test(dropout_off),
        cmocka_unit_test(dropout_on),
        cmocka_unit_test(sizes),
        cmocka_unit_test(sizes_without_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
