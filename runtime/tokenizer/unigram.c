/* Unigram: of all ways to cut a piece into tokens, the one whose scores sum to most (Viterbi).
 *
 * A character that begins no token of its own length costs ten more than the worst token, and
 * neighbouring ones become a single unknown token, or their bytes. */
#include "runtime/tokenizer/parts.h"

#include "base/check.h"
#include "runtime/tokenizer/trie.h"
#include "runtime/tokenizer/unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double unk_penalty = 10.0;

struct Unigram {
    const Vocab *vocab;
    Trie trie;
    double *score;                      /* by id; owned */
    bool *special;                      /* by id; owned */
    double unk_score;
    int32_t unk;                        /* -1: none */
    int32_t byte[256];
    bool has_bytes;
};

/* The best ways to the places of a piece: of each only its last token, whose length leads back.  The
 * scores of the last few places lie in a ring as long as the longest token. */
typedef struct Ways {
    bool plain;
    int32_t *last;                      /* by place: the last token, UNKNOWN, or NO_WAY */
    double *score;                      /* by place & mask */
    size_t mask;
    size_t fresh;                       /* from here on `last` was not written yet */
} Ways;

enum { UNKNOWN = -1, NO_WAY = -2 };

/* What the scores say, before the trie takes memory. */
static bool check_scores(Unigram *m, int64_t unk, Error *err)
{
    double least = INFINITY;
    if (m->vocab->bytes.len == 0)
        return error_set(err, "the vocabulary is empty");
    if (unk >= (int64_t)m->vocab->n)
        return error_set(err, "\"unk_id\" is %" PRId64 " of %zu tokens", unk, m->vocab->n);
    if (m->vocab->bytes.len >= TRIE_MAX_NODES)
        return error_set(err, "the tokens have too many bytes together");
    for (size_t id = 0; id < m->vocab->n; id++)
        least = m->score[id] < least ? m->score[id] : least;
    m->unk = (int32_t)unk;
    m->unk_score = least - unk_penalty;
    return true;
}

Unigram *unigram_new(const Vocab *v, double *score, int64_t unk, bool byte_fallback, Error *err)
{
    Unigram *m = calloc(1, sizeof *m);
    if (!m) {
        free(score);
        error_set(err, "out of memory");
        return NULL;
    }
    m->vocab = v;
    m->score = score;
    bool ok = check_scores(m, unk, err);
    if (ok) {
        m->special = calloc(v->n, sizeof *m->special);
        ok = m->special != NULL || error_set(err, "out of memory");
    }
    for (size_t id = 0; ok && id < v->n; id++) {
        size_t n;
        const char *text = vocab_text(v, (int32_t)id, &n);
        ok = !text || n == 0 || trie_add(&m->trie, text, n, (int32_t)id, err);
    }
    if (!ok) {
        unigram_free(m);
        return NULL;
    }
    m->has_bytes = byte_fallback && byte_tokens(v, m->byte);
    return m;
}

void unigram_free(Unigram *m)
{
    if (!m)
        return;
    trie_free(&m->trie);
    free(m->score);
    free(m->special);
    free(m);
}

void unigram_mark(Unigram *m, int32_t id)
{
    if ((size_t)id < m->vocab->n)
        m->special[id] = true;
}

const double *unigram_scores(const Unigram *m)
{
    return m->score;
}

static void offer(const Ways *w, size_t place, double score, int32_t id)
{
    if (w->last[place] == NO_WAY || score > w->score[place & w->mask]) {
        w->last[place] = id;
        w->score[place & w->mask] = score;
    }
}

/* Extends the best way to `at` by every token that begins there; returns how many bytes it looked at. */
static size_t extend(const Unigram *m, Ways *w, const char *text, size_t n, size_t at)
{
    const size_t length = utf8_length(text[at]), reach = at + m->vocab->longest;
    const double so_far = at ? w->score[at & w->mask] : 0;
    bool single = false;
    uint32_t state = 0;
    size_t end = at;
    /* Written just ahead: a long text goes through the cache once. */
    for (const size_t stop = (reach > at + length ? reach : at + length) + 1; w->fresh < stop; w->fresh++)
        if (w->fresh <= n)
            w->last[w->fresh] = NO_WAY;
    while (end < n) {
        state = trie_step(&m->trie, state, (uint8_t)text[end++]);
        if (state == 0)
            break;
        const int32_t id = m->trie.value[state];
        if (id < 0 || (w->plain && m->special[id]))
            continue;
        offer(w, end, m->score[id] + so_far, id);
        single = single || end == at + length;
    }
    if (!single)
        offer(w, at + length, m->unk_score + so_far, UNKNOWN);
    return end - at;
}

