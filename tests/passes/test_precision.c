/* What --precision bf16 marks: products with weights and attention, and the gradients derived from them; not
 * products of activations, and not attention to a cache. */
#include "ir/text.h"
#include "passes/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char text[] =
    "graph \"g\" %s\n"
    "symbol B batch max=2\n"
    "symbol T sequence max=8\n"
    "context 16\n"
    "storage param \"w\" f32[6, 6]\n"
    "storage input \"x\" f32[B, 1, T, 6]\n"
    "%%0 = param() storage=\"w\" : f32[6, 6]\n"
    "%%1 = input() storage=\"x\" : f32[B, 1, T, 6]\n"
    "%%2 = matmul(%%1, %%0) : f32[B, 1, T, 6]\n"
    "%%3, %%4 = attention(%%2, %%2, %%2) : f32[B, 1, T, 6], f32[B, 1, T]\n"
    "%%5 = matmul(%%3, %%2) transpose_b=true : f32[B, 1, T, T]\n"
    "%s";

typedef struct Marked {
    Arena arena, scratch;
    Graph *g;
} Marked;

static void mark(Marked *m, const char *program, const char *end, DType precision, const char *then)
{
    char file[sizeof text + 200];
    Error err;
    DiagSink diags = { .arena = &m->arena };
    arena_init(&m->arena, NULL);
    arena_init(&m->scratch, NULL);
    const int n = snprintf(file, sizeof file, text, program, end);
    m->g = graph_read(file, (size_t)n, &m->arena, &err);
    if (!m->g)
        fail_msg("%s", err.text);
    const PassOptions options = { .level = 2, .program = m->g->program, .precision = precision };
    assert_true(pass_run(pass_find("precision"), m->g, &options, &diags, &m->scratch));
    assert_true(pass_run(pass_find(then), m->g, &options, &diags, &m->scratch));
}

static void mark_free(Marked *m)
{
    arena_free(&m->arena);
    arena_free(&m->scratch);
}

/* How many nodes of an op there are, and how many of them work with bf16. */
static void expect_marked(const Graph *g, OpId op, unsigned count, unsigned rounded)
{
    const int at = op_attr(op, "precision");
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (g->nodes[n].op == op) {
            count--;
            rounded -= g->nodes[n].attr[at].i == DTYPE_bf16;
        }
    assert_int_equal(count, 0);
    assert_int_equal(rounded, 0);
}

static void test_training(void **state)
{
    (void)state;
    static const char end[] = "%6 = sum(%5) : f32[]\noutput \"loss\" %6\n";
    for (int bf16 = 0; bf16 < 2; bf16++) {
        Marked m;
        mark(&m, "train", end, bf16 ? DTYPE_bf16 : DTYPE_f32, "autodiff");
        expect_marked(m.g, OP_attention, 1, bf16 ? 1 : 0);
        expect_marked(m.g, OP_attention_grad, 1, bf16 ? 1 : 0);
        expect_marked(m.g, OP_matmul, 5, bf16 ? 2 : 0);     /* x w and dw; q k' and its gradients */
        mark_free(&m);
    }
}

static void test_cached(void **state)
{
    (void)state;
    Marked m;
    mark(&m, "generate", "output \"y\" %3\n", DTYPE_bf16, "dce");
    const PassOptions options = { .level = 2, .program = m.g->program, .precision = DTYPE_bf16,
                                  .cache = DTYPE_f32 };
    DiagSink diags = { .arena = &m.arena };
    assert_true(pass_run(pass_find("cache"), m.g, &options, &diags, &m.scratch));
    assert_int_equal(op_attr(OP_attention_cached, "precision"), -1);
    expect_marked(m.g, OP_attention, 0, 0);
    expect_marked(m.g, OP_matmul, 1, 1);
    mark_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_cached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
