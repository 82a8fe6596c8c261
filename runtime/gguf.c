/* Reading GGUF: one cursor walks the metadata, and no byte is looked at before the cursor has it. */
#include "runtime/gguf.h"

#include "base/check.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_METADATA = 100 << 20,
    MAX_VALUES = 1 << 16,
    MAX_TENSORS = 1 << 20,
    MAX_NAME = 0xffff,
    MAX_ALIGNMENT = 1 << 20,
    DEFAULT_ALIGNMENT = 32,
};

static const struct {
    const char *name;
    uint32_t elements, bytes;           /* of a block; 0: no such type */
} ggml_types[N_GGML_TYPES] = {
#define X(name, number, elements, bytes) [number] = { #name, elements, bytes },
    GGML_TYPES(X)
#undef X
};

static const struct {
    const char *name;
    uint32_t bytes;
} gguf_types[N_GGUF_TYPES] = {
#define X(name, number, bytes) [number] = { #name, bytes },
    GGUF_TYPES(X)
#undef X
};

const char *ggml_type_name(GgmlType t)
{
    return ggml_types[t].name;
}

bool ggml_row_bytes(GgmlType t, uint64_t n, size_t *bytes)
{
    return n % ggml_types[t].elements == 0 &&
           size_mul(n / ggml_types[t].elements, ggml_types[t].bytes, bytes);
}

/* ---- the cursor ------------------------------------------------------------------------------- */

typedef struct Cursor {
    const uint8_t *data;
    size_t at, n;                       /* at <= n */
    Error *err;
} Cursor;

/* NULL with a message when fewer than n bytes are left. */
static const uint8_t *take(Cursor *c, size_t n, const char *what)
{
    if (n > c->n - c->at) {
        error_set(c->err, "byte %zu: %s needs %zu bytes, but %zu are left", c->at, what, n,
                  c->n - c->at);
        return NULL;
    }
    c->at += n;
    return c->data + c->at - n;
}

static bool take_u32(Cursor *c, uint32_t *out, const char *what)
{
    const uint8_t *p = take(c, sizeof *out, what);
    if (p)
        memcpy(out, p, sizeof *out);
    return p != NULL;
}

static bool take_u64(Cursor *c, uint64_t *out, const char *what)
{
    const uint8_t *p = take(c, sizeof *out, what);
    if (p)
        memcpy(out, p, sizeof *out);
    return p != NULL;
}

static bool take_string(Cursor *c, GgufString *out, const char *what)
{
    uint64_t n = 0;
    if (!take_u64(c, &n, what))
        return false;
    if (n > c->n - c->at)
        return error_set(c->err, "byte %zu: %s has %" PRIu64 " bytes, but %zu are left", c->at - 8,
                         what, n, c->n - c->at);
    *out = (GgufString){ (const char *)take(c, (size_t)n, what), (size_t)n };
    return true;
}

static bool take_name(Cursor *c, GgufString *out, const char *what)
{
    const size_t at = c->at;
    if (!take_string(c, out, what))
        return false;
    if (out->n == 0 || out->n > MAX_NAME)
        return error_set(c->err, "byte %zu: %s has %zu bytes; 1 to %d are read", at, what, out->n,
                         MAX_NAME);
    return true;
}

/* ---- values ----------------------------------------------------------------------------------- */

static bool take_type(Cursor *c, uint32_t *type)
{
    const size_t at = c->at;
    if (!take_u32(c, type, "a value's type"))
        return false;
    return *type < N_GGUF_TYPES ||
           error_set(c->err, "byte %zu: %" PRIu32 " is no type of a value", at, *type);
}

static bool check_bools(Cursor *c, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return error_set(c->err, "byte %zu: a bool is %u", (size_t)(p + i - c->data), p[i]);
    return true;
}

