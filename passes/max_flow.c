/* Dinic's algorithm, without recursion: paths may be as long as the model is deep. */
#include "passes/max_flow.h"

#include <string.h>



Flow flow_begin(uint32_t n_nodes, Arena *arena)
{
    Flow f = { .arena = arena, .n_nodes = n_nodes };
    f.first = arena_array(arena, n_nodes, sizeof *f.first);
    f.level = arena_array(arena, n_nodes, sizeof *f.level);
    f.at = arena_array(arena, n_nodes, sizeof *f.at);
    memset(f.first, 0xff, n_nodes * sizeof *f.first);
    return f;
}

static void add_half(Flow *f, uint32_t from, uint32_t to, int64_t room)
{
    const FlowEdge e = { .to = to, .next = f->first[from], .room = room };
    ARENA_PUSH(f->arena, f->edges, f->n_edges, f->cap_edges, e);
    f->first[from] = f->n_edges - 1;
}

void flow_edge(Flow *f, uint32_t from, uint32_t to, int64_t capacity)
{
    add_half(f, from, to, capacity);
    add_half(f, to, from, 0);
}

bool flow_reaches(const Flow *f, uint32_t node)
{
    return f->level[node] != FLOW_NONE;
}

/* Levels from the source along edges with room; `queue` holds n_nodes. */
static bool find_levels(Flow *f, uint32_t source, uint32_t sink, uint32_t *queue)
{
    uint32_t head = 0, n = 0;
    memset(f->level, 0xff, f->n_nodes * sizeof *f->level);
    f->level[source] = 0;
    queue[n++] = source;
    while (head < n) {
        const uint32_t node = queue[head++];
        for (uint32_t e = f->first[node]; e != FLOW_NONE; e = f->edges[e].next) {
            if (f->edges[e].room == 0 || f->level[f->edges[e].to] != FLOW_NONE)
                continue;
            f->level[f->edges[e].to] = f->level[node] + 1;
            queue[n++] = f->edges[e].to;
        }
    }
    return f->level[sink] != FLOW_NONE;
}

/* Sends what fits along the path of edges; its length up to the first edge that is now full. */
static uint32_t send(Flow *f, const uint32_t *path, uint32_t n, int64_t *sent)
{
    int64_t least = INT64_MAX;
    uint32_t full = 0;
    for (uint32_t i = 0; i < n; i++)
        least = f->edges[path[i]].room < least ? f->edges[path[i]].room : least;
    for (uint32_t i = n; i-- > 0;) {
        f->edges[path[i]].room -= least;
        f->edges[path[i] ^ 1].room += least;
        if (f->edges[path[i]].room == 0)
            full = i;
    }
    *sent += least;
    return full;
}

static int64_t blocking_flow(Flow *f, uint32_t source, uint32_t sink, uint32_t *path)
{
    int64_t sent = 0;
    uint32_t n = 0, node = source;
    memcpy(f->at, f->first, f->n_nodes * sizeof *f->at);
    for (;;) {
        if (node == sink) {
            n = send(f, path, n, &sent);
            node = f->edges[path[n] ^ 1].to;
        }
        const uint32_t e = f->at[node];
        if (e != FLOW_NONE && (f->edges[e].room == 0
                               || f->level[f->edges[e].to] != f->level[node] + 1)) {
            f->at[node] = f->edges[e].next;
        } else if (e != FLOW_NONE) {
            path[n++] = e;
            node = f->edges[e].to;
        } else if (n == 0) {
            return sent;
        } else {                        /* nothing leads on from here: back, and past this edge */
            node = f->edges[path[--n] ^ 1].to;
            f->at[node] = f->edges[f->at[node]].next;
        }
    }
}

int64_t flow_run(Flow *f, uint32_t source, uint32_t sink)
{
    uint32_t *room = arena_array(f->arena, f->n_nodes, sizeof *room);
    int64_t total = 0;
    while (find_levels(f, source, sink, room))
        total += blocking_flow(f, source, sink, room);
    return total;
}
