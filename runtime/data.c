/* Batches of text and of samples. */
#include "runtime/data.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "runtime/tokenizer/house.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool data_order_from_name(const char *name, DataOrder *out)
{
#define X(word)                                                                              \
    if (strcmp(name, #word) == 0) {                                                          \
        *out = DATA_##word;                                                                  \
        return true;                                                                         \
    }
    DATA_ORDERS(X)
#undef X
    return false;
}

void data_close(Data *d)
{
    free(d->ids);
    free(d->inputs);
    safetensors_close(&d->file);
    *d = (Data){ 0 };
}

/* Of n, how many are trained on when `fraction` is held out. */
static int64_t train_part(int64_t n, double fraction)
{
    return n - (int64_t)((double)n * fraction);
}

/* ---- text ------------------------------------------------------------------------------------- */

bool data_read_text(const char *const *paths, size_t n, bool any_bytes, Buf *out, Error *err)
{
    for (size_t i = 0; i < n; i++) {
        const size_t before = out->len;
        if (!file_read(paths[i], (size_t)INT32_MAX - before, out, err))
            return false;
        if (out->len == before)
            return error_set(err, "%s: the file is empty; expected text", paths[i]);
        if (!any_bytes
            && !house_check_text(out->data + before, out->len - before, err))
            return error_prefix(err, "%s", paths[i]);
    }
    return true;
}

bool data_open_text(const Plan *p, const TextModel *m, const HfTokenizer *t, const Buf *text,
                    int64_t batch, int64_t seq, double val_fraction, Data *out, Error *err)
{
    TokenIds ids = { 0 };
    *out = (Data){ .plan = p, .is_text = true, .model = *m, .batch = batch };
    plan_largest_sizes(p, PLAN_train, out->sizes);
    out->sizes[m->batch] = batch;
    out->sizes[m->sequence] = seq;
    HfEncoder *e = hf_encoder_new(t, err);
    const bool ok = e && hf_encode(e, text->data, text->len, 0, &ids, err);
    hf_encoder_free(e);
    out->ids = ids.id;
    if (!ok) {
        data_close(out);
        return false;
    }
    out->n = (int64_t)ids.n;
    out->n_train = train_part(out->n, val_fraction);
    out->hash = hash_bytes(ids.id, ids.n * sizeof *ids.id);
    return true;
}

/* Window b of the batch starts at start[b]; the targets one later. */
static void copy_window(const Data *d, Session *s, int64_t b, int64_t start)
{
    const int64_t seq = d->sizes[d->model.sequence];
    const size_t bytes = (size_t)seq * sizeof(int32_t);
    int32_t *tokens = session_storage(s, d->model.tokens);
    int32_t *targets = session_storage(s, d->model.targets);
    CHECK(start >= 0 && start + seq < d->n, "window at %" PRId64 " of %" PRId64, start, d->n);
    memcpy(tokens + b * seq, d->ids + start, bytes);
    if (targets)
        memcpy(targets + b * seq, d->ids + start + 1, bytes);
}

/* ---- samples ---------------------------------------------------------------------------------- */

/* The symbol that d is, times a constant; -1 for anything else. */
static int single_symbol(const PlanDim *d)
{
    int found = -1;
    for (int s = 0; s < MAX_SYMBOLS; s++) {
        if (d->power[s] == 0)
            continue;
        if (found >= 0 || d->power[s] != 1)
            return -1;
        found = s;
    }
    return found;
}

static bool wrong_shape(const Data *d, const PlanStorage *st, const SafeTensor *t, Error *err)
{
    char found[160];
    Buf text = { 0 };
    shape_text(found, sizeof found, t->rank, t->dim);
    for (uint32_t a = 0; a < st->rank; a++) {
        const int s = single_symbol(&st->dim[a]);
        buf_puts(&text, a ? ", " : "");
        if (s < 0 || st->dim[a].coef != 1)
            buf_printf(&text, "%" PRId64, st->dim[a].coef);
        if (s >= 0)
            buf_puts(&text, plan_string(d->plan, d->plan->symbols[s].name));
    }
    error_set(err, "tensor %s is %s; the model takes [%s], samples along the first axis", t->name,
              found, text.data ? text.data : "");
    buf_free(&text);
    return false;
}

/* Learns sizes from the axes of one input; `known` tells which symbols have one. */
static bool match_axes(Data *d, const PlanStorage *st, const SafeTensor *t, bool known[MAX_SYMBOLS],
                       Error *err)
{
    const int batch = plan_symbol(d->plan, PLAN_BATCH);
    if (t->rank != st->rank || st->rank == 0 || single_symbol(&st->dim[0]) != batch || batch < 0
        || st->dim[0].coef != 1)
        return wrong_shape(d, st, t, err);
    for (uint32_t a = 1; a < st->rank; a++) {
        const int s = single_symbol(&st->dim[a]);
        int64_t size;
        if (s >= 0 && s != batch && !known[s] && t->dim[a] % st->dim[a].coef == 0) {
            d->sizes[s] = t->dim[a] / st->dim[a].coef;
            known[s] = true;
        }
        if (!plan_dim(&st->dim[a], d->sizes, &size) || size != t->dim[a])
            return wrong_shape(d, st, t, err);
    }
    return true;
}

static bool add_input(Data *d, int32_t storage, bool known[MAX_SYMBOLS], Error *err)
{
    const PlanStorage *st = &d->plan->storages[storage];
    const char *name = plan_string(d->plan, st->name);
    const SafeTensor *t = safetensors_find(&d->file, name);
    if (!t)
        return error_set(err, "there is no tensor %s, an input of the model", name);
    if (!match_axes(d, st, t, known, err))
        return false;
    if (d->n_inputs > 0 && t->dim[0] != d->n)
        return error_set(err, "tensor %s has %" PRId64 " samples, %s has %" PRId64, name, t->dim[0],
                         d->inputs[0].tensor->name, d->n);
    d->n = t->dim[0];
    d->inputs[d->n_inputs++] = (DataInput){ storage, t, d->n ? t->count / d->n : 0 };
    /* Types, and ids beyond the vocabulary, are faults to hear of before the first step. */
    const size_t bytes = (size_t)t->count * dtype_size((DType)st->dtype);
    void *lanes = malloc(bytes + 1);
    bool ok = lanes || error_set(err, "out of memory");
    ok = ok && safetensors_read(t, (DType)st->dtype, 0, t->count, lanes, err);
    const int32_t *ids = lanes;
    for (int64_t i = 0; ok && st->index_limit > 0 && i < t->count; i++)
        if ((ids[i] < 0 || ids[i] >= st->index_limit) && ids[i] != st->index_ignore)
            ok = error_set(err, "tensor %s: element %" PRId64 " is the id %" PRId32 "; the model knows "
                           "0 to %" PRId64, name, i, ids[i], st->index_limit - 1);
    free(lanes);
    return ok;
}

static bool check_sizes(const Data *d, PlanProgramKind kind, Error *err)
{
    return d->n > 0 ? plan_takes(d->plan, kind, d->sizes, err) : error_set(err, "there are no samples");
}

static bool open_samples(Data *d, PlanProgramKind kind, const char *path, int64_t batch, Error *err)
{
    const Plan *p = d->plan;
    const int symbol = plan_symbol(p, PLAN_BATCH);
    bool known[MAX_SYMBOLS] = { false };
    plan_largest_sizes(p, kind, d->sizes);
    if (symbol < 0)
        return error_set(err, "%s has no batch, along which samples could lie",
                         plan_string(p, p->header->model));
    if (batch)
        d->sizes[symbol] = batch;
    d->batch = d->sizes[symbol];
    d->inputs = calloc(p->n_storages + 1, sizeof *d->inputs);
    if (!d->inputs)
        return error_set(err, "out of memory");
    if (!safetensors_open(path, &d->file, err))
        return false;
    d->hash = d->file.hash;
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        if (st->class == PLAN_INPUT && plan_string(p, st->name)[0] != '$'
            && st->programs & 1u << kind && !add_input(d, (int32_t)i, known, err))
            return error_prefix(err, "%s", path);
    }
    return check_sizes(d, kind, err) || error_prefix(err, "%s", path);
}

