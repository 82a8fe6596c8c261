/* What a product takes into its write-back: a bias, an activation, a residual (op `product`).
 *
 * Asked by the pass, which does it, and by the fusion report, which tells why it was not done.  A
 * step takes one more reader into a product; it is a reader that row programs know, mostly in a
 * group.  Whether that pays is counted in memory traffic, in tensors of the product's size: the
 * product's own result is neither written nor read any more, but what the reader computes may have
 * to be, where it never left its group before.
 *
 * Private to epilogue.c and fusion_report.c. */
#ifndef PASSES_EPILOGUE_H
#define PASSES_EPILOGUE_H

#include "passes/fuse.h"

/* What stands behind a product so far. */
typedef struct Epilogue {
    ValueId bias, residual;             /* NO_VALUE: none */
    OpId activation;                    /* OP_copy: none */
    ValueId onto;                       /* content of a storage that the product is added to, which
                                           then holds the result; NO_VALUE: none */
    ValueId result;                     /* what the product writes then */
} Epilogue;

typedef struct Epilogues {
    Fuse f;                             /* of the graph with its groups */
    Epilogue *of;                       /* by node; only those of products have a meaning */
    bool *taken;                        /* by node: now part of a product */
    bool *awaited;                      /* by value: op `after` waits for it */
} Epilogues;

Epilogues epilogues_begin(const Graph *g, FusionSet fusions, Arena *scratch);

/* The epilogue of product `n` with its reader in it, and how many tensors of traffic that saves;
 * *after is set when the reason is `none`, which says nothing of whether it pays. */
FusionReason epilogue_step(const Epilogues *e, NodeId n, Epilogue *after, int *saved);

#endif
