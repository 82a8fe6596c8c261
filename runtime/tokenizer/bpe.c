/* Byte pair encoding: a piece of text becomes the tokens of its characters, and bpe_merge joins them.
 *
 * Between two characters that stand side by side in no token that a merge makes, nothing can ever be
 * joined.  Pieces are cut there first: the result is the same, and a text that its tokenizer does not
 * cut into words (as those of SentencePiece) becomes words that the cache knows. */
#include "runtime/tokenizer/bpe.h"

#include "base/check.h"
#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { N_DIRECT = 0x800, N_ASCII = 128, CUT_FROM = 32 };

struct Bpe {
    const Vocab *vocab;
    MergeTable table;
    Merge *merges;                      /* in order of rank */
    size_t n_merges;
    uint32_t n_ranks;
    int32_t direct[N_DIRECT];           /* id of a character by code point, -1: none */
    int32_t byte[256];
    bool has_bytes;                     /* falls back to bytes */
    bool fuse_unk, ignore_merges;
    bool can_cut;
    bool drops;                         /* a character without a token leaves nothing */
    char *unk_token, *prefix, *suffix;  /* NULL: none; owned */
    int32_t unk;                        /* -1: none in the vocabulary */
    uint64_t ascii_pair[N_ASCII][2];    /* bit b of row a: a stands before b in a token */
    uint64_t *pair;                     /* open hash table of the other pairs, 0 empty */
    size_t pair_mask;
};

/* ---- pairs that stand together ---------------------------------------------------------------- */

static uint64_t pair_key(uint32_t a, uint32_t b)
{
    return ((uint64_t)a << 21 | b) + 1;
}

static uint64_t *pair_slot(const Bpe *m, uint64_t key)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & m->pair_mask;
    while (m->pair[at] && m->pair[at] != key)
        at = (at + 1) & m->pair_mask;
    return &m->pair[at];
}

static bool stand_together(const Bpe *m, uint32_t a, uint32_t b)
{
    if ((a | b) < N_ASCII)
        return m->ascii_pair[a][b / 64] >> (b % 64) & 1;
    return *pair_slot(m, pair_key(a, b)) != 0;
}

static void note_pair(Bpe *m, uint32_t a, uint32_t b)
{
    if ((a | b) < N_ASCII)
        m->ascii_pair[a][b / 64] |= (uint64_t)1 << (b % 64);
    else
        *pair_slot(m, pair_key(a, b)) = pair_key(a, b);
}

static bool note_pairs(Bpe *m, Error *err)
{
    size_t total = 0, slots = 64;
    const char *text;
    size_t n;
    for (size_t i = 0; i < m->n_merges; i++)
        if (vocab_text(m->vocab, m->merges[i].result, &n))
            total += n;
    while (slots < total)
        slots *= 2;
    slots *= 2;
    m->pair = calloc(slots, sizeof *m->pair);
    if (!m->pair)
        return error_set(err, "out of memory");
    m->pair_mask = slots - 1;
    for (size_t i = 0; i < m->n_merges; i++) {
        uint32_t a = 0, b;
        text = vocab_text(m->vocab, m->merges[i].result, &n);
        for (size_t at = 0; text && at < n; a = b) {
            const bool first = at == 0;
            at += utf8_next(text + at, &b);
            if (!first)
                note_pair(m, a, b);
        }
    }
    return true;
}

/* ---- making ----------------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
    const Merge *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void sort_merges(Bpe *m)
{
    for (size_t i = 1; i < m->n_merges; i++)
        if (m->merges[i].rank < m->merges[i - 1].rank) {
            qsort(m->merges, m->n_merges, sizeof *m->merges, by_rank);
            return;
        }
}

static bool make_table(Bpe *m, Error *err)
{
    size_t slots = 16, bytes;
    while (slots < 2 * m->n_merges)
        slots *= 2;
    m->table.slot = size_mul(slots, sizeof *m->table.slot, &bytes) ? malloc(bytes) : NULL;
    if (!m->table.slot)
        return error_set(err, "out of memory");
    memset(m->table.slot, 0xff, bytes);
    m->table.mask = slots - 1;
    sort_merges(m);
    for (size_t i = 0; i < m->n_merges; i++) {
        const Merge *g = &m->merges[i];
        struct MergeSlot *s = (struct MergeSlot *)(uintptr_t)merge_find(&m->table, g->left, g->right);
        /* A pair that is listed twice counts as the later one. */
        *s = (struct MergeSlot){ g->left, g->right, g->rank, g->result };
        m->n_ranks = g->rank >= m->n_ranks ? g->rank + 1 : m->n_ranks;
    }
    return true;
}

static void find_characters(Bpe *m)
{
    for (uint32_t c = 0; c < N_DIRECT; c++) {
        char text[4];
        m->direct[c] = vocab_find(m->vocab, text, utf8_encode(c, text));
    }
}

static bool is_merged(const Bpe *m, int32_t id)
{
    for (size_t i = 0; i < m->n_merges; i++)
        if (m->merges[i].left == id || m->merges[i].right == id)
            return true;
    return false;
}

/* Cutting is the same as not cutting when a merge sees only characters: neither a byte nor the unknown
 * token is joined, and no run of unknown characters becomes one token. */
static bool may_cut(const Bpe *m)
{
    if (m->prefix || m->suffix || (m->fuse_unk && m->unk_token && !m->has_bytes))
        return false;
    for (int b = 0; m->has_bytes && b < 256; b++)
        if (is_merged(m, m->byte[b]))
            return false;
    return m->unk < 0 || !is_merged(m, m->unk);
}

