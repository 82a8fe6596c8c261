/* What a legal graph is.
 *
 * Always: ids in range; inputs defined before use; number of inputs and attributes as the table
 * says; types those that the shape rule gives; outputs and loss exist; names of storages and outputs
 * unique; a storage has at most one source node, of its class; OP_WRITES nodes write a value that is
 * the storage's newest content, and nobody reads the old content afterwards, nor a view of it; group
 * members adjacent; spans point into the file table.
 * Once placed (any buffer exists): every value that is read by a node outside its group, or is an
 * output, has a place, but for `constant` and `extent` and views of them, which have no bytes; places
 * lie inside their buffers at the largest sizes; views agree with their base; a storage has one
 * buffer, which holds only its contents; live ranges cover all definitions and uses; nothing is
 * written over a value that is still to be read, except element by element at the same place, or
 * by a copy, concat or pad of what already lies where it belongs.
 * Once planned (pool_bytes >= 0): two buffers live at the same time do not overlap in the pool, and
 * none passes pool_bytes.  A fused group runs as one, so what lives in a part of it lives in all of
 * it.  These last two are the planner-independent check of memory. */
#ifndef IR_VERIFY_H
#define IR_VERIFY_H

#include "base/status.h"
#include "ir/graph.h"

/* False with the first violation, naming node and rule. */
bool graph_verify(const Graph *g, Arena *scratch, Error *err);

#endif
