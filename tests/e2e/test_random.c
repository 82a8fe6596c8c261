/* Random small graphs: the compiled float program against the evaluator, forward and training.
 *
 *     e2e_random [FIRST [COUNT]]     seeds FIRST .. FIRST + COUNT - 1 (default 1, 500)
 *
 * A difference is a failure when it also appears with other data: a kink (relu, maximum, where) that
 * rounding steps over is not a fault, and does not happen twice. */
#include "base/random.h"
#include "passes/specialize.h"
#include "tests/e2e/compare.h"
#include "tests/e2e/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint64_t first_seed = 1, n_seeds = 500;

/* Every third graph with the defaults, the others with each fusion turned round or not. */
static FusionSet some_fusions(uint64_t seed)
{
    const uint64_t word = random_u32(seed, 1, 0) | (uint64_t)random_u32(seed, 1, 1) << 32;
    return (FusionSet){ seed % 3 == 0 ? 0 : word };
}

static void check_program(const Graph *model, Program p, uint64_t seed, int level, int n_threads)
{
    CompareOptions o = { .fusions = some_fusions(seed), .level = level, .batch = 3, .sequence = 7, .n_threads = n_threads,
                         .seed = seed };
    Difference once, twice;
    if (compare_program(model, p, &o, &once))
        return;
    o.seed = seed + 1000000;
    if (!compare_program(model, p, &o, &twice))
        fail_msg("seed %llu, program %s, -O%d: %s\nand with other data: %s",
                 (unsigned long long)seed, program_name(p), level, once.text, twice.text);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        Arena arena;
        arena_init(&arena, NULL);
        const Graph *model = random_graph(seed, &arena);
        const int n_threads = seed % 3 == 0 ? 2 : 1;
        check_program(model, PROGRAM_score, seed, 2, n_threads);
        check_program(model, PROGRAM_train, seed, seed % 4 == 0 ? 0 : 2, n_threads);
        arena_free(&arena);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        n_seeds = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
