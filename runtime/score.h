/* Scoring: a model's outputs for ready-made samples, and the loss where the targets are there. */
#ifndef RUNTIME_SCORE_H
#define RUNTIME_SCORE_H

#include "base/status.h"
#include "runtime/plan.h"

typedef struct ScoreOptions {
    const char *weights, *data, *out;   /* out NULL: no outputs */
    int n_threads;
    const char *cpu;
} ScoreOptions;

typedef struct ScoreResult {
    int64_t n;                          /* samples */
    bool has_loss;
    double loss;                        /* mean over the samples */
} ScoreResult;

bool score(const Plan *p, const ScoreOptions *o, ScoreResult *out, Error *err);

#endif
