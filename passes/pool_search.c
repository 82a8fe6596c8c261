/* Can a capacity be met?  A systematic search, restarted under other orders until one of them answers.
 *
 * Any plan can be settled: let every block sink until it rests on 0 or on another.  Blocks of a settled
 * plan, taken by (offset, rank), each rest on what was taken before, so their offset is known when
 * their turn comes: the top of the blocks beneath, `low`.  The search takes blocks in that order.
 * What keeps it small:
 *
 *   passed   a block whose (low, rank) lies before the last one taken cannot rest at its low any more:
 *            it will lie above.
 *   floors   in a section, what is left lies above the lowest floor among it; if the bytes left do
 *            not fit between that and the capacity, nothing below this point can succeed.
 *   gaps     a block is not taken at or above the top that another block could reach where it is now:
 *            that one could sink beneath it later, so a settled plan would have taken it first.
 *   parts    sections that no block left connects are searched apart, each only once.
 *
 * (Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine Learning",
 * 2023, describes canonical plans and inference on sections.)
 *
 * Which of the blocks that could be next is tried first decides between a thousand nodes and for ever,
 * so the search gives up early and starts again with ranks shaken by chance, a little more patient
 * each time.  A run that ends without giving up has seen everything: the capacity is refuted. */
#include "passes/pool_parts.h"

#include "base/check.h"
#include "base/random.h"

#include <stdlib.h>

typedef struct Item {
    int64_t bytes;
    int64_t low;                        /* top of what was taken beneath it */
    int64_t floor;                      /* it will not lie lower; of the node at hand */
    int64_t offset;                     /* once taken */
    uint32_t first, last;               /* sections */
    uint32_t rank;
} Item;

typedef struct Section {
    int64_t left;                       /* bytes not taken */
    uint32_t crossing;                  /* items left that live on in the next section */
    uint32_t next;                      /* of those not yet given a floor, the next; may be itself */
} Section;

typedef struct Raised {
    uint32_t item;
    int64_t low;                        /* before */
} Raised;

typedef struct Ranked {
    double key[3];                      /* largest first, one after another */
    uint32_t id;
} Ranked;

struct PoolSearch {
    const PoolProblem *problem;
    Item *items;
    Section *sections;
    Raised *trail;                      /* every low raised on the way from the root, to undo */
    uint32_t *lists;                    /* lists of items left, one upon another */
    uint32_t *taken;                    /* items taken on the way from the root */
    size_t n_trail, n_lists, n_taken;
    int64_t capacity;
    uint32_t *todo;                     /* the list at the root */
    Ranked *ranked;
    uint64_t steps, limit;
};

/* The last item taken. */
typedef struct Key {
    int64_t offset;
    uint32_t rank;
} Key;

/* A part of the problem: the items left that live in sections [first, end). */
typedef struct Part {
    uint32_t *todo;
    uint32_t n, first, end;
} Part;

static PoolAnswer search_part(PoolSearch *s, Part part, Key after);

/* ---- inference -------------------------------------------------------------------------------- */

static bool passed(const Item *x, Key after)
{
    return x->low < after.offset || (x->low == after.offset && x->rank <= after.rank);
}

static bool before(const Item *x, const Item *y)
{
    return x->floor != y->floor ? x->floor < y->floor : x->rank < y->rank;
}

/* Sorted by floor, then rank.  By insertion: the list comes nearly sorted from the node above. */
static void sort_by_floor(PoolSearch *s, Part part, Key after)
{
    for (uint32_t i = 0; i < part.n; i++) {
        const uint32_t id = part.todo[i];
        Item *x = &s->items[id];
        uint32_t at = i;
        x->floor = passed(x, after) ? after.offset + 1 : x->low;
        for (; at > 0 && before(x, &s->items[part.todo[at - 1]]); at--)
            part.todo[at] = part.todo[at - 1];
        part.todo[at] = id;
        s->steps += 1 + i - at;
    }
}

/* The first section from `at` on that has no floor yet. */
static uint32_t without_floor(Section *sections, uint32_t at)
{
    while (sections[at].next != at)
        at = sections[at].next = sections[sections[at].next].next;
    return at;
}

/* Items by floor: the first to reach a section is the lowest in it. */
static bool floors_leave_room(PoolSearch *s, Part part)
{
    for (uint32_t i = part.first; i <= part.end; i++)
        s->sections[i].next = i;
    for (uint32_t i = 0; i < part.n; i++) {
        const Item *x = &s->items[part.todo[i]];
        uint32_t at = without_floor(s->sections, x->first);
        for (; at <= x->last; at = without_floor(s->sections, at)) {
            s->steps++;
            if (x->floor + s->sections[at].left > s->capacity)
                return false;
            s->sections[at].next = at + 1;
        }
    }
    return true;
}

