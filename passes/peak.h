/* Who is alive when most is: the node at which the pool's bytes are most, and the tensors in it then.
 * Read off a planned graph, for tables, reports and messages. */
#ifndef PASSES_PEAK_H
#define PASSES_PEAK_H

#include "ir/graph.h"

typedef struct PeakTensor {
    BufferId buffer;
    ValueId value;                      /* the largest that lies in the buffer; the first of such */
    int64_t bytes;
} PeakTensor;

typedef struct Peak {
    NodeId node;                        /* the first at which `live` bytes are alive */
    int64_t live;
    PeakTensor *tensors;                /* alive there, the largest first */
    uint32_t n;
} Peak;

/* Those of one size that one piece of source made, in however many instances of its block. */
typedef struct PeakGroup {
    NodeId node;                        /* that made the first */
    uint32_t n;
    int64_t bytes;                      /* of all */
} PeakGroup;

/* `g` has buffers with live ranges (after `place`). */
Peak peak_find(const Graph *g, Arena *arena, Arena *scratch);

/* The tensors by op, size and place in the source, the most bytes first; *n of them. */
PeakGroup *peak_groups(const Graph *g, const Peak *p, Arena *arena, uint32_t *n);

#endif
