/* Unigram: of all ways to cut a piece into tokens, the one whose scores sum to most (Viterbi).
 *
 * A character that begins no token of its own length costs ten more than the worst token, and
 * neighbouring ones become a single unknown token, or their bytes. */
#include "runtime/tokenizer/parts.h"
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
    double unk_score;
    int32_t unk;                        /* -1: none */
    int32_t byte[256];
    bool has_bytes;
};

/* The best way that ends at a place. */
typedef struct Node {
    double score;
    size_t begin;                       /* of its last token; SIZE_MAX: no way ends here */
    int32_t id;
} Node;

Unigram *unigram_new(const Vocab *v, const double *score, int64_t unk, bool byte_fallback, Error *err)
{
    Unigram *m = calloc(1, sizeof *m);
    double least = INFINITY;
    bool ok = m != NULL || error_set(err, "out of memory");
    if (ok && unk >= (int64_t)v->n)
        ok = error_set(err, "\"unk_id\" is %" PRId64 " of %zu tokens", unk, v->n);
    if (ok) {
        m->vocab = v;
        m->score = malloc((v->n + 1) * sizeof *score);
        ok = m->score != NULL || error_set(err, "out of memory");
    }
    for (size_t id = 0; ok && id < v->n; id++) {
        size_t n;
        const char *text = vocab_text(v, (int32_t)id, &n);
        m->score[id] = score[id];
        least = score[id] < least ? score[id] : least;
        ok = !text || n == 0 || trie_add(&m->trie, text, n, (int32_t)id, err);
    }
    if (ok && m->trie.n == 0)
        ok = error_set(err, "the vocabulary is empty");
    if (!ok) {
        unigram_free(m);
        return NULL;
    }
    m->unk = (int32_t)unk;
    m->unk_score = least - unk_penalty;
    m->has_bytes = byte_fallback && byte_tokens(v, m->byte);
    return m;
}

void unigram_free(Unigram *m)
{
    if (!m)
        return;
    trie_free(&m->trie);
    free(m->score);
    free(m);
}

const double *unigram_scores(const Unigram *m)
{
    return m->score;
}

static void offer(Node *to, double score, size_t begin, int32_t id)
{
    if (to->begin == SIZE_MAX || score > to->score)
        *to = (Node){ score, begin, id };
}

/* Extends the best way to `at` by every token that begins there. */
static void extend(const Unigram *m, Node *node, const char *text, size_t n, size_t at)
{
    const size_t length = utf8_length(text[at]);
    const double so_far = node[at].score;
    bool single = false;
    uint32_t state = 0;
    for (size_t end = at; end < n;) {
        state = trie_step(&m->trie, state, (uint8_t)text[end++]);
        if (state == 0)
            break;
        const int32_t id = m->trie.value[state];
        if (id < 0)
            continue;
        offer(&node[end], m->score[id] + so_far, at, id);
        single = single || end == at + length;
    }
    if (!single)
        offer(&node[at + length], m->unk_score + so_far, at, m->unk);
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

/* The way, whose nodes now lead forward. */
static bool follow(const Unigram *m, const Node *node, const char *text, size_t n, TokenIds *out,
                   Error *err)
{
    for (size_t at = 0; at < n;) {
        size_t end = node[at].begin;            /* see turn_around */
        if (node[at].id != m->unk) {
            if (!ids_push(out, node[at].id, err))
                return false;
        } else {
            while (end < n && node[end].id == m->unk)
                end = node[end].begin;
            if (!put_unknown(m, text + at, end - at, out, err))
                return false;
        }
        at = end;
    }
    return true;
}

/* The nodes of the best way hold where their last token begins; afterwards each holds, at its
 * token's beginning, where the token ends. */
static void turn_around(Node *node, size_t n)
{
    size_t end = n, begin = node[n].begin;
    int32_t id = node[n].id;
    while (end > 0) {
        const size_t before = node[begin].begin;
        const int32_t before_id = node[begin].id;
        node[begin].begin = end;
        node[begin].id = id;
        end = begin;
        begin = before;
        id = before_id;
    }
}

bool unigram_encode(const Unigram *m, Workspace *w, const char *text, size_t n, TokenIds *out,
                    Error *err)
{
    const size_t before = out->n;
    if (cache_get(w->cache, text, n, out))
        return true;
    if (w->paths.cap / sizeof(Node) <= n) {
        buf_free(&w->paths);
        const size_t bytes = n < SIZE_MAX / sizeof(Node) / 2 ? (n + 1) * sizeof(Node) : SIZE_MAX;
        w->paths.data = malloc(bytes);
        w->paths.cap = w->paths.data ? bytes : 0;
        if (!w->paths.data)
            return error_set(err, "out of memory");
    }
    Node *node = (Node *)(void *)w->paths.data;
    for (size_t i = 0; i <= n; i++)
        node[i].begin = SIZE_MAX;
    node[0] = (Node){ .begin = 0 };
    for (size_t at = 0; at < n; at += utf8_length(text[at]))
        extend(m, node, text, n, at);
    turn_around(node, n);
    if (!follow(m, node, text, n, out, err))
        return false;
    cache_put(w->cache, text, n, out->id + before, out->n - before);
    return true;
}