/* ---- taking and putting back ------------------------------------------------------------------ */

/* Takes an item at its low; what is left goes to rest[n - 1].  False when some item there cannot fit
 * any more.  *split: some section has lost its last tie to the next. */
static bool take(PoolSearch *s, Part part, uint32_t id, uint32_t *rest, bool *split)
{
    Item *x = &s->items[id];
    const int64_t top = x->low + x->bytes;
    bool fits = top <= s->capacity;
    uint32_t n = 0;
    x->offset = x->low;
    s->taken[s->n_taken++] = id;
    for (uint32_t i = 0; i < part.n; i++) {
        Item *y = &s->items[part.todo[i]];
        if (y == x)
            continue;
        rest[n++] = part.todo[i];
        if (y->low < top && y->first <= x->last && x->first <= y->last) {
            s->trail[s->n_trail++] = (Raised){ part.todo[i], y->low };
            y->low = top;
            fits = fits && top + y->bytes <= s->capacity;
        }
    }
    *split = false;
    for (uint32_t at = x->first; at <= x->last; at++) {
        s->sections[at].left -= x->bytes;
        if (at < x->last && --s->sections[at].crossing == 0)
            *split = true;
    }
    s->steps += part.n;
    return fits;
}

static void put_back_one(PoolSearch *s, const Item *x)
{
    for (uint32_t at = x->first; at <= x->last; at++) {
        s->sections[at].left += x->bytes;
        s->sections[at].crossing += at < x->last;
    }
}

/* Everything taken and raised since the marks: the item of this node, and those of parts below it that
 * had been solved before another part was refuted. */
static void put_back(PoolSearch *s, size_t taken, size_t raised)
{
    while (s->n_taken > taken)
        put_back_one(s, &s->items[s->taken[--s->n_taken]]);
    while (s->n_trail > raised) {
        const Raised *r = &s->trail[--s->n_trail];
        s->items[r->item].low = r->low;
    }
}

/* ---- the tree --------------------------------------------------------------------------------- */

/* Each connected run of sections by itself; all must succeed. */
static PoolAnswer search_runs(PoolSearch *s, Part all, Key after)
{
    PoolAnswer answer = POOL_SOLVED;
    uint32_t *todo = s->lists + s->n_lists;
    s->n_lists += all.n;
    for (uint32_t first = all.first, end; first < all.end && answer == POOL_SOLVED; first = end) {
        Part run = { .todo = todo, .first = first };
        for (end = first + 1; end < all.end && s->sections[end - 1].crossing > 0; end++)
            continue;
        run.end = end;
        for (uint32_t i = 0; i < all.n; i++) {
            const Item *x = &s->items[all.todo[i]];
            if (x->first >= first && x->first < end)
                run.todo[run.n++] = all.todo[i];
        }
        if (run.n > 0)
            answer = search_part(s, run, after);
    }
    s->n_lists -= all.n;
    return answer;
}

static int64_t lowest_top(const PoolSearch *s, Part part)
{
    int64_t lowest = INT64_MAX;
    for (uint32_t i = 0; i < part.n; i++) {
        const Item *x = &s->items[part.todo[i]];
        lowest = x->low + x->bytes < lowest ? x->low + x->bytes : lowest;
    }
    return lowest;
}

/* Tries every item that could be next; the part is sorted by floor. */
static PoolAnswer try_items(PoolSearch *s, Part part, Key after)
{
    const int64_t limit = lowest_top(s, part);
    Part rest = { s->lists + s->n_lists, part.n - 1, part.first, part.end };
    s->n_lists += rest.n;
    PoolAnswer answer = POOL_REFUTED;
    for (uint32_t i = 0; i < part.n && answer == POOL_REFUTED; i++) {
        const uint32_t id = part.todo[i];
        const Item *x = &s->items[id];
        const size_t taken = s->n_taken, raised = s->n_trail;
        bool split;
        if (passed(x, after))
            continue;
        if (x->low >= limit)
            break;
        const Key key = { x->low, x->rank };
        if (take(s, part, id, rest.todo, &split))
            answer = split ? search_runs(s, rest, key) : search_part(s, rest, key);
        if (answer == POOL_REFUTED)
            put_back(s, taken, raised);
    }
    s->n_lists -= rest.n;
    return answer;
}

static PoolAnswer search_part(PoolSearch *s, Part part, Key after)
{
    s->steps += part.n + (part.end - part.first);
    if (part.n == 1) {
        Item *x = &s->items[part.todo[0]];
        x->offset = x->low;
        return x->low + x->bytes <= s->capacity ? POOL_SOLVED : POOL_REFUTED;
    }
    if (s->steps > s->limit)
        return POOL_OUT_OF_STEPS;
    sort_by_floor(s, part, after);
    return floors_leave_room(s, part) ? try_items(s, part, after) : POOL_REFUTED;
}

