/* Opening what somebody else published. */
#include "runtime/hub/source.h"

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "runtime/hub/json.h"
#include "runtime/hub/shard_index.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool source_is_there(const char *path)
{
    char config[MAX_SOURCE_PATH];
    return is_directory(path) ? path_join(config, sizeof config, path, "config.json", NULL)
                                    && file_exists(config)
                              : tensor_format(path) != FORMAT_SAFETENSORS;
}

/* ---- which files ------------------------------------------------------------------------------ */

static bool add_file(Source *s, const char *name, Error *err)
{
    if (s->n_files == MAX_SOURCE_FILES)
        return error_set(err, "%s: more than %d files of tensors", s->where, MAX_SOURCE_FILES);
    return path_join(s->path[s->n_files++], MAX_SOURCE_PATH, s->where, name, err);
}

static bool add_once(Source *s, const char *name, Error *err)
{
    char path[MAX_SOURCE_PATH];
    if (!path_join(path, sizeof path, s->where, name, err))
        return false;
    for (uint32_t i = 0; i < s->n_files; i++)
        if (strcmp(s->path[i], path) == 0)
            return true;
    return add_file(s, name, err);
}

static bool list_index(Source *s, ShardIndex *x, Error *err)
{
    const char *file;
    JsonParts p = json_parts(&x->source, x->weight_map);
    bool ok = true;
    while (ok && shard_index_next(&p, &file, err)) {
        ok = add_once(s, file, err)
            && (file_exists(s->path[s->n_files - 1])
                || error_set(err, "tensor %.200s: its file %s is not in the folder; is the download "
                             "complete?", p.key, file));
    }
    json_parts_close(&p);
    return ok && !p.failed;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_model_file(const struct dirent *d)
{
    return fnmatch("model*.safetensors", d->d_name, 0) == 0;
}

static bool no_tensors(const Source *s, Error *err)
{
    char path[MAX_SOURCE_PATH];
    const bool pickled = source_beside(s, "pytorch_model.bin", path)
        || source_beside(s, "pytorch_model.bin.index.json", path);
    return error_set(err, "%s: there is no model.safetensors and no model-00001-of-N.safetensors%s",
                     s->where, pickled ? "; its pytorch_model.bin is Python's pickle, which is not read: "
                     "save the model as safetensors" : "");
}

/* Without an index, names of the kind model-00001-of-00003.safetensors say how many there are. */
static bool all_shards(const Source *s, Error *err)
{
    for (uint32_t i = 0; i < s->n_files; i++) {
        unsigned part, parts;
        const char *name = strrchr(s->path[i], '/') + 1;
        if (sscanf(name, "model-%5u-of-%5u.safetensors", &part, &parts) == 2 && s->n_files < parts)
            return error_set(err, "%s: %s is one of %u files, but %" PRIu32 " are there; is the download "
                             "complete?", s->where, name, parts, s->n_files);
    }
    return true;
}

static bool list_folder(Source *s, Error *err)
{
    struct dirent **entry;
    const int n = scandir(s->where, &entry, is_model_file, by_name);
    bool ok = n >= 0 || error_set(err, "%s: %s", s->where, strerror(errno));
    for (int i = 0; i < n; i++) {
        ok = ok && add_file(s, entry[i]->d_name, err);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return ok && (s->n_files > 0 ? all_shards(s, err) : no_tensors(s, err));
}

/* Is it what a clone of a hub's repository holds without Git LFS, in place of each large file? */
static bool is_pointer(const char *path, Error *err)
{
    static const char begin[] = "version https://git-lfs";
    char first[sizeof begin - 1];
    FILE *f = fopen(path, "rb");
    const bool is = f && fread(first, 1, sizeof first, f) == sizeof first && memcmp(first, begin, sizeof first) == 0;
    if (f)
        fclose(f);
    if (is)
        error_set(err, "%s: a pointer of Git LFS and not the file itself, which git lfs pull fetches", path);
    return is;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

static bool sort_tensors(Source *s, Error *err)
{
    qsort(s->tensor, s->n_tensors, sizeof *s->tensor, hub_tensor_order);
    for (size_t i = 1; i < s->n_tensors; i++)
        if (strcmp(s->tensor[i - 1].name, s->tensor[i].name) == 0)
            return error_set(err, "tensor %.200s is there twice: in %s and in %s", s->tensor[i].name,
                             s->path[s->tensor[i - 1].file], s->path[s->tensor[i].file]);
    return true;
}

static bool open_files(Source *s, Error *err)
{
    size_t n = 0;
    s->file = calloc(s->n_files, sizeof *s->file);
    if (!s->file)
        return error_set(err, "%s: out of memory", s->where);
    for (uint32_t i = 0; i < s->n_files; i++) {
        if (is_pointer(s->path[i], err) || !tensor_file_open(&s->file[i], s->path[i], err))
            return false;
        n += s->file[i].n;
    }
    s->tensor = calloc(n + 1, sizeof *s->tensor);
    if (!s->tensor)
        return error_set(err, "%s: out of memory", s->where);
    for (uint32_t i = 0; i < s->n_files; i++)
        for (size_t k = 0; k < s->file[i].n; k++) {
            s->tensor[s->n_tensors] = s->file[i].tensor[k];
            s->tensor[s->n_tensors++].file = i;
        }
    return sort_tensors(s, err);
}

/* A tensor that the index names, which it may do once. */
static bool check_tensor(const Source *s, const char *name, const char *file, bool *named, Error *err)
{
    const HubTensor *t = source_find(s, name);
    if (!t || strcmp(strrchr(s->path[t->file], '/') + 1, file) != 0)
        return error_set(err, "tensor %.200s is not in %s, where the index has it", name, file);
    if (named[t - s->tensor])
        return error_set(err, "tensor %.200s is in the index twice", name);
    named[t - s->tensor] = true;
    return true;
}

/* The index and the files must agree. */
static bool check_index(const Source *s, ShardIndex *x, Error *err)
{
    const char *file;
    bool *named = calloc(s->n_tensors + 1, sizeof *named);
    bool ok = named != NULL || error_set(err, "out of memory");
    JsonParts p = json_parts(&x->source, x->weight_map);
    while (ok && shard_index_next(&p, &file, err))
        ok = check_tensor(s, p.key, file, named, err);
    ok = ok && !p.failed;
    json_parts_close(&p);
    for (size_t i = 0; ok && i < s->n_tensors; i++)
        ok = named[i] || error_set(err, "tensor %.200s of %s is not in the index", s->tensor[i].name,
                                   s->path[s->tensor[i].file]);
    free(named);
    return ok;
}

static bool open_indexed(Source *s, const char *path, Error *err)
{
    FileMap map;
    ShardIndex x;
    if (!hub_json_map(path, &map, err))
        return false;
    const bool ok = ((shard_index_read(&x, map.data ? (const char *)map.data : "", map.size, err)
                      && list_index(s, &x, err)) || error_prefix(err, "%s", path))
        && open_files(s, err) && (check_index(s, &x, err) || error_prefix(err, "%s", path));
    file_unmap(&map);
    return ok;
}

static bool open_folder(Source *s, Error *err)
{
    char path[MAX_SOURCE_PATH];
    if (snprintf(s->config, sizeof s->config, "%s/config.json", s->where) < 0
        || !settings_of_file(&s->settings, s->config, err))
        return false;
    if (source_beside(s, "model.safetensors", path))
        return add_file(s, "model.safetensors", err) && open_files(s, err);
    if (source_beside(s, "model.safetensors.index.json", path))
        return open_indexed(s, path, err);
    return list_folder(s, err) && open_files(s, err);
}

static bool open_gguf(Source *s, Error *err)
{
    strcpy(s->path[s->n_files++], s->where);
    strcpy(s->config, s->where);
    return open_files(s, err) && settings_of_gguf(&s->settings, &s->file[0].gguf, s->config, err);
}

static bool open_bin(Source *s, Error *err)
{
    strcpy(s->path[s->n_files++], s->where);
    strcpy(s->config, s->where);
    return open_files(s, err) && settings_of_json(&s->settings, json_incref(s->file[0].bin.config), s->config,
                                                  err);
}

static int is_gguf_name(const struct dirent *d)
{
    return fnmatch("*.gguf", d->d_name, 0) == 0;
}

static bool has_gguf(const char *folder)
{
    struct dirent **entry;
    const int n = scandir(folder, &entry, is_gguf_name, NULL);
    for (int i = 0; i < n; i++)
        free(entry[i]);
    if (n >= 0)
        free(entry);
    return n > 0;
}

bool source_mistaken(const char *path, Error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if (S_ISDIR(st.st_mode))
        error_set(err, "%s: there is no config.json in this folder%s", path,
                  has_gguf(path) ? "; of its .gguf files, name the one that is meant" : "");
    else if (S_ISREG(st.st_mode) && st.st_size == 0)
        error_set(err, "%s: the file is empty; is the download complete?", path);
    else if (S_ISREG(st.st_mode) && is_pointer(path, err))
        return true;
    else if (fnmatch("*.safetensors", path, 0) == 0 || fnmatch("*.json", path, 0) == 0)
        error_set(err, "%s: a file of a published model; name its folder, which has the config.json", path);
    else
        return false;
    return true;
}

bool source_open(Source *out, const char *path, Error *err)
{
    *out = (Source){ 0 };
    out->path = calloc(MAX_SOURCE_FILES, sizeof *out->path);
    if (!out->path)
        return error_set(err, "out of memory");
    char real[PATH_MAX];
    if (!realpath(path, real))
        return error_set(err, "%s: %s", path, strerror(errno));
    _Static_assert(sizeof real <= sizeof out->where, "a path fits");
    strcpy(out->where, real);
    const bool folder = is_directory(out->where);
    if (!source_is_there(out->where))
        return !source_mistaken(path, err)
            && error_set(err, "%s: it is no GGUF file, no .bin of llama2.c or llm.c, and no folder with a "
                         "published model", path);
    out->is_gguf = !folder && tensor_format(out->where) == FORMAT_GGUF;
    out->is_bin = !folder && !out->is_gguf;
    return out->is_gguf ? open_gguf(out, err) : out->is_bin ? open_bin(out, err) : open_folder(out, err);
}

void source_close(Source *s)
{
    for (uint32_t i = 0; s->file && i < s->n_files; i++)
        tensor_file_close(&s->file[i]);
    settings_close(&s->settings);
    free(s->file);
    free(s->path);
    free(s->tensor);
    *s = (Source){ 0 };
}

const HubTensor *source_find(const Source *s, const char *name)
{
    return hub_tensor_find(s->tensor, s->n_tensors, name);
}

bool source_beside(const Source *s, const char *name, char out[MAX_SOURCE_PATH])
{
    char dir[MAX_SOURCE_PATH];
    strcpy(dir, s->where);
    char *slash = strrchr(dir, '/');
    if (s->is_bin && slash)
        slash[slash == dir] = '\0';
    return !s->is_gguf && path_join(out, MAX_SOURCE_PATH, dir, name, NULL) && file_exists(out);
}

/* ---- its number ------------------------------------------------------------------------------- */

static bool hash_times(const char *path, uint64_t *h, Error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return error_set(err, "%s: %s", path, strerror(errno));
    const int64_t facts[] = { st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
    *h = hash_seeded(path, strlen(path), hash_seeded(facts, sizeof facts, *h));
    return true;
}

static bool hash_whole(const char *path, uint64_t *h, Error *err)
{
    Buf text = { 0 };
    const bool ok = file_read(path, MAX_HUB_JSON, &text, err);
    *h = hash_seeded(text.len ? text.data : "", text.len, *h);
    buf_free(&text);
    return ok;
}

bool source_hash(const Source *s, uint64_t *out, Error *err)
{
    static const char *const small[] = { "config.json", "generation_config.json",
                                         "tokenizer.json" };
    char path[MAX_SOURCE_PATH];
    *out = 0;
    for (uint32_t i = 0; i < s->n_files; i++)
        if (!hash_times(s->path[i], out, err))
            return false;
    for (size_t i = 0; i < COUNT_OF(small); i++)
        if (source_beside(s, small[i], path) && !hash_whole(path, out, err))
            return false;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const HubTensor *t = &s->tensor[i];
        *out = hash_seeded(t->dim, sizeof t->dim, hash_seeded(t->name, strlen(t->name), *out));
    }
    return true;
}