static char *copy(const char *s)
{
    return s && *s ? strdup(s) : NULL;
}

Bpe *bpe_new(const Vocab *v, const BpeOptions *o, Merge *merges, size_t n, Error *err)
{
    Bpe *m = calloc(1, sizeof *m);
    if (!m) {
        free(merges);
        error_set(err, "out of memory");
        return NULL;
    }
    m->vocab = v;
    m->merges = merges;
    m->n_merges = n;
    m->fuse_unk = o->fuse_unk;
    m->ignore_merges = o->ignore_merges;
    m->unk_token = copy(o->unk_token);
    m->prefix = copy(o->prefix);
    m->suffix = copy(o->suffix);
    m->unk = m->unk_token ? vocab_find(v, m->unk_token, strlen(m->unk_token)) : -1;
    m->has_bytes = o->byte_fallback && byte_tokens(v, m->byte);
    find_characters(m);
    if (!make_table(m, err) || !note_pairs(m, err)) {
        bpe_free(m);
        return NULL;
    }
    m->can_cut = may_cut(m);
    m->drops = !m->unk_token && !m->has_bytes;
    return m;
}

void bpe_free(Bpe *m)
{
    if (!m)
        return;
    free(m->table.slot);
    free(m->merges);
    free(m->pair);
    free(m->unk_token);
    free(m->prefix);
    free(m->suffix);
    free(m);
}

const Merge *bpe_merges(const Bpe *m, size_t *n)
{
    *n = m->n_merges;
    return m->merges;
}

bool byte_tokens(const Vocab *v, int32_t id[256])
{
    static const char digit[] = "0123456789ABCDEF";
    for (int b = 0; b < 256; b++) {
        const char text[6] = { '<', '0', 'x', digit[b / 16], digit[b % 16], '>' };
        id[b] = vocab_find(v, text, sizeof text);
        if (id[b] < 0)
            return false;
    }
    return true;
}

/* ---- a word ----------------------------------------------------------------------------------- */

static int32_t find_affixed(const Bpe *m, const char *text, size_t n, bool first, bool last)
{
    Buf whole = { 0 };
    if (m->prefix && !first)
        buf_puts(&whole, m->prefix);
    buf_add(&whole, text, n);
    if (m->suffix && last)
        buf_puts(&whole, m->suffix);
    const int32_t id = whole.failed ? -1 : vocab_find(m->vocab, whole.data, whole.len);
    buf_free(&whole);
    return id;
}

static int32_t find_character(const Bpe *m, const char *text, size_t n, bool first, bool last)
{
    uint32_t c;
    if ((m->prefix && !first) || (m->suffix && last))
        return find_affixed(m, text, n, first, last);
    utf8_next(text, &c);
    return c < N_DIRECT ? m->direct[c] : vocab_find(m->vocab, text, n);
}

/* A character without a token; *unk_run says that an unknown token waits to be fused with more. */
static bool add_unknown(const Bpe *m, const char *text, size_t n, bool *unk_run, TokenIds *out,
                        Error *err)
{
    if (m->has_bytes) {
        for (size_t i = 0; i < n; i++)
            if (!ids_push(out, m->byte[(uint8_t)text[i]], err))
                return false;
        return true;
    }
    if (!m->unk_token)
        return true;
    if (m->unk < 0)
        return error_set(err, "\"%.*s\" has no token, and the unknown token \"%.40s\" has none either",
                         (int)n, text, m->unk_token);
    if (*unk_run && m->fuse_unk)
        return true;
    *unk_run = true;
    return ids_push(out, m->unk, err);
}

static bool encode_part(const Bpe *m, Workspace *w, const char *text, size_t n, TokenIds *out,
                        Error *err)
{
    const size_t before = out->n;
    bool unk_run = false;
    if (cache_get(w->cache, text, n, out))
        return true;
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_length(text[at]);
        const int32_t id = find_character(m, text + at, length, at == 0, at + length == n);
        if (!(id >= 0 ? ids_push(out, id, err)
                      : add_unknown(m, text + at, length, &unk_run, out, err)))
            return false;
        unk_run = unk_run && id < 0;
        at += length;
    }
    const size_t left = bpe_merge(&m->table, m->n_ranks, &w->bpe, out->id + before, out->n - before);
    if (left == SIZE_MAX)
        return error_set(err, "out of memory");
    out->n = before + left;
    cache_put(w->cache, text, n, out->id + before, left);
    return true;
}

/* Bytes up to the first place behind `text` where nothing can be joined.  What stands around a dropped
 * character stands side by side. */
static size_t part_length(const Bpe *m, const char *text, size_t n)
{
    uint32_t a, b;
    size_t at = utf8_next(text, &a);
    while (at < n) {
        const size_t length = utf8_next(text + at, &b);
        const bool dropped = m->drops && find_character(m, text + at, length, true, false) < 0;
        if (!dropped && !stand_together(m, a, b))
            break;
        at += length;
        a = dropped ? a : b;
    }
    return at;
}

bool bpe_encode(const Bpe *m, Workspace *w, const char *text, size_t n, TokenIds *out, Error *err)
{
    if (m->ignore_merges) {
        const int32_t whole = vocab_find(m->vocab, text, n);
        if (whole >= 0)
            return ids_push(out, whole, err);
    }
    while (n > 0) {
        /* What the cache takes whole need not be cut. */
        const size_t length = m->can_cut && n >= CUT_FROM ? part_length(m, text, n) : n;
        if (!encode_part(m, w, text, length, out, err))
            return false;
        text += length;
        n -= length;
    }
    return true;
}
