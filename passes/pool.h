/* What the pool of a placed graph would need, asked without planning it. */
#ifndef PASSES_POOL_H
#define PASSES_POOL_H

#include "ir/graph.h"

/* The most bytes alive at one time. */
int64_t pool_graph_bound(const Graph *g, Arena *scratch);

/* Does the planner find a plan of at most `capacity` bytes?  Then the pass `pool`, with the capacity as
 * its limit, does too.  Without `thorough` only orders are tried. */
bool pool_graph_fits(const Graph *g, int64_t capacity, bool thorough, Arena *scratch);

#endif
