/* Files to words, words to merges, merges to a tokenizer. */
#include "runtime/tokenizer/bpe_train.h"

#include "base/file.h"
#include "runtime/tokenizer/assemble.h"
#include "runtime/tokenizer/merge_learner.h"
#include "runtime/tokenizer/unicode.h"
#include "runtime/tokenizer/word_count.h"

#include <stdlib.h>
#include <string.h>

enum { N_BYTES = 256, WINDOW = 1 << 20, PROGRESS_EVERY = 256 };

typedef struct Training {
    const BpeTrainOptions *options;
    PreTokenizer *words;
    Workspace work;
    WordCount count;
    Vocab vocab;
    int32_t byte[N_BYTES];              /* their ids */
    MergeLearner *learner;
    json_t *merges;
} Training;

static bool tell(const Training *t, const char *what, size_t done, size_t total, Error *err)
{
    const BpeTrainOptions *o = t->options;
    return !o->progress || o->progress(o->context, what, done, total)
        || error_set(err, "stopped; nothing was written");
}

static json_t *byte_level(bool use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", use_regex);
}

/* ---- words ------------------------------------------------------------------------------------ */

/* Where a part of the text may end that begins at `at`: the pattern joins nothing to a line's end but
 * white space before and behind it. */
static size_t window_end(const char *text, size_t n, size_t at)
{
    for (size_t end = n - at > WINDOW ? at + WINDOW : n; end < n; end++)
        if (text[end] == '\n' && text[end - 1] > ' ' && text[end - 1] < 0x7f)
            return end;
    return n;
}

/* The first special token in [at, end), or `end`; its length in *length. */
static size_t find_special(const Training *t, const char *text, size_t n, size_t at, size_t end,
                           size_t *length)
{
    size_t first = end;
    *length = 0;
    for (size_t i = 0; i < t->options->n_special; i++) {
        const char *special = t->options->special[i];
        const size_t size = strlen(special), room = n - at, reach = first - at + size - 1;
        const char *found = memmem(text + at, reach < room ? reach : room, special, size);
        if (found) {
            first = (size_t)(found - text);
            *length = size;
        }
    }
    return first;
}

static bool count_words(Training *t, const char *text, size_t n, Error *err)
{
    Workspace *w = &t->work;
    int at = 0;
    buf_clear(&w->pieces[0].text);
    if (unicode_valid(text, n))
        buf_add(&w->pieces[0].text, text, n);
    else
        unicode_clean(&w->pieces[0].text, text, n);
    if (w->pieces[0].text.failed)
        return error_set(err, "out of memory");
    w->pieces[0].n = 0;
    if (!pieces_push(&w->pieces[0], 0, w->pieces[0].text.len, err)
        || !pretokenizer_run(t->words, w, true, &at, NULL, err))
        return false;
    const Pieces *p = &w->pieces[at];
    for (size_t i = 0; i < p->n; i++)
        if (!word_count_add(&t->count, p->text.data + p->piece[i].begin,
                            p->piece[i].end - p->piece[i].begin, err))
            return false;
    return true;
}

static bool read_text(Training *t, const char *text, size_t n, Error *err)
{
    for (size_t at = 0; at < n;) {
        size_t length;
        const size_t end = find_special(t, text, n, at, window_end(text, n, at), &length);
        if (end > at && !count_words(t, text + at, end - at, err))
            return false;
        at = end + length;
        if (!tell(t, "bytes read", at, n, err))
            return false;
    }
    return true;
}

static bool read_file(Training *t, const char *path, Error *err)
{
    FileMap map;
    if (!file_map(path, &map, err))
        return false;
    const bool ok = map.size == 0 || read_text(t, (const char *)map.data, map.size, err);
    file_unmap(&map);
    return ok || error_prefix(err, "%s", path);
}

/* ---- tokens ----------------------------------------------------------------------------------- */

static bool add_token(Training *t, const char *text, size_t n, Error *err)
{
    return vocab_add(&t->vocab, text, n, (int64_t)t->vocab.n, err);
}

static int by_code(const void *a, const void *b)
{
    const uint16_t x = byte_level_code[*(const uint8_t *)a], y = byte_level_code[*(const uint8_t *)b];
    return (x > y) - (x < y);
}

/* The special tokens and the bytes. */
static bool begin_vocab(Training *t, Error *err)
{
    const BpeTrainOptions *o = t->options;
    uint8_t byte[N_BYTES];
    if (o->vocab < o->n_special + N_BYTES)
        return error_set(err, "a vocabulary of %zu; %d bytes and %zu special tokens need more",
                         o->vocab, N_BYTES, o->n_special);
    if (!vocab_init(&t->vocab, o->vocab, err))
        return false;
    for (size_t i = 0; i < o->n_special; i++)
        if (!add_token(t, o->special[i], strlen(o->special[i]), err))
            return error_prefix(err, "special tokens");
    for (int b = 0; b < N_BYTES; b++)
        byte[b] = (uint8_t)b;
    qsort(byte, N_BYTES, 1, by_code);
    for (int i = 0; i < N_BYTES; i++) {
        char text[4];
        t->byte[byte[i]] = (int32_t)t->vocab.n;
        if (!add_token(t, text, utf8_encode(byte_level_code[byte[i]], text), err))
            return false;
    }
    return true;
}

