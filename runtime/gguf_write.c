/* Writing GGUF version 3: the metadata is gathered in memory, the tensors' bytes stream out. */
#include "runtime/gguf.h"

#include "base/check.h"

#include <inttypes.h>
#include <string.h>

enum { VERSION = 3, DEFAULT_ALIGNMENT = 32 };

static const size_t element_bytes[N_GGUF_TYPES] = {
#define X(name, number, size) [number] = size,
    GGUF_TYPES(X)
#undef X
};

static void fail(GgufWriter *w, const char *why, const char *name)
{
    if (!w->failed)
        error_set(&w->err, "%s: %s", name, why);
    w->failed = true;
}

static void put_string(Buf *b, const char *s, size_t n)
{
    const uint64_t length = n;
    buf_add(b, &length, sizeof length);
    buf_add(b, s, n);
}

static void put_key(GgufWriter *w, const char *key, GgufType type)
{
    const uint32_t number = (uint32_t)type;
    if (key[0] == 0)
        fail(w, "a value needs a name", "\"\"");
    put_string(&w->values, key, strlen(key));
    buf_add(&w->values, &number, sizeof number);
    w->n_values++;
}

void gguf_add_u32(GgufWriter *w, const char *key, uint32_t v)
{
    put_key(w, key, GGUF_u32);
    buf_add(&w->values, &v, sizeof v);
}

void gguf_add_u64(GgufWriter *w, const char *key, uint64_t v)
{
    put_key(w, key, GGUF_u64);
    buf_add(&w->values, &v, sizeof v);
}

void gguf_add_f32(GgufWriter *w, const char *key, float v)
{
    put_key(w, key, GGUF_f32);
    buf_add(&w->values, &v, sizeof v);
}

void gguf_add_bool(GgufWriter *w, const char *key, bool v)
{
    put_key(w, key, GGUF_bool);
    buf_putc(&w->values, v ? 1 : 0);
}

void gguf_add_string(GgufWriter *w, const char *key, const char *v)
{
    put_key(w, key, GGUF_string);
    put_string(&w->values, v, strlen(v));
}

static void put_array(GgufWriter *w, const char *key, GgufType type, uint64_t n)
{
    const uint32_t number = (uint32_t)type;
    put_key(w, key, GGUF_array);
    buf_add(&w->values, &number, sizeof number);
    buf_add(&w->values, &n, sizeof n);
}

void gguf_add_array(GgufWriter *w, const char *key, GgufType type, const void *data, uint64_t n)
{
    size_t total = 0;
    put_array(w, key, type, n);
    if (element_bytes[type] == 0 || !size_mul((size_t)n, element_bytes[type], &total))
        fail(w, "no array of elements of fixed size", key);
    else
        buf_add(&w->values, data, total);
}

void gguf_add_strings(GgufWriter *w, const char *key, const GgufString *v, uint64_t n)
{
    put_array(w, key, GGUF_string, n);
    for (uint64_t i = 0; i < n; i++)
        put_string(&w->values, v[i].text, v[i].n);
}

void gguf_add_value(GgufWriter *w, const GgufValue *v)
{
    const uint32_t array = GGUF_array, type = v->type;
    const uint8_t *end = v->data;
    GgufString s;
    put_string(&w->values, v->key, v->key_n);
    if (v->is_array)
        buf_add(&w->values, &array, sizeof array);
    buf_add(&w->values, &type, sizeof type);
    if (v->is_array)
        buf_add(&w->values, &v->n, sizeof v->n);
    if (v->type == GGUF_string)
        for (GgufWalk walk = gguf_walk(v); gguf_walk_next(&walk, &s);)
            end = (const uint8_t *)s.text + s.n;
    else
        end += v->n * element_bytes[v->type];
    buf_add(&w->values, v->data, (size_t)(end - v->data));
    w->n_values++;
}

