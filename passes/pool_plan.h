/* Static allocation: offsets for blocks whose sizes and lifetimes are known, so that blocks alive at
 * the same time do not overlap and the peak is small.
 *
 *     pool_plan.c    the way through: orders tried in turn, and the search when they fall short
 *     pool_greedy.c  one order, one gap a block: fast, and at the bound for most models
 *     pool_search.c  can a given capacity be met?  Systematic, and so also able to say no
 *     pool_check.c   is a plan sound?  Knows nothing of how it was made
 *
 * Work is counted in steps, not in time, and every random choice has a fixed seed: the same problem
 * has the same plan on every machine.  All sizes of a problem together are at most INT64_MAX / 4, and
 * times lie within +- INT64_MAX / 4: the caller's duty. */
#ifndef PASSES_POOL_PLAN_H
#define PASSES_POOL_PLAN_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct PoolBlock {
    int64_t bytes;                      /* >= 0 */
    int64_t first, last;                /* alive from first to last, both included */
    int64_t offset;                     /* filled by the planner */
} PoolBlock;

/* The most bytes alive at one time: no plan can have a lower peak. */
int64_t pool_bound(const PoolBlock *blocks, uint32_t n, Arena *scratch);

/* What is asked for. */
typedef struct PoolGoal {
    int64_t capacity;                   /* a peak that is good enough; below the bound: the bound */
    uint64_t steps;                     /* for the search; some 5e8 take a second */
} PoolGoal;

/* What was found. */
typedef struct PoolResult {
    int64_t peak, bound;
    uint64_t steps;                     /* of the search; 0: an order alone was enough */
    int64_t refuted;                    /* no plan has a peak of this or less; >= bound - 1 */
    const char *method;                 /* the order, or "search" */
} PoolResult;

/* Fills the offsets. */
PoolResult pool_solve(PoolBlock *blocks, uint32_t n, PoolGoal goal, Arena *scratch);

/* pool_solve for a compilation, with a little work: the first plan that is found of at most `capacity`
 * bytes (the bound, where that is more), else the best.  Returns the peak. */
int64_t pool_plan(PoolBlock *blocks, uint32_t n, int64_t capacity, Arena *scratch);

/* Independent of the planner: no two blocks alive together overlap, none passes `peak`.  On false the
 * pair at fault is in *a and *b (equal: the block passes the peak). */
bool pool_check(const PoolBlock *blocks, uint32_t n, int64_t peak, Arena *scratch, uint32_t *a,
                uint32_t *b);

#endif
