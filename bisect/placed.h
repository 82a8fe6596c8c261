/* A placed graph evaluated in the memory that was planned for it: every value is read from and
 * written to its place, so a place that is wrong gives wrong numbers. */
#ifndef BISECT_PLACED_H
#define BISECT_PLACED_H

#include "base/status.h"
#include "ir/eval.h"

/* Like eval_run, for a graph with places; e->values of outputs and e->storages are what memory holds
 * afterwards.  With pool offsets, buffers of the pool share one block of pool_bytes.  What nobody
 * wrote is NaN.  False when a place lies outside its buffer, or an output has none. */
bool placed_run(Eval *e, Error *err);

#endif
