/* Largest first, best fit: blocks are placed by size, each in the smallest gap between those alive
 * at the same time that holds it (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
 * Inference", 2020, "greedy by size"; with the best gap instead of the first). */
#include "passes/pool_plan.h"

#include <stdlib.h>
#include <string.h>

/* ---- the bound -------------------------------------------------------------------------------- */

typedef struct PoolEvent {
    int64_t time;
    int64_t bytes;                      /* negative at the end of a life */
} PoolEvent;

static int by_time(const void *a, const void *b)
{
    const PoolEvent *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);   /* ends before beginnings */
}

int64_t pool_bound(const PoolBlock *blocks, uint32_t n, Arena *scratch)
{
    PoolEvent *events = arena_array(scratch, 2 * (size_t)n, sizeof *events);
    for (uint32_t i = 0; i < n; i++) {
        events[2 * i] = (PoolEvent){ blocks[i].first, blocks[i].bytes };
        events[2 * i + 1] = (PoolEvent){ blocks[i].last + 1, -blocks[i].bytes };
    }
    qsort(events, 2 * (size_t)n, sizeof *events, by_time);
    int64_t live = 0, most = 0;
    for (uint32_t i = 0; i < 2 * n; i++) {
        live += events[i].bytes;
        most = live > most ? live : most;
    }
    return most;
}

/* ---- the plan --------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b, void *blocks)
{
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const PoolBlock *x = (const PoolBlock *)blocks + i, *y = (const PoolBlock *)blocks + j;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (i > j) - (i < j);
}

static bool alive_together(const PoolBlock *a, const PoolBlock *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The offset of the smallest gap that holds `block` among `placed`, sorted by offset. */
static int64_t best_gap(const PoolBlock *blocks, const uint32_t *placed, uint32_t n,
                        const PoolBlock *block)
{
    int64_t end = 0, best = -1, best_size = 0;
    for (uint32_t i = 0; i < n; i++) {
        const PoolBlock *other = &blocks[placed[i]];
        if (!alive_together(block, other))
            continue;
        const int64_t gap = other->offset - end;
        if (gap >= block->bytes && (best < 0 || gap < best_size)) {
            best = end;
            best_size = gap;
        }
        if (other->offset + other->bytes > end)
            end = other->offset + other->bytes;
    }
    return best >= 0 ? best : end;
}

static void insert_by_offset(const PoolBlock *blocks, uint32_t *placed, uint32_t n, uint32_t id)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (blocks[placed[mid]].offset <= blocks[id].offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(placed + lo + 1, placed + lo, (n - lo) * sizeof *placed);
    placed[lo] = id;
}

int64_t pool_plan(PoolBlock *blocks, uint32_t n, Arena *scratch)
{
    uint32_t *order = arena_array(scratch, n, sizeof *order);
    uint32_t *placed = arena_array(scratch, n, sizeof *placed);
    int64_t peak = 0;
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, n, sizeof *order, by_size, blocks);
    for (uint32_t i = 0; i < n; i++) {
        PoolBlock *b = &blocks[order[i]];
        b->offset = best_gap(blocks, placed, i, b);
        insert_by_offset(blocks, placed, i, order[i]);
        peak = b->offset + b->bytes > peak ? b->offset + b->bytes : peak;
    }
    return peak;
}

/* ---- the check -------------------------------------------------------------------------------- */

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
