/* Random graphs: every prefix of the passes, and the plan, against what the program must compute; and
 * the plan with each fusion switched the other way.
 *
 *     bisect_random [FIRST [COUNT]]      seeds FIRST .. FIRST + COUNT - 1 (default 1, 60)
 *
 * A difference is a fault when it is there with other numbers too: a kink (relu, maximum, where) that
 * rounding steps over is none, and does not happen twice. */
#include "bisect/bisect.h"
#include "passes/specialize.h"
#include "tests/e2e/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint64_t first_seed = 1, n_seeds = 60;

static bool agrees(const Graph *model, const BisectOptions *options, Bisection *b)
{
    Arena arena;
    DiagSink diags;
    arena_init(&arena, NULL);
    diag_init(&diags, &arena);
    const bool possible = bisect_program(model, options, &arena, &diags, b);
    const bool right = !possible || b->agrees;
    arena_free(&arena);
    return right;
}

static void check(const Graph *model, Program p, uint64_t seed, FusionSet fusions)
{
    BisectOptions o = { .program = p, .seed = seed,
                        .pass = { .level = 2, .program = p, .batch = 3, .sequence = 7, .chunk = 7,
                                  .fusions = fusions } };
    Bisection once, twice;
    if (agrees(model, &o, &once))
        return;
    o.seed += 1000000;
    if (!agrees(model, &o, &twice))
        fail_msg("seed %llu, program %s, pass %s: %s", (unsigned long long)seed, program_name(p),
                 once.pass, once.fault);
}

static void test_every_prefix(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        Arena arena;
        arena_init(&arena, NULL);
        const Graph *model = random_graph(seed, &arena);
        for (Program p = PROGRAM_score; p < N_PROGRAMS; p++)
            if (program_possible(model, p))
                check(model, p, seed, (FusionSet){ 0 });
        arena_free(&arena);
    }
}

static void test_each_fusion(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds / 6; seed++) {
        Arena arena;
        arena_init(&arena, NULL);
        const Graph *model = random_graph(seed, &arena);
        for (int f = 0; f < N_FUSIONS; f++)
            check(model, PROGRAM_train, seed, (FusionSet){ (uint64_t)1 << f });
        arena_free(&arena);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_each_fusion),
    };
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        n_seeds = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
