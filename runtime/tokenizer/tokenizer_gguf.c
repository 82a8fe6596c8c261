/* Tokenizers inside GGUF files: the same parts as a tokenizer.json would name, made from the values
 * `tokenizer.ggml.*`.
 *
 *   llama   SentencePiece's byte pairs, joined by score
 *   gpt2    byte-level BPE, whose pattern the file names only by `tokenizer.ggml.pre`
 *   bert    WordPiece
 *   t5      Unigram
 *
 * Another kind, or a pattern that is not in pretokenizers.def, is an error. */
#include "runtime/tokenizer/assemble.h"

#include "base/check.h"
#include "runtime/tokenizer/charsmap.h"
#include "runtime/tokenizer/unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What tokenizer.ggml.token_type says of a token. */
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };

#define SIGN "\xe2\x96\x81"             /* what SentencePiece writes for a space */

enum { MAX_PATTERNS = 6, MAX_NAMES = 16, MAX_SCORED_TOKEN = 512, MAX_WORD = 100 };

/* ---- the named patterns ----------------------------------------------------------------------- */

typedef struct NamedPattern {
    const char *pattern[MAX_PATTERNS];  /* applied one after the other */
    bool ignore_merges, add_bos;
    const char *name[MAX_NAMES];
} NamedPattern;

static const NamedPattern patterns[] = {
#define P(...) { __VA_ARGS__ }
#define PRE(patterns, ignore_merges, add_bos, ...) { patterns, ignore_merges, add_bos, { __VA_ARGS__ } },
#include "runtime/tokenizer/pretokenizers.def"
#undef PRE
#undef P
};

static bool is_text(GgufString s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.text, text, s.n) == 0;
}

static const NamedPattern *find_pattern(GgufString name, Error *err)
{
    for (size_t i = 0; i < COUNT_OF(patterns); i++)
        for (int k = 0; k < MAX_NAMES && patterns[i].name[k]; k++)
            if (is_text(name, patterns[i].name[k]))
                return &patterns[i];
    error_set(err, "tokenizer.ggml.pre is \"%.*s\", a pre-tokenizer that is not known here; no other "
              "would give the same ids", name.n > 60 ? 60 : (int)name.n, name.text);
    return NULL;
}

/* ---- the vocabulary --------------------------------------------------------------------------- */

/* WordPiece: files mark what begins a word, as SentencePiece does, and not what goes on with one. */
static void unmark_word(Buf *out, GgufString s)
{
    const size_t n = sizeof SIGN - 1;
    const bool bracketed = s.n > 1 && s.text[0] == '[' && s.text[s.n - 1] == ']';
    const bool begins = s.n >= n && memcmp(s.text, SIGN, n) == 0;
    buf_clear(out);
    if (!bracketed && !begins)
        buf_puts(out, "##");
    buf_add(out, s.text + (begins ? n : 0), s.n - (begins ? n : 0));
}

static bool read_vocab(const Gguf *g, bool words, Vocab *v, Error *err)
{
    Buf unmarked = { 0 };
    bool ok = true;
    const GgufValue *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    GgufString s;
    if (!tokens || !tokens->is_array || tokens->type != GGUF_string || tokens->n > 1 << 24)
        return error_set(err, "tokenizer.ggml.tokens is missing or no array of strings");
    if (!vocab_init(v, (size_t)tokens->n, err))
        return false;
    GgufWalk walk = gguf_walk(tokens);
    for (int64_t id = 0; ok && gguf_walk_next(&walk, &s); id++) {
        if (!unicode_valid(s.text, s.n) || memchr(s.text, 0, s.n)) {
            ok = error_set(err, "token %" PRId64 " is no text", id);
            break;
        }
        if (words) {
            unmark_word(&unmarked, s);
            s = (GgufString){ unmarked.data ? unmarked.data : "", unmarked.len };
        }
        ok = unmarked.failed ? error_set(err, "out of memory") : vocab_add(v, s.text, s.n, id, err);
    }
    buf_free(&unmarked);
    return ok || error_prefix(err, "tokenizer.ggml.tokens");
}

