/* The graph as text, both ways.  What is printed reads back, and prints again to the same bytes, at
 * every stage: offsets, groups and places included once they exist. */
#ifndef IR_TEXT_H
#define IR_TEXT_H

#include "base/status.h"
#include "ir/graph.h"

void graph_print(Buf *out, const Graph *g);

/* Any bytes in, a graph whose every index is in range or an error with line and column out.  Runs
 * the shape rules, so types are right by construction; graph_verify tells the rest. */
Graph *graph_read(const char *text, size_t n, Arena *arena, Error *err);

#endif
