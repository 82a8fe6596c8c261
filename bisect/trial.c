/* Graphs on repeatable numbers, and how far two ways of computing them may be apart. */
#include "bisect/trial.h"

#include "base/blocks.h"
#include "base/check.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what goes in ----------------------------------------------------------------------------- */

void trial_largest(const Graph *g, int64_t sizes[MAX_SYMBOLS])
{
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)g->n_symbols && g->symbol[i].max > 0 ? g->symbol[i].max : 1;
}

static uint64_t stream_of(const char *name)
{
    uint64_t stream = 0;
    for (const char *c = name; *c; c++)
        stream = stream * 131 + (unsigned char)*c;
    return stream;
}

static double value_at(const Storage *s, const TrialInputs *in, uint64_t stream, int64_t i)
{
    if (strcmp(s->name, "$lr") == 0)
        return (float)1e-2;
    if (strcmp(s->name, "$clip") == 0 || strcmp(s->name, "$scale") == 0)
        return (float)0.5;
    if (strcmp(s->name, "$step") == 0)
        return 3;
    if (strcmp(s->name, "$past") == 0)
        return (double)in->past;
    if (s->type.dtype == DTYPE_i32)
        return (double)(random_u32(in->seed, stream, (uint64_t)i)
                        % (uint32_t)(s->index_limit ? s->index_limit : 1000));
    const double x = random_normal(in->seed, stream, (uint64_t)i);
    if (s->class == STORAGE_STATE)      /* second moments are not negative */
        return (float)(strstr(s->name, ".v.") ? 1e-2 * x * x : 1e-2 * x);
    return (float)(s->class == STORAGE_PARAM ? 0.1 * x + (s->init == INIT_ones) : x);
}

double trial_value(const Storage *s, const TrialInputs *in, int64_t i)
{
    return value_at(s, in, stream_of(s->name), i);
}

void trial_stored(const Storage *s, const TrialInputs *in, int64_t count, void *out)
{
    enum { CHUNK = 256 };               /* whole blocks of every type */
    const uint64_t stream = stream_of(s->name);
    for (int64_t first = 0; first < count; first += CHUNK) {
        const int64_t n = count - first < CHUNK ? count - first : CHUNK;
        float x[CHUNK];
        int64_t at;
        for (int64_t i = 0; i < n; i++)
            x[i] = (float)value_at(s, in, stream, first + i);
        bool stored = dtype_offset(s->type.dtype, first, &at)
            && blocks_encode(s->type.dtype, (size_t)n, x, (char *)out + at, NULL);
        CHECK(stored, "numbers around 0 in whole blocks");
    }
}

/* The numbers that a storage's bytes stand for. */
static void fill_decoded(const Storage *s, const TrialInputs *in, Tensor *t, Arena *arena)
{
    int64_t bytes;
    bool whole = dtype_offset(s->type.dtype, t->count, &bytes);
    CHECK(whole, "rows of whole blocks");
    void *stored = arena_alloc(arena, (size_t)bytes);
    float *x = arena_array(arena, (size_t)t->count, sizeof *x);
    trial_stored(s, in, t->count, stored);
    blocks_decode(s->type.dtype, (size_t)t->count, stored, x);
    for (int64_t i = 0; i < t->count; i++)
        t->data[i] = x[i];
}

void trial_fill(Eval *e, const TrialInputs *in)
{
    for (StorageId s = 0; s < e->g->n_storages; s++) {
        const Storage *storage = &e->g->storages[s];
        const uint64_t stream = stream_of(storage->name);
        if (!dtype_is_lane(storage->type.dtype)) {
            fill_decoded(storage, in, &e->storages[s], e->arena);
            continue;
        }
        for (int64_t i = 0; i < e->storages[s].count; i++)
            e->storages[s].data[i] = value_at(storage, in, stream, i);
    }
}

/* ---- running ---------------------------------------------------------------------------------- */

/* From storages as `filled` has them: drawing them takes longer than many a graph. */
static Eval run(const Graph *g, const Eval *filled, Noise *noise, Arena *arena)
{
    Eval e = eval_begin(g, arena, filled->sizes);
    for (StorageId s = 0; s < g->n_storages; s++)
        memcpy(e.storages[s].data, filled->storages[s].data,
               (size_t)e.storages[s].count * sizeof *e.storages[s].data);
    if (noise) {
        e.after = noise_after;
        e.arg = noise;
    }
    eval_run(&e);
    return e;
}

Trial trial_run(const Graph *g, const TrialInputs *in, double unit, Arena *arena)
{
    Eval filled = eval_begin(g, arena, in->sizes);
    trial_fill(&filled, in);
    Trial t = { .exact = run(g, &filled, NULL, arena), .unit = unit };
    for (int k = 0; k < TRIAL_RUNS; k++) {
        Noise noise = { .seed = 1000 + (uint64_t)k, .unit = unit, .arena = arena,
                        .floats = k == 0 && unit >= UNIT_FLOAT };
        t.noisy[k] = run(g, &filled, &noise, arena);
    }
    return t;
}

