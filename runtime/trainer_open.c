/* Opening a training run: what is new, what is resumed, and whether all of it fits together. */
#include "runtime/trainer.h"

#include "base/file.h"
#include "runtime/checkpoint.h"
#include "runtime/text_model.h"
#include "runtime/tokenizer/house.h"
#include "runtime/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double default_lr = 1e-3, default_clip = 1, default_held_out = 0.1;

/* ---- hyperparameters -------------------------------------------------------------------------- */

static const char *model_name(const Plan *p)
{
    return plan_string(p, p->header->model);
}

/* The rate that the model's author wrote, where the plan says it. */
static double author_lr(const Plan *p)
{
    const int32_t lr = plan_storage(p, "$lr");
    return lr >= 0 && p->storages[lr].init_value > 0 ? p->storages[lr].init_value : default_lr;
}

static int64_t largest(const Plan *p, PlanProgramKind program, int symbol)
{
    const PlanProgram *g = plan_program(p, program);
    return g && symbol >= 0 ? g->max[symbol] : 1;
}

static void fill_defaults(Trainer *t)
{
    Hyper *h = &t->record.hyper;
    const Plan *p = t->plan;
    const Hyper otherwise = {
        .lr = author_lr(p), .min_lr = (isnan(h->lr) ? author_lr(p) : h->lr) / 10,
        .clip = default_clip, .val_fraction = t->is_text ? default_held_out : 0, .warmup = 0,
        .decay_steps = t->options->steps, .seed = 1, .accumulate = 1,
        .batch = largest(p, PLAN_train, plan_symbol(p, PLAN_BATCH)),
        .seq = largest(p, PLAN_train, plan_symbol(p, PLAN_SEQUENCE)),
        .schedule = "cosine", .order = "random",
    };
    for (size_t i = 0; i < n_hypers; i++)
        if (!hyper_is_set(h, &hyper_table[i]))
            hyper_copy(h, &otherwise, &hyper_table[i]);
}

static bool read_words(Trainer *t, Error *err)
{
    const Hyper *h = &t->record.hyper;
    t->schedule = (Schedule){ .lr = h->lr, .min_lr = h->min_lr, .warmup = h->warmup,
                              .decay_steps = h->decay_steps };
    if (!schedule_from_name(h->schedule, &t->schedule.kind))
        return error_set(err, "schedule \"%s\" is unknown", h->schedule);
    if (!data_order_from_name(h->order, &t->order))
        return error_set(err, "order \"%s\" is unknown", h->order);
    if (h->accumulate < 1 || h->batch < 1 || h->seq < 1)
        return error_set(err, "accumulate, batch and seq must be at least 1");
    return true;
}

/* ---- the directory ---------------------------------------------------------------------------- */

/* A new run, or the record of the one to go on with. */
static bool open_directory(Trainer *t, Error *err)
{
    const TrainOptions *o = t->options;
    char path[CHECKPOINT_PATH];
    RunRecord then;
    t->record.hyper = o->hyper;
    if (!o->resume) {
        if (!checkpoint_exists(o->out))
            return true;
        return error_set(err, "%s already holds a run: go on with it by --resume, or choose another "
                         "--out", o->out);
    }
    if (!checkpoint_exists(o->out))
        return error_set(err, "%s holds no checkpoint (trainer.json) to resume; begin a run without "
                         "--resume", o->out);
    if (!checkpoint_recover(o->out, err)
        || !checkpoint_file(o->out, "trainer.json", path, err)
        || !run_record_open(path, &then, err))
        return false;
    if (!hyper_resume(&t->record.hyper, &then.hyper, err))
        return error_prefix(err, "%s", path);
    t->record.step = then.step;
    if (o->steps > then.step)
        return true;
    return error_set(err, "%s is at step %" PRId64 " already; --steps %" PRId64 " is where to stop: "
                     "give a larger number to go on", o->out, then.step, o->steps);
}

/* ---- data ------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* What --tokenizer asks for; *out stays NULL where it is to be made of the text's characters. */
static bool asked_tokenizer(const char *asked, HfTokenizer **out, Error *err)
{
    *out = NULL;
    if (!asked || strcmp(asked, "char") == 0)
        return true;
    *out = strcmp(asked, "byte") == 0 ? house_bytes(err) : hf_tokenizer_open(asked, err);
    return *out || error_prefix(err, "--tokenizer is char, byte or a file");
}

/* The run's own tokenizer, that of the weights it begins with, or the one asked for; NULL as above. */
static bool open_tokenizer(Trainer *t, Error *err)
{
    const TrainOptions *o = t->options;
    char path[CHECKPOINT_PATH];
    if (o->resume && !checkpoint_file(o->out, "tokenizer.json", path, err))
        return false;
    if (o->resume || (!o->tokenizer && o->init && weights_beside(o->init, "tokenizer.json", path)))
        return (t->tokenizer = hf_tokenizer_open(path, err)) != NULL;
    return asked_tokenizer(o->tokenizer, &t->tokenizer, err);
}

