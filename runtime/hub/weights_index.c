/* Reading weights.json, and through it the published files. */
#include "runtime/hub/weights_index.h"

#include "base/file.h"
#include "base/hash.h"
#include "runtime/hub/json.h"
#include "runtime/hub/tensor_file.h"
#include "runtime/json_parts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 1100 };

/* A parameter of the plan, and the tensor that the index has for it. */
typedef struct Param {
    const char *name;                   /* the plan's */
    int32_t storage;
    const HubTensor *tensor;            /* NULL: the index has none */
} Param;

struct WeightsIndex {
    const char *path;
    FileMap map;
    JsonSource source;
    JsonText files, tensors;            /* of the text */
    TensorFile *file;
    size_t n_files;
    uint64_t facts;
    Param *param;                       /* by name */
    size_t n_params;
};

static bool open_file(WeightsIndex *x, const json_t *name, Error *err)
{
    const char *text = json_string_value(name), *slash = strrchr(x->path, '/');
    char path[PATH_MAX];
    if (!text)
        return error_set(err, "%s: a file of \"files\" is no text", x->path);
    const int n = *text == '/' || !slash
        ? snprintf(path, sizeof path, "%s", text)
        : snprintf(path, sizeof path, "%.*s/%s", (int)(slash - x->path), x->path, text);
    if (n < 0 || n >= (int)sizeof path)
        return error_set(err, "%s: a path of \"files\" is too long", x->path);
    if (!file_exists(path))
        return error_set(err, "%s is not there any more; import the model again", path);
    struct stat st;
    if (stat(path, &st) == 0) {
        const int64_t facts[] = { st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
        x->facts = hash_seeded(path, strlen(path), hash_seeded(facts, sizeof facts, x->facts));
    }
    return tensor_file_open(&x->file[x->n_files++], path, err);
}

static bool open_files(WeightsIndex *x, Error *err)
{
    json_t *files = json_source_load(&x->source, x->files, err);
    const size_t n = json_array_size(files);
    bool ok = files != NULL || error_prefix(err, "%s", x->path);
    if (ok && (n == 0 || n > MAX_FILES))
        ok = error_set(err, "%s: it has no \"files\" and \"tensors\" of an imported model", x->path);
    if (ok) {
        x->file = calloc(n, sizeof *x->file);
        ok = x->file != NULL || error_set(err, "%s: out of memory", x->path);
    }
    for (size_t i = 0; ok && i < n; i++)
        ok = open_file(x, json_array_get(files, i), err);
    json_decref(files);
    return ok;
}

static bool open_index(WeightsIndex *x, const char *path, Error *err)
{
    JsonText key, value;
    *x = (WeightsIndex){ .path = path, .files = { "", 0 }, .tensors = { "", 0 } };
    if (!hub_json_map(path, &x->map, err))
        return false;
    if (!json_source_open(&x->source, x->map.data ? (const char *)x->map.data : "", x->map.size, 0, err))
        return error_prefix(err, "%s", path);
    for (JsonWalk w = json_walk(x->source.root); json_walk_next(&w, &key, &value);) {
        if (json_equals(key, "files"))
            x->files = value;
        else if (json_equals(key, "tensors"))
            x->tensors = value;
    }
    x->facts = hash_bytes(x->map.data, x->map.size);
    if (!json_is(x->files, '[') || !json_is(x->tensors, '{'))
        return error_set(err, "%s: it has no \"files\" and \"tensors\" of an imported model", path);
    return open_files(x, err);
}

void weights_index_close(WeightsIndex *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n_files; i++)
        tensor_file_close(&x->file[i]);
    free(x->file);
    free(x->param);
    file_unmap(&x->map);
    free(x);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Param *)a)->name, ((const Param *)b)->name);
}

static int by_storage(const void *a, const void *b)
{
    const int32_t x = ((const Param *)a)->storage, y = ((const Param *)b)->storage;
    return (x > y) - (x < y);
}