/* An array as long as the vocabulary, or NULL when it is missing. */
static bool find_array(const Gguf *g, const char *key, size_t n, const GgufValue **out, Error *err)
{
    *out = gguf_find(g, key);
    return !*out || ((*out)->is_array && (*out)->n == n) ||
           error_set(err, "%s has not as many elements as there are tokens", key);
}

static int64_t type_of(const GgufValue *types, size_t id)
{
    int64_t type = TOKEN_NORMAL;
    if (types)
        gguf_array_i64(types, id, &type);
    return type;
}

/* ---- merges ----------------------------------------------------------------------------------- */

typedef struct MergeList {
    Merge *merge;
    size_t n, cap;
} MergeList;

static bool push_merge(MergeList *l, Merge m, Error *err)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 1024;
        Merge *grown = realloc(l->merge, cap * sizeof *grown);
        if (!grown)
            return error_set(err, "out of memory");
        l->merge = grown;
        l->cap = cap;
    }
    l->merge[l->n++] = m;
    return true;
}

typedef struct Scored {
    double score;
    int32_t id;
} Scored;

static int best_first(const void *a, const void *b)
{
    const Scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The tokens that pairs may become or be made of, best first. */
static bool rank_tokens(const Vocab *v, const GgufValue *scores, const GgufValue *types, Scored *out,
                        size_t *n, Error *err)
{
    *n = 0;
    for (size_t id = 0; id < v->n; id++) {
        const int64_t type = type_of(types, id);
        Scored s = { .id = (int32_t)id };
        if (type != TOKEN_NORMAL && type != TOKEN_USER)
            continue;
        if (!gguf_array_f64(scores, id, &s.score) || isnan(s.score))
            return error_set(err, "tokenizer.ggml.scores: number %zu is no number", id);
        if (v->length[id] > MAX_SCORED_TOKEN)
            return error_set(err, "token %zu has %" PRIu32 " bytes; at most %d are read", id,
                             v->length[id], MAX_SCORED_TOKEN);
        out[(*n)++] = s;
    }
    qsort(out, *n, sizeof *out, best_first);
    return true;
}

static bool may_merge(const GgufValue *types, int32_t id)
{
    if (id < 0)
        return false;
    const int64_t type = type_of(types, (size_t)id);
    return type == TOKEN_NORMAL || type == TOKEN_USER;
}

/* Every two tokens that together are a token may be joined, the best score first; of equal scores
 * the leftmost pair, so these share a rank. */
static bool merges_by_score(const Vocab *v, const GgufValue *scores, const GgufValue *types,
                            MergeList *out, Error *err)
{
    Scored *order = malloc((v->n + 1) * sizeof *order);
    size_t n = 0;
    uint32_t rank = 0;
    bool ok = order ? rank_tokens(v, scores, types, order, &n, err) : error_set(err, "out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        size_t length = 0;
        const char *text = vocab_text(v, order[i].id, &length);
        rank += i > 0 && order[i].score != order[i - 1].score;
        for (size_t cut = length ? utf8_length(*text) : 0; ok && cut < length;
             cut += utf8_length(text[cut])) {
            const int32_t left = vocab_find(v, text, cut);
            const int32_t right = left < 0 ? -1 : vocab_find(v, text + cut, length - cut);
            if (may_merge(types, left) && may_merge(types, right))
                ok = push_merge(out, (Merge){ left, right, order[i].id, rank }, err);
        }
    }
    free(order);
    return ok;
}

static bool merges_listed(const Gguf *g, const Vocab *v, MergeList *out, Error *err)
{
    const GgufValue *list = gguf_find(g, "tokenizer.ggml.merges");
    GgufString s;
    Buf joined = { 0 };
    bool ok = true;
    if (!list || !list->is_array || list->type != GGUF_string)
        return error_set(err, "tokenizer.ggml.merges is missing or no array of strings");
    GgufWalk walk = gguf_walk(list);
    for (uint32_t rank = 0; ok && gguf_walk_next(&walk, &s); rank++) {
        /* The first character may be a space itself. */
        const char *space = s.n > 1 ? memchr(s.text + 1, ' ', s.n - 1) : NULL;
        const size_t left = space ? (size_t)(space - s.text) : 0;
        Merge m = { -1, -1, -1, rank };
        if (space) {
            buf_clear(&joined);
            buf_add(&joined, s.text, left);
            buf_add(&joined, space + 1, s.n - left - 1);
            m.left = vocab_find(v, s.text, left);
            m.right = vocab_find(v, space + 1, s.n - left - 1);
            m.result = joined.failed ? -1 : vocab_find(v, joined.data, joined.len);
        }
        ok = m.left >= 0 && m.right >= 0 && m.result >= 0
                 ? push_merge(out, m, err)
                 : error_set(err, "tokenizer.ggml.merges: number %" PRIu32 ", \"%.*s\", is not two "
                             "tokens that are one", rank, s.n > 60 ? 60 : (int)s.n, s.text);
    }
    buf_free(&joined);
    return ok;
}

/* ---- the other parts, as a tokenizer.json names them ------------------------------------------ */

static json_t *token_text(const Vocab *v, int64_t id)
{
    size_t n = 0;
    const char *text = id >= 0 && id <= INT32_MAX ? vocab_text(v, (int32_t)id, &n) : NULL;
    return text ? json_stringn(text, n) : json_null();
}

static bool add_added(HfTokenizer *t, const GgufValue *types, Error *err)
{
    bool ok = true;
    for (size_t id = 0; ok && id < t->vocab.n; id++) {
        const int64_t type = type_of(types, id);
        size_t n;
        const char *text = vocab_text(&t->vocab, (int32_t)id, &n);
        if (type == TOKEN_UNKNOWN || type == TOKEN_CONTROL || type == TOKEN_USER)
            ok = added_add(t->added, text, n, (int32_t)id, type == TOKEN_USER ? 0 : ADDED_SPECIAL, err);
    }
    return ok;
}

/* "single" with the tokens that the file wants around a text. */
static json_t *make_post(const HfTokenizer *t, bool bos, bool eos)
{
    json_t *single = json_array(), *special = json_object();
    const int32_t id[2] = { bos ? t->role[HF_BOS] : -1, eos ? t->role[HF_EOS] : -1 };
    for (int k = 0; k < 2; k++) {
        if (k == 1)
            json_array_append_new(single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id",
                                                    0));
        json_t *name = token_text(&t->vocab, id[k]);
        const char *text = json_string_value(name);
        if (text) {
            json_array_append_new(single, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", text,
                                                    "type_id", 0));
            json_object_set_new(special, text, json_pack("{s:s, s:[i], s:[s]}", "id", text, "ids",
                                                         (int)id[k], "tokens", text));
        }
        json_decref(name);
    }
    return json_pack("{s:s, s:o, s:[], s:o}", "type", "TemplateProcessing", "single", single, "pair",
                     "special_tokens", special);
}

