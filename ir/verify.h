/* What a legal graph is.
 *
 * Always: ids in range; inputs defined before use; number of inputs and attributes as the table
 * says; types those that the shape rule gives; outputs and loss exist; a storage has one source node
 * of its class; OP_WRITES nodes write a value that is the storage's newest content, and nobody reads
 * the old content afterwards; group members adjacent.
 * Once placed (any buffer exists): every value that is read by a node outside its group, or is an
 * output, has a place; places lie inside their buffers at the largest sizes; views agree with their
 * base; live ranges cover all definitions and uses.
 * Once planned (pool_bytes >= 0): two buffers live at the same time do not overlap in the pool, and
 * none passes pool_bytes.  That part is the planner-independent check of memory. */
#ifndef IR_VERIFY_H
#define IR_VERIFY_H

#include "base/status.h"
#include "ir/graph.h"

/* False with the first violation, naming node and rule. */
bool graph_verify(const Graph *g, Arena *scratch, Error *err);

#endif
