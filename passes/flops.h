/* What nodes cost in operations. */
#ifndef PASSES_FLOPS_H
#define PASSES_FLOPS_H

#include "ir/graph.h"

/* Floating-point operations of a node at these sizes; an element-wise op counts one an element, a
 * product two for each multiplication. */
double node_flops(const Graph *g, const Node *n, const int64_t sizes[MAX_SYMBOLS]);

#endif
