/* Products of activations with weights, which `--precision` is about besides attention. */
#ifndef PASSES_PRECISION_H
#define PASSES_PRECISION_H

#include "ir/graph.h"

/* The weight of a product with one: a parameter of two axes or more, seen through views.  NO_STORAGE of
 * any other node, and of a product of two weights. */
StorageId precision_weight(const Graph *g, const Node *n);

/* What the storage that keeps a weight rounded is called. */
const char *copy_name(Arena *arena, const char *weight);

#endif
