/* The words, one run of bytes, and an open hash table over them. */
#include "runtime/tokenizer/word_count.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1 << 12 };

static size_t find(const WordCount *c, const char *text, size_t n)
{
    size_t at = hash_bytes(text, n) & c->mask;
    for (; c->slot[at]; at = (at + 1) & c->mask) {
        const CountedWord *w = &c->word[c->slot[at] - 1];
        if (w->length == n && memcmp(c->bytes.data + w->begin, text, n) == 0)
            break;
    }
    return at;
}

/* Room for one more word, in a table that is at most half full. */
static bool reserve(WordCount *c, Error *err)
{
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : FIRST_SLOTS / 2;
        CountedWord *word = realloc(c->word, cap * sizeof *word);
        uint32_t *slot = calloc(2 * cap, sizeof *slot);
        if (word)
            c->word = word;
        if (!word || !slot || cap > UINT32_MAX / 2) {
            free(slot);
            return error_set(err, "out of memory: %zu different words", c->n);
        }
        free(c->slot);
        c->slot = slot;
        c->mask = 2 * cap - 1;
        c->cap = cap;
        for (size_t i = 0; i < c->n; i++)
            c->slot[find(c, c->bytes.data + word[i].begin, word[i].length)] = (uint32_t)i + 1;
    }
    return true;
}

bool word_count_add(WordCount *c, const char *text, size_t n, Error *err)
{
    if (n > UINT32_MAX)
        return error_set(err, "a word of %zu bytes", n);
    if (!reserve(c, err))
        return false;
    const size_t at = find(c, text, n);
    if (c->slot[at]) {
        c->word[c->slot[at] - 1].count++;
        return true;
    }
    c->word[c->n] = (CountedWord){ c->bytes.len, (uint32_t)n, 1 };
    buf_add(&c->bytes, text, n);
    if (c->bytes.failed)
        return error_set(err, "out of memory: %zu different words", c->n);
    c->slot[at] = (uint32_t)++c->n;
    return true;
}

void word_count_free(WordCount *c)
{
    buf_free(&c->bytes);
    free(c->word);
    free(c->slot);
    *c = (WordCount){ 0 };
}
