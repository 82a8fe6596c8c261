/* The cache of words: text has few words and repeats them.  A slot is one cache line; a piece that
 * does not fit in one is encoded anew each time. */
#include "runtime/tokenizer/parts.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { N_SLOTS = 1 << 15, MAX_BYTES = 30, MAX_IDS = 8 };

typedef struct Slot {
    uint8_t n_bytes, n_ids;             /* n_bytes 0: empty */
    char text[MAX_BYTES];
    int32_t id[MAX_IDS];
} Slot;

struct WordCache {
    Slot slot[N_SLOTS];
};

struct WordCache *cache_new(void)
{
    return calloc(1, sizeof(struct WordCache));
}

void cache_free(struct WordCache *c)
{
    free(c);
}

void cache_clear(struct WordCache *c)
{
    memset(c, 0, sizeof *c);
}

static size_t place(const char *text, size_t n)
{
    return hash_bytes(text, n) & (N_SLOTS - 1);
}

bool cache_get(const struct WordCache *c, const char *text, size_t n, TokenIds *out)
{
    if (n == 0 || n > MAX_BYTES)
        return false;
    const Slot *s = &c->slot[place(text, n)];
    if (s->n_bytes != n || memcmp(s->text, text, n) != 0)
        return false;
    if (out->cap - out->n < MAX_IDS) {
        const size_t cap = out->cap ? 2 * out->cap : 64;
        int32_t *id = realloc(out->id, cap * sizeof *id);
        if (!id)
            return false;
        out->id = id;
        out->cap = cap;
    }
    memcpy(out->id + out->n, s->id, sizeof s->id);      /* all of them: a copy of fixed size */
    out->n += s->n_ids;
    return true;
}

void cache_put(struct WordCache *c, const char *text, size_t n, const int32_t *id, size_t n_ids)
{
    if (n == 0 || n > MAX_BYTES || n_ids > MAX_IDS)
        return;
    Slot *s = &c->slot[place(text, n)];
    s->n_bytes = (uint8_t)n;
    s->n_ids = (uint8_t)n_ids;
    memcpy(s->text, text, n);
    memcpy(s->id, id, n_ids * sizeof *id);
}
