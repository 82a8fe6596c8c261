/* A training run at work: what trainer_open.c opens and train.c steps through. */
#ifndef RUNTIME_TRAINER_H
#define RUNTIME_TRAINER_H

#include "base/progress.h"
#include "runtime/data.h"
#include "runtime/run_log.h"
#include "runtime/run_record.h"
#include "runtime/schedule.h"
#include "runtime/session.h"
#include "runtime/train.h"

typedef struct Trainer {
    const Plan *plan;
    const TrainOptions *options;
    bool is_text;
    TextModel model;                    /* text */
    HfTokenizer *tokenizer;             /* text; owned */
    Data data;
    RunRecord record;                   /* with the step that is done and all hyperparameters */
    Schedule schedule;
    DataOrder order;
    Session *session;
    PlanProgramKind step_program;       /* train, or accumulate */
    /* The runtime's inputs; NULL where the plan has none. */
    float *lr, *clip, *scale;
    int32_t *step, *seed;
    const float *loss, *grad_norm, *eval_loss;
    RunLog log;
    Progress progress;
} Trainer;

/* Opens everything: data, tokenizer, session, weights, the directory.  Nothing that stands there is
 * changed before all of it was found to be in order. */
bool trainer_open(Trainer *t, const Plan *p, const TrainOptions *o, Error *err);
void trainer_close(Trainer *t);

/* Writes the state after the step in the record as the run's checkpoint. */
bool trainer_checkpoint(Trainer *t, Error *err);

#endif