/* A run that goes on may be told again which tokenizer it has. */
static bool check_asked(const Trainer *t, const Buf *text, Error *err)
{
    const char *asked = t->options->tokenizer;
    HfTokenizer *other;
    uint64_t hash = 0;
    if (!t->options->resume || !asked)
        return true;
    if (!asked_tokenizer(asked, &other, err)
        || (!other && !(other = house_characters(text->data, text->len, err))))
        return false;
    const bool ok = hf_tokenizer_hash(other, &hash, err);
    hf_tokenizer_free(other);
    return ok && (hash == t->record.tokenizer
                  || error_set(err, "--tokenizer is %s, but the run was begun with another", asked));
}

static bool tokenize(Trainer *t, const Buf *text, Error *err)
{
    const TrainOptions *o = t->options;
    const Hyper *h = &t->record.hyper;
    if (data_open_text(t->plan, &t->model, t->tokenizer, text, h->batch, h->seq, h->val_fraction,
                       &t->data, err))
        return true;
    return error_prefix(err, o->resume ? "the data is not what the run was begun with" : "--data");
}

static bool open_text(Trainer *t, Error *err)
{
    const TrainOptions *o = t->options;
    Buf text = { 0 };
    const char *asked = o->tokenizer;
    /* What is made of the text is made to fit; a published vocabulary may leave rows of a model free. */
    const bool house = !o->resume && !o->init
        && (!asked || strcmp(asked, "char") == 0 || strcmp(asked, "byte") == 0);
    bool ok = text_model_of(t->plan, &t->model, err);
    if (ok && t->model.targets < 0)
        ok = error_set(err, "%s has no targets to train on", model_name(t->plan));
    ok = ok && open_tokenizer(t, err)
        && data_read_text(o->data, o->n_data,
                          t->tokenizer && hf_tokenizer_takes_bytes(t->tokenizer), &text, err)
        && (t->tokenizer || (t->tokenizer = house_characters(text.data, text.len, err)))
        && hf_tokenizer_hash(t->tokenizer, &t->record.tokenizer, err)
        && check_asked(t, &text, err)
        && text_model_fits(t->plan, o->plan_path, &t->model, hf_tokenizer_size(t->tokenizer),
                           house, err)
        && tokenize(t, &text, err);
    buf_free(&text);
    return ok;
}

static bool open_data(Trainer *t, Error *err)
{
    const TrainOptions *o = t->options;
    const Hyper *h = &t->record.hyper;
    if (!t->is_text && o->n_data > 1)
        return error_set(err, "--data takes one file of samples, or files of text");
    bool ok = t->is_text ? open_text(t, err)
        : data_open_samples(t->plan, PLAN_train, o->data[0], h->batch, h->val_fraction, &t->data,
                            err);
    t->record.data = t->data.hash;
    t->record.data_size = t->data.n;
    return ok && data_can_train(&t->data, err);
}

static bool check_same_run(Trainer *t, Error *err)
{
    char path[CHECKPOINT_PATH];
    RunRecord then;
    return checkpoint_file(t->options->out, "trainer.json", path, err)
        && run_record_open(path, &then, err)
        && (run_record_same(&then, &t->record, err) || error_prefix(err, "%s", path));
}

/* ---- session ---------------------------------------------------------------------------------- */

static bool scalar_output(const Trainer *t, PlanProgramKind program, const char *name,
                          const float **out, Error *err)
{
    Operand o;
    *out = NULL;
    if (!session_output(t->session, program, name, &o) || o.dtype != DTYPE_f32)
        return error_set(err, "the plan's program %s has no output %s", plan_program_name(program),
                         name);
    *out = o.data;
    return true;
}

static bool bind_programs(Trainer *t, uint32_t programs, Error *err)
{
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (programs & 1u << k
            && !session_bind(t->session, (PlanProgramKind)k, t->data.sizes, err))
            return false;
    const PlanProgramKind updates = programs & 1u << PLAN_apply ? PLAN_apply : PLAN_train;
    return scalar_output(t, t->step_program, "loss", &t->loss, err)
        && scalar_output(t, updates, "grad_norm", &t->grad_norm, err)
        && (!(programs & 1u << PLAN_eval)
            || scalar_output(t, PLAN_eval, "loss", &t->eval_loss, err));
}

static bool bind_inputs(Trainer *t, Error *err)
{
    const Hyper *h = &t->record.hyper;
    t->lr = session_storage_named(t->session, "$lr");
    t->clip = session_storage_named(t->session, "$clip");
    t->step = session_storage_named(t->session, "$step");
    t->seed = session_storage_named(t->session, "$seed");
    t->scale = session_storage_named(t->session, "$scale");
    if (t->clip)
        *t->clip = h->clip > 0 ? (float)h->clip : INFINITY;
    if (t->scale)
        *t->scale = (float)(1 / (double)h->accumulate);
    return t->lr != NULL || error_set(err, "the plan's programs for training read no rate $lr");
}

