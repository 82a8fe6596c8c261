/* Drawing and writing the tiny models, and changing what was written. */
#include "tests/e2e/family.h"

#include "base/blocks.h"
#include "base/file.h"
#include "base/random.h"
#include "runtime/hub/weights_index.h"
#include "runtime/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

char family_root[] = "/tmp/smallmind_family_XXXXXX";

int family_begin(void **state)
{
    (void)state;
    return mkdtemp(family_root) && setenv("SMC", SMC, 1) == 0
        && setenv("SMALLMIND_MODELS", SOURCE_DIR "/models", 1) == 0 ? 0 : -1;
}

int family_end(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", family_root);
    return system(command);
}

void family_path(char out[FAMILY_PATH], const char *folder, const char *name)
{
    Error err;
    if (!path_join(out, FAMILY_PATH, folder, name, &err))
        fail_msg("%s", err.text);
}

void family_open(FamilyCase *f, const char *name)
{
    char path[FAMILY_PATH];
    json_error_t why;
    snprintf(path, sizeof path, "%s/tests/reference/families/%s.json", SOURCE_DIR, name);
    *f = (FamilyCase){ .name = name, .json = json_load_file(path, 0, &why) };
    if (!f->json)
        fail_msg("%s: %s", path, why.text);
}

void family_close(FamilyCase *f)
{
    json_decref(f->json);
}

/* FNV-1a. */
static uint64_t stream_of(const char *name)
{
    uint64_t h = 0xCBF29CE484222325;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3;
    return h;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

float family_value(const FamilyCase *f, const char *tensor, size_t rank, uint64_t i)
{
    const uint64_t seed = (uint64_t)json_integer_value(json_object_get(f->json, "seed"));
    const double centre = json_number_value(json_object_get(f->json, "centre"));
    const int k = (int)(random_u32(seed, stream_of(tensor), i) >> 25) - 64;
    if (rank == 1)
        return (float)(ends_with(tensor, "bias") ? k / 512.0 : centre + (k >> 2) / 64.0);
    if (strstr(tensor, "q_proj") || strstr(tensor, "k_proj") || strstr(tensor, "qkv")
        || strstr(tensor, "c_attn"))
        return (float)(k / 128.0);
    return (float)(centre < 0.5 && strstr(tensor, "embed") ? k / 1024.0 : k / 256.0);
}

static SafeEntry entry_of(const FamilyCase *f, DType type, const json_t *tensor)
{
    SafeEntry e = { .name = json_string_value(json_array_get(tensor, 0)), .type = type };
    const json_t *shape = json_array_get(tensor, 1);
    size_t count = 1;
    e.rank = (uint32_t)json_array_size(shape);
    for (uint32_t a = 0; a < e.rank; a++) {
        e.dim[a] = json_integer_value(json_array_get(shape, a));
        count *= (size_t)e.dim[a];
    }
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = family_value(f, e.name, e.rank, i);
    e.data = x;
    if (type != DTYPE_f32) {
        uint16_t *narrow = malloc(count * sizeof *narrow);
        Error err;
        if (!narrow || !blocks_encode(type, count, x, narrow, &err))
            fail_msg("%s does not fit %s", e.name, dtype_name(type));
        free(x);
        e.data = narrow;
    }
    return e;
}

static void shard_name(char out[64], int shard, int shards)
{
    if (shards == 1)
        strcpy(out, "model.safetensors");
    else
        snprintf(out, 64, "model-%05d-of-%05d.safetensors", shard + 1, shards);
}

static void write_json(const char *folder, const char *name, json_t *value)
{
    char path[FAMILY_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (json_dump_file(value, path, 0) != 0)
        fail_msg("cannot write %s", path);
}

/* Every `shards`-th tensor from `shard` on; `map` notes where they are. */
static void write_shard(const FamilyCase *f, const char *folder, DType type, int shard, int shards,
                        json_t *map)
{
    const json_t *tensors = json_object_get(f->json, "tensors");
    SafeEntry *e = calloc(json_array_size(tensors), sizeof *e);
    char name[64], path[FAMILY_PATH];
    size_t n = 0;
    Error err;
    assert_non_null(e);
    shard_name(name, shard, shards);
    for (size_t i = (size_t)shard; i < json_array_size(tensors); i += (size_t)shards) {
        e[n] = entry_of(f, type, json_array_get(tensors, i));
        json_object_set_new(map, e[n++].name, json_string(name));
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!safetensors_write(path, e, n, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)e[i].data);
    free(e);
}

void family_write(const FamilyCase *f, const char *folder, DType type, int shards, bool indexed)
{
    json_t *map = json_object();
    Error err;
    if (!file_make_dirs(folder, &err))
        fail_msg("%s", err.text);
    write_json(folder, "config.json", json_object_get(f->json, "config"));
    for (int i = 0; i < shards; i++)
        write_shard(f, folder, type, i, shards, map);
    json_t *index = json_pack("{s:{}, s:o}", "metadata", "weight_map", map);
    if (indexed)
        write_json(folder, "model.safetensors.index.json", index);
    json_decref(index);
}

Session *family_score(const Plan *plan, const char *dir, int32_t n_threads, int64_t length)
{
    const SessionOptions so = { .n_threads = n_threads, .programs = 1u << PLAN_score };
    char index[FAMILY_PATH];
    int64_t sizes[MAX_SYMBOLS];
    Session *s;
    Error err;
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = 1;
    sizes[plan_symbol(plan, PLAN_SEQUENCE)] = length;
    family_path(index, dir, WEIGHTS_INDEX);
    if (!session_open(plan, &so, &s, &err) || !weights_index_load(s, index, &err)
        || !session_bind(s, PLAN_score, sizes, &err))
        fail_msg("%s: %s", dir, err.text);
    return s;
}

void family_folder(FamilyCase *f, const char *name, char folder[FAMILY_PATH], int shards)
{
    char command[FAMILY_PATH + 16];
    family_open(f, name);
    family_path(folder, family_root, "model");
    snprintf(command, sizeof command, "rm -rf %.1000s", folder);
    assert_int_equal(system(command), 0);
    family_write(f, folder, DTYPE_f32, shards, shards > 1);
}

void family_text(const char *dir, const char *name, const char *text)
{
    char path[FAMILY_PATH];
    Error err;
    family_path(path, dir, name);
    assert_true(file_replace(path, text, strlen(text), &err));
}

void family_rewrite(const char *folder, const char *file, const char *less, const char *more, int64_t rows,
                    int64_t columns)
{
    char path[FAMILY_PATH];
    SafeTensors old;
    SafeEntry e[200];
    size_t n = 0;
    Error err;
    float *zeros = calloc((size_t)(rows * columns), sizeof *zeros);
    family_path(path, folder, file);
    assert_true(zeros && safetensors_open(path, &old, &err));
    for (size_t i = 0; i < old.n && n < 199; i++) {
        const SafeTensor *t = &old.tensors[i];
        e[n] = (SafeEntry){ .name = t->name, .type = DTYPE_f32, .rank = t->rank, .data = t->data };
        memcpy(e[n].dim, t->dim, sizeof e[n].dim);
        n += !less || strcmp(t->name, less) != 0;
    }
    if (more)
        e[n++] = (SafeEntry){ .name = more, .type = DTYPE_f32, .rank = 2, .dim = { rows, columns },
                              .data = zeros };
    if (!safetensors_write(path, e, n, &err))
        fail_msg("%s", err.text);
    safetensors_close(&old);
    free(zeros);
}
