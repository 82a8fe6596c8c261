/* Fusion's view of a graph: units, which begin as single nodes and grow into groups, and the one
 * question that the pass and its report both ask: what stands between two of them?  Private to the
 * files fuse*.c and fusion_report.c. */
#ifndef PASSES_FUSE_H
#define PASSES_FUSE_H

#include "ir/graph.h"
#include "passes/fusion_report.h"
#include "passes/fusion_set.h"

typedef struct Unit {
    NodeId *members;                    /* ascending */
    uint32_t n;                         /* 0: merged into another */
    bool rows;                          /* of ops that row programs know */
    bool reduces;
    bool writes;                        /* storages */
    bool gathers;                       /* rows of a table */
    bool random;                        /* its numbers count the elements of its own space */
    Shape space;                        /* rows: widest member */
    uint32_t place;                     /* where it stands in Fuse.line */
} Unit;

typedef struct Fuse {
    const Graph *g;
    FusionSet fusions;
    Arena *scratch;
    Unit *units;                        /* by first member when they began */
    uint32_t *unit_of;                  /* node -> unit */
    NodeId **preds;                     /* node -> what must run before it */
    uint32_t *n_preds;
    NodeId **readers;                   /* value -> nodes that read it */
    uint32_t *n_readers;
    bool *is_output;                    /* by value */
    uint32_t *line;                     /* the units in an order in which they could run; merged ones
                                           stay as gaps */
    uint32_t *stamp, now;               /* by unit, for searches */
    uint32_t *moved;                    /* room for reordering */
} Fuse;

/* Every node a unit of its own. */
Fuse fuse_begin(const Graph *g, FusionSet fusions, Arena *scratch);
/* The groups that the graph has. */
Fuse fuse_begin_grouped(const Graph *g, FusionSet fusions, Arena *scratch);

/* Would row programs know this op? */
bool fuse_knows(const Graph *g, const Node *n);

/* What keeps two different units apart, where `reader` reads a value of `producer` directly;
 * FUSION_none when they may merge.  *through is a third unit on the path that would make a cycle. */
FusionReason fuse_refusal(Fuse *f, uint32_t producer, uint32_t reader, uint32_t *through);

/* Merges `reader` into `producer`, which fuse_refusal allowed. */
void fuse_merge(Fuse *f, uint32_t producer, uint32_t reader);

/* A number for every node that its position does not enter: what it computes from what, for whom,
 * and where it was written.  Sorted by `depth` and then by `hash` the nodes stand in an order in
 * which they could run. */
typedef struct FuseKey {
    uint32_t depth;                     /* nodes on the longest path that must run before */
    uint64_t hash;
} FuseKey;
FuseKey *fuse_keys(const Fuse *f);

/* Nodes or values in the order of their keys; the number of those that are alike decides the rest. */
typedef struct FuseTurn {
    FuseKey key;
    uint32_t id;
} FuseTurn;
void fuse_sort_turns(FuseTurn *turns, uint32_t n);

/* A unit on a path from `producer` to `reader`, which stand in this order in the line: one that is neither
 * a view nor a row program, when there is one near; UINT32_MAX when no path has any. */
uint32_t fuse_unit_between(Fuse *f, uint32_t producer, uint32_t reader);

/* The units of two nodes, as they stand in the line. */
typedef struct FusePair { uint32_t first, second; } FusePair;
FusePair fuse_pair(const Fuse *f, NodeId a, NodeId b);

/* May the units of `a` and `b`, two that both read `v`, merge? */
typedef bool FuseMayMerge(Fuse *f, NodeId a, NodeId b, ValueId v);
/* Merges the units of those readers of one value that may, in an order that owes nothing to where they
 * stand; false when there were none (fuse_siblings.c). */
bool fuse_siblings(Fuse *f, FuseMayMerge *may_merge);

/* Row programs that read one value (fuse_rows.c): are the units of `a` and `b`, which read `v`, such, and what
 * keeps them apart? */
bool rows_may_share(const Fuse *f, NodeId a, NodeId b, ValueId v);
FusionReason rows_refusal(Fuse *f, NodeId a, NodeId b, uint32_t *through);
/* Merges those that may; false when there were none. */
bool fuse_rows(Fuse *f);

/* An activation and its slope, which both read `v` (fuse_slopes.c): are `a` and `b` such, and what keeps them
 * apart? */
bool slopes_may_share(const Fuse *f, NodeId a, NodeId b);
FusionReason slopes_refusal(Fuse *f, NodeId a, NodeId b, ValueId v, uint32_t *through);
/* Merges those that may, before anything else merges. */
void fuse_slopes(Fuse *f);
/* The activation in its unit beside which a slope is computed; NO_NODE: none, or it is no slope. */
NodeId slope_activation(const Fuse *f, NodeId slope);

/* Products that read one value (fuse_share.c). */
bool share_is_product(const Node *n);
bool share_from_left(const Fuse *f, ValueId v);         /* is it the left operand of one? */
/* What keeps products `a` and `b` apart, both of which read `v`; *through as for fuse_refusal. */
FusionReason share_refusal(Fuse *f, NodeId a, NodeId b, ValueId v, uint32_t *through);
/* Merges those that may, however they stand. */
void fuse_share(Fuse *f);

#endif
