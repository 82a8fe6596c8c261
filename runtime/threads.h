/* Where the threads of a run meet.
 *
 * One parallel region runs a whole program; between instructions whose data cross threads they meet
 * at a barrier.  Instructions take microseconds, so the barrier spins; a thread whose others take long,
 * which is what happens with more threads than cores, sleeps and leaves the processor to them. */
#ifndef RUNTIME_THREADS_H
#define RUNTIME_THREADS_H

#include <stdatomic.h>

typedef struct Barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint phase;     /* how often all have met */
    atomic_uint sleepers;               /* threads that sleep, or are about to */
} Barrier;

/* The last of `n` threads to arrive releases the others; what each wrote before is seen by all
 * after. */
void barrier_wait(Barrier *b, unsigned n);

/* Processors that this process may run on, by its affinity mask; at least 1. */
int threads_available(void);

#endif