void gguf_add_tensor(GgufWriter *w, const char *name, GgmlType type, uint32_t rank,
                     const uint64_t *dim)
{
    const size_t alignment = w->alignment ? w->alignment : DEFAULT_ALIGNMENT;
    const uint32_t number = (uint32_t)type;
    size_t bytes = 0, at = 0;
    bool fits = rank >= 1 && rank <= GGUF_MAX_RANK && dim[0] > 0 &&
                ggml_row_bytes(type, dim[0], &bytes);
    for (uint32_t a = 1; fits && a < rank; a++)
        fits = dim[a] > 0 && size_mul(bytes, dim[a], &bytes);
    fits = fits && size_align(w->planned, alignment, &at) && size_add(at, bytes, &w->planned);
    if (!fits || name[0] == 0) {
        fail(w, "no name or no size for a tensor", name);
        return;
    }
    const uint64_t offset = at;
    put_string(&w->tensors, name, strlen(name));
    buf_add(&w->tensors, &rank, sizeof rank);
    buf_add(&w->tensors, dim, rank * sizeof *dim);
    buf_add(&w->tensors, &number, sizeof number);
    buf_add(&w->tensors, &offset, sizeof offset);
    buf_add(&w->ends, &w->planned, sizeof w->planned);
    w->n_tensors++;
}

static void put_zeros(GgufWriter *w, size_t n)
{
    static const uint8_t zeros[4096];
    for (; n > 0; n -= n < sizeof zeros ? n : sizeof zeros)
        file_writer_add(&w->file, zeros, n < sizeof zeros ? n : sizeof zeros);
}

static size_t padding(const GgufWriter *w, size_t at)
{
    return (w->alignment - at % w->alignment) % w->alignment;
}

bool gguf_write_begin(GgufWriter *w, const char *path, Error *err)
{
    const uint32_t version = VERSION;
    if (w->alignment == 0)
        w->alignment = DEFAULT_ALIGNMENT;
    else if (w->alignment != DEFAULT_ALIGNMENT)
        gguf_add_u32(w, "general.alignment", w->alignment);
    if (w->values.failed || w->tensors.failed || w->ends.failed)
        fail(w, "out of memory", path);
    if (w->failed)
        return error_set(err, "%s", w->err.text);
    if (!file_writer_open(&w->file, path, err))
        return false;
    w->begun = true;
    file_writer_add(&w->file, "GGUF", 4);
    file_writer_add(&w->file, &version, sizeof version);
    file_writer_add(&w->file, &w->n_tensors, sizeof w->n_tensors);
    file_writer_add(&w->file, &w->n_values, sizeof w->n_values);
    if (w->values.len)
        file_writer_add(&w->file, w->values.data, w->values.len);
    if (w->tensors.len)
        file_writer_add(&w->file, w->tensors.data, w->tensors.len);
    put_zeros(w, padding(w, 24 + w->values.len + w->tensors.len));
    return true;
}

void gguf_write_data(GgufWriter *w, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        size_t end;
        if (w->next == w->n_tensors) {
            fail(w, "more bytes than the tensors have", "gguf_write_data");
            return;
        }
        memcpy(&end, w->ends.data + w->next * sizeof end, sizeof end);
        const size_t part = n < end - w->written ? n : end - w->written;
        file_writer_add(&w->file, p, part);
        w->written += part;
        p += part;
        n -= part;
        if (w->written == end) {
            const size_t pad = padding(w, end);
            put_zeros(w, pad);
            w->written += pad;
            w->next++;
        }
    }
}

static void writer_free(GgufWriter *w)
{
    buf_free(&w->values);
    buf_free(&w->tensors);
    buf_free(&w->ends);
}

bool gguf_write_end(GgufWriter *w, Error *err)
{
    if (!w->failed && w->next != w->n_tensors)
        fail(w, "the data of tensors is missing", "gguf_write_end");
    bool ok = !w->failed || error_set(err, "%s", w->err.text);
    if (!ok && w->begun)
        file_writer_abandon(&w->file);
    ok = ok && file_writer_commit(&w->file, err);
    writer_free(w);
    return ok;
}

void gguf_write_abandon(GgufWriter *w)
{
    if (w->begun)
        file_writer_abandon(&w->file);
    writer_free(w);
}
