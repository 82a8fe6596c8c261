/* What the pass `rope_write` and the fusion report both ask. */
#ifndef PASSES_ROPE_WRITE_H
#define PASSES_ROPE_WRITE_H

#include "ir/graph.h"
#include "passes/fusion_report.h"
#include "passes/fusion_set.h"

/* What keeps a rope from being done by the cache_write that, perhaps through views, reads it;
 * FUSION_none when nothing does.  `alone`: nobody else reads it. */
FusionReason rope_write_refusal(const Graph *g, const Node *rope, const Node *write, bool alone,
                                FusionSet fusions);

#endif
