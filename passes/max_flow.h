/* Largest flow and smallest cut of a network (Dinic 1970): phases of breadth-first levels, each with
 * a blocking flow along them. */
#ifndef PASSES_MAX_FLOW_H
#define PASSES_MAX_FLOW_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

#define FLOW_ENDLESS (INT64_MAX / 4)
#define FLOW_NONE UINT32_MAX

typedef struct FlowEdge {
    uint32_t to, next;                  /* next: of the edges that leave one node; FLOW_NONE: last */
    int64_t room;                       /* what may still flow */
} FlowEdge;

typedef struct Flow {
    Arena *arena;
    uint32_t n_nodes;
    uint32_t *first;                    /* by node: its first edge */
    FlowEdge *edges;                    /* in pairs: there and back */
    uint32_t n_edges, cap_edges;
    uint32_t *level;
    uint32_t *at;                       /* by node: the edge that is looked at */
} Flow;

Flow flow_begin(uint32_t n_nodes, Arena *arena);
void flow_edge(Flow *f, uint32_t from, uint32_t to, int64_t capacity);

/* Sends as much as flows.  Afterwards flow_reaches tells the side of the cut with the fewest nodes on
 * the source's side. */
int64_t flow_run(Flow *f, uint32_t source, uint32_t sink);
bool flow_reaches(const Flow *f, uint32_t node);

#endif