/* Every part but the model, and the added tokens. */
static bool make_parts(HfTokenizer *t, const GgufValue *types, json_t *normalizer, json_t *pre,
                       json_t *post, json_t *decoder, json_t *model, Error *err)
{
    json_t *frame = json_pack("{s:s, s:n, s:n, s:n, s:o, s:o, s:o, s:o, s:o}", "version", "1.0",
                              "truncation", "padding", "added_tokens", "normalizer", normalizer,
                              "pre_tokenizer", pre, "post_processor", post, "decoder", decoder, "model",
                              model);
    return frame ? assemble(t, frame, err) && add_added(t, types, err)
                 : error_set(err, "out of memory");
}

static json_t *replacing(const char *what, const char *with)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", what, "content",
                     with);
}

static json_t *make_model(json_t *unk, bool spm, bool ignore_merges)
{
    return json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b}", "type", "BPE", "dropout",
                     "unk_token", unk, "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                     spm, "byte_fallback", spm, "ignore_merges", ignore_merges);
}

static json_t *spm_normalizer(bool prefix)
{
    json_t *steps = json_array();
    if (prefix)
        json_array_append_new(steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", SIGN));
    json_array_append_new(steps, replacing(" ", SIGN));
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps);
}

static json_t *spm_decoder(bool prefix)
{
    json_t *steps = json_array();
    json_array_append_new(steps, replacing(SIGN, " "));
    json_array_append_new(steps, json_pack("{s:s}", "type", "ByteFallback"));
    json_array_append_new(steps, json_pack("{s:s}", "type", "Fuse"));
    if (prefix)
        json_array_append_new(steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ",
                                               "start", 1, "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", steps);
}

