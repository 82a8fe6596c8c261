/* Small random models: every op that the language can spell, combined at random. */
#ifndef TESTS_E2E_RANDOM_GRAPH_H
#define TESTS_E2E_RANDOM_GRAPH_H

#include "ir/graph.h"

/* A model with outputs, a loss and an optimizer; the same for the same seed. */
Graph *random_graph(uint64_t seed, Arena *arena);

#endif
