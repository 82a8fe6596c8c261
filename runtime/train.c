/* The training loop.  A step allocates nothing: all memory was taken when the trainer was opened. */
#include "runtime/train.h"

#include "base/hash.h"
#include "base/random.h"
#include "runtime/trainer.h"

#include <inttypes.h>
#include <math.h>

/* The seed of one run of the model: another for every batch, the same when it is done again. */
static void set_seed(Trainer *t, int64_t batch_index)
{
    const uint64_t stream = hash_bytes("$seed", 5), seed = (uint64_t)t->record.hyper.seed;
    for (uint64_t i = 0; t->seed && i < 2; i++)
        t->seed[i] = (int32_t)random_u32(seed, stream, 2 * (uint64_t)batch_index + i);
}

static bool run_step(Trainer *t, int64_t step, double *loss, double *grad_norm, Error *err)
{
    const Hyper *h = &t->record.hyper;
    const int64_t parts = h->accumulate;
    *t->lr = (float)schedule_rate(&t->schedule, step);
    if (t->step)
        *t->step = (int32_t)step;
    *loss = 0;
    for (int64_t k = 0; k < parts; k++) {
        const int64_t index = (step - 1) * parts + k;
        if (!data_fill(&t->data, t->session, t->order, (uint64_t)h->seed, index, err))
            return false;
        set_seed(t, index);
        session_run(t->session, t->step_program);
        *loss += (double)*t->loss / (double)parts;
    }
    if (t->step_program == PLAN_accumulate)
        session_run(t->session, PLAN_apply);
    *grad_norm = (double)*t->grad_norm;
    if (isfinite(*loss) && isfinite(*grad_norm))
        return true;
    return error_set(err, "step %" PRId64 ": the loss is %g and the norm of its gradient %g, so "
                     "training cannot go on; the checkpoint of step %" PRId64 " is kept; mend it "
                     "with a smaller --lr, a longer --warmup or a smaller --clip", step, *loss,
                     *grad_norm, t->record.step);
}

static bool validate(Trainer *t, double *val_loss, Error *err)
{
    const int64_t count = t->options->eval_iters;
    *val_loss = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!data_fill_validation(&t->data, t->session, i, count, err))
            return false;
        session_run(t->session, PLAN_eval);
        *val_loss += (double)*t->eval_loss / (double)count;
    }
    return true;
}

static bool evaluates(const Trainer *t)
{
    return t->eval_loss && t->options->eval_every > 0 && t->options->eval_iters > 0
        && data_can_validate(&t->data);
}

static bool stop_asked(const Trainer *t)
{
    return t->options->stop && *t->options->stop;
}

static void show_step(Trainer *t, const StepLine *s, double left)
{
    char line[200], eta[32], val[48] = "";
    const bool evaluated = !isnan(s->val_loss);
    if (!progress_due(&t->progress, evaluated || s->step == t->options->steps))
        return;
    duration_text(eta, sizeof eta, left);
    if (evaluated)
        snprintf(val, sizeof val, "  val_loss %.4f", s->val_loss);
    snprintf(line, sizeof line, "step %" PRId64 "/%" PRId64 "  loss %.4f%s  lr %.3g  %.0f %s/s  %s %s",
             s->step, t->options->steps, s->loss, val, s->lr, s->tokens_per_s,
             t->is_text ? "tokens" : "samples", "ETA", eta);
    if (evaluated)
        progress_line(&t->progress, "%s", line);
    else
        progress_show(&t->progress, line);
}

/* What a step needs when it is done: evaluation, its line in the log, a checkpoint. */
static bool finish_step(Trainer *t, StepLine *s, int64_t last_saved, TrainResult *result, Error *err)
{
    const TrainOptions *o = t->options;
    const bool end = s->step == o->steps || stop_asked(t);
    if (evaluates(t) && (s->step % o->eval_every == 0 || s->step == o->steps)) {
        if (!validate(t, &s->val_loss, err))
            return false;
        result->val_loss = s->val_loss;
    }
    if (!run_log_add(&t->log, s, err))
        return error_prefix(err, "stopped; the checkpoint of step %" PRId64 " is kept", last_saved);
    result->loss = s->loss;
    if (!end && !(o->checkpoint_every > 0 && s->step % o->checkpoint_every == 0))
        return true;
    const int64_t before = t->record.step;
    t->record.step = s->step;
    if (trainer_checkpoint(t, err))
        return true;
    t->record.step = before;
    return error_prefix(err, "stopped; the checkpoint of step %" PRId64 " is kept", before);
}

static TrainEnd run_steps(Trainer *t, TrainResult *result, Error *err)
{
    const TrainOptions *o = t->options;
    const double began = clock_seconds();
    const int64_t first = t->record.step + 1;
    const int64_t tokens = data_batch_tokens(&t->data) * t->record.hyper.accumulate;
    for (int64_t step = first; step <= o->steps; step++) {
        StepLine s = { .step = step, .val_loss = NAN, .lr = schedule_rate(&t->schedule, step) };
        const double from = clock_seconds();
        if (!run_step(t, step, &s.loss, &s.grad_norm, err))
            return TRAIN_FAILED;
        const double now = clock_seconds();
        s.tokens_per_s = (double)tokens / (now - from);
        s.seconds = t->log.seconds + now - began;
        const bool ok = finish_step(t, &s, t->record.step, result, err);
        result->step = t->record.step;
        result->seconds = clock_seconds() - began;
        result->tokens_per_s = (double)(tokens * (step - first + 1)) / result->seconds;
        if (!ok)
            return TRAIN_FAILED;
        show_step(t, &s, result->seconds / (double)(step - first + 1) * (double)(o->steps - step));
        /* Asked for after finish_step looked, the next step ends with the checkpoint. */
        if (stop_asked(t) && step < o->steps && t->record.step == step)
            return TRAIN_STOPPED;
    }
    return TRAIN_DONE;
}

TrainEnd train_run(const Plan *p, const TrainOptions *o, TrainResult *result, Error *err)
{
    Trainer t;
    *result = (TrainResult){ .loss = NAN, .val_loss = NAN };
    TrainEnd end = TRAIN_FAILED;
    if (trainer_open(&t, p, o, err)) {
        result->step = t.record.step;
        end = run_steps(&t, result, err);
        progress_end(&t.progress);
    }
    trainer_close(&t);
    return end;
}