static json_t *byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", 0);
}

static json_t *bpe_pretokenizer(const NamedPattern *p)
{
    json_t *steps = json_array();
    for (int i = 0; i < MAX_PATTERNS && p->pattern[i]; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern",
                                               "Regex", p->pattern[i], "behavior", "Isolated",
                                               "invert", 0));
    json_array_append_new(steps, byte_level());
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* ---- the kinds --------------------------------------------------------------------------------- */

static bool make_bpe(HfTokenizer *t, const BpeOptions *o, MergeList *merges, Error *err)
{
    t->kind = MODEL_BPE;
    t->bpe = bpe_new(&t->vocab, o, merges->merge, merges->n, err);
    return t->bpe != NULL;
}

static bool read_spm(HfTokenizer *t, const Gguf *g, const GgufValue *types, Error *err)
{
    const GgufValue *scores;
    MergeList merges = { 0 };
    bool prefix = true, bos = true, eos = false;
    gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &prefix);
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &bos);
    gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &eos);
    if (!find_array(g, "tokenizer.ggml.scores", t->vocab.n, &scores, err))
        return false;
    if (!scores)
        return error_set(err, "tokenizer.ggml.scores is missing");
    json_t *unk = token_text(&t->vocab, t->role[HF_UNK]);
    const BpeOptions o = { .unk_token = json_string_value(unk), .fuse_unk = true,
                           .byte_fallback = true };
    bool ok = make_parts(t, types, spm_normalizer(prefix), json_null(), make_post(t, bos, eos),
                         spm_decoder(prefix), make_model(json_incref(unk), true, false), err);
    if (ok && !(ok = merges_by_score(&t->vocab, scores, types, &merges, err)))
        free(merges.merge);
    ok = ok && make_bpe(t, &o, &merges, err);
    json_decref(unk);
    return ok;
}

static bool read_byte_level(HfTokenizer *t, const Gguf *g, const GgufValue *types, Error *err)
{
    GgufString name;
    MergeList merges = { 0 };
    if (!gguf_get_string(g, "tokenizer.ggml.pre", &name))
        return error_set(err, "tokenizer.ggml.pre, which names the pre-tokenizer, is missing");
    const NamedPattern *p = find_pattern(name, err);
    if (!p)
        return false;
    bool bos = p->add_bos, eos = false;
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &bos);
    gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &eos);
    const BpeOptions o = { .ignore_merges = p->ignore_merges };
    if (!make_parts(t, types, json_null(), bpe_pretokenizer(p), make_post(t, bos, eos), byte_level(),
                    make_model(json_null(), false, p->ignore_merges), err))
        return false;
    if (!merges_listed(g, &t->vocab, &merges, err)) {
        free(merges.merge);
        return false;
    }
    return make_bpe(t, &o, &merges, err);
}

