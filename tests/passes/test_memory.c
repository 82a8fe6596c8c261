/* Whole programs in their planned memory: after all passes, at -O0 and at -O2, every program of the
 * shipped models and of random graphs computes in its buffers and its pool what the graph before
 * placement means. */
#include "base/check.h"
#include "ir/verify.h"
#include "tests/passes/lab.h"
#include "bisect/placed.h"
#include "passes/specialize.h"
#include "tests/e2e/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { N_RANDOM = 150 };

/* The graph as it is before `place`. */
typedef struct Before {
    Arena *arena;
    Graph *g;
} Before;

static void keep_unplaced(void *arg, const PassInfo *pass, int row, const Graph *g)
{
    Before *b = arg;
    (void)row;
    if (strcmp(pass->name, "place") != 0 && strcmp(pass->name, "pool") != 0)
        b->g = graph_clone(g, b->arena);
}

static Eval values(const Lab *l, const Graph *g, Arena *arena)
{
    Eval e = lab_values(l, g, arena);
    for (StorageId s = 0; s < g->n_storages; s++)
        for (int64_t i = 0; g->storages[s].class == STORAGE_STATE && i < e.storages[s].count; i++)
            e.storages[s].data[i] = 0.25 + (double)(i % 7) / 8;
    Tensor *past = eval_storage(&e, "$past");
    if (past)
        past->data[0] = 2;
    return e;
}

static void check_program(Lab *l, Program p, int level, const char *what)
{
    const PassOptions options = { .level = level, .program = p, .batch = 3, .chunk = 8 };
    Arena arena;
    Error err;
    arena_init(&arena, NULL);
    Before before = { &arena, NULL };
    const PassObserver observer = { keep_unplaced, &before };
    Graph *g = graph_clone(l->g, &arena);
    if (!passes_run(g, &options, &l->diags, &l->scratch, &observer)) {
        assert_int_equal(p, PROGRAM_generate);          /* not every model is causal */
    } else {
        Eval want = values(l, before.g, &arena), got = values(l, g, &arena);
        eval_run(&want);
        assert_true(placed_run(&got, &err));
        for (uint32_t i = 0; i < g->n_outputs; i++)
            lab_compare(&got.values[g->outputs[i].value],
                        &want.values[before.g->outputs[i].value], 0, what);
        for (StorageId s = 0; s < g->n_storages; s++)
            lab_compare(&got.storages[s], &want.storages[s], 0, what);
    }
    arena_free(&arena);
}

static void check_model(Lab *l, const char *what)
{
    if (graph_batch(l->g) >= 0)
        l->sizes[graph_batch(l->g)] = 2;
    if (graph_sequence(l->g) >= 0)
        l->sizes[graph_sequence(l->g)] = 3;
    for (Program p = PROGRAM_score; p < N_PROGRAMS; p++)
        for (int level = 0; level <= 2 && program_possible(l->g, p); level += 2)
            check_program(l, p, level, what);
}

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *path, *defines[8];
        uint32_t n_defines;
    } models[] = {
        { SOURCE_DIR "/models/mlp.smg", { 0 }, 0 },
        { SOURCE_DIR "/models/gpt2.smg",
          { "vocab=13", "context=8", "width=8", "depth=2", "heads=2", "drop=0.25" }, 6 },
        { SOURCE_DIR "/models/llama.smg",
          { "vocab=13", "context=8", "width=8", "depth=2", "heads=4", "kv_heads=2", "hidden=12" }, 7 },
        { SOURCE_DIR "/models/chargpt.smg", { "vocab=13", "context=8", "width=8", "depth=1" }, 4 },
    };
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Lab l;
        lab_model(&l, models[i].path, models[i].defines, models[i].n_defines);
        check_model(&l, models[i].path);
        lab_end(&l);
    }
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_RANDOM; seed++) {
        Lab l;
        lab_begin(&l);
        l.g = random_graph(seed + 700000, &l.arena);
        check_model(&l, arena_printf(&l.arena, "seed %u", (unsigned)seed));
        lab_end(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
