/* The parts of the planner, for one another. */
#ifndef PASSES_POOL_PARTS_H
#define PASSES_POOL_PARTS_H

#include "passes/pool_plan.h"

typedef enum PoolFit { POOL_BEST_FIT, POOL_FIRST_FIT } PoolFit;

/* What comes first in an order, largest first unless said otherwise; ties by size, then birth. */
typedef enum PoolOrder {
    POOL_BY_SIZE,
    POOL_BY_AREA,                       /* size times life */
    POOL_BY_CONTENTION,                 /* the most bytes alive during the block's life */
    POOL_BY_LIFE,
    POOL_BY_BREADTH,                    /* the bytes alive at its births and deaths, summed */
    POOL_BY_BIRTH,                      /* earliest first */
    N_POOL_ORDERS
} PoolOrder;

const char *pool_order_name(PoolOrder order, PoolFit fit);

/* The problem as the parts see it: times replaced by sections, the moments when a set of blocks is
 * alive that no other moment's set contains.  Two blocks meet exactly if they share a section. */
typedef struct PoolProblem {
    const PoolBlock *blocks;
    uint32_t n, n_sections;
    uint32_t *first, *last;             /* of a block: its sections, both included */
    int64_t *alive;                     /* of a section: bytes */
    int64_t *contention;                /* of a block: the most alive in a section of its life */
} PoolProblem;

PoolProblem pool_problem(const PoolBlock *blocks, uint32_t n, Arena *scratch);

/* Offsets into offset[n]; returns the peak. */
int64_t pool_greedy(const PoolProblem *p, PoolOrder order, PoolFit fit, int64_t *offset,
                    Arena *scratch);

typedef enum PoolAnswer {
    POOL_SOLVED,                        /* offset[n] holds a plan within the capacity */
    POOL_REFUTED,                       /* there is none */
    POOL_OUT_OF_STEPS,
} PoolAnswer;

enum { MAX_POOL_SEARCH = 2048 };        /* blocks; the search's memory grows with the square */

/* The search's memory, for any number of capacities: the caller's arena owns it. */
typedef struct PoolSearch PoolSearch;
PoolSearch *pool_search_new(const PoolProblem *p, Arena *arena);

/* Takes at most *steps; what is left of them on return. */
PoolAnswer pool_search(PoolSearch *s, int64_t capacity, uint64_t *steps, int64_t *offset);

#endif
