/* Graphs that hold every row of the op table, for tests that must not forget one.
 *
 * The samples are chosen by the shape column, expanded from ops.def: a row with a new shape rule
 * fails to link until it has a sample. */
#ifndef TESTS_IR_SAMPLE_H
#define TESTS_IR_SAMPLE_H

#include "ir/build.h"

typedef struct Sample {
    Graph *g;
    Builder b;
    Dim B, T;                           /* batch and sequence */
    unsigned n_storages;                /* for fresh names */
} Sample;

Sample sample_begin(Arena *arena);
/* A fresh input of the type. */
ValueId sample_input(Sample *s, DType dtype, int rank, const Dim *dims);
ValueId sample_state(Sample *s, DType dtype, int rank, const Dim *dims);
/* Adds one node or more of `op`, its attributes at their defaults and away from them. */
void sample_op(Sample *s, OpId op);
/* All rows, outputs, loss, optimizer, files, spans and paths; legal, not placed. */
Graph *sample_graph(Arena *arena);
/* The same with groups, buffers, places and a planned pool, all legal. */
Graph *sample_placed(Arena *arena);

#endif
