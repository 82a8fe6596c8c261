/* What reduce.c works out and reduce.inc reads: the derived words of a reduction. */
#ifndef KERNELS_REDUCE_H
#define KERNELS_REDUCE_H

#include "runtime/kernels/axes.h"

/* derived: the axes, those that are kept and then those that are reduced; then
 *  REDUCE_KEPT      how many are kept
 *  REDUCE_MODE      REDUCE_COLUMNS: the last kept axis is a run of the input; an item is
 *                   REDUCE_WIDTH columns of it.  REDUCE_ROWS: an item is one element of the output
 *  REDUCE_ITEMS, REDUCE_PER_TASK */
enum { REDUCE_KEPT = AXES_WORDS, REDUCE_MODE, REDUCE_ITEMS, REDUCE_PER_TASK, REDUCE_WORDS };
enum { REDUCE_COLUMNS, REDUCE_ROWS };
enum { REDUCE_GRAIN = 16384, REDUCE_WIDTH = 64, REDUCE_SQUARED = 64 };
_Static_assert((int)REDUCE_SQUARED == (int)REDUCE_WIDTH, "an item of columns has squares of its own");
_Static_assert((int)REDUCE_WORDS <= (int)MAX_DERIVED, "a reduction's derived words");

/* partial_sum.  derived: the axes of the input in their own order, then the number of elements.  An
 * input that is not one run is gathered PARTIAL_GATHER elements at a time. */
enum { PARTIAL_COUNT = AXES_WORDS };
enum { PARTIAL_LANES = 64, PARTIAL_GATHER = 1024 };

#endif
