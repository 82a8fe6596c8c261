/* Reading safetensors files.  Sizes come from outside: each is bounded before it is used. */
#include "runtime/safetensors.h"

#include "base/check.h"
#include "base/float_convert.h"
#include "base/hash.h"
#include "base/json_depth.h"
#include "runtime/safetensors_hash.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 };

static const struct {
    const char *name;
    size_t bytes;
} st_types[N_ST_TYPES] = {
#define X(name, bytes) [ST_##name] = { #name, bytes },
    ST_TYPES(X)
#undef X
};

const char *st_type_name(StType t)
{
    return st_types[t].name;
}

void shape_text(char *out, size_t cap, uint32_t rank, const int64_t *dim)
{
    size_t n = (size_t)snprintf(out, cap, "[");
    for (uint32_t a = 0; a < rank && n < cap; a++)
        n += (size_t)snprintf(out + n, cap - n, "%s%" PRId64, a ? ", " : "", dim[a]);
    if (n < cap)
        snprintf(out + n, cap - n, "]");
}

uint64_t safetensors_hash(uint64_t before, const char *name, StType type, uint32_t rank,
                          const int64_t *dim)
{
    uint64_t h = hash_seeded(name, strlen(name), before);
    h = hash_seeded(st_types[type].name, strlen(st_types[type].name), h);
    return hash_seeded(dim, rank * sizeof *dim, h);
}

/* ---- the header ------------------------------------------------------------------------------- */

static bool read_type(const json_t *info, SafeTensor *t, Error *err)
{
    const char *name = json_string_value(json_object_get(info, "dtype"));
    if (!name)
        return error_set(err, "tensor %s has no \"dtype\"", t->name);
    for (int k = 0; k < N_ST_TYPES; k++)
        if (strcmp(name, st_types[k].name) == 0) {
            t->type = (StType)k;
            return true;
        }
    return error_set(err, "tensor %s has the unknown dtype \"%.32s\"", t->name, name);
}

static bool read_shape(const json_t *info, SafeTensor *t, Error *err)
{
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape))
        return error_set(err, "tensor %s has no \"shape\"", t->name);
    if (json_array_size(shape) > MAX_RANK)
        return error_set(err, "tensor %s has %zu axes; at most %d are read", t->name,
                         json_array_size(shape), MAX_RANK);
    t->rank = (uint32_t)json_array_size(shape);
    t->count = 1;
    for (uint32_t a = 0; a < t->rank; a++) {
        const json_t *dim = json_array_get(shape, a);
        t->dim[a] = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (t->dim[a] < 0 || !i64_mul(t->count, t->dim[a], &t->count))
            return error_set(err, "tensor %s: axis %" PRIu32 " of its shape is no size", t->name, a);
    }
    return true;
}

/* Where its bytes are, of `n_data`; they must be what type and shape need. */
static bool read_offsets(const json_t *info, const uint8_t *data, size_t n_data, SafeTensor *t,
                         Error *err)
{
    const json_t *offsets = json_object_get(info, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return error_set(err, "tensor %s has no \"data_offsets\" of two numbers", t->name);
    const json_int_t first = json_integer_value(begin), last = json_integer_value(end);
    if (first < 0 || last < first || (uint64_t)last > n_data)
        return error_set(err, "tensor %s lies at bytes %" JSON_INTEGER_FORMAT " to %"
                         JSON_INTEGER_FORMAT " of the data, which has %zu; is the file cut off?",
                         t->name, first, last, n_data);
    size_t needed;
    t->bytes = (size_t)(last - first);
    t->data = data + first;
    if (!size_mul((size_t)t->count, st_types[t->type].bytes, &needed) || needed != t->bytes) {
        char shape[160];
        shape_text(shape, sizeof shape, t->rank, t->dim);
        return error_set(err, "tensor %s has %zu bytes, but its type and shape, %s %s, need "
                         "another number", t->name, t->bytes, st_types[t->type].name, shape);
    }
    return true;
}

static int by_place(const void *a, const void *b)
{
    const SafeTensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static bool check_cover(const SafeTensors *st, const uint8_t *data, size_t n_data, Error *err)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < st->n; i++) {
        const SafeTensor *t = &st->tensors[i];
        if (t->data != at)
            return error_set(err, "tensor %s begins at byte %zu of the data, expected %zu: there is "
                             "%s", t->name, (size_t)(t->data - data), (size_t)(at - data),
                             t->data < at ? "an overlap" : "a hole");
        at += t->bytes;
    }
    if (at != data + n_data)
        return error_set(err, "%zu bytes follow the last tensor", (size_t)(data + n_data - at));
    return true;
}

static bool check_hash(SafeTensors *st, Error *err)
{
    const json_t *meta = json_object_get(st->header, "__metadata__");
    const char *expected = json_string_value(json_object_get(meta, "xxh3"));
    char found[17];
    for (size_t i = 0; i < st->n; i++) {
        const SafeTensor *t = &st->tensors[i];
        st->hash = safetensors_hash(st->hash, t->name, t->type, t->rank, t->dim);
        st->hash = hash_seeded(t->data, t->bytes, st->hash);
    }
    snprintf(found, sizeof found, "%016" PRIx64, st->hash);
    if (expected && strcmp(expected, found) != 0)
        return error_set(err, "the checksum of its tensors is %s, but its header says %.16s: the "
                         "file was altered", found, expected);
    return true;
}

static bool check_metadata(const json_t *meta, Error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(meta))
        return error_set(err, "\"__metadata__\" is not an object");
    json_object_foreach((json_t *)(uintptr_t)meta, key, value)
        if (!json_is_string(value))
            return error_set(err, "\"__metadata__\": the value of \"%.64s\" is not a string", key);
    return true;
}