bool data_open_samples(const Plan *p, PlanProgramKind kind, const char *path, int64_t batch,
                       double val_fraction, Data *out, Error *err)
{
    *out = (Data){ .plan = p };
    if (!open_samples(out, kind, path, batch, err)) {
        data_close(out);
        return false;
    }
    out->n_train = train_part(out->n, val_fraction);
    return true;
}

/* Sample `from` becomes row b of the batch. */
static bool copy_sample(const Data *d, Session *s, int64_t b, int64_t from, Error *err)
{
    for (uint32_t i = 0; i < d->n_inputs; i++) {
        const DataInput *in = &d->inputs[i];
        const DType type = (DType)d->plan->storages[in->storage].dtype;
        char *to = session_storage(s, in->storage);
        if (to && !safetensors_read(in->tensor, type, from * in->per_sample, in->per_sample,
                                    to + (size_t)(b * in->per_sample) * dtype_size(type), err))
            return false;
    }
    return true;
}

/* ---- batches ---------------------------------------------------------------------------------- */

/* What a window or a sample is long: how far its last id lies from its first, and one for the
 * target.  */
static int64_t item_length(const Data *d)
{
    return d->is_text ? d->sizes[d->model.sequence] + 1 : 1;
}

bool data_can_train(const Data *d, Error *err)
{
    if (d->n_train >= item_length(d))
        return true;
    return error_set(err, "the training part of the data has %" PRId64 " %s; at least %" PRId64 " are "
                     "needed (--val-fraction holds out the rest of %" PRId64 ")", d->n_train,
                     d->is_text ? "tokens" : "samples", item_length(d), d->n);
}