static bool take_elements(Cursor *c, GgufValue *v)
{
    const size_t at = c->at;
    const size_t bytes = gguf_types[v->type].bytes;
    const uint64_t most = (c->n - c->at) / (bytes ? bytes : sizeof(uint64_t));
    if (v->n > most)
        return error_set(c->err, "byte %zu: %.*s has %" PRIu64 " elements; at most %" PRIu64
                         " fit in what is left", at, (int)v->key_n, v->key, v->n, most);
    if (bytes) {
        v->data = take(c, (size_t)v->n * bytes, "a value");
        return v->data && (v->type != GGUF_bool || check_bools(c, v->data, v->n));
    }
    v->data = c->data + c->at;
    GgufString s;
    for (uint64_t i = 0; i < v->n; i++)
        if (!take_string(c, &s, "a string"))
            return false;
    return true;
}

static bool take_value(Cursor *c, GgufValue *v)
{
    GgufString key;
    uint32_t type = 0;
    if (!take_name(c, &key, "a value's name") || !take_type(c, &type))
        return false;
    *v = (GgufValue){ .key = key.text, .key_n = (uint32_t)key.n, .n = 1 };
    if (type == GGUF_array) {
        const size_t at = c->at;
        v->is_array = true;
        if (!take_type(c, &type) || !take_u64(c, &v->n, "an array's length"))
            return false;
        if (type == GGUF_array)
            return error_set(c->err, "byte %zu: %.*s is an array of arrays", at, (int)key.n, key.text);
    }
    v->type = (uint8_t)type;
    return take_elements(c, v);
}

/* ---- tensors ---------------------------------------------------------------------------------- */

/* `data` holds the offset until the place of the data is known. */
static bool take_tensor(Cursor *c, GgufTensor *t)
{
    GgufString name;
    uint32_t rank = 0, type = 0;
    uint64_t offset = 0;
    if (!take_name(c, &name, "a tensor's name"))
        return false;
    *t = (GgufTensor){ .name = name.text, .name_n = (uint32_t)name.n };
    const size_t at = c->at;
    if (!take_u32(c, &rank, "a number of axes"))
        return false;
    if (rank < 1 || rank > GGUF_MAX_RANK)
        return error_set(c->err, "byte %zu: tensor %.*s has %" PRIu32 " axes; 1 to %d are read", at,
                         (int)name.n, name.text, rank, GGUF_MAX_RANK);
    t->rank = (uint8_t)rank;
    for (uint32_t a = 0; a < rank; a++)
        if (!take_u64(c, &t->dim[a], "an axis"))
            return false;
    const size_t type_at = c->at;
    if (!take_u32(c, &type, "a tensor's type"))
        return false;
    if (type >= N_GGML_TYPES || ggml_types[type].elements == 0)
        return error_set(c->err, "byte %zu: tensor %.*s is of the unknown type %" PRIu32, type_at,
                         (int)name.n, name.text, type);
    t->type = (uint8_t)type;
    bool fits = ggml_row_bytes((GgmlType)type, t->dim[0], &t->bytes) && t->dim[0] > 0;
    for (uint32_t a = 1; a < rank; a++)
        fits = fits && t->dim[a] > 0 && size_mul(t->bytes, t->dim[a], &t->bytes);
    if (!fits)
        return error_set(c->err, "byte %zu: the axes of tensor %.*s are no size for %s", at,
                         (int)name.n, name.text, ggml_types[type].name);
    const size_t offset_at = c->at;
    if (!take_u64(c, &offset, "a tensor's offset"))
        return false;
    if (offset > PTRDIFF_MAX)
        return error_set(c->err, "byte %zu: tensor %.*s begins at byte %" PRIu64, offset_at,
                         (int)name.n, name.text, offset);
    t->data = (const uint8_t *)(uintptr_t)offset;
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const GgufTensor *x = *(const GgufTensor *const *)a, *y = *(const GgufTensor *const *)b;
    const uintptr_t left = (uintptr_t)x->data, right = (uintptr_t)y->data;
    if (left != right)
        return left < right ? -1 : 1;
    return (x > y) - (x < y);
}