static json_t *bert_normalizer(void)
{
    return json_pack("{s:s, s:b, s:b, s:n, s:b}", "type", "BertNormalizer", "clean_text", 1,
                     "handle_chinese_chars", 1, "strip_accents", "lowercase", 1);
}

static bool read_wordpiece(HfTokenizer *t, const Gguf *g, const GgufValue *types, Error *err)
{
    bool bos = true, eos = true;
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &bos);
    gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &eos);
    if (t->role[HF_UNK] < 0)
        return error_set(err, "tokenizer.ggml.unknown_token_id is missing");
    json_t *unk = token_text(&t->vocab, t->role[HF_UNK]);
    json_t *model = json_pack("{s:s, s:O, s:s, s:i}", "type", "WordPiece", "unk_token", unk,
                              "continuing_subword_prefix", "##", "max_input_chars_per_word",
                              MAX_WORD);
    json_t *decoder = json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1);
    t->kind = MODEL_WORDPIECE;
    if (make_parts(t, types, bert_normalizer(), json_pack("{s:s}", "type", "BertPreTokenizer"),
                   make_post(t, bos, eos), decoder, model, err))
        t->wordpiece = wordpiece_new(&t->vocab, json_string_value(unk), "##", MAX_WORD, err);
    json_decref(unk);
    return t->wordpiece != NULL;
}

/* SentencePiece's rules, where the file has them. */
static bool charsmap_normalizer(const Gguf *g, json_t *steps, Error *err)
{
    const GgufValue *map = gguf_find(g, "tokenizer.ggml.precompiled_charsmap");
    Buf text = { 0 };
    if (!map || map->n == 0)
        return true;
    if (!map->is_array || (map->type != GGUF_u8 && map->type != GGUF_i8))
        return error_set(err, "tokenizer.ggml.precompiled_charsmap is no array of bytes");
    charsmap_base64(&text, map->data, (size_t)map->n);
    json_array_append_new(steps, text.failed ? NULL
                                             : json_pack("{s:s, s:s}", "type", "Precompiled",
                                                         "precompiled_charsmap", text.data));
    const bool ok = !text.failed || error_set(err, "out of memory");
    buf_free(&text);
    return ok;
}

/* Spaces become signs: with `merged`, one before each word and none else; or each, and one in front. */
static json_t *t5_spaces(bool merged, bool prefix, json_t *steps)
{
    if (!merged) {
        if (prefix)
            json_array_append_new(steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", SIGN));
        json_array_append_new(steps, replacing(" ", SIGN));
        return json_null();
    }
    json_t *words = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "String", " ",
                              "behavior", "Removed", "invert", 0);
    json_t *signs = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", SIGN,
                              "prepend_scheme", "always", "split", 1);
    return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers", words, signs);
}

static double *read_scores(const Gguf *g, const Vocab *v, Error *err)
{
    const GgufValue *scores;
    if (!find_array(g, "tokenizer.ggml.scores", v->n, &scores, err))
        return NULL;
    double *out = malloc((v->n + 1) * sizeof *out);
    bool ok = out != NULL || error_set(err, "out of memory");
    for (size_t id = 0; ok && id < v->n; id++)
        ok = (scores && gguf_array_f64(scores, id, &out[id]) && isfinite(out[id]))
            || error_set(err, "tokenizer.ggml.scores: number %zu is no number", id);
    if (ok)
        return out;
    free(out);
    return NULL;
}

