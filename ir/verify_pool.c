/* The pool: buffers that live at the same time have bytes of their own.
 *
 * A sweep over time keeps the live buffers sorted by offset, so each is compared with its two
 * neighbours only. */
#include "ir/verify_rule.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

typedef struct Event {
    NodeId time;
    BufferId buffer;
    bool begins;
} Event;

/* At one time ends come first: an event of an end stands at the node after the last. */
static int compare_events(const void *a, const void *b)
{
    const Event *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->begins != y->begins)
        return x->begins ? 1 : -1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

typedef struct Live {
    const Graph *g;
    BufferId *by_offset;
    uint32_t n;
} Live;

/* Where a buffer at `offset` stands or would stand. */
static uint32_t find_offset(const Live *live, int64_t offset)
{
    uint32_t low = 0, high = live->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (live->g->buffers[live->by_offset[middle]].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool collide(const Verify *v, BufferId below, BufferId above)
{
    const Buffer *a = &v->g->buffers[below], *b = &v->g->buffers[above];
    if (b->offset >= a->offset + a->bytes)
        return true;
    return error_set(v->err, "b%u (at %lld, %lld bytes) and b%u (at %lld, %lld bytes) overlap in "
                     "the pool while both live", below, (long long)a->offset, (long long)a->bytes,
                     above, (long long)b->offset, (long long)b->bytes);
}

static bool begin(const Verify *v, Live *live, BufferId b)
{
    uint32_t at = find_offset(live, v->g->buffers[b].offset);
    if (at > 0 && !collide(v, live->by_offset[at - 1], b))
        return false;
    if (at < live->n && !collide(v, b, live->by_offset[at]))
        return false;
    memmove(live->by_offset + at + 1, live->by_offset + at,
            (live->n - at) * sizeof *live->by_offset);
    live->by_offset[at] = b;
    live->n++;
    return true;
}

static void end(const Verify *v, Live *live, BufferId b)
{
    uint32_t at = find_offset(live, v->g->buffers[b].offset);
    CHECK(at < live->n && live->by_offset[at] == b, "b%u is not among the live", b);
    live->n--;
    memmove(live->by_offset + at, live->by_offset + at + 1,
            (live->n - at) * sizeof *live->by_offset);
}

/* A buffer that takes part: in the pool, with bytes and a life. */
static bool takes_part(const Graph *g, BufferId b, NodeId first)
{
    return g->buffers[b].storage == NO_STORAGE && g->buffers[b].bytes > 0 && first != NO_NODE;
}

static bool verify_inside(const Verify *v, BufferId b)
{
    const Buffer *buffer = &v->g->buffers[b];
    int64_t top;
    if (buffer->offset < 0 || buffer->offset % 64 != 0)
        return error_set(v->err, "b%u: %lld is no offset in the pool", b,
                         (long long)buffer->offset);
    if (!i64_add(buffer->offset, buffer->bytes, &top) || top > v->g->pool_bytes)
        return error_set(v->err, "b%u: ends behind the pool's %lld bytes", b,
                         (long long)v->g->pool_bytes);
    return true;
}

bool verify_pool(const Verify *v, const NodeId *first, const NodeId *last)
{
    const Graph *g = v->g;
    Event *events = arena_array(v->scratch, 2 * (size_t)g->n_buffers, sizeof *events);
    size_t n = 0;
    for (BufferId b = 0; b < g->n_buffers; b++) {
        if (!takes_part(g, b, first[b]))
            continue;
        if (!verify_inside(v, b))
            return false;
        events[n++] = (Event){ first[b], b, true };
        events[n++] = (Event){ last[b] + 1, b, false };
    }
    if (n)
        qsort(events, n, sizeof *events, compare_events);
    Live live = { .g = g, .by_offset = arena_array(v->scratch, g->n_buffers, sizeof(BufferId)) };
    for (size_t i = 0; i < n; i++) {
        if (!events[i].begins)
            end(v, &live, events[i].buffer);
        else if (!begin(v, &live, events[i].buffer))
            return false;
    }
    return true;
}