/* Every tensor begins where the one before it ends, aligned, and all lie within the file. */
static bool place_in_order(Cursor *c, const Gguf *g, GgufTensor **order)
{
    size_t begin, at = 0;
    if (!size_align(c->at, g->alignment, &begin) || begin > c->n)
        return error_set(c->err, "byte %zu: the file ends before its tensors begin", c->at);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        GgufTensor *t = order[i];
        const size_t offset = (size_t)(uintptr_t)t->data;
        if (!size_align(at, g->alignment, &at) || offset != at)
            return error_set(c->err, "tensor %.*s begins at byte %zu of the data, expected %zu: "
                             "there is %s", (int)t->name_n, t->name, offset, at,
                             offset < at ? "an overlap" : "a hole");
        if (t->bytes > c->n - begin || at > c->n - begin - t->bytes)
            return error_set(c->err, "tensor %.*s has %zu bytes at byte %zu of the data, which has "
                             "%zu; is the file cut off?", (int)t->name_n, t->name, t->bytes, at,
                             c->n - begin);
        t->data = c->data + begin + at;
        at += t->bytes;
    }
    size_t end = at;
    if (!size_align(at, g->alignment, &end) || c->n - begin > end)
        return error_set(c->err, "byte %zu: bytes follow the last tensor", begin + end);
    return true;
}

static bool place_tensors(Cursor *c, Gguf *g)
{
    if (g->n_tensors == 0)
        return true;
    GgufTensor **order = malloc(g->n_tensors * sizeof *order);
    if (!order)
        return error_set(c->err, "out of memory");
    for (uint32_t i = 0; i < g->n_tensors; i++)
        order[i] = &g->tensors[i];
    qsort(order, g->n_tensors, sizeof(GgufTensor *), by_offset);
    bool ok = place_in_order(c, g, order);
    free(order);
    return ok;
}

/* ---- names once ------------------------------------------------------------------------------- */

/* Names at a fixed stride: pointer, then length, as both structs begin. */
static bool check_unique(const void *first, size_t stride, uint32_t n, const char *what, Error *err)
{
    typedef struct Named {
        const char *text;
        uint32_t n;
    } Named;
    size_t cap = 16;
    while (cap < 2 * (size_t)n)
        cap *= 2;
    uint32_t *slot = calloc(cap, sizeof *slot);
    bool ok = slot || error_set(err, "out of memory");
    for (uint32_t i = 0; ok && i < n; i++) {
        Named a, b;
        memcpy(&a, (const char *)first + i * stride, sizeof a);
        size_t at = hash_bytes(a.text, a.n) & (cap - 1);
        for (; slot[at]; at = (at + 1) & (cap - 1)) {
            memcpy(&b, (const char *)first + (slot[at] - 1) * stride, sizeof b);
            if (a.n == b.n && memcmp(a.text, b.text, a.n) == 0) {
                ok = error_set(err, "%s %.*s is there twice", what, (int)a.n, a.text);
                break;
            }
        }
        slot[at] = i + 1;
    }
    free(slot);
    return ok;
}

/* ---- the file --------------------------------------------------------------------------------- */

static bool take_count(Cursor *c, uint32_t max, uint32_t *out, const char *what)
{
    uint64_t n = 0;
    const size_t at = c->at;
    if (!take_u64(c, &n, what))
        return false;
    if (n > max)
        return error_set(c->err, "byte %zu: %" PRIu64 " %s; at most %" PRIu32 " are read", at, n,
                         what, max);
    *out = (uint32_t)n;
    return true;
}

