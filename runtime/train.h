/* Training: batches through the plan's programs, a log line for every step, checkpoints. */
#ifndef RUNTIME_TRAIN_H
#define RUNTIME_TRAIN_H

#include "runtime/hyper.h"
#include "runtime/plan.h"

#include <signal.h>
#include <stdio.h>

typedef struct TrainOptions {
    const char *plan_path;              /* for messages */
    const char *const *data;            /* text files, or one .safetensors file of samples */
    size_t n_data;
    const char *out;                    /* directory of the run */
    const char *init;                   /* weights to begin with: a run or a file; NULL: fresh ones */
    const char *tokenizer;              /* "char", "byte", a tokenizer.json, or NULL: that of the run
                                           or of `init`, else char */
    Hyper hyper;                        /* what was not given is unset, see hyper.h */
    int64_t steps;                      /* the step after which the run is done */
    int64_t eval_every, eval_iters;     /* 0: never */
    int64_t checkpoint_every;           /* 0: only at the end */
    bool resume;
    int n_threads;
    const char *cpu;
    FILE *progress;                     /* NULL: silent */
    const volatile sig_atomic_t *stop;  /* set: finish the step, write a checkpoint, return */
} TrainOptions;

typedef enum TrainEnd { TRAIN_DONE, TRAIN_STOPPED, TRAIN_FAILED } TrainEnd;

typedef struct TrainResult {
    int64_t step;                       /* of the last checkpoint written */
    double loss, val_loss;              /* of the last step; the last evaluation, NAN: none */
    double seconds, tokens_per_s;       /* of this call */
} TrainResult;

TrainEnd train_run(const Plan *p, const TrainOptions *o, TrainResult *result, Error *err);

#endif
