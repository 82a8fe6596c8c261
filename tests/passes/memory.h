/* A placed graph evaluated in the memory that was planned for it: every value is read from and
 * written to its place, so a place that is wrong gives wrong numbers. */
#ifndef TESTS_PASSES_MEMORY_H
#define TESTS_PASSES_MEMORY_H

#include "ir/eval.h"

/* Like eval_run, for a graph with places; e->values of outputs and e->storages are what memory holds
 * afterwards.  With pool offsets, buffers of the pool share one block of pool_bytes.  What nobody
 * wrote is NaN.  Fails the test when a place lies outside its buffer. */
void memory_run(Eval *e);

#endif
