/* Reading weights.json, and through it the published files. */
#include "runtime/hub/weights_index.h"

#include "base/file.h"
#include "runtime/hub/json.h"
#include "runtime/hub/tensor_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 1100 };

typedef struct Index {
    const char *path;
    json_t *json;
    TensorFile *file;
    size_t n_files;
} Index;

static bool open_file(Index *x, const json_t *name, Error *err)
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
    return tensor_file_open(&x->file[x->n_files++], path, err);
}

static bool open_index(Index *x, const char *path, Error *err)
{
    *x = (Index){ .path = path, .json = hub_json_read(path, err) };
    if (!x->json)
        return false;
    const json_t *files = json_object_get(x->json, "files");
    const size_t n = json_array_size(files);
    if (n == 0 || n > MAX_FILES || !json_is_object(json_object_get(x->json, "tensors")))
        return error_set(err, "%s: it has no \"files\" and \"tensors\" of an imported model", path);
    x->file = calloc(n, sizeof *x->file);
    if (!x->file)
        return error_set(err, "%s: out of memory", path);
    for (size_t i = 0; i < n; i++)
        if (!open_file(x, json_array_get(files, i), err))
            return false;
    return true;
}

static void close_index(Index *x)
{
    for (size_t i = 0; i < x->n_files; i++)
        tensor_file_close(&x->file[i]);
    free(x->file);
    json_decref(x->json);
}

static const HubTensor *find(const Index *x, const char *param, Error *err)
{
    const json_t *place = json_object_get(json_object_get(x->json, "tensors"), param);
    const json_t *file = json_array_get(place, 0);
    const char *name = json_string_value(json_array_get(place, 1));
    const json_int_t i = json_is_integer(file) ? json_integer_value(file) : -1;
    const HubTensor *t = name && i >= 0 && (uint64_t)i < x->n_files
        ? hub_tensor_find(x->file[i].tensor, x->file[i].n, name) : NULL;
    if (!t)
        error_set(err, "%s: parameter %s has no tensor there", x->path, param);
    return t;
}

static bool load_param(Session *s, int32_t id, const Index *x, Error *err)
{
    const PlanStorage *st = &session_plan(s)->storages[id];
    const char *param = plan_string(session_plan(s), st->name);
    const int64_t none[MAX_SYMBOLS] = { 0 };
    const HubTensor *t = find(x, param, err);
    bool same = t && t->rank == st->rank;
    for (uint32_t a = 0; same && a < st->rank; a++) {
        int64_t n;
        same = plan_dim(&st->dim[a], none, &n) && n == t->dim[a];
    }
    if (!t)
        return false;
    if (!same || !hub_tensor_read(t, (DType)st->dtype, session_storage(s, id)))
        return error_set(err, "%s: tensor %s has another shape or type than the plan's %s; import the "
                         "model again", x->path, t->name, param);
    session_pack(s, id);
    return true;
}

bool weights_index_load(Session *s, const char *path, Error *err)
{
    const Plan *p = session_plan(s);
    Index x;
    bool ok = open_index(&x, path, err);
    for (uint32_t i = 0; ok && i < p->n_storages; i++)
        if (p->storages[i].class == PLAN_PARAM && session_storage(s, (int32_t)i))
            ok = load_param(s, (int32_t)i, &x, err);
    close_index(&x);
    return ok;
}
