/* Recomputation: what the backward pass reads of the forward pass is either kept until then or
 * computed a second time.  Private to the files recompute*.c.
 *
 *     recompute_facts.c   which nodes are forward, what is read late, what things cost
 *     recompute_cut.c     the best choice at a price of work in bytes, as a minimum cut
 *     recompute_slopes.c  slopes that are computed with their activations
 *     recompute_apply.c   the graph that a choice makes
 *     recompute.c         the pass: which choice meets the limit at the least work */
#ifndef PASSES_RECOMPUTE_H
#define PASSES_RECOMPUTE_H

#include "ir/graph.h"

typedef enum Stage {
    STAGE_FORWARD,                      /* the loss needs it */
    STAGE_LOSS,                         /* likewise, and it is or follows from the forward pass's last
                                           product or kernel */
    STAGE_LATE,                         /* a row op of the backward pass that reads values of the
                                           forward pass alone: it could run at once, but nobody asks
                                           before the gradient comes by */
    STAGE_GRADIENT,                     /* behind the forward pass: a product or kernel, or what
                                           follows from one or from the loss */
    STAGE_REST,                         /* has nothing to do with the forward pass */
} Stage;

typedef struct Recompute {
    const Graph *g;
    Arena *scratch;
    NodeId root;                        /* the last product or kernel that the loss needs; NO_NODE:
                                           none, and nothing is recomputed */
    Stage *stage;                       /* by node */
    double *work;                       /* by node: nanoseconds, roughly, of one core */
    bool *lasting;                      /* by value: of a storage, or without inputs; always there */
    ValueId *base;                      /* by value: what it is a view of, or itself */
    int64_t *bytes;                     /* by value, at the largest sizes; of floats, so that what is
                                           nearly free does not depend on what is stored rounded */
    bool *wanted;                       /* by value: a base of the forward pass, read behind it */
    NodeId *narrow;                     /* nodes behind which least is alive in the forward pass */
    uint32_t n_narrow;
    double total_work;                  /* of the whole program */
    bool slopes;                        /* an activation and its slope are one loop */
} Recompute;

Recompute recompute_facts(const Graph *g, Arena *scratch);

/* An op of row programs that writes nothing that lasts: cheap, and fused with its readers. */
bool recompute_is_row(const Graph *g, const Node *n);

/* May node `n` be run a second time? */
bool recompute_possible(const Recompute *r, NodeId n);

/* A choice is a `keep` by value: whether what the forward pass made of it stays alive for the readers
 * behind, where there are any. */

typedef struct CutOptions {
    double price;                       /* bytes that a nanosecond of work is worth */
    bool rows_only;                     /* nothing but row ops are computed again */
    const bool *forced;                 /* by value: kept in any case */
} CutOptions;

/* The choice with the smallest sum of bytes kept and of price times work. */
void recompute_cut(const Recompute *r, const CutOptions *o, bool *keep);

/* Is `v` made a second time, or late, for who reads it behind the forward pass? */
bool recompute_is_late(const Recompute *r, const bool *keep, ValueId v);

/* When a row op of the backward pass that reads the forward pass alone is computed. */
typedef enum SlopeTime {
    SLOPE_WAITS,                        /* when its gradient is there; all but slopes do */
    SLOPE_WITH_COPY,                    /* when its activation is computed again */
    SLOPE_EARLY,                        /* with its activation */
} SlopeTime;

/* By node.  `keep` stays, for nothing more is kept. */
SlopeTime *recompute_slopes(const Recompute *r, const bool *keep, Arena *scratch);

/* Replaces *g, which r->g is, by the graph of the choice.  Returns the work that was added. */
double recompute_apply(const Recompute *r, const bool *keep, Graph *g, Arena *scratch);

#endif
