/* How fast a plan runs here: generation with the cache and without, training steps.
 *
 * Weights and inputs are random; every figure is the median over rounds. */
#ifndef RUNTIME_BENCH_H
#define RUNTIME_BENCH_H

#include "base/progress.h"
#include "base/status.h"
#include "runtime/plan.h"

typedef struct BenchOptions {
    int n_threads;
    const char *cpu;
    double seconds;                     /* at least, for each figure */
    Progress *progress;
} BenchOptions;

/* Tokens at positions from .. to of a text, one after the other, greedily. */
typedef struct BenchGeneration {
    bool measured;
    int64_t from, to;                   /* 32 to 81, or less where the context is shorter */
    double tokens_per_s, ms_per_token;
    double bytes_per_token, calls_per_token;    /* from the heap; negative: not counted */
    uint32_t barriers;                  /* that threads meet at for a token; 0 with one thread */
} BenchGeneration;

typedef struct BenchTraining {
    bool measured;
    int64_t batch, seq;                 /* seq 0: no sequence */
    double ms_per_step, tokens_per_s;   /* samples where there is no sequence */
    double bytes_per_step;
} BenchTraining;

typedef struct BenchResult {
    BenchGeneration recomputed, cached;
    BenchTraining training;
} BenchResult;

bool bench(const Plan *p, const BenchOptions *o, BenchResult *out, Error *err);

#endif