static bool open_session(Trainer *t, Error *err)
{
    const TrainOptions *o = t->options;
    const bool parts = t->record.hyper.accumulate > 1;
    t->step_program = parts ? PLAN_accumulate : PLAN_train;
    uint32_t programs = parts ? 1u << PLAN_accumulate | 1u << PLAN_apply : 1u << PLAN_train;
    if (plan_program(t->plan, PLAN_eval))
        programs |= 1u << PLAN_eval;
    const SessionOptions so = { .n_threads = o->n_threads, .cpu = o->cpu, .programs = programs };
    return session_open(t->plan, &so, &t->session, err) && bind_programs(t, programs, err)
        && bind_inputs(t, err);
}

static bool load_weights(Trainer *t, Error *err)
{
    const TrainOptions *o = t->options;
    char path[CHECKPOINT_PATH];
    if (o->resume)
        return checkpoint_file(o->out, "model.safetensors", path, err)
            && weights_load(t->session, WEIGHTS_PARAMS, path, true, err)
            && checkpoint_file(o->out, "optimizer.safetensors", path, err)
            && weights_load(t->session, WEIGHTS_OPTIMIZER, path, true, err);
    if (!o->init) {
        weights_init(t->session, (uint64_t)t->record.hyper.seed);
        return true;
    }
    if (!weights_path(o->init, path, err))
        return false;
    return weights_load(t->session, WEIGHTS_PARAMS, path, false, err);
}

/* ---- all of it -------------------------------------------------------------------------------- */

static bool check_plan(const Plan *p, Error *err)
{
    if (plan_program(p, PLAN_train))
        return true;
    return error_set(err, "the plan of %s has no program train: its model needs a train block with a "
                     "loss and an optimizer, and training keeps its weights in f32 (smc compile "
                     "without --weights)", model_name(p));
}

static void describe(Trainer *t)
{
    const Hyper *h = &t->record.hyper;
    progress_line(&t->progress, "%s: %" PRId64 " parameters, %" PRId64 " %s (%" PRId64 " for "
                  "validation), batch %" PRId64 "%s, %d threads, %s", model_name(t->plan),
                  t->record.parameters, t->data.n, t->is_text ? "tokens" : "samples",
                  t->data.n - t->data.n_train, h->batch, h->accumulate > 1 ? " accumulated" : "",
                  session_threads(t->session), isa_name(session_kernels(t->session)->isa));
    if (t->data.n > t->data.n_train && !data_can_validate(&t->data))
        progress_line(&t->progress, "the part held out, %" PRId64 " tokens, is shorter than a window: "
                      "there is no validation", t->data.n - t->data.n_train);
    if (t->record.step)
        progress_line(&t->progress, "resumed after step %" PRId64, t->record.step);
}

/* Where they are text that fits; a plan's strings may be anything. */
static void record_configs(RunRecord *r, const Plan *p)
{
    const char *configs = plan_string(p, p->header->configs);
    size_t n = 0;
    while (n < sizeof r->configs - 1 && (configs[n] == '\n' || (configs[n] >= ' ' && configs[n] <= '~')))
        n++;
    memcpy(r->configs, configs, configs[n] ? 0 : n);
}

bool trainer_open(Trainer *t, const Plan *p, const TrainOptions *o, Error *err)
{
    int64_t bytes;
    uint32_t n_tensors;
    char path[CHECKPOINT_PATH];
    *t = (Trainer){ .plan = p, .options = o, .log.fd = -1,
                    .is_text = !ends_with(o->data[0], ".safetensors") };
    snprintf(t->record.model, sizeof t->record.model, "%s", model_name(p));
    record_configs(&t->record, p);
    weights_count(p, &t->record.parameters, &bytes, &n_tensors);
    if (!check_plan(p, err) || !open_directory(t, err))
        return false;
    fill_defaults(t);
    if (!read_words(t, err) || !open_data(t, err) || (o->resume && !check_same_run(t, err))
        || !open_session(t, err) || !load_weights(t, err))
        return false;
    progress_begin(&t->progress, o->progress);
    describe(t);
    return file_make_dirs(o->out, err) && path_join(path, sizeof path, o->out, "log.jsonl", err)
        && run_log_open(&t->log, path, t->record.step, err);
}

void trainer_close(Trainer *t)
{
    run_log_close(&t->log);
    session_close(t->session);
    data_close(&t->data);
    hf_tokenizer_free(t->tokenizer);
}

bool trainer_checkpoint(Trainer *t, Error *err)
{
    const char *dir = t->options->out;
    char model[CHECKPOINT_PATH], optimizer[CHECKPOINT_PATH], tokenizer[CHECKPOINT_PATH],
        record[CHECKPOINT_PATH];
    bool ok = checkpoint_begin(dir, err)
        && checkpoint_next(dir, "model.safetensors", model, err)
        && checkpoint_next(dir, "optimizer.safetensors", optimizer, err)
        && checkpoint_next(dir, "tokenizer.json", tokenizer, err)
        && checkpoint_next(dir, "trainer.json", record, err)
        && weights_save(t->session, WEIGHTS_PARAMS, model, err)
        && weights_save(t->session, WEIGHTS_OPTIMIZER, optimizer, err)
        && (!t->is_text || hf_tokenizer_save(t->tokenizer, tokenizer, err))
        && run_record_save(&t->record, record, err);
    if (ok)
        return checkpoint_commit(dir, err);
    checkpoint_abandon(dir);
    return false;
}