static bool read_tensors(SafeTensors *st, const uint8_t *data, size_t n_data, Error *err)
{
    const char *name;
    json_t *info;
    if (!json_is_object((json_t *)st->header))
        return error_set(err, "its header is not a JSON object");
    st->tensors = calloc(json_object_size(st->header) + 1, sizeof *st->tensors);
    if (!st->tensors)
        return error_set(err, "out of memory");
    json_object_foreach((json_t *)st->header, name, info) {
        if (strcmp(name, "__metadata__") == 0) {
            if (!check_metadata(info, err))
                return false;
            continue;
        }
        if (!*name)
            return error_set(err, "a tensor has the empty name");
        SafeTensor *t = &st->tensors[st->n++];
        t->name = name;
        if (!read_type(info, t, err) || !read_shape(info, t, err)
            || !read_offsets(info, data, n_data, t, err))
            return false;
    }
    qsort(st->tensors, st->n, sizeof *st->tensors, by_place);
    return check_cover(st, data, n_data, err) && check_hash(st, err);
}

static bool read_header(const uint8_t *bytes, size_t n, SafeTensors *st, Error *err)
{
    uint64_t length = 0;
    if (n < LENGTH_BYTES)
        return error_set(err, "%zu bytes are no safetensors file, which begins with 8 bytes for the "
                         "length of its header", n);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > MAX_SAFETENSORS_HEADER || length > n - LENGTH_BYTES)
        return error_set(err, "its first 8 bytes say that the header has %" PRIu64 " bytes, but "
                         "%zu follow and at most %d are read; it is cut off or no safetensors file",
                         length, n - LENGTH_BYTES, MAX_SAFETENSORS_HEADER);
    if (!json_depth_check((const char *)bytes + LENGTH_BYTES, (size_t)length, err))
        return error_prefix(err, "its header");
    json_error_t why;
    st->header = json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)length,
                            JSON_REJECT_DUPLICATES, &why);
    if (!st->header)
        return error_set(err, "its header is not valid JSON: %s at byte %d", why.text,
                         LENGTH_BYTES + why.position);
    const size_t skip = LENGTH_BYTES + (size_t)length;
    return read_tensors(st, bytes + skip, n - skip, err);
}

bool safetensors_view(const void *data, size_t n, SafeTensors *out, Error *err)
{
    *out = (SafeTensors){ 0 };
    if (read_header(data, n, out, err))
        return true;
    safetensors_close(out);
    return false;
}

bool safetensors_open(const char *path, SafeTensors *out, Error *err)
{
    FileMap map;
    if (!file_map(path, &map, err))
        return false;
    if (safetensors_view(map.data, map.size, out, err)) {
        out->map = map;
        return true;
    }
    file_unmap(&map);
    return error_prefix(err, "%s", path);
}

void safetensors_close(SafeTensors *st)
{
    json_decref(st->header);
    free(st->tensors);
    file_unmap(&st->map);
    *st = (SafeTensors){ 0 };
}

const SafeTensor *safetensors_find(const SafeTensors *st, const char *name)
{
    for (size_t i = 0; i < st->n; i++)
        if (strcmp(st->tensors[i].name, name) == 0)
            return &st->tensors[i];
    return NULL;
}

/* ---- elements --------------------------------------------------------------------------------- */

static bool narrow_i64(const SafeTensor *t, int64_t first, int64_t count, int32_t *dst, Error *err)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t x;
        memcpy(&x, t->data + (first + i) * (int64_t)sizeof x, sizeof x);
        if (x < INT32_MIN || x > INT32_MAX)
            return error_set(err, "tensor %s: element %" PRId64 " is %" PRId64 ", which does not fit "
                             "32 bits", t->name, first + i, x);
        dst[i] = (int32_t)x;
    }
    return true;
}

static bool read_bools(const SafeTensor *t, int64_t first, int64_t count, float *dst, Error *err)
{
    for (int64_t i = 0; i < count; i++) {
        const uint8_t x = t->data[first + i];
        if (x > 1)
            return error_set(err, "tensor %s: element %" PRId64 " is the byte %d, which is no "
                             "truth value", t->name, first + i, x);
        dst[i] = x;
    }
    return true;
}

static bool float_type(StType t, DType *out)
{
    if (t != ST_F32 && t != ST_BF16 && t != ST_F16)
        return false;
    *out = t == ST_F32 ? DTYPE_f32 : t == ST_BF16 ? DTYPE_bf16 : DTYPE_f16;
    return true;
}

bool safetensors_read(const SafeTensor *t, DType to, int64_t first, int64_t count, void *dst,
                      Error *err)
{
    CHECK(first >= 0 && count >= 0 && first <= t->count && count <= t->count - first,
          "%" PRId64 " elements from %" PRId64 " of %" PRId64, count, first, t->count);
    if (t->type == ST_BOOL && to == DTYPE_bool)
        return read_bools(t, first, count, dst, err);
    if (t->type == ST_I64 && to == DTYPE_i32)
        return narrow_i64(t, first, count, dst, err);
    if (t->type == ST_I32 && to == DTYPE_i32) {
        if (count)
            memcpy(dst, t->data + first * 4, (size_t)count * 4);
        return true;
    }
    DType from;
    if (float_type(t->type, &from) && (to == DTYPE_f32 || to == DTYPE_bf16 || to == DTYPE_f16)) {
        float_convert(from, t->data + first * (int64_t)dtype_size(from), to, dst, count);
        return true;
    }
    return error_set(err, "tensor %s holds %s; expected %s", t->name, st_types[t->type].name,
                     to == DTYPE_i32 ? "I32 or I64" : to == DTYPE_bool ? "BOOL"
                     : dtype_is_lane(to) || dtype_block(to) == 1 ? "F32, BF16 or F16"
                     : "what a GGUF file holds");
}
