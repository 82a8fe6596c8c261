/* The vocabulary: one run of bytes, two arrays by id, one open hash table. */
#include "runtime/tokenizer/vocab.h"

#include "base/check.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 1 << 24, MAX_TOKEN_BYTES = 1 << 20 };
static const uint32_t MISSING = UINT32_MAX;

bool vocab_init(Vocab *v, size_t count, Error *err)
{
    *v = (Vocab){ 0 };
    if (count > MAX_TOKENS)
        return error_set(err, "%zu tokens; at most %d are read", count, MAX_TOKENS);
    size_t slots = 64;
    while (slots < count + count / 2)
        slots *= 2;
    v->cap = count;
    v->begin = malloc((count + 1) * sizeof *v->begin);
    v->length = malloc((count + 1) * sizeof *v->length);
    v->slot = malloc(slots * sizeof *v->slot);
    if (!v->begin || !v->length || !v->slot) {
        vocab_free(v);
        return error_set(err, "out of memory");
    }
    memset(v->slot, 0xff, slots * sizeof *v->slot);
    v->mask = (uint32_t)(slots - 1);
    return true;
}

void vocab_free(Vocab *v)
{
    buf_free(&v->bytes);
    free(v->begin);
    free(v->length);
    free(v->slot);
    *v = (Vocab){ 0 };
}

static bool reach(Vocab *v, size_t id, Error *err)
{
    if (id >= v->cap) {
        const size_t cap = id + id / 2 + 16;
        uint32_t *begin = realloc(v->begin, cap * sizeof *begin);
        if (begin)
            v->begin = begin;
        uint32_t *length = realloc(v->length, cap * sizeof *length);
        if (length)
            v->length = length;
        if (!begin || !length)
            return error_set(err, "out of memory");
        v->cap = cap;
    }
    for (; v->n <= id; v->n++)
        v->length[v->n] = MISSING;
    return true;
}

static bool same(const Vocab *v, int32_t id, const char *text, size_t n)
{
    return v->length[id] == n && memcmp(v->bytes.data + v->begin[id], text, n) == 0;
}

static size_t find_slot(const Vocab *v, const char *text, size_t n)
{
    size_t at = hash_bytes(text, n) & v->mask;
    while (v->slot[at] >= 0 && !same(v, v->slot[at], text, n))
        at = (at + 1) & v->mask;
    return at;
}

bool vocab_add(Vocab *v, const char *text, size_t n, int64_t id, Error *err)
{
    const int64_t most = (int64_t)v->mask + 65536;
    if (id < 0 || id > most)
        return error_set(err, "the token \"%.*s\" has the id %" PRId64 "; ids are 0 to %" PRId64
                         " here", n > 40 ? 40 : (int)n, text, id, most);
    if (n > MAX_TOKEN_BYTES || v->bytes.len > UINT32_MAX - MAX_TOKEN_BYTES)
        return error_set(err, "the token of id %" PRId64 " has %zu bytes", id, n);
    /* The table must keep a free slot to end a search at. */
    if (v->count >= v->mask)
        return error_set(err, "more tokens than were announced");
    if (!reach(v, (size_t)id, err))
        return false;
    if (v->length[id] != MISSING)
        return error_set(err, "two tokens have the id %" PRId64, id);
    const size_t at = find_slot(v, n ? text : "", n);
    if (v->slot[at] >= 0)
        return error_set(err, "the token \"%.*s\" has two ids, %" PRId32 " and %" PRId64,
                         n > 40 ? 40 : (int)n, text, v->slot[at], id);
    v->begin[id] = (uint32_t)v->bytes.len;
    v->length[id] = (uint32_t)n;
    buf_add(&v->bytes, n ? text : "", n);
    if (v->bytes.failed)
        return error_set(err, "out of memory");
    v->slot[at] = (int32_t)id;
    v->longest = n > v->longest ? (uint32_t)n : v->longest;
    v->count++;
    return true;
}

int32_t vocab_find(const Vocab *v, const char *text, size_t n)
{
    return v->slot && n <= v->longest ? v->slot[find_slot(v, text, n)] : -1;
}

const char *vocab_text(const Vocab *v, int32_t id, size_t *n)
{
    if (id < 0 || (size_t)id >= v->n || v->length[id] == MISSING)
        return NULL;
    *n = v->length[id];
    return v->bytes.data ? v->bytes.data + v->begin[id] : "";
}
