/* Offsets of buffers in the TensorPool.
 *
 * needs  place
 * keeps  everything; sets Buffer.offset, Graph.pool_bytes and Graph.pool_bound
 *
 * The planner's result is checked here by pool_check, and again with the whole graph by the
 * verifier; neither knows how it was planned. */
#include "passes/pass.h"
#include "passes/pool_plan.h"

#include "base/check.h"

bool pass_pool(Graph *g, PassContext *cx)
{
    PoolBlock *blocks = arena_array(cx->scratch, g->n_buffers, sizeof *blocks);
    uint32_t n = 0, a, b;
    for (BufferId i = 0; i < g->n_buffers; i++) {
        const Buffer *buffer = &g->buffers[i];
        if (buffer->storage == NO_STORAGE)
            blocks[n++] = (PoolBlock){ .bytes = buffer->bytes, .first = buffer->first,
                                       .last = buffer->last };
    }
    g->pool_bytes = pool_plan(blocks, n, cx->scratch);
    g->pool_bound = pool_bound(blocks, n, cx->scratch);
    bool sound = pool_check(blocks, n, g->pool_bytes, cx->scratch, &a, &b);
    CHECK(sound, "blocks %u and %u overlap in the pool", a, b);
    n = 0;
    for (BufferId i = 0; i < g->n_buffers; i++)
        if (g->buffers[i].storage == NO_STORAGE)
            g->buffers[i].offset = blocks[n++].offset;
    return true;
}
