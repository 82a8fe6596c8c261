/* What fusion did to a program, and why it did no more.
 *
 * The report is read off the graph: the groups that it has, and for every edge that they do not
 * cover, the answer of the very function that the pass asks (fuse.h).  So it tells of any graph that
 * has gone through `fuse`, text from a file included, and cannot disagree with what was done. */
#ifndef PASSES_FUSION_REPORT_H
#define PASSES_FUSION_REPORT_H

#include "ir/graph.h"
#include "passes/fusion_set.h"

typedef enum FusionReason {
#define REASON(code, name, text) FUSION_##code,
#include "passes/fusion_reasons.def"
    N_FUSION_REASONS
} FusionReason;

const char *fusion_reason_name(FusionReason r);         /* "would-cycle" */
const char *fusion_reason_text(FusionReason r);         /* a sentence without its full stop */

/* Bytes at the largest sizes that a run reads from memory and writes to it. */
typedef struct FusionTraffic {
    int64_t before;                     /* every node for itself */
    int64_t after;                      /* groups keep what only they use */
} FusionTraffic;

/* One group, or one node that is alone and does something. */
typedef struct FusionUnit {
    NodeId first, last;                 /* nodes [first, last) */
    uint32_t group;                     /* 0: alone */
    FusionTraffic traffic;
} FusionUnit;

/* An edge between two units of which one at least is a row program; or two products, or two rows, that read a
 * value. */
typedef struct FusionEdge {
    NodeId producer, reader;
    bool siblings;                      /* both read the value, and neither the other's result */
    ValueId value;                      /* as the producer gives it */
    FusionReason reason;
    NodeId through;                     /* would_cycle: on the path; else NO_NODE */
} FusionEdge;

typedef struct FusionReport {
    FusionUnit *units;                  /* in order; sources and views are none */
    uint32_t n_units, cap_units;
    FusionEdge *edges;                  /* by reader */
    uint32_t n_edges, cap_edges;
    uint32_t n_fused;                   /* edges inside groups */
    FusionTraffic traffic;
} FusionReport;

/* Of a graph whose groups stand, and which was compiled with these fusions.  The report is
 * `arena`'s. */
FusionReport fusion_report(const Graph *g, FusionSet fusions, Arena *arena, Arena *scratch);

/* Why are two nodes of different groups apart: the reason of the first edge between their units, or
 * of none (false). */
bool fusion_edge_between(const FusionReport *r, const Graph *g, NodeId a, NodeId b,
                         FusionEdge *out);

#endif