bool data_can_validate(const Data *d)
{
    return d->n - d->n_train >= item_length(d);
}

static bool copy_item(const Data *d, Session *s, int64_t b, int64_t at, Error *err)
{
    if (!d->is_text)
        return copy_sample(d, s, b, at, err);
    copy_window(d, s, b, at);
    return true;
}

int64_t data_random_start(int64_t starts, int64_t stride, uint64_t seed, int64_t i)
{
    const int64_t shift = starts < stride ? starts : stride;
    const int64_t per_epoch = (starts - shift) / stride + 1;
    const uint64_t epoch = (uint64_t)(i / per_epoch);
    const uint64_t stream = hash_bytes("$data", 5) + epoch;
    const int64_t first = (int64_t)(random_uniform(seed, stream, 0) * (double)shift);
    const uint64_t turn = (uint64_t)(i % per_epoch);
    return first + stride * (int64_t)random_permuted(seed, stream, (uint64_t)per_epoch, turn);
}

bool data_fill(const Data *d, Session *s, DataOrder order, uint64_t seed, int64_t index, Error *err)
{
    const int64_t starts = d->n_train - item_length(d) + 1;
    const int64_t stride = d->is_text ? d->sizes[d->model.sequence] : 1;
    const int64_t in_order = (starts - 1) / stride + 1;
    for (int64_t b = 0; b < d->batch; b++) {
        const int64_t i = index * d->batch + b;
        const int64_t at = order == DATA_sequential
            ? i % in_order * stride : data_random_start(starts, stride, seed, i);
        if (!copy_item(d, s, b, at, err))
            return false;
    }
    return true;
}

bool data_fill_validation(const Data *d, Session *s, int64_t index, int64_t count, Error *err)
{
    const int64_t starts = d->n - d->n_train - item_length(d) + 1, items = count * d->batch;
    for (int64_t b = 0; b < d->batch; b++) {
        const int64_t i = index * d->batch + b;
        const int64_t at = items > 1 ? (int64_t)((double)i * (double)(starts - 1)
                                                 / (double)(items - 1)) : 0;
        if (!copy_item(d, s, b, d->n_train + at, err))
            return false;
    }
    return true;
}

bool data_fill_range(const Data *d, Session *s, int64_t first, int64_t count, Error *err)
{
    CHECK(count <= d->batch && first + count <= d->n, "%" PRId64 " from %" PRId64, count, first);
    for (int64_t b = 0; b < count; b++)
        if (!copy_item(d, s, b, first + b, err))
            return false;
    return true;
}

int64_t data_batch_tokens(const Data *d)
{
    return d->is_text ? d->batch * d->sizes[d->model.sequence] : d->batch;
}
