/* Static allocation: offsets for blocks whose sizes and lifetimes are known, so that blocks alive at
 * the same time do not overlap and the peak is small. */
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

/* Fills the offsets; returns the peak. */
int64_t pool_plan(PoolBlock *blocks, uint32_t n, Arena *scratch);

/* Independent of the planner: no two blocks alive together overlap, none passes `peak`.  On false the
 * pair at fault is in *a and *b (equal: the block passes the peak). */
bool pool_check(const PoolBlock *blocks, uint32_t n, int64_t peak, Arena *scratch, uint32_t *a,
                uint32_t *b);

#endif
