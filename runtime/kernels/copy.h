/* What copy.c works out and copy.inc reads: the derived words of a copy. */
#ifndef KERNELS_COPY_H
#define KERNELS_COPY_H

#include "runtime/kernels/axes.h"

/* derived: the axes, the last of them the fastest of the output; then
 *  COPY_ITEMS     items of work: COPY_RUNS: a chunk of a run of the last axis;
 *                 COPY_TURN: COPY_TILE steps of the last but one, the input's fastest, by all of
 *                 the last
 *  COPY_PER_TASK  items a task */
enum { COPY_MODE = AXES_WORDS, COPY_ITEMS, COPY_PER_TASK, COPY_WORDS };
enum { COPY_RUNS, COPY_TURN };
/* Of a cache_write: blocks of CACHE_ROWS positions that a head has, all of them, blocks a task. */
enum { CACHE_BLOCKS, CACHE_ITEMS, CACHE_PER_TASK };
enum { COPY_GRAIN = 16384, COPY_TILE = 16, CACHE_ROWS = 64, CACHE_GRAIN = 4096 };
_Static_assert((int)COPY_WORDS <= (int)MAX_DERIVED, "a copy's derived words");

#endif
