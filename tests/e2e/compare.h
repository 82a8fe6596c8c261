/* A model's program run two ways: by the evaluator in double, on the graph before anything was
 * optimised, and by the plan. */
#ifndef TESTS_E2E_COMPARE_H
#define TESTS_E2E_COMPARE_H

#include "bisect/trial.h"
#include "codegen/compile.h"
#include "runtime/session.h"

typedef struct CompareOptions {
    int level;                          /* of the plan */
    FusionSet fusions;
    const char *weights;                /* a rule of passes/weight_types.h; NULL: f32 */
    DType precision, cache;
    int n_threads;
    const char *cpu;                    /* NULL: the best */
    int64_t batch, sequence;            /* sizes compiled for and run at */
    int64_t run_batch, run_sequence;    /* run at these smaller ones instead; 0: as compiled */
    int64_t past;                       /* positions in the cache before */
    uint64_t seed;                      /* of weights and inputs */
} CompareOptions;

/* Every output, and every storage after the run, within the bound of noise.h?  False with the tensor
 * that is farthest out. */
bool compare_program(const Graph *model, Program program, const CompareOptions *options,
                     Difference *difference);

/* A model of `path` with defines, or a failed test with the diagnostics. */
Graph *compare_read(const char *path, const char *const *defines, uint32_t n_defines, Arena *arena);

#endif