/* ---- comparing -------------------------------------------------------------------------------- */

/* The largest of a few random draws stands for a bound: errors that conspire reach some times it. */
static const double slack = 8;

/* Without bound where no run has a number: a root or a logarithm of what rounding may take below zero. */
static double stray(const Tensor *want, const Tensor *const noisy[TRIAL_RUNS], int64_t i)
{
    double most = 0;
    bool any = false;
    for (int k = 0; k < TRIAL_RUNS; k++)
        if (isfinite(noisy[k]->data[i])) {
            most = fmax(most, fabs(noisy[k]->data[i] - want->data[i]));
            any = true;
        }
    return any ? most : INFINITY;
}

/* Root mean square of the strays of those that stray at all (zeros may not): what a single element's few
 * draws may have missed. */
static double typical_stray(const Tensor *want, const Tensor *const noisy[TRIAL_RUNS])
{
    double sum = 0, n = 0;
    for (int64_t i = 0; i < want->count; i++) {
        const double s = isfinite(want->data[i]) ? stray(want, noisy, i) : 0;
        sum += isfinite(s) ? s * s : 0;
        n += s > 0;
    }
    return n > 0 ? sqrt(sum / n) : 0;
}

static bool same_special(double x, double want)
{
    return (isnan(x) && isnan(want)) || (isinf(want) && x == want);
}

static bool same_shape(const Tensor *a, const Tensor *b)
{
    bool same = a->rank == b->rank;
    for (int i = 0; i < a->rank && same; i++)
        same = a->dim[i] == b->dim[i];
    return same;
}

/* What is near the middle of two numbers that a storage can hold may go to either. */
static double step_of(DType stored, const Tensor *want, int64_t i)
{
    const int64_t block = dtype_block(stored);
    if (stored == DTYPE_bf16)
        return 0x1p-7 * fabs(want->data[i]);
    return block > 1 ? 1.01 * noise_block_step(want, i / block * block) : 0;
}

static bool within(const char *name, const Tensor *want, const Tensor *const noisy[TRIAL_RUNS],
                   double unit, DType stored, const Tensor *got, Difference *difference)
{
    const double typical = typical_stray(want, noisy);
    if (!same_shape(want, got)) {
        snprintf(difference->text, sizeof difference->text, "%s has another shape", name);
        return false;
    }
    for (int64_t i = 0; i < want->count; i++) {
        const double x = got->data[i], w = want->data[i];
        const double bound = slack * fmax(stray(want, noisy, i), typical)
            + fmax(2 * unit * fabs(w), step_of(stored, want, i)) + 0x1p-140;
        if (!same_special(x, w) && !isinf(bound) && !(fabs(x - w) <= bound)) {
            snprintf(difference->text, sizeof difference->text,
                     "%s, element %lld: %.9g, not %.9g; off by %.3g where %.3g is allowed", name,
                     (long long)i, x, w, fabs(x - w), bound);
            return false;
        }
    }
    return true;
}

bool trial_value_is(const Trial *t, const char *name, ValueId v, const Tensor *got,
                    Difference *difference)
{
    const Tensor *noisy[TRIAL_RUNS];
    for (int k = 0; k < TRIAL_RUNS; k++)
        noisy[k] = &t->noisy[k].values[v];
    return within(name, &t->exact.values[v], noisy, t->unit, DTYPE_f32, got, difference);
}

bool trial_output(const Trial *t, const Output *o, const Tensor *got, Difference *difference)
{
    return trial_value_is(t, o->name, o->value, got, difference);
}

bool trial_storage(const Trial *t, StorageId s, const Tensor *got, Difference *difference)
{
    const Tensor *noisy[TRIAL_RUNS];
    for (int k = 0; k < TRIAL_RUNS; k++)
        noisy[k] = &t->noisy[k].storages[s];
    const Storage *storage = &t->exact.g->storages[s];
    return within(storage->name, &t->exact.storages[s], noisy, t->unit, storage->type.dtype, got, difference);
}

bool trial_same(const Trial *t, Eval *e, Difference *difference)
{
    const Graph *g = t->exact.g;
    bool same = true;
    for (uint32_t i = 0; i < g->n_outputs && same; i++) {
        const Tensor *got = eval_output(e, g->outputs[i].name);
        if (!got)
            snprintf(difference->text, sizeof difference->text, "output %s is gone",
                     g->outputs[i].name);
        same = got && trial_output(t, &g->outputs[i], got, difference);
    }
    for (StorageId s = 0; s < g->n_storages && same; s++) {
        const Tensor *got = eval_storage(e, g->storages[s].name);
        same = !got || trial_storage(t, s, got, difference);
    }
    return same;
}
