/* What the pass `norm` and the fusion report both ask. */
#ifndef PASSES_NORM_H
#define PASSES_NORM_H

#include "ir/graph.h"
#include "passes/fusion_report.h"
#include "passes/fusion_set.h"

/* The product whose elements, in some order, `v` holds; NO_NODE when there is none. */
NodeId norm_product(const Graph *g, ValueId v);

/* What keeps a product from adding up the squares of what it writes; FUSION_none when nothing does. */
FusionReason norm_refusal(const Graph *g, const Node *product, FusionSet fusions);

#endif