/* A run of unknown characters: a token of that very text, its bytes, or the unknown token. */
static bool put_unknown(const Unigram *m, const char *text, size_t n, TokenIds *out, Error *err)
{
    const int32_t whole = vocab_find(m->vocab, text, n);
    if (whole >= 0)
        return ids_push(out, whole, err);
    if (!m->has_bytes)
        return m->unk >= 0 ? ids_push(out, m->unk, err)
                           : error_set(err, "\"%.*s\" has no token, and there is no unknown token",
                                       n > 40 ? 40 : (int)n, text);
    for (size_t i = 0; i < n; i++)
        if (!ids_push(out, m->byte[(uint8_t)text[i]], err))
            return false;
    return true;
}

static bool is_unknown(const Unigram *m, int32_t id)
{
    return id == UNKNOWN || id == m->unk;
}

/* Where the last token of the way to `end` begins. */
static size_t step_back(const Unigram *m, const Ways *w, const char *text, size_t end)
{
    if (w->last[end] != UNKNOWN)
        return end - m->vocab->length[w->last[end]];
    do
        end--;
    while (((uint8_t)text[end] & 0xc0) == 0x80);
    return end;
}

static void reverse(int32_t *id, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        const int32_t kept = id[i];
        id[i] = id[n - 1 - i];
        id[n - 1 - i] = kept;
    }
}

/* The best way, walked from its end: the ids come out backwards and are turned round. */
static bool follow(const Unigram *m, const Ways *w, const char *text, size_t n, TokenIds *out,
                   Error *err)
{
    const size_t before = out->n;
    size_t unknown_end = 0;             /* of the run of unknown tokens that we are in */
    for (size_t end = n, begin; end > 0; end = begin) {
        begin = step_back(m, w, text, end);
        if (!is_unknown(m, w->last[end])) {
            if (!ids_push(out, w->last[end], err))
                return false;
            continue;
        }
        if (!unknown_end)
            unknown_end = end;
        if (begin > 0 && is_unknown(m, w->last[begin]))
            continue;
        const size_t from = out->n;
        if (!put_unknown(m, text + begin, unknown_end - begin, out, err))
            return false;
        reverse(out->id + from, out->n - from);
        unknown_end = 0;
    }
    reverse(out->id + before, out->n - before);
    return true;
}

/* Room for a piece of n bytes in the workspace. */
static bool make_ways(const Unigram *m, Workspace *w, size_t n, Ways *out, Error *err)
{
    size_t ring = 8, ways, bytes;
    while (ring <= m->vocab->longest + 4u)
        ring *= 2;
    if (!size_mul(n + 1, sizeof *out->last, &ways) ||
        !size_add(ways, ring * sizeof *out->score, &bytes))
        return error_set(err, "out of memory");
    if (w->paths.cap < bytes) {
        buf_free(&w->paths);
        w->paths.data = malloc(bytes);
        w->paths.cap = w->paths.data ? bytes : 0;
        if (!w->paths.data)
            return error_set(err, "out of memory");
    }
    out->score = (double *)(void *)w->paths.data;
    out->last = (int32_t *)(void *)(w->paths.data + ring * sizeof *out->score);
    out->mask = ring - 1;
    return true;
}

bool unigram_encode(const Unigram *m, Workspace *w, const char *text, size_t n, TokenIds *out,
                    Error *err)
{
    const size_t before = out->n;
    Ways ways = { .plain = w->plain };
    if (cache_get(w->cache, text, n, out))
        return true;
    if (!make_ways(m, w, n, &ways, err))
        return false;
    for (size_t at = 0; at < n; at += utf8_length(text[at]))
        w->steps += extend(m, &ways, text, n, at);
    if (!follow(m, &ways, text, n, out, err))
        return false;
    cache_put(w->cache, text, n, out->id + before, out->n - before);
    return true;
}
