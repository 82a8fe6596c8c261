/* `smc compile --emit=dot`: a graph for Graphviz. */
#ifndef CODEGEN_DOT_H
#define CODEGEN_DOT_H

#include "base/buf.h"
#include "ir/graph.h"

/* Groups are clusters; views are dashed, storages round, kernels bold.  Constants have no node: the
 * label of what reads them has their number.  Of the instances of a block in a loop the first is drawn
 * whole, the others are one node. */
void dot_print(Buf *out, const Graph *g);

#endif
