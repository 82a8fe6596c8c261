/* One order, and for every block a gap between those already placed that are alive with it.
 *
 * Largest first with the smallest gap (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural
 * Net Inference", 2020, "greedy by size"; there with the first gap) meets the bound on most models.
 * The other orders catch some of the rest. */
#include "passes/pool_parts.h"

#include <stdlib.h>
#include <string.h>

const char *pool_order_name(PoolOrder order, PoolFit fit)
{
    static const char *const names[N_POOL_ORDERS][2] = {
        [POOL_BY_SIZE] = { "size, best fit", "size, first fit" },
        [POOL_BY_AREA] = { "size x life, best fit", "size x life, first fit" },
        [POOL_BY_CONTENTION] = { "contention, best fit", "contention, first fit" },
        [POOL_BY_LIFE] = { "life, best fit", "life, first fit" },
        [POOL_BY_BREADTH] = { "breadth, best fit", "breadth, first fit" },
        [POOL_BY_BIRTH] = { "birth, best fit", "birth, first fit" },
    };
    return names[order][fit];
}

/* ---- orders ----------------------------------------------------------------------------------- */

typedef struct Ranked {
    double key;                         /* largest first */
    int64_t bytes, first;
    uint32_t id;
} Ranked;

static int by_rank(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static double key(const PoolProblem *p, PoolOrder order, uint32_t i)
{
    const PoolBlock *b = &p->blocks[i];
    const double life = (double)(b->last - b->first) + 1;
    switch (order) {
    case POOL_BY_SIZE: return (double)b->bytes;
    case POOL_BY_AREA: return (double)b->bytes * life;
    case POOL_BY_CONTENTION: return (double)p->contention[i];
    case POOL_BY_LIFE: return life;
    case POOL_BY_BREADTH: return (double)p->alive[p->first[i]] + (double)p->alive[p->last[i]];
    case POOL_BY_BIRTH: return -(double)b->first;
    case N_POOL_ORDERS: break;
    }
    return 0;
}

/* ---- places ----------------------------------------------------------------------------------- */

/* What is placed, lowest first; its lives beside it, so that the scan stays in one array. */
typedef struct Placed {
    int64_t offset, end;
    uint32_t first, last;               /* sections */
} Placed;

/* The offset of the chosen gap for a block alive in sections [first, last]. */
static int64_t find_gap(const Placed *placed, uint32_t n, int64_t bytes, uint32_t first,
                        uint32_t last, PoolFit fit)
{
    int64_t end = 0, best = -1, best_size = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Placed *other = &placed[i];
        if (other->first > last || first > other->last)
            continue;
        const int64_t gap = other->offset - end;
        if (gap >= bytes && (best < 0 || gap < best_size)) {
            if (fit == POOL_FIRST_FIT)
                return end;
            best = end;
            best_size = gap;
        }
        if (other->end > end)
            end = other->end;
    }
    return best >= 0 ? best : end;
}

static void insert_by_offset(Placed *placed, uint32_t n, Placed item)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (placed[mid].offset <= item.offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(placed + lo + 1, placed + lo, (n - lo) * sizeof *placed);
    placed[lo] = item;
}

int64_t pool_greedy(const PoolProblem *p, PoolOrder order, PoolFit fit, int64_t *offset,
                    Arena *scratch)
{
    Ranked *ranked = arena_array(scratch, p->n, sizeof *ranked);
    Placed *placed = arena_array(scratch, p->n, sizeof *placed);
    int64_t peak = 0;
    for (uint32_t i = 0; i < p->n; i++)
        ranked[i] = (Ranked){ key(p, order, i), p->blocks[i].bytes, p->blocks[i].first, i };
    if (p->n > 0)
        qsort(ranked, p->n, sizeof *ranked, by_rank);
    for (uint32_t i = 0; i < p->n; i++) {
        const uint32_t id = ranked[i].id;
        const int64_t bytes = p->blocks[id].bytes;
        offset[id] = find_gap(placed, i, bytes, p->first[id], p->last[id], fit);
        insert_by_offset(placed, i, (Placed){ offset[id], offset[id] + bytes, p->first[id],
                                              p->last[id] });
        peak = offset[id] + bytes > peak ? offset[id] + bytes : peak;
    }
    return peak;
}
