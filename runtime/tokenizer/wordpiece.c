/* WordPiece: the longest token that a word begins with, then the longest continuation, and so on;
 * a word that does not come out even is unknown as a whole. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

struct WordPiece {
    const Vocab *vocab;
    char *unk, *prefix;                 /* owned */
    size_t prefix_n, max_chars;
};

WordPiece *wordpiece_new(const Vocab *v, const char *unk, const char *prefix, size_t max_chars,
                         Error *err)
{
    WordPiece *m = calloc(1, sizeof *m);
    if (m) {
        *m = (WordPiece){ v, strdup(unk), strdup(prefix), strlen(prefix), max_chars };
        if (m->unk && m->prefix)
            return m;
        wordpiece_free(m);
    }
    error_set(err, "out of memory");
    return NULL;
}

void wordpiece_free(WordPiece *m)
{
    if (!m)
        return;
    free(m->unk);
    free(m->prefix);
    free(m);
}

static size_t count_chars(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((uint8_t)text[i] & 0xc0) != 0x80;
    return count;
}

/* The longest token at `text`, its id and length; -1 when there is none.  `room` begins with the
 * prefix and has place for the text behind it. */
static int32_t longest(const WordPiece *m, char *room, const char *text, size_t *n, bool first)
{
    const size_t skip = first ? m->prefix_n : 0;
    memcpy(room + m->prefix_n, text, *n);
    for (; *n > 0; (*n)--) {
        const bool whole = ((uint8_t)room[m->prefix_n + *n] & 0xc0) != 0x80;
        const int32_t id = whole ? vocab_find(m->vocab, room + skip, m->prefix_n - skip + *n) : -1;
        if (id >= 0)
            return id;
    }
    return -1;
}

static bool put_unknown(const WordPiece *m, TokenIds *out, Error *err)
{
    const int32_t id = vocab_find(m->vocab, m->unk, strlen(m->unk));
    return id >= 0 ? ids_push(out, id, err)
                   : error_set(err, "a word has no tokens, and the unknown token \"%.40s\" has no id",
                               m->unk);
}

bool wordpiece_encode(const WordPiece *m, const char *text, size_t n, TokenIds *out, Error *err)
{
    const size_t before = out->n;
    if (count_chars(text, n) > m->max_chars)
        return put_unknown(m, out, err);
    char *room = malloc(m->prefix_n + n + 1);
    bool ok = room || error_set(err, "out of memory");
    if (ok)
        memcpy(room, m->prefix, m->prefix_n);
    for (size_t at = 0; ok && at < n;) {
        size_t length = n - at;
        room[m->prefix_n + length] = 0;
        const int32_t id = longest(m, room, text + at, &length, at == 0);
        if (id < 0) {
            out->n = before;
            ok = put_unknown(m, out, err);
            break;
        }
        ok = ids_push(out, id, err);
        at += length;
    }
    free(room);
    return ok;
}
