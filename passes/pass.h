/* Passes: each turns a graph into a better or a more explicit one.
 *
 * A pass is one function in one file.  It may replace *g (see ir/build.h) or annotate it in place.
 * It returns false after reporting author's mistakes to the context's sink; whatever else goes wrong
 * inside is a bug of ours.  The driver (passes/run.c) verifies the graph after every row. */
#ifndef PASSES_PASS_H
#define PASSES_PASS_H

#include "ir/graph.h"
#include "passes/fusion_set.h"

/* Told how a search of minutes goes: `tried` of at most `most` choices so far. */
typedef struct SearchWatch {
    void (*tell)(void *arg, Program program, int64_t tried, int64_t most);
    void *arg;
} SearchWatch;

typedef struct PassOptions {
    int level;                          /* 0: only what is needed; 2: everything */
    int64_t batch, sequence, chunk;     /* largest sizes; 0: the pass's default */
    int64_t memory_limit;               /* most bytes of the pool of a program with a backward pass;
                                           0: none is given, INT64_MAX: and nothing is recomputed */
    DType precision;                    /* of products with weights: f32 or bf16 */
    DType cache;                        /* what keys and values are stored in: f32, bf16, q8_0 */
    Program program;                    /* what `specialize` makes of a model */
    FusionSet fusions;
    const SearchWatch *watch;           /* NULL: nobody waits */
} PassOptions;

typedef struct PassContext {
    const PassOptions *options;
    Arena *scratch;                     /* reset by the driver after each pass */
    DiagSink *diags;
} PassContext;

typedef bool PassFn(Graph *g, PassContext *cx);

/* Bits of the programs that a pass runs for. */
#define FOR(p) (1u << PROGRAM_##p)
#define FOR_ALL (FOR(score) | FOR(eval) | FOR(train) | FOR(accumulate) | FOR(apply) | FOR(generate))
#define FOR_INFERENCE (FOR(score) | FOR(eval) | FOR(generate))
#define FOR_TRAINING (FOR(train) | FOR(accumulate) | FOR(apply))

typedef struct PassInfo {
    const char *name;
    unsigned programs;
    int level;                          /* smallest -O that runs it */
    const char *what;                   /* one line for --help and the dumps */
    PassFn *run;
} PassInfo;

/* The rows of passes.def in order; a pass may stand in several. */
extern const PassInfo pass_table[];
extern const int n_passes;

#define PASS(name, programs, level, what) bool pass_##name(Graph *g, PassContext *cx);
#include "passes/passes.def"

#endif