/* T5's: Unigram, as SentencePiece trains it. */
static bool read_unigram(HfTokenizer *t, const Gguf *g, const GgufValue *types, Error *err)
{
    static const struct { HfRole role; int32_t id; } usual[] = { { HF_PAD, 0 }, { HF_EOS, 1 }, { HF_UNK, 2 } };
    bool prefix = false, merged = false, bos = false, eos = true;
    gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &prefix);
    gguf_get_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &merged);
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &bos);
    gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &eos);
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (t->role[usual[i].role] < 0 && (size_t)usual[i].id < t->vocab.n)
            t->role[usual[i].role] = usual[i].id;
    json_t *steps = json_array();
    if (!charsmap_normalizer(g, steps, err)) {
        json_decref(steps);
        return false;
    }
    json_t *pre = t5_spaces(merged, prefix, steps);
    json_t *decoder = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", SIGN,
                                "prepend_scheme", merged || prefix ? "always" : "never", "split", 1);
    const int32_t unk = t->role[HF_UNK];
    json_t *model = json_pack("{s:s, s:o, s:b}", "type", "Unigram", "unk_id",
                              unk < 0 ? json_null() : json_integer(unk), "byte_fallback", 0);
    t->kind = MODEL_UNIGRAM;
    if (!make_parts(t, types, json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps), pre,
                    make_post(t, bos, eos), decoder, model, err))
        return false;
    double *score = read_scores(g, &t->vocab, err);
    t->unigram = score ? unigram_new(&t->vocab, score, unk, false, err) : NULL;
    return t->unigram != NULL;
}

static bool read_roles(const Gguf *g, bool words, HfTokenizer *t, Error *err)
{
    static const char *const keys[N_HF_ROLES] = {
        [HF_BOS] = "tokenizer.ggml.bos_token_id", [HF_EOS] = "tokenizer.ggml.eos_token_id",
        [HF_EOT] = "tokenizer.ggml.eot_token_id",
        [HF_UNK] = "tokenizer.ggml.unknown_token_id", [HF_PAD] = "tokenizer.ggml.padding_token_id",
    };
    for (int r = 0; r < N_HF_ROLES; r++) {
        uint64_t id;
        if (!gguf_get_u64(g, keys[r], &id))
            continue;
        if (id >= t->vocab.n)
            return error_set(err, "%s is %" PRIu64 " of %zu tokens", keys[r], id, t->vocab.n);
        t->role[r] = (int32_t)id;
    }
    /* What BERT puts around a text has keys of its own, one of which is misspelt in every file. */
    static const struct { const char *key; HfRole role; } around[] = {
        { "tokenizer.ggml.cls_token_id", HF_BOS }, { "tokenizer.ggml.seperator_token_id", HF_EOS },
    };
    for (size_t i = 0; words && i < COUNT_OF(around); i++) {
        uint64_t id;
        if (gguf_get_u64(g, around[i].key, &id) && id < t->vocab.n)
            t->role[around[i].role] = (int32_t)id;
    }
    return true;
}

static bool read_tokenizer(HfTokenizer *t, const Gguf *g, Error *err)
{
    GgufString model;
    const GgufValue *types;
    if (!gguf_get_string(g, "tokenizer.ggml.model", &model))
        return error_set(err, "tokenizer.ggml.model is missing: the file has no tokenizer");
    const bool words = is_text(model, "bert");
    if (!read_vocab(g, words, &t->vocab, err) || !read_roles(g, words, t, err) ||
        !find_array(g, "tokenizer.ggml.token_type", t->vocab.n, &types, err))
        return false;
    if (words)
        return read_wordpiece(t, g, types, err);
    if (is_text(model, "llama"))
        return read_spm(t, g, types, err);
    if (is_text(model, "gpt2"))
        return read_byte_level(t, g, types, err);
    if (is_text(model, "t5"))
        return read_unigram(t, g, types, err);
    return error_set(err, "tokenizer.ggml.model is \"%.*s\"; \"llama\", \"gpt2\", \"bert\" and \"t5\" "
                     "are supported", model.n > 60 ? 60 : (int)model.n, model.text);
}

HfTokenizer *hf_tokenizer_of_gguf(const Gguf *g, Error *err)
{
    HfTokenizer *t = tokenizer_new(err);
    if (!t)
        return NULL;
    if (read_tokenizer(t, g, err) && assemble_end(t, err))
        return t;
    hf_tokenizer_free(t);
    return NULL;
}
