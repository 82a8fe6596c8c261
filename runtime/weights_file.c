/* Which tensors stay where they are. */
#include "runtime/weights_file.h"

#include "base/check.h"
#include "runtime/hub/weights_index.h"
#include "runtime/weights.h"

#include <stdlib.h>
#include <string.h>

struct WeightsFile {
    const Plan *plan;
    const char *path;
    bool is_index;
    WeightsIndex *index;
    SafeTensors tensors;
    void **given;                       /* per storage of the plan */
    size_t bytes;
};

/* The tensor of a parameter as far as it matters here; no data: there is none. */
typedef struct Place {
    const uint8_t *data;
    DType type;
    uint32_t rank;
    const int64_t *dim;
    size_t bytes;
} Place;

static Place place_of(const WeightsFile *f, int32_t storage)
{
    if (f->is_index) {
        const HubTensor *t = weights_index_tensor(f->index, storage);
        return t && t->group == 0 ? (Place){ t->data, t->type, t->rank, t->dim, t->bytes } : (Place){ 0 };
    }
    const SafeTensor *t = safetensors_find(&f->tensors, plan_string(f->plan, f->plan->storages[storage].name));
    if (!t || (t->type != ST_F32 && t->type != ST_BF16))
        return (Place){ 0 };
    return (Place){ t->data, t->type == ST_F32 ? DTYPE_f32 : DTYPE_bf16, t->rank, t->dim, t->bytes };
}

static bool stays(const PlanStorage *st, const Place *t)
{
    const int64_t none[MAX_SYMBOLS] = { 0 };
    const DType type = (DType)st->dtype;
    int64_t n;
    if (!t->data || t->bytes == 0 || t->type != type || t->rank != st->rank || dtype_block(type) > 1
        || (uintptr_t)t->data % dtype_size(type))
        return false;
    for (uint32_t a = 0; a < st->rank; a++)
        if (!plan_dim(&st->dim[a], none, &n) || n != t->dim[a])
            return false;
    return true;
}

static void give(WeightsFile *f)
{
    for (uint32_t i = 0; i < f->plan->n_storages; i++) {
        const PlanStorage *st = &f->plan->storages[i];
        const Place t = st->class == PLAN_PARAM ? place_of(f, (int32_t)i) : (Place){ 0 };
        if (!stays(st, &t) || !file_map_private(t.data, t.bytes))
            continue;
        f->given[i] = (void *)(uintptr_t)t.data;
        f->bytes += t.bytes;
    }
}

bool weights_file_open(const Plan *p, const char *path, WeightsFile **out, Error *err)
{
    const size_t n = strlen(path);
    WeightsFile *f = *out = calloc(1, sizeof *f);
    if (!f)
        return error_set(err, "%s: out of memory", path);
    *f = (WeightsFile){ .plan = p, .path = path, .is_index = n > 5 && strcmp(path + n - 5, ".json") == 0,
                        .given = calloc(p->n_storages + 1, sizeof *f->given) };
    const bool ok = (f->given || error_set(err, "%s: out of memory", path))
        && (f->is_index ? weights_index_open(p, path, &f->index, err)
                        : safetensors_open(path, &f->tensors, err));
    if (ok)
        give(f);
    return ok;
}

void weights_file_close(WeightsFile *f)
{
    if (!f)
        return;
    if (f->is_index)
        weights_index_close(f->index);
    else
        safetensors_close(&f->tensors);
    free(f->given);
    free(f);
}

void *const *weights_file_given(const WeightsFile *f)
{
    return f->given;
}

size_t weights_file_bytes(const WeightsFile *f)
{
    return f->bytes;
}

bool weights_file_load(WeightsFile *f, Session *s, Error *err)
{
    if (f->is_index)
        return weights_index_fill(f->index, s, err);
    return weights_fill(s, WEIGHTS_PARAMS, &f->tensors, false, err) || error_prefix(err, "%s", f->path);
}
