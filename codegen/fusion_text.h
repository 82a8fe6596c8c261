/* `smc compile --dump=fusion`: what fusion did to a program, for people. */
#ifndef CODEGEN_FUSION_TEXT_H
#define CODEGEN_FUSION_TEXT_H

#include "base/buf.h"
#include "ir/graph.h"
#include "passes/fusion_set.h"

/* Of a graph that every pass has seen: the groups with their nodes, the source lines those came from,
 * the row programs that they became, and bytes of memory traffic before and after; then the kernels
 * that stand alone; then every edge that was not fused and why.  What differs in nothing but the
 * instance of a repeated block is shown once, and counted. */
void fusion_print(Buf *out, const Graph *g, FusionSet fusions, Arena *arena, Arena *scratch);

#endif
