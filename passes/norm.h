/* What the pass `norm` and the fusion report both ask. */
#ifndef PASSES_NORM_H
#define PASSES_NORM_H

#include "ir/graph.h"
#include "passes/fusion_report.h"
#include "passes/fusion_set.h"

/* What wrote the elements that `v` holds, in some order: not a view. */
NodeId norm_source(const Graph *g, ValueId v);

/* What keeps the squares of what `source` writes from being added up without reading all of it again;
 * FUSION_none when nothing does. */
FusionReason norm_refusal(const Graph *g, const Node *source, FusionSet fusions);

#endif