/* ---- ranks and restarts ----------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    for (int i = 0; i < 3; i++)
        if (x->key[i] != y->key[i])
            return x->key[i] > y->key[i] ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

typedef enum RankBy { BY_CONTENTION, BY_LIFE, BY_AREA } RankBy;

/* What a run ranks by, and how hard it shakes lives and areas.  Blocks of the most crowded sections
 * first, then long lives, finds most plans and gets every other run; the rest are there for what it misses. */
static const struct { RankBy by[3]; double shake; } styles[] = {
    { { BY_CONTENTION, BY_LIFE, BY_AREA }, 0.4 },
    { { BY_LIFE, BY_AREA, BY_CONTENTION }, 1.0 },
    { { BY_CONTENTION, BY_LIFE, BY_AREA }, 1.0 },
    { { BY_CONTENTION, BY_AREA, BY_LIFE }, 0.7 },
};

static void rank_items(PoolSearch *s, uint32_t run)
{
    const PoolProblem *p = s->problem;
    Ranked *ranked = s->ranked;
    const size_t style = run % 2 ? 1 + run / 2 % (COUNT_OF(styles) - 1) : 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const PoolBlock *b = &p->blocks[i];
        const double factor = 1 + styles[style].shake * (random_uniform(1, run, i) - 0.5);
        const double life = factor * ((double)(b->last - b->first) + 1);
        const double keys[] = { [BY_CONTENTION] = (double)p->contention[i], [BY_LIFE] = life,
                                [BY_AREA] = life * (double)b->bytes };
        ranked[i].id = i;
        for (int k = 0; k < 3; k++)
            ranked[i].key[k] = keys[styles[style].by[k]];
    }
    qsort(ranked, p->n, sizeof *ranked, by_key);
    for (uint32_t i = 0; i < p->n; i++)
        s->items[ranked[i].id].rank = i + 1;
}

/* Everything left to take.  Blocks of no bytes lie at 0 and take no part. */
static Part begin(PoolSearch *s)
{
    const PoolProblem *p = s->problem;
    Part all = { .todo = s->todo, .end = p->n_sections };
    s->n_trail = s->n_lists = s->n_taken = 0;
    for (uint32_t at = 0; at < p->n_sections; at++)
        s->sections[at] = (Section){ .left = p->alive[at] };
    for (uint32_t i = 0; i < p->n; i++) {
        Item *x = &s->items[i];
        *x = (Item){ .bytes = p->blocks[i].bytes, .first = p->first[i], .last = p->last[i] };
        if (x->bytes == 0)
            continue;
        all.todo[all.n++] = i;
        for (uint32_t at = x->first; at < x->last; at++)
            s->sections[at].crossing++;
    }
    return all;
}

PoolSearch *pool_search_new(const PoolProblem *p, Arena *arena)
{
    const size_t n = p->n;
    PoolSearch *s = arena_alloc(arena, sizeof *s);
    s->problem = p;
    s->items = arena_array(arena, n, sizeof *s->items);
    s->sections = arena_array(arena, (size_t)p->n_sections + 1, sizeof *s->sections);
    /* A node that took the k-th item holds a list of what is left, its parts another such list, and
     * has raised no more than that many. */
    s->trail = arena_array(arena, n * (n + 1) / 2, sizeof *s->trail);
    s->lists = arena_array(arena, n * (n + 1), sizeof *s->lists);
    s->taken = arena_array(arena, n, sizeof *s->taken);
    s->todo = arena_array(arena, n, sizeof *s->todo);
    s->ranked = arena_array(arena, n, sizeof *s->ranked);
    return s;
}

PoolAnswer pool_search(PoolSearch *s, int64_t capacity, uint64_t *steps, int64_t *offset)
{
    enum { PATIENCE = 300000 };         /* steps of the first runs */
    PoolAnswer answer = POOL_OUT_OF_STEPS;
    s->capacity = capacity;
    for (uint32_t run = 0; answer == POOL_OUT_OF_STEPS && *steps > 0; run++) {
        const uint64_t patience = PATIENCE * (uint64_t)(1 + run / 6);
        const Part all = begin(s);
        rank_items(s, run);
        s->steps = 0;
        s->limit = patience < *steps ? patience : *steps;
        answer = search_runs(s, all, (Key){ -1, 0 });
        *steps -= s->steps < *steps ? s->steps : *steps;
    }
    for (uint32_t i = 0; i < s->problem->n && answer == POOL_SOLVED; i++)
        offset[i] = s->items[i].offset;
    return answer;
}
