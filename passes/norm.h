/* What the pass `norm` and those who report what it did ask. */
#ifndef PASSES_NORM_H
#define PASSES_NORM_H

#include "ir/graph.h"
#include "passes/fusion_report.h"
#include "passes/fusion_set.h"

/* The result whose elements `v` holds, in some order: of what wrote them last, not of a view. */
ValueId norm_source(const Graph *g, ValueId v);

/* What keeps the squares of `source` from being added up where it is written; FUSION_none when nothing
 * does. */
FusionReason norm_refusal(const Graph *g, ValueId source, FusionSet fusions);

/* The result of v's node that holds the squares of v, NO_VALUE where none does. */
ValueId norm_squares(const Graph *g, ValueId v);

/* Does node n tell the squares of a result? */
bool norm_tells(const Graph *g, NodeId n);

#endif
