/* Rounds of a plan's work, each when it is asked for: so that somebody who compares it with another
 * program can let the two take turns.
 *
 *   decode N     N tokens, one after the other, from an empty cache
 *   prefill N    a text of N tokens, in chunks as large as the plan computes at once
 *   train N      N training steps at the plan's largest sizes
 *
 * Weights and inputs are random.  What a kind of work needs is opened when it is asked for first, and
 * stays until another kind is. */
#ifndef RUNTIME_BENCH_ASKED_H
#define RUNTIME_BENCH_ASKED_H

#include "base/status.h"
#include "runtime/generator.h"

typedef struct BenchAsked {
    const Plan *plan;
    int n_threads;
    const char *cpu;
    Generator generator;                /* open when it has a session */
    Session *trainer;                   /* open when not NULL */
} BenchAsked;

void bench_asked_begin(BenchAsked *a, const Plan *p, int n_threads, const char *cpu);
void bench_asked_end(BenchAsked *a);

/* `line` is one of the three above, newline or not; *seconds of the wall clock, opening not counted. */
bool bench_asked_round(BenchAsked *a, const char *line, double *seconds, Error *err);

#endif
