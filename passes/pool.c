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

bool pool_graph_fits(const Graph *g, int64_t capacity, Arena *scratch)
{
    uint32_t n;
    PoolBlock *blocks = blocks_of(g, &n, scratch);
    return pool_bound(blocks, n, scratch) <= capacity
        && pool_plan(blocks, n, capacity, scratch) <= capacity;
}

/* Aims at the bound, and where that is missed and a limit too, at the limit. */
bool pass_pool(Graph *g, PassContext *cx)
{
    const int64_t limit = cx->options->memory_limit;
    uint32_t n, a, b;
    PoolBlock *blocks = blocks_of(g, &n, cx->scratch);
    g->pool_bound = pool_bound(blocks, n, cx->scratch);
    g->pool_bytes = pool_plan(blocks, n, g->pool_bound, cx->scratch);
    if (limit >= g->pool_bound && g->pool_bytes > limit)
        g->pool_bytes = pool_plan(blocks, n, limit, cx->scratch);
    bool sound = pool_check(blocks, n, g->pool_bytes, cx->scratch, &a, &b);
    CHECK(sound, "blocks %u and %u overlap in the pool", a, b);
    n = 0;
    for (BufferId i = 0; i < g->n_buffers; i++)
        if (g->buffers[i].storage == NO_STORAGE)
            g->buffers[i].offset = blocks[n++].offset;
    return true;
}
