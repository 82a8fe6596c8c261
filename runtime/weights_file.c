/* Which tensors stay where they are. */
#include "runtime/weights_file.h"

#include "base/check.h"
#include "runtime/hub/weights_index.h"
#include "runtime/packed_weights.h"
#include "runtime/weights.h"

#include <stdio.h>
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
    char packed_path[CHECKPOINT_PATH];  /* "": not asked for */
    PackedWeights *packed;              /* NULL: none that is sound */
    PackedState packed_state;
    Error why;
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

/* Bytes at p become the session's storage, where the system lets pages of the map be private ones. */
static void give_bytes(WeightsFile *f, uint32_t storage, const void *p, size_t bytes)
{
    if (!file_map_private(p, bytes))
        return;
    f->given[storage] = (void *)(uintptr_t)p;
    f->bytes += bytes;
}

static bool has_blocks(const PlanStorage *st)
{
    return st->class == PLAN_PARAM && dtype_block((DType)st->dtype) > 1;
}

/* Panels that were kept before, where the source has them in the very shape and type. */
static void take_packed(WeightsFile *f)
{
    const char *slash = strrchr(f->path, '/');
    bool any = false;
    for (uint32_t i = 0; i < f->plan->n_storages; i++)
        any = any || has_blocks(&f->plan->storages[i]);
    const int n = snprintf(f->packed_path, sizeof f->packed_path, "%.*spacked.bin",
                           slash ? (int)(slash - f->path) + 1 : 0, f->path);
    if (!any || n < 0 || n >= (int)sizeof f->packed_path)
        f->packed_path[0] = '\0';
    else if (packed_open(f->plan, f->packed_path, weights_index_facts(f->index), &f->packed, &f->why))
        f->packed_state = PACKED_USED;
}

static void give_packed(WeightsFile *f)
{
    for (uint32_t i = 0; f->packed && i < f->plan->n_storages; i++) {
        size_t bytes;
        const void *panels = packed_panels(f->packed, (int32_t)i, &bytes);
        if (panels)
            give_bytes(f, i, panels, bytes);
    }
}

static void give(WeightsFile *f)
{
    for (uint32_t i = 0; i < f->plan->n_storages; i++) {
        const PlanStorage *st = &f->plan->storages[i];
        const Place t = st->class == PLAN_PARAM ? place_of(f, (int32_t)i) : (Place){ 0 };
        if (stays(st, &t))
            give_bytes(f, i, t.data, t.bytes);
    }
}

bool weights_file_open(const Plan *p, const char *path, bool keep_packed, WeightsFile **out, Error *err)
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
    if (ok && keep_packed && f->is_index)
        take_packed(f);
    if (ok) {
        give(f);
        give_packed(f);
    }
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
    packed_close(f->packed);
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

PackedState weights_file_packed(const WeightsFile *f, const char **why)
{
    if (why)
        *why = f->why.text;
    return f->packed_state;
}

/* Panels into the session, unless they are its storage. */
static void copy_packed(const WeightsFile *f, Session *s, bool *filled)
{
    for (uint32_t i = 0; i < f->plan->n_storages; i++) {
        size_t bytes;
        const void *panels = packed_panels(f->packed, (int32_t)i, &bytes);
        void *to = session_storage(s, (int32_t)i);
        if (!panels || !to)
            continue;
        if (to != panels)
            memcpy(to, panels, bytes);
        filled[i] = true;
    }
}

static bool load_index(WeightsFile *f, Session *s, Error *err)
{
    bool *filled = calloc(f->plan->n_storages + 1u, sizeof *filled);
    if (!filled)
        return error_set(err, "%s: out of memory", f->path);
    if (f->packed)
        copy_packed(f, s, filled);
    const bool ok = weights_index_fill(f->index, s, filled, err);
    free(filled);
    if (ok && !f->packed && f->packed_path[0])
        f->packed_state = packed_write(s, f->packed_path, weights_index_facts(f->index), &f->why)
            ? PACKED_WRITTEN : PACKED_FAILED;
    return ok;
}

bool weights_file_load(WeightsFile *f, Session *s, Error *err)
{
    if (f->is_index)
        return load_index(f, s, err);
    return weights_fill(s, WEIGHTS_PARAMS, &f->tensors, false, err) || error_prefix(err, "%s", f->path);
}
