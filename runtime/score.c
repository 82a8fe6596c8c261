/* Outputs and losses over a file of samples, batch by batch; the last batch may be smaller. */
#include "runtime/score.h"

#include "base/check.h"
#include "runtime/data.h"
#include "runtime/weights.h"
#include "runtime/weights_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One output over all samples. */
typedef struct Gathered {
    SafeEntry entry;
    char *data;                         /* owned; [n, ...] */
    size_t per_sample;                  /* bytes */
} Gathered;

typedef struct Scoring {
    const Plan *plan;
    const ScoreOptions *options;
    char path[CHECKPOINT_PATH];         /* of the weights */
    WeightsFile *weights;
    Session *session;
    Data data;
    Gathered *outputs;
    uint32_t n_outputs;
} Scoring;

static bool bind(Scoring *s, PlanProgramKind program, int64_t count, Error *err)
{
    int64_t sizes[MAX_SYMBOLS];
    memcpy(sizes, s->data.sizes, sizeof sizes);
    sizes[plan_symbol(s->plan, PLAN_BATCH)] = count;
    return session_bind(s->session, program, sizes, err);
}

/* Takes room for an output of all samples, by its shape in the first batch. */
static bool take_output(Scoring *s, Gathered *g, const char *name, const Operand *o, int64_t count,
                        Error *err)
{
    if (o->rank < 1 || o->dim[0] != count)
        return error_set(err, "output %s has no batch as its first axis, so it cannot be written "
                         "sample by sample", name);
    g->entry = (SafeEntry){ .name = name, .type = o->dtype, .rank = (uint32_t)o->rank };
    memcpy(g->entry.dim, o->dim, sizeof o->dim);
    g->entry.dim[0] = s->data.n;
    g->per_sample = dtype_size(o->dtype);
    bool fits = true;
    size_t bytes = 0;
    for (int a = 1; a < o->rank; a++)
        fits = fits && size_mul(g->per_sample, (size_t)o->dim[a], &g->per_sample);
    fits = fits && size_mul(g->per_sample, (size_t)s->data.n, &bytes);
    g->data = fits ? malloc(bytes + 1) : NULL;
    g->entry.data = g->data;
    return g->data != NULL || error_set(err, "out of memory: output %s of %" PRId64 " samples", name,
                                        s->data.n);
}

/* Every element is a lane of 4 bytes; strides may be anything. */
static char *copy_dense(const Operand *o, int axis, const char *from, char *to)
{
    if (axis == o->rank) {
        memcpy(to, from, sizeof(float));
        return to + sizeof(float);
    }
    for (int64_t i = 0; i < o->dim[axis]; i++)
        to = copy_dense(o, axis + 1, from + i * o->stride[axis] * (int64_t)sizeof(float), to);
    return to;
}

static bool gather(Scoring *s, int64_t first, int64_t count, Error *err)
{
    const PlanProgram *g = plan_program(s->plan, PLAN_score);
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        const char *name = plan_string(s->plan, s->plan->outputs[g->first_output + i].name);
        Operand o;
        bool there = session_output(s->session, PLAN_score, name, &o);
        CHECK(there, "output %s of the plan", name);
        if (!s->outputs[i].data && !take_output(s, &s->outputs[i], name, &o, count, err))
            return false;
        copy_dense(&o, 0, o.data, s->outputs[i].data + (size_t)first * s->outputs[i].per_sample);
    }
    return true;
}

static bool score_batches(Scoring *s, ScoreResult *result, Error *err)
{
    for (int64_t first = 0; first < s->data.n; first += s->data.batch) {
        const int64_t left = s->data.n - first;
        const int64_t count = left < s->data.batch ? left : s->data.batch;
        if (s->options->out) {
            if (!bind(s, PLAN_score, count, err)
                || !data_fill_range(&s->data, s->session, first, count, err))
                return false;
            session_run(s->session, PLAN_score);
            if (!gather(s, first, count, err))
                return false;
        }
        if (result->has_loss) {
            Operand loss;
            if (!bind(s, PLAN_eval, count, err)
                || !data_fill_range(&s->data, s->session, first, count, err))
                return false;
            session_run(s->session, PLAN_eval);
            bool there = session_output(s->session, PLAN_eval, "loss", &loss);
            CHECK(there, "program eval gives a loss");
            result->loss += (double)*(const float *)loss.data * (double)count / (double)s->data.n;
        }
    }
    return true;
}

/* Are the inputs of the train block among the samples? */
static bool has_targets(const Plan *p, const char *path, bool *out, Error *err)
{
    SafeTensors file;
    *out = plan_program(p, PLAN_eval) != NULL;
    if (!safetensors_open(path, &file, err))
        return false;
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (p->storages[i].class == PLAN_INPUT && p->storages[i].train_only
            && !safetensors_find(&file, plan_string(p, p->storages[i].name)))
            *out = false;
    safetensors_close(&file);
    return true;
}

static bool open_scoring(Scoring *s, ScoreResult *result, Error *err)
{
    const ScoreOptions *o = s->options;
    const PlanProgram *g = plan_program(s->plan, PLAN_score);
    if (!has_targets(s->plan, o->data, &result->has_loss, err))
        return false;
    if (o->out && !g)
        return error_set(err, "the plan has no program score: its model has no outputs");
    if (!o->out && !result->has_loss)
        return error_set(err, "%s has no targets, so there is no loss to print; -o FILE writes the "
                         "outputs", o->data);
    SessionOptions so = { .n_threads = o->n_threads, .cpu = o->cpu,
                                .programs = (o->out ? 1u << PLAN_score : 0)
                                    | (result->has_loss ? 1u << PLAN_eval : 0) };
    s->n_outputs = o->out ? g->n_outputs : 0;
    s->outputs = calloc(s->n_outputs + 1, sizeof *s->outputs);
    if (!s->outputs)
        return error_set(err, "out of memory");
    if (!data_open_samples(s->plan, result->has_loss ? PLAN_eval : PLAN_score, o->data, 0, 0,
                           &s->data, err)
        || !weights_path(o->weights, s->path, err) || !weights_file_open(s->plan, s->path, false, &s->weights, err))
        return false;
    so.given = weights_file_given(s->weights);
    result->n = s->data.n;
    return session_open(s->plan, &so, &s->session, err) && weights_file_load(s->weights, s->session, err);
}

static bool write_outputs(const Scoring *s, Error *err)
{
    SafeEntry *entries = calloc(s->n_outputs + 1, sizeof *entries);
    if (!entries)
        return error_set(err, "out of memory");
    for (uint32_t i = 0; i < s->n_outputs; i++)
        entries[i] = s->outputs[i].entry;
    bool ok = safetensors_write(s->options->out, entries, s->n_outputs, err);
    free(entries);
    return ok;
}

bool score(const Plan *p, const ScoreOptions *o, ScoreResult *out, Error *err)
{
    Scoring s = { .plan = p, .options = o };
    *out = (ScoreResult){ 0 };
    bool ok = open_scoring(&s, out, err) && score_batches(&s, out, err)
        && (!o->out || write_outputs(&s, err));
    for (uint32_t i = 0; s.outputs && i < s.n_outputs; i++)
        free(s.outputs[i].data);
    free(s.outputs);
    data_close(&s.data);
    session_close(s.session);
    weights_file_close(s.weights);
    return ok;
}