static bool add_words(Training *t, Error *err)
{
    int32_t *symbol = NULL;
    size_t cap = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < t->count.n; i++) {
        const CountedWord *w = &t->count.word[i];
        const char *text = t->count.bytes.data + w->begin;
        size_t n = 0;
        if (w->length > cap) {
            int32_t *grown = realloc(symbol, (cap = w->length) * sizeof *symbol);
            if (!grown) {
                ok = error_set(err, "out of memory");
                break;
            }
            symbol = grown;
        }
        for (size_t at = 0; at < w->length; n++) {
            uint32_t c;
            at += utf8_next(text + at, &c);
            symbol[n] = t->byte[byte_level_byte(c)];
        }
        ok = merge_learner_add(t->learner, symbol, n, w->count, err);
    }
    free(symbol);
    return ok;
}

/* The id of the two tokens' joined text: two ways may lead to one token. */
static bool join_tokens(Training *t, int32_t left, int32_t right, int32_t *id, Error *err)
{
    size_t n[2];
    const char *text[2] = { vocab_text(&t->vocab, left, &n[0]), vocab_text(&t->vocab, right, &n[1]) };
    char *joined = malloc(n[0] + n[1]);
    if (!joined)
        return error_set(err, "out of memory");
    memcpy(joined, text[0], n[0]);
    memcpy(joined + n[0], text[1], n[1]);
    *id = vocab_find(&t->vocab, joined, n[0] + n[1]);
    bool ok = true;
    if (*id < 0) {
        *id = (int32_t)t->vocab.n;
        ok = add_token(t, joined, n[0] + n[1], err);
    }
    json_array_append_new(t->merges, json_pack("[s%, s%]", joined, n[0], joined + n[0], n[1]));
    free(joined);
    return ok;
}

static bool learn(Training *t, Error *err)
{
    while (t->vocab.n < t->options->vocab) {
        int32_t left, right, id = -1;
        int64_t count;
        if (t->vocab.n % PROGRESS_EVERY == 0
            && !tell(t, "tokens", t->vocab.n, t->options->vocab, err))
            return false;
        if (!merge_learner_best(t->learner, &left, &right, &count, err))
            return false;
        if (count == 0)
            break;
        if (!join_tokens(t, left, right, &id, err) || !merge_learner_join(t->learner, id, err))
            return false;
    }
    return true;
}

/* ---- the tokenizer ---------------------------------------------------------------------------- */

static json_t *added_tokens(const Training *t)
{
    json_t *out = json_array();
    for (size_t i = 0; i < t->options->n_special; i++)
        json_array_append_new(
            out, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content",
                           t->options->special[i], "single_word", 0, "lstrip", 0, "rstrip", 0,
                           "normalized", 0, "special", 1));
    return out;
}

static json_t *vocab_json(const Vocab *v)
{
    json_t *out = json_object();
    for (size_t id = 0; id < v->n; id++) {
        size_t n = 0;
        const char *text = vocab_text(v, (int32_t)id, &n);
        json_object_setn_new(out, text, n, json_integer((json_int_t)id));
    }
    return out;
}

static HfTokenizer *finish(Training *t, Error *err)
{
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:O}", "type", "BPE",
                              "dropout", "unk_token", "continuing_subword_prefix",
                              "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "ignore_merges", 0, "vocab", vocab_json(&t->vocab), "merges", t->merges);
    json_t *file = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0",
                             "truncation", "padding", "added_tokens", added_tokens(t), "normalizer",
                             "pre_tokenizer", byte_level(true), "post_processor", "decoder",
                             byte_level(true), "model", model);
    if (file)
        return tokenizer_of_json(file, err);
    error_set(err, "out of memory");
    return NULL;
}

static bool begin(Training *t, Error *err)
{
    json_t *words = byte_level(true);
    t->words = words ? pretokenizer_read(words, err) : NULL;
    json_decref(words);
    t->merges = json_array();
    t->learner = merge_learner_new(err);
    return workspace_init(&t->work, err) && t->words && t->merges && t->learner
        && begin_vocab(t, err);
}

HfTokenizer *bpe_train(const char *const *paths, size_t n, const BpeTrainOptions *o, Error *err)
{
    Training t = { .options = o };
    HfTokenizer *out = NULL;
    error_set(err, "out of memory");
    bool ok = begin(&t, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = read_file(&t, paths[i], err);
    ok = ok && (t.count.n > 0 || error_set(err, "the files are empty"));
    if (ok && add_words(&t, err) && learn(&t, err))
        out = finish(&t, err);
    pretokenizer_free(t.words);
    workspace_free(&t.work);
    word_count_free(&t.count);
    vocab_free(&t.vocab);
    merge_learner_free(t.learner);
    json_decref(t.merges);
    return out;
}
