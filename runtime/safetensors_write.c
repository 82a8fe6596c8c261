/* Writing safetensors files: tensors in the order given, the data 8-byte aligned. */
#include "runtime/safetensors.h"

#include "base/check.h"
#include "base/hash.h"
#include "runtime/safetensors_hash.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool type_of_entry(const SafeEntry *e, StType *out, Error *err)
{
    const char *name = dtype_safetensors(e->type);
    for (int k = 0; name && k < N_ST_TYPES; k++)
        if (strcmp(st_type_name((StType)k), name) == 0) {
            *out = (StType)k;
            return true;
        }
    return error_set(err, "tensor %s is stored as %s, which safetensors files do not have; GGUF "
                     "files do", e->name, dtype_name(e->type));
}

static size_t element_count(const SafeEntry *e)
{
    size_t count = 1;
    for (uint32_t a = 0; a < e->rank; a++) {
        bool ok = size_mul(count, (size_t)e->dim[a], &count);
        CHECK(ok, "%s is in memory", e->name);
    }
    return count;
}

static size_t file_bytes(const SafeEntry *e)
{
    return element_count(e) * (e->type == DTYPE_bool ? 1 : dtype_size(e->type));
}

/* The bytes of bools as a file holds them; NULL when memory ran out. */
static uint8_t *narrow_bools(const SafeEntry *e)
{
    const float *lanes = e->data;
    const size_t n = element_count(e);
    uint8_t *out = malloc(n + 1);
    for (size_t i = 0; out && i < n; i++)
        out[i] = lanes[i] != 0;
    return out;
}

static bool hash_entries(const SafeEntry *entries, size_t n, uint64_t *hash, Error *err)
{
    *hash = 0;
    for (size_t i = 0; i < n; i++) {
        const SafeEntry *e = &entries[i];
        StType type = ST_F32;
        if (!type_of_entry(e, &type, err))
            return false;
        uint8_t *bools = e->type == DTYPE_bool ? narrow_bools(e) : NULL;
        if (e->type == DTYPE_bool && !bools)
            return error_set(err, "out of memory");
        *hash = safetensors_hash(*hash, e->name, type, e->rank, e->dim);
        *hash = hash_seeded(bools ? bools : e->data, file_bytes(e), *hash);
        free(bools);
    }
    return true;
}

static json_t *entry_info(const SafeEntry *e, size_t begin)
{
    json_t *shape = json_array();
    for (uint32_t a = 0; a < e->rank; a++)
        json_array_append_new(shape, json_integer(e->dim[a]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_safetensors(e->type), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + file_bytes(e)));
}

/* The header's JSON, owned by the caller; NULL when memory ran out. */
static char *make_header(const SafeEntry *entries, size_t n, uint64_t hash)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, hash);
    json_t *header = json_object();
    bool ok = json_object_set_new(header, "__metadata__",
                                  json_pack("{s:s, s:s}", "format", "pt", "xxh3", hex)) == 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        ok = json_object_set_new(header, entries[i].name, entry_info(&entries[i], at)) == 0 && ok;
        at += file_bytes(&entries[i]);
    }
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

static void add_header(FileWriter *w, const char *text)
{
    static const char blanks[8] = "       ";
    const size_t n = strlen(text), padded = (n + 7) / 8 * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)padded >> 8 * i);
    file_writer_add(w, length, sizeof length);
    file_writer_add(w, text, n);
    file_writer_add(w, blanks, padded - n);
}

static bool add_entry(FileWriter *w, const SafeEntry *e, Error *err)
{
    if (e->type != DTYPE_bool) {
        file_writer_add(w, e->data, file_bytes(e));
        return true;
    }
    uint8_t *bools = narrow_bools(e);
    if (!bools)
        return error_set(err, "%s: out of memory", w->path);
    file_writer_add(w, bools, file_bytes(e));
    free(bools);
    return true;
}

bool safetensors_write(const char *path, const SafeEntry *entries, size_t n, Error *err)
{
    FileWriter w;
    uint64_t hash;
    if (!hash_entries(entries, n, &hash, err))
        return error_prefix(err, "%s", path);
    char *header = make_header(entries, n, hash);
    if (!header)
        return error_set(err, "%s: cannot make its header: out of memory, or a name that is not "
                         "UTF-8", path);
    bool ok = file_writer_open(&w, path, err);
    if (ok) {
        add_header(&w, header);
        for (size_t i = 0; i < n && ok; i++)
            ok = add_entry(&w, &entries[i], err);
        if (ok)
            ok = file_writer_commit(&w, err);
        else
            file_writer_abandon(&w);
    }
    free(header);
    return ok;
}
