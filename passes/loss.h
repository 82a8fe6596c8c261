/* What the pass `loss` and the fusion report both ask. */
#ifndef PASSES_LOSS_H
#define PASSES_LOSS_H

#include "ir/graph.h"
#include "passes/fusion_report.h"
#include "passes/fusion_set.h"

/* What keeps `loss`, a cross_entropy, and the product that its logits come from out of one kernel that
 * runs in chunks of rows; FUSION_none when nothing does.  Readers in the backward pass do not count, for
 * they are made from what the forward pass became.  `kernel_reads`: no product is there. */
FusionReason loss_refusal(const Graph *g, const Node *loss, FusionSet fusions, Arena *scratch);

#endif
