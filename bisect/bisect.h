/* Where does a compilation go wrong?  The first pass whose result does not mean what it should, the
 * first op for which that is so, and the smallest graph found that shows it.
 *
 *     bisect.c        the walk over the passes, each judged by oracle.h, then the plan
 *     bisect_plan.c   the plan's instructions one at a time, each against the evaluator
 *     bisect_small.c  a graph that is wrong, cut down: delta debugging (Zeller and Hildebrandt 2002)
 *                     over outputs, then ops
 */
#ifndef BISECT_BISECT_H
#define BISECT_BISECT_H

#include "bisect/trial.h"
#include "codegen/compile.h"

typedef struct BisectOptions {
    Program program;
    PassOptions pass;                   /* small sizes: everything is evaluated many times */
    uint64_t seed;                      /* of the numbers */
    const char *cpu;                    /* instruction set of the plan's run; NULL: the best */
} BisectOptions;

typedef struct Bisection {
    bool agrees;
    const char *pass;                   /* of the fault; "plan" when all passes are right */
    char fault[1024];
    const Graph *graph;                 /* before that pass, cut down; with "plan": all passes done */
    NodeId op;                          /* in graph; NO_NODE when no single op is at fault */
    uint32_t n_before;                  /* nodes before it was cut down */
    uint32_t n_passes;                  /* that were judged */
} Bisection;

/* False with diagnostics when the model has no such program.  The graph is `arena`'s. */
bool bisect_program(const Graph *model, const BisectOptions *options, Arena *arena,
                    DiagSink *diags, Bisection *out);

/* The pass that runs now, for the hook of a failed CHECK; NULL outside of passes. */
const char *bisect_running(void);

/* ---- between the files ---- */

/* Runs `pass` on a copy of `before` and judges it at two sizes.  True when it is right; *after, when
 * not NULL, is the result, and *refused is set when the pass reported a mistake of the author's. */
bool bisect_judge(const PassInfo *pass, const Graph *before, const BisectOptions *options,
                  Arena *arena, Graph **after, bool *refused, Difference *difference);

/* A smaller graph for which bisect_judge says no; *op as in Bisection. */
const Graph *bisect_small(const PassInfo *pass, const Graph *before, const BisectOptions *options,
                          Arena *arena, NodeId *op);

/* Lowers a graph that every pass has seen and runs its instructions one at a time.  False with the
 * first whose results are not those of the evaluator, and its node. */
bool bisect_plan(const Graph *g, const BisectOptions *options, Arena *arena, NodeId *op,
                 Difference *difference);

/* The numbers that `g` is run on: its largest sizes, or smaller ones. */
TrialInputs bisect_inputs(const Graph *g, const BisectOptions *options, bool smaller);

#endif
