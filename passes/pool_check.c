/* Is a plan sound?  Blocks in order of birth, each against those still alive; the planner's tables and
 * sections are not used, so a mistake in them shows here. */
#include "passes/pool_plan.h"

#include <stdlib.h>

static int by_first(const void *a, const void *b, void *blocks)
{
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const int64_t x = ((const PoolBlock *)blocks)[i].first, y = ((const PoolBlock *)blocks)[j].first;
    return x != y ? (x < y ? -1 : 1) : (i > j) - (i < j);
}

bool pool_check(const PoolBlock *blocks, uint32_t n, int64_t peak, Arena *scratch, uint32_t *a,
                uint32_t *b)
{
    uint32_t *order = arena_array(scratch, n, sizeof *order);
    uint32_t *alive = arena_array(scratch, n, sizeof *alive), n_alive = 0;
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, n, sizeof *order, by_first, (void *)(uintptr_t)blocks);
    for (uint32_t i = 0; i < n; i++) {
        const PoolBlock *x = &blocks[order[i]];
        uint32_t kept = 0;
        *a = *b = order[i];
        if (x->offset < 0 || x->bytes > peak || x->offset > peak - x->bytes)
            return false;
        for (uint32_t k = 0; k < n_alive; k++) {
            const PoolBlock *y = &blocks[alive[k]];
            if (y->last < x->first)
                continue;
            alive[kept++] = alive[k];
            *b = alive[k];
            if (x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes)
                return false;
        }
        n_alive = kept;
        alive[n_alive++] = order[i];
    }
    return true;
}
