/* The way through: greedy orders until one meets the goal; else the search, first at the goal itself,
 * then at capacities between what is impossible (or was too hard) and the best plan so far. */
#include "passes/pool_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_EVERY_ORDER = 8192,             /* blocks; beyond it one has to do, since orders are quadratic */
    COMPILE_STEPS = 80000000,           /* some 0.1 s, spent only when no order is good enough */
};

/* ---- sections --------------------------------------------------------------------------------- */

typedef struct Event {
    int64_t time;
    uint32_t block;
    bool death;
} Event;

/* Deaths before births: the event of a death stands at last + 1. */
static int by_time(const void *a, const void *b)
{
    const Event *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->death != y->death)
        return x->death ? -1 : 1;
    return (x->block > y->block) - (x->block < y->block);
}

/* Bytes alive per section, from differences at its borders; then the most of them per block. */
static void measure(PoolProblem *p, Arena *scratch)
{
    int64_t live = 0, *change = arena_array(scratch, (size_t)p->n_sections + 1, sizeof *change);
    for (uint32_t i = 0; i < p->n; i++) {
        change[p->first[i]] += p->blocks[i].bytes;
        change[p->last[i] + 1] -= p->blocks[i].bytes;
    }
    for (uint32_t s = 0; s < p->n_sections; s++)
        p->alive[s] = live += change[s];
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t s = p->first[i]; s <= p->last[i]; s++)
            if (p->alive[s] > p->contention[i])
                p->contention[i] = p->alive[s];
}

PoolProblem pool_problem(const PoolBlock *blocks, uint32_t n, Arena *scratch)
{
    PoolProblem p = { .blocks = blocks, .n = n };
    const size_t n_events = 2 * (size_t)n;
    Event *events = arena_array(scratch, n_events, sizeof *events);
    bool born = false;                  /* since the section began */
    p.first = arena_array(scratch, n, sizeof *p.first);
    p.last = arena_array(scratch, n, sizeof *p.last);
    p.alive = arena_array(scratch, n, sizeof *p.alive);
    p.contention = arena_array(scratch, n, sizeof *p.contention);
    for (uint32_t i = 0; i < n; i++) {
        events[2 * (size_t)i] = (Event){ blocks[i].first, i, false };
        events[2 * (size_t)i + 1] = (Event){ blocks[i].last + 1, i, true };
    }
    if (n > 0)
        qsort(events, n_events, sizeof *events, by_time);
    for (size_t i = 0; i < n_events; i++) {
        const Event *e = &events[i];
        if (!e->death) {
            p.first[e->block] = p.n_sections;
            born = true;
            continue;
        }
        p.n_sections += born;           /* the set was largest just before the first death */
        born = false;
        p.last[e->block] = p.n_sections - 1;
    }
    measure(&p, scratch);
    return p;
}

static int64_t most_alive(const PoolProblem *p)
{
    int64_t most = 0;
    for (uint32_t s = 0; s < p->n_sections; s++)
        most = p->alive[s] > most ? p->alive[s] : most;
    return most;
}

int64_t pool_bound(const PoolBlock *blocks, uint32_t n, Arena *scratch)
{
    const PoolProblem p = pool_problem(blocks, n, scratch);
    return most_alive(&p);
}

/* ---- the way through -------------------------------------------------------------------------- */

typedef struct Plans {
    const PoolProblem *p;
    PoolResult *best;
    int64_t *offset, *trial;            /* of the best plan; of the one being tried */
} Plans;

static void keep_if_lower(Plans *plans, int64_t peak, const char *method)
{
    if (plans->best->method && peak >= plans->best->peak)
        return;
    plans->best->peak = peak;
    plans->best->method = method;
    memcpy(plans->offset, plans->trial, plans->p->n * sizeof *plans->offset);
}

static void try_orders(Plans *plans, int64_t goal, Arena *scratch)
{
    for (PoolOrder order = POOL_BY_SIZE; order < N_POOL_ORDERS; order++)
        for (PoolFit fit = POOL_BEST_FIT; fit <= POOL_FIRST_FIT; fit++) {
            const int64_t peak = pool_greedy(plans->p, order, fit, plans->trial, scratch);
            keep_if_lower(plans, peak, pool_order_name(order, fit));
            if (plans->best->peak <= goal || plans->p->n > MAX_EVERY_ORDER)
                return;
        }
}

static int64_t peak_of(const Plans *plans)
{
    int64_t peak = 0;
    for (uint32_t i = 0; i < plans->p->n; i++) {
        const int64_t end = plans->trial[i] + plans->p->blocks[i].bytes;
        peak = end > peak ? end : peak;
    }
    return peak;
}

/* Half the steps go to the goal, where they are worth most; the other half to a bisection of what
 * lies between, each probe with an eighth of all. */
static void try_search(Plans *plans, PoolGoal goal, Arena *scratch)
{
    PoolResult *best = plans->best;
    PoolSearch *search = pool_search_new(plans->p, scratch);
    int64_t below = goal.capacity - 1, target = goal.capacity;  /* below: refuted or too hard */
    uint64_t left = goal.steps, share = goal.steps / 2;
    while (best->peak > goal.capacity && best->peak - below > 1 && left > 0) {
        uint64_t steps = share < left ? share : left;
        left -= steps;
        const PoolAnswer answer = pool_search(search, target, &steps, plans->trial);
        left += steps;
        if (answer == POOL_SOLVED)
            keep_if_lower(plans, peak_of(plans), "search");
        else
            below = target;
        if (answer == POOL_REFUTED)
            best->refuted = target;
        share = goal.steps / 8 + 1;
        target = below + (best->peak - below) / 2;
    }
    best->steps = goal.steps - left;
}

PoolResult pool_solve(PoolBlock *blocks, uint32_t n, PoolGoal goal, Arena *scratch)
{
    const PoolProblem p = pool_problem(blocks, n, scratch);
    PoolResult best = { .bound = most_alive(&p) };
    Plans plans = { .p = &p, .best = &best };
    plans.offset = arena_array(scratch, n, sizeof *plans.offset);
    plans.trial = arena_array(scratch, n, sizeof *plans.trial);
    best.refuted = best.bound - 1;
    if (goal.capacity < best.bound)
        goal.capacity = best.bound;
    try_orders(&plans, goal.capacity, scratch);
    if (best.peak > goal.capacity && goal.steps > 0 && n <= MAX_POOL_SEARCH)
        try_search(&plans, goal, scratch);
    for (uint32_t i = 0; i < n; i++)
        blocks[i].offset = plans.offset[i];
    return best;
}

int64_t pool_plan(PoolBlock *blocks, uint32_t n, int64_t capacity, Arena *scratch)
{
    const PoolGoal goal = { .capacity = capacity, .steps = COMPILE_STEPS };
    return pool_solve(blocks, n, goal, scratch).peak;
}