static bool list_params(WeightsIndex *x, const Plan *p, Error *err)
{
    x->param = calloc(p->n_storages + 1u, sizeof *x->param);
    if (!x->param)
        return error_set(err, "%s: out of memory", x->path);
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (p->storages[i].class == PLAN_PARAM)
            x->param[x->n_params++] = (Param){ plan_string(p, p->storages[i].name), (int32_t)i, NULL };
    qsort(x->param, x->n_params, sizeof *x->param, by_name);
    return true;
}

/* [file, name] */
static const HubTensor *tensor_at(const WeightsIndex *x, const json_t *place)
{
    const json_t *file = json_array_get(place, 0);
    const char *name = json_string_value(json_array_get(place, 1));
    const json_int_t i = json_is_integer(file) ? json_integer_value(file) : -1;
    return name && i >= 0 && (uint64_t)i < x->n_files
        ? hub_tensor_find(x->file[i].tensor, x->file[i].n, name) : NULL;
}

static bool find_tensors(WeightsIndex *x, Error *err)
{
    JsonParts p = json_parts(&x->source, x->tensors);
    while (json_parts_next(&p, err)) {
        const Param wanted = { .name = p.key };
        Param *param = bsearch(&wanted, x->param, x->n_params, sizeof *x->param, by_name);
        if (param)
            param->tensor = tensor_at(x, p.value);
    }
    json_parts_close(&p);
    qsort(x->param, x->n_params, sizeof *x->param, by_storage);         /* faults come in the plan's order */
    return !p.failed || error_prefix(err, "%s", x->path);
}

static bool load_param(Session *s, const Param *param, const WeightsIndex *x, Error *err)
{
    const PlanStorage *st = &session_plan(s)->storages[param->storage];
    const int64_t none[MAX_SYMBOLS] = { 0 };
    const HubTensor *t = param->tensor;
    if (!session_storage(s, param->storage))
        return true;
    if (!t)
        return error_set(err, "%s: parameter %s has no tensor there", x->path, param->name);
    bool same = t->rank == st->rank;
    for (uint32_t a = 0; same && a < st->rank; a++) {
        int64_t n;
        same = plan_dim(&st->dim[a], none, &n) && n == t->dim[a];
    }
    if (same && session_storage(s, param->storage) == (const void *)t->data)
        return true;
    if (!same || !hub_tensor_read(t, (DType)st->dtype, session_storage(s, param->storage)))
        return error_set(err, "%s: tensor %s has another shape or type than the plan's %s; import the "
                         "model again", x->path, t->name, param->name);
    session_pack(s, param->storage);
    return true;
}

bool weights_index_open(const Plan *p, const char *path, WeightsIndex **out, Error *err)
{
    WeightsIndex *x = *out = calloc(1, sizeof *x);
    if (!x)
        return error_set(err, "%s: out of memory", path);
    return open_index(x, path, err) && list_params(x, p, err) && find_tensors(x, err);
}

const HubTensor *weights_index_tensor(const WeightsIndex *x, int32_t storage)
{
    const Param wanted = { .storage = storage };
    const Param *param = bsearch(&wanted, x->param, x->n_params, sizeof *x->param, by_storage);
    return param ? param->tensor : NULL;
}

uint64_t weights_index_facts(const WeightsIndex *x)
{
    return x->facts;
}

bool weights_index_fill(const WeightsIndex *x, Session *s, const bool *filled, Error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < x->n_params; i++)
        ok = (filled && filled[x->param[i].storage]) || load_param(s, &x->param[i], x, err);
    return ok;
}

bool weights_index_load(Session *s, const char *path, Error *err)
{
    WeightsIndex *x;
    const bool ok = weights_index_open(session_plan(s), path, &x, err) && weights_index_fill(x, s, NULL, err);
    weights_index_close(x);
    return ok;
}