static bool read_header(Cursor *c, Gguf *g)
{
    const uint8_t *magic = take(c, 4, "the mark \"GGUF\"");
    if (!magic)
        return false;
    if (memcmp(magic, "GGUF", 4) != 0)
        return error_set(c->err, "byte 0: this is no GGUF file: the mark \"GGUF\" is missing");
    if (!take_u32(c, &g->version, "the version"))
        return false;
    if (g->version != 2 && g->version != 3)
        return error_set(c->err, "byte 4: version %" PRIu32 "; versions 2 and 3 are read%s",
                         g->version, g->version == 0x03000000 ? " (the file is big-endian)" : "");
    return take_count(c, MAX_TENSORS, &g->n_tensors, "tensors") &&
           take_count(c, MAX_VALUES, &g->n_values, "values");
}

static bool read_alignment(Gguf *g, Error *err)
{
    uint64_t alignment = DEFAULT_ALIGNMENT;
    if (gguf_find(g, "general.alignment") && !gguf_get_u64(g, "general.alignment", &alignment))
        return error_set(err, "general.alignment is no whole number");
    if (alignment == 0 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return error_set(err, "general.alignment is %" PRIu64 "; powers of two up to %d are read",
                         alignment, MAX_ALIGNMENT);
    g->alignment = (uint32_t)alignment;
    return true;
}

/* Least bytes of a value and of a tensor: what bounds their number, and so the memory for them. */
enum { LEAST_VALUE = 8 + 1 + 4 + 1, LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };

static bool read_metadata(Cursor *c, Gguf *g)
{
    if (!read_header(c, g))
        return false;
    if ((uint64_t)g->n_values * LEAST_VALUE + (uint64_t)g->n_tensors * LEAST_TENSOR > c->n - c->at)
        return error_set(c->err, "byte %zu: %" PRIu32 " values and %" PRIu32 " tensors do not fit in "
                         "%zu bytes; is the file cut off?", c->at, g->n_values, g->n_tensors,
                         c->n - c->at);
    g->values = calloc(g->n_values + 1u, sizeof *g->values);
    g->tensors = calloc(g->n_tensors + 1u, sizeof *g->tensors);
    if (!g->values || !g->tensors)
        return error_set(c->err, "out of memory");
    for (uint32_t i = 0; i < g->n_values; i++)
        if (!take_value(c, &g->values[i]))
            return false;
    for (uint32_t i = 0; i < g->n_tensors; i++)
        if (!take_tensor(c, &g->tensors[i]))
            return false;
    return check_unique(g->values, sizeof *g->values, g->n_values, "the value", c->err) &&
           check_unique(g->tensors, sizeof *g->tensors, g->n_tensors, "the tensor", c->err) &&
           read_alignment(g, c->err);
}

bool gguf_read(const uint8_t *data, size_t n, Gguf *out, Error *err)
{
    *out = (Gguf){ 0 };
    Cursor c = { .data = data, .n = n < MAX_METADATA ? n : MAX_METADATA, .err = err };
    bool ok = read_metadata(&c, out);
    c.n = n;
    ok = ok && place_tensors(&c, out);
    if (!ok)
        gguf_close(out);
    return ok;
}

bool gguf_open(const char *path, Gguf *out, Error *err)
{
    FileMap map;
    *out = (Gguf){ 0 };
    if (!file_map(path, &map, err))
        return false;
    if (!gguf_read(map.data, map.size, out, err)) {
        file_unmap(&map);
        return error_prefix(err, "%s", path);
    }
    out->map = map;
    return true;
}

void gguf_close(Gguf *g)
{
    free(g->values);
    free(g->tensors);
    if (g->map.data)
        file_unmap(&g->map);
    *g = (Gguf){ 0 };
}

/* ---- looking up ------------------------------------------------------------------------------- */

const GgufValue *gguf_find(const Gguf *g, const char *key)
{
    const size_t n = strlen(key);
    for (uint32_t i = 0; i < g->n_values; i++)
        if (g->values[i].key_n == n && memcmp(g->values[i].key, key, n) == 0)
            return &g->values[i];
    return NULL;
}

const GgufTensor *gguf_find_tensor(const Gguf *g, const char *name)
{
    const size_t n = strlen(name);
    for (uint32_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].name_n == n && memcmp(g->tensors[i].name, name, n) == 0)
            return &g->tensors[i];
    return NULL;
}

