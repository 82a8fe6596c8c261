/* Offsets of buffers in the TensorPool.
 *
 * needs  place
 * keeps  everything; sets Buffer.offset, Graph.pool_bytes and Graph.pool_bound
 *
 * The planner's result is checked here by pool_check, and again with the whole graph by the
 * verifier; neither knows how it was planned. */
#include "passes/pool.h"

#include "passes/pass.h"
#include "passes/pool_plan.h"

#include "base/check.h"

static PoolBlock *blocks_of(const Graph *g, uint32_t *n, Arena *scratch)
{
    PoolBlock *blocks = arena_array(scratch, g->n_buffers, sizeof *blocks);
    *n = 0;
    for (BufferId i = 0; i < g->n_buffers; i++) {
        const Buffer *buffer = &g->buffers[i];
        if (buffer->storage == NO_STORAGE)
            blocks[(*n)++] = (PoolBlock){ .bytes = buffer->bytes, .first = buffer->first,
                                          .last = buffer->last };
    }
    return blocks;
}

int64_t pool_graph_bound(const Graph *g, Arena *scratch)
{
    uint32_t n;
    const PoolBlock *blocks = blocks_of(g, &n, scratch);
    return pool_bound(blocks, n, scratch);
}

/* Aims at the bound, and where that is missed and `capacity` too, at the capacity. */
static int64_t plan_within(PoolBlock *blocks, uint32_t n, int64_t capacity, Arena *scratch)
{
    int64_t peak = pool_plan(blocks, n, 0, scratch);
    if (peak > capacity && capacity >= pool_bound(blocks, n, scratch))
        peak = pool_plan(blocks, n, capacity, scratch);
    return peak;
}

bool pool_graph_fits(const Graph *g, int64_t capacity, bool thorough, Arena *scratch)
{
    uint32_t n;
    PoolBlock *blocks = blocks_of(g, &n, scratch);
    if (pool_bound(blocks, n, scratch) > capacity)
        return false;
    if (thorough)
        return plan_within(blocks, n, capacity, scratch) <= capacity;
    return pool_solve(blocks, n, (PoolGoal){ capacity, 0 }, scratch).peak <= capacity;
}

bool pass_pool(Graph *g, PassContext *cx)
{
    const int64_t limit = cx->options->memory_limit;
    uint32_t n, a, b;
    PoolBlock *blocks = blocks_of(g, &n, cx->scratch);
    g->pool_bound = pool_bound(blocks, n, cx->scratch);
    g->pool_bytes = plan_within(blocks, n, limit > 0 ? limit : INT64_MAX, cx->scratch);
    bool sound = pool_check(blocks, n, g->pool_bytes, cx->scratch, &a, &b);
    CHECK(sound, "blocks %u and %u overlap in the pool", a, b);
    n = 0;
    for (BufferId i = 0; i < g->n_buffers; i++)
        if (g->buffers[i].storage == NO_STORAGE)
            g->buffers[i].offset = blocks[n++].offset;
    return true;
}
