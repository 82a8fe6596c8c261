/* Which of a plan's barriers a run keeps.
 *
 * The plan marks where data may cross threads, whatever the sizes and however many threads there are.
 * Once both are known, so is the share of every thread, and a barrier goes where nothing crosses: where
 * what one thread wrote is read and written again by that same thread alone.  A position at a time many
 * instructions are one task, and all of them the same thread's.
 *
 * The instructions between two marks touch nothing of each other's, so they are kept or joined as one
 * stretch. */
#ifndef RUNTIME_BARRIERS_H
#define RUNTIME_BARRIERS_H

#include "runtime/plan.h"

/* Bytes of memory that an operand touches. */
typedef struct Extent {
    uintptr_t begin, end;
} Extent;

/* For calls that are bound, prepared and have their data: meet[k] becomes whether `n_threads` threads
 * meet before instruction k.  `extents` has room for one of each operand of all calls, which lie one
 * after the other.  Returns how many meetings there are. */
uint32_t barriers_keep(const PlanInstr *instrs, const Call *calls, uint32_t n, int n_threads,
                       Extent *extents, bool *meet);

#endif