static bool element_u64(const GgufValue *v, uint64_t i, uint64_t *bits)
{
    const uint8_t *p = v->data + i * gguf_types[v->type].bytes;
    uint16_t u16;
    uint32_t u32;
    int16_t i16;
    int32_t i32;
    switch ((GgufType)v->type) {
    case GGUF_u8: *bits = *p; return true;
    case GGUF_u16: memcpy(&u16, p, sizeof u16); *bits = u16; return true;
    case GGUF_u32: memcpy(&u32, p, sizeof u32); *bits = u32; return true;
    case GGUF_i8: *bits = (uint64_t)(int64_t)(int8_t)*p; return true;
    case GGUF_i16: memcpy(&i16, p, sizeof i16); *bits = (uint64_t)(int64_t)i16; return true;
    case GGUF_i32: memcpy(&i32, p, sizeof i32); *bits = (uint64_t)(int64_t)i32; return true;
    case GGUF_u64: case GGUF_i64: memcpy(bits, p, sizeof *bits); return true;
    case GGUF_f32: case GGUF_f64: case GGUF_bool: case GGUF_string: case GGUF_array:
    case N_GGUF_TYPES: break;
    }
    return false;
}

bool gguf_array_i64(const GgufValue *v, uint64_t i, int64_t *out)
{
    uint64_t bits;
    if (!element_u64(v, i, &bits) || (v->type == GGUF_u64 && bits > INT64_MAX))
        return false;
    *out = (int64_t)bits;
    return true;
}

bool gguf_array_f64(const GgufValue *v, uint64_t i, double *out)
{
    float f;
    if (v->type == GGUF_f32) {
        memcpy(&f, v->data + i * sizeof f, sizeof f);
        *out = (double)f;
        return true;
    }
    if (v->type == GGUF_f64)
        memcpy(out, v->data + i * sizeof *out, sizeof *out);
    return v->type == GGUF_f64;
}

GgufWalk gguf_walk(const GgufValue *v)
{
    return (GgufWalk){ v->data, v->type == GGUF_string ? v->n : 0 };
}

bool gguf_walk_next(GgufWalk *w, GgufString *out)
{
    uint64_t n;
    if (w->left == 0)
        return false;
    memcpy(&n, w->at, sizeof n);
    *out = (GgufString){ (const char *)w->at + sizeof n, (size_t)n };
    w->at += sizeof n + n;
    w->left--;
    return true;
}

bool gguf_get_u64(const Gguf *g, const char *key, uint64_t *out)
{
    const GgufValue *v = gguf_find(g, key);
    uint64_t bits;
    if (!v || v->is_array || !element_u64(v, 0, &bits))
        return false;
    const bool is_signed = v->type == GGUF_i8 || v->type == GGUF_i16 || v->type == GGUF_i32 ||
                           v->type == GGUF_i64;
    if (is_signed && (int64_t)bits < 0)
        return false;
    *out = bits;
    return true;
}

bool gguf_get_f64(const Gguf *g, const char *key, double *out)
{
    const GgufValue *v = gguf_find(g, key);
    return v && !v->is_array && gguf_array_f64(v, 0, out);
}

bool gguf_get_bool(const Gguf *g, const char *key, bool *out)
{
    const GgufValue *v = gguf_find(g, key);
    if (!v || v->is_array || v->type != GGUF_bool)
        return false;
    *out = *v->data != 0;
    return true;
}

bool gguf_get_string(const Gguf *g, const char *key, GgufString *out)
{
    const GgufValue *v = gguf_find(g, key);
    if (!v || v->is_array || v->type != GGUF_string)
        return false;
    GgufWalk w = gguf_walk(v);
    return gguf_walk_next(&w, out);
}
