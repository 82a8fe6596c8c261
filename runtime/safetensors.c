/* Reading safetensors files.  Sizes come from outside: each is bounded before it is used. */
#include "runtime/safetensors.h"

#include "base/check.h"
#include "base/float_convert.h"
#include "base/hash.h"
#include "runtime/json_parts.h"
#include "runtime/safetensors_hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES = 8,
    MAX_NAME = 0xffff,
    CHECKSUM_TEXT = 24,                 /* more than the 16 digits, so that a longer text differs */
    LEAST_TENSOR = 50,                  /* "a":{"dtype":"U8","shape":[],"data_offsets":[0,0]} */
};

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

static bool check_hash(SafeTensors *st, const char *expected, Error *err)
{
    char found[17];
    for (size_t i = 0; i < st->n; i++) {
        const SafeTensor *t = &st->tensors[i];
        st->hash = safetensors_hash(st->hash, t->name, t->type, t->rank, t->dim);
        st->hash = hash_seeded(t->data, t->bytes, st->hash);
    }
    snprintf(found, sizeof found, "%016" PRIx64, st->hash);
    if (*expected && strcmp(expected, found) != 0)
        return error_set(err, "the checksum of its tensors is %s, but its header says %s: the "
                         "file was altered", found, expected);
    return true;
}

/* ---- names ------------------------------------------------------------------------------------ */

/* Room for the tensors and their names; more members than so much text can tell of as tensors are
 * refused before they take any. */
static bool make_room(SafeTensors *st, JsonText header, Error *err)
{
    size_t n = 0, names = 1;
    JsonText key, value;
    for (JsonWalk w = json_walk(header); json_walk_next(&w, &key, &value); n++)
        names += key.n;                 /* its quotes make up for the zero at the end */
    if (n > header.n / LEAST_TENSOR + 1)
        return error_set(err, "%zu members in %zu bytes of header cannot all be tensors", n, header.n);
    st->tensors = calloc(n + 1, sizeof *st->tensors);
    st->names = malloc(names);
    return (st->tensors && st->names) || error_set(err, "out of memory");
}

/* Of the tensor that comes next, behind the `used` bytes of the others. */
static bool read_name(SafeTensors *st, JsonSource *source, JsonText key, size_t *used, Error *err)
{
    if (key.n > MAX_NAME)
        return error_set(err, "the name of a tensor has %zu bytes; at most %d are read", key.n, MAX_NAME);
    json_t *name = json_source_look(source, key, err);
    if (!name)
        return false;
    const size_t n = json_string_length(name) + 1;
    st->tensors[st->n].name = memcpy(st->names + *used, json_string_value(name), n);
    *used += n;
    json_decref(name);
    return n > 1 || error_set(err, "a tensor has the empty name");
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const SafeTensor *const *)a)->name, (*(const SafeTensor *const *)b)->name);
}

static bool check_names(const SafeTensors *st, Error *err)
{
    const SafeTensor **order = malloc((st->n + 1) * sizeof(const SafeTensor *));
    bool ok = order != NULL || error_set(err, "out of memory");
    for (size_t i = 0; ok && i < st->n; i++)
        order[i] = &st->tensors[i];
    if (ok)
        qsort(order, st->n, sizeof(const SafeTensor *), by_name);
    for (size_t i = 1; ok && i < st->n; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            ok = error_set(err, "tensor %s is there twice", order[i]->name);
    free(order);
    return ok;
}

/* ---- members ---------------------------------------------------------------------------------- */

typedef struct Header {
    JsonSource source;
    const uint8_t *data;                /* of the tensors, n_data bytes */
    size_t n_data, names;               /* names: bytes of them that are used */
    bool described;                     /* "__metadata__" was there */
    char expected[CHECKSUM_TEXT];       /* what the checksum should be; empty: it is not told */
} Header;

/* Values of "__metadata__" are strings; of ours is kept what the checksum should be. */
static bool read_metadata(Header *h, JsonText text, Error *err)
{
    if (!json_is(text, '{'))
        return error_set(err, "\"__metadata__\" is not an object");
    if (h->described)
        return error_set(err, "\"__metadata__\" is there twice");
    h->described = true;
    JsonParts p = json_parts(&h->source, text);
    bool ok = true;
    while (ok && json_parts_next(&p, err)) {
        ok = json_is_string(p.value)
            || error_set(err, "\"__metadata__\": the value of \"%.64s\" is not a string", p.key);
        if (ok && strcmp(p.key, "xxh3") == 0)
            snprintf(h->expected, CHECKSUM_TEXT, "%s", json_string_value(p.value));
    }
    json_parts_close(&p);
    return ok && !p.failed;
}

static bool read_tensor(SafeTensors *st, Header *h, JsonText key, JsonText value, Error *err)
{
    SafeTensor *t = &st->tensors[st->n];
    if (!read_name(st, &h->source, key, &h->names, err))
        return false;
    json_t *info = json_source_look(&h->source, value, err);
    const bool ok = info && read_type(info, t, err) && read_shape(info, t, err)
        && read_offsets(info, h->data, h->n_data, t, err);
    st->n += ok;
    json_decref(info);
    return ok;
}

static bool read_tensors(SafeTensors *st, Header *h, Error *err)
{
    JsonText key, value;
    if (!json_is(h->source.root, '{'))
        return error_set(err, "its header is not a JSON object");
    if (!make_room(st, h->source.root, err))
        return false;
    for (JsonWalk w = json_walk(h->source.root); json_walk_next(&w, &key, &value);)
        if (!(json_equals(key, "__metadata__") ? read_metadata(h, value, err)
                                               : read_tensor(st, h, key, value, err)))
            return false;
    if (!check_names(st, err))
        return false;
    qsort(st->tensors, st->n, sizeof *st->tensors, by_place);
    return check_cover(st, h->data, h->n_data, err) && check_hash(st, h->expected, err);
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
    const size_t skip = LENGTH_BYTES + (size_t)length;
    Header h = { .data = bytes + skip, .n_data = n - skip };
    if (!json_source_open(&h.source, (const char *)bytes + LENGTH_BYTES, (size_t)length, 0, err))
        return error_prefix(err, "its header");
    return read_tensors(st, &h, err);
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
    free(st->names);
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
