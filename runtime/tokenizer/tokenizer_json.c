/* tokenizer.json: read into its parts, and written again. */
#include "runtime/tokenizer/assemble.h"

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json_depth.h"
#include "runtime/tokenizer/unicode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 256 << 20 };

/* ---- the model -------------------------------------------------------------------------------- */

static bool read_vocab(HfTokenizer *t, const json_t *vocab, Error *err)
{
    const char *text;
    json_t *id;
    if (!json_is_object(vocab))
        return error_set(err, "\"vocab\" is missing or no object");
    if (!vocab_init(&t->vocab, json_object_size(vocab), err))
        return false;
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id) {
        if (!json_is_integer(id))
            return error_set(err, "\"vocab\": the id of \"%.40s\" is no whole number", text);
        if (!vocab_add(&t->vocab, text, strlen(text), json_integer_value(id), err))
            return false;
    }
    return true;
}

/* The two sides of a merge: "a b" or ["a", "b"]. */
static bool merge_sides(const json_t *o, const char *side[2], size_t n[2])
{
    if (json_is_string(o)) {
        const char *s = json_string_value(o), *space = strchr(s, ' ');
        if (!space || strchr(space + 1, ' '))
            return false;
        side[0] = s;
        n[0] = (size_t)(space - s);
        side[1] = space + 1;
        n[1] = json_string_length(o) - n[0] - 1;
        return true;
    }
    for (size_t k = 0; k < 2; k++) {
        const json_t *part = json_array_get(o, k);
        if (!json_is_string(part))
            return false;
        side[k] = json_string_value(part);
        n[k] = json_string_length(part);
    }
    return json_array_size(o) == 2;
}

static bool read_merge(const Vocab *v, const json_t *o, size_t prefix_n, Buf *joined, Merge *out,
                       Error *err)
{
    const char *side[2];
    size_t n[2];
    if (!merge_sides(o, side, n))
        return error_set(err, "it is not two tokens");
    out->left = vocab_find(v, side[0], n[0]);
    out->right = vocab_find(v, side[1], n[1]);
    buf_clear(joined);
    buf_add(joined, side[0], n[0]);
    if (n[1] > prefix_n)
        buf_add(joined, side[1] + prefix_n, n[1] - prefix_n);
    if (joined->failed)
        return error_set(err, "out of memory");
    out->result = vocab_find(v, joined->data, joined->len);
    if (out->left < 0 || out->right < 0 || out->result < 0)
        return error_set(err, "\"%.40s\" is not in the vocabulary",
                         out->left < 0 ? side[0] : out->right < 0 ? side[1] : joined->data);
    return true;
}

static bool read_merges(const Vocab *v, const json_t *list, size_t prefix_n, Merge *out, Error *err)
{
    Buf joined = { 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        out[i].rank = (uint32_t)i;
        ok = read_merge(v, json_array_get(list, i), prefix_n, &joined, &out[i], err) ||
             error_prefix(err, "\"merges\": number %zu", i);
    }
    buf_free(&joined);
    return ok;
}

static bool read_bpe(HfTokenizer *t, const json_t *model, Error *err)
{
    const json_t *list = json_object_get(model, "merges");
    const json_t *dropout = json_object_get(model, "dropout");
    BpeOptions o = { 0 };
    size_t n;
    t->kind = MODEL_BPE;
    if (json_is_number(dropout) && json_number_value(dropout) != 0)
        return error_set(err, "\"dropout\" makes ids random; it is not supported");
    if (!field_string(model, "unk_token", &o.unk_token, &n, err) ||
        !field_string(model, "end_of_word_suffix", &o.suffix, &n, err) ||
        !field_string(model, "continuing_subword_prefix", &o.prefix, &n, err) ||
        !field_bool(model, "fuse_unk", false, &o.fuse_unk, err) ||
        !field_bool(model, "byte_fallback", false, &o.byte_fallback, err) ||
        !field_bool(model, "ignore_merges", false, &o.ignore_merges, err) ||
        !read_vocab(t, json_object_get(model, "vocab"), err))
        return false;
    if (!json_is_array(list))
        return error_set(err, "\"merges\" is missing or no array");
    Merge *merges = calloc(json_array_size(list) + 1, sizeof *merges);
    if (!merges)
        return error_set(err, "out of memory");
    if (read_merges(&t->vocab, list, n, merges, err))
        t->bpe = bpe_new(&t->vocab, &o, merges, json_array_size(list), err);
    free(merges);
    return t->bpe != NULL;
}

/* [[token, score], ...]: a token's id is its place. */
static bool read_scored(Vocab *v, const json_t *list, double *score, Error *err)
{
    if (!vocab_init(v, json_array_size(list), err))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(json_array_get(list, i), 0);
        const json_t *value = json_array_get(json_array_get(list, i), 1);
        if (!json_is_string(token) || !json_is_number(value))
            return error_set(err, "\"vocab\": number %zu is no token with its score", i);
        score[i] = json_number_value(value);
        if (!vocab_add(v, json_string_value(token), json_string_length(token), (int64_t)i, err))
            return false;
    }
    return true;
}

static bool read_unigram(HfTokenizer *t, const json_t *model, Error *err)
{
    const json_t *list = json_object_get(model, "vocab"), *unk = json_object_get(model, "unk_id");
    bool bytes;
    t->kind = MODEL_UNIGRAM;
    if (!json_is_array(list))
        return error_set(err, "\"vocab\" is missing or no array");
    if (unk && !json_is_null(unk) && (!json_is_integer(unk) || json_integer_value(unk) < 0))
        return error_set(err, "\"unk_id\" is no id");
    if (!field_bool(model, "byte_fallback", false, &bytes, err))
        return false;
    double *score = calloc(json_array_size(list) + 1, sizeof *score);
    if (!score)
        return error_set(err, "out of memory");
    if (read_scored(&t->vocab, list, score, err))
        t->unigram = unigram_new(&t->vocab, score,
                                 json_is_integer(unk) ? json_integer_value(unk) : -1, bytes, err);
    free(score);
    return t->unigram != NULL;
}

static bool read_wordpiece(HfTokenizer *t, const json_t *model, Error *err)
{
    const char *unk, *prefix;
    size_t n, max_chars;
    t->kind = MODEL_WORDPIECE;
    if (!field_string(model, "unk_token", &unk, &n, err) ||
        !field_string(model, "continuing_subword_prefix", &prefix, &n, err) ||
        !field_size(model, "max_input_chars_per_word", 100, &max_chars, err) ||
        !read_vocab(t, json_object_get(model, "vocab"), err))
        return false;
    t->wordpiece = wordpiece_new(&t->vocab, unk ? unk : "[UNK]", prefix ? prefix : "##", max_chars,
                                 err);
    return t->wordpiece != NULL;
}

static bool read_wordlevel(HfTokenizer *t, const json_t *model, Error *err)
{
    const char *unk;
    size_t n;
    t->kind = MODEL_WORDLEVEL;
    if (!field_string(model, "unk_token", &unk, &n, err) ||
        !read_vocab(t, json_object_get(model, "vocab"), err))
        return false;
    t->unk = strdup(unk ? unk : "<unk>");
    return t->unk || error_set(err, "out of memory");
}

/* Files of old say nothing of the kind; their fields tell. */
static const char *guess_kind(const json_t *model)
{
    if (json_object_get(model, "merges"))
        return "BPE";
    if (json_is_array(json_object_get(model, "vocab")))
        return "Unigram";
    return json_object_get(model, "max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}

static bool read_model(HfTokenizer *t, const json_t *model, Error *err)
{
    static const char *const kinds[] = { "BPE", "Unigram", "WordPiece", "WordLevel" };
    static bool (*const read[])(HfTokenizer *, const json_t *, Error *) = {
        read_bpe, read_unigram, read_wordpiece, read_wordlevel,
    };
    if (!json_is_object(model))
        return error_set(err, "it is missing");
    const char *type = json_string_value(json_object_get(model, "type"));
    const int kind = word_index(type ? type : guess_kind(model), kinds, (int)COUNT_OF(kinds), "model",
                                err);
    return kind >= 0 && read[kind](t, model, err);
}

/* ---- the file --------------------------------------------------------------------------------- */

HfTokenizer *hf_tokenizer_parse(const char *json, size_t n, Error *err)
{
    json_error_t why;
    if (!json_depth_check(json, n, err))
        return NULL;
    json_t *file = json_loadb(json, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!file) {
        error_set(err, "byte %d (line %d, column %d): not valid JSON: %s", why.position, why.line,
                  why.column, why.text);
        return NULL;
    }
    return tokenizer_of_json(file, err);
}

HfTokenizer *tokenizer_of_json(json_t *file, Error *err)
{
    HfTokenizer *t = tokenizer_new(err);
    json_t *model = json_object_get(file, "model");
    bool ok = t != NULL;
    if (ok && !read_model(t, model, err))
        ok = error_prefix(err, "\"model\"");
    if (!ok) {
        json_decref(file);
        hf_tokenizer_free(t);
        return NULL;
    }
    json_object_del(model, "vocab");
    json_object_del(model, "merges");
    if (!assemble(t, file, err)) {
        hf_tokenizer_free(t);
        return NULL;
    }
    return t;
}

static HfTokenizer *open_gguf(const char *path, Error *err)
{
    Gguf g;
    if (!gguf_open(path, &g, err))
        return NULL;
    HfTokenizer *t = hf_tokenizer_of_gguf(&g, err);
    gguf_close(&g);
    if (!t)
        error_prefix(err, "%s", path);
    return t;
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

HfTokenizer *hf_tokenizer_open(const char *path, Error *err)
{
    FileMap map;
    HfTokenizer *t = NULL;
    char inside[4096];
    if (is_folder(path)) {
        if (!path_join(inside, sizeof inside, path, "tokenizer.json", err))
            return NULL;
        path = inside;
    }
    if (!file_map(path, &map, err))
        return NULL;
    const bool gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    if (!gguf && map.size > MAX_FILE)
        error_set(err, "%s: %zu bytes; at most %d are read", path, map.size, MAX_FILE);
    else if (!gguf && !(t = hf_tokenizer_parse(map.data ? (const char *)map.data : "", map.size, err)))
        error_prefix(err, "%s", path);
    file_unmap(&map);
    return gguf ? open_gguf(path, err) : t;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static json_t *text_of(const Vocab *v, int32_t id)
{
    size_t n = 0;
    const char *text = vocab_text(v, id, &n);
    return json_stringn(text ? text : "", n);
}

static json_t *make_vocab(const HfTokenizer *t)
{
    const bool scored = t->kind == MODEL_UNIGRAM;
    json_t *out = scored ? json_array() : json_object();
    for (size_t id = 0; id < t->vocab.n; id++) {
        size_t n;
        const char *text = vocab_text(&t->vocab, (int32_t)id, &n);
        if (scored)
            json_array_append_new(out, json_pack("[o, f]", text_of(&t->vocab, (int32_t)id),
                                                 unigram_scores(t->unigram)[id]));
        else if (text)
            json_object_setn_new(out, text, n, json_integer((json_int_t)id));
    }
    return out;
}

static json_t *make_merges(const HfTokenizer *t)
{
    size_t n;
    const Merge *merges = bpe_merges(t->bpe, &n);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_pack("[o, o]", text_of(&t->vocab, merges[i].left),
                                             text_of(&t->vocab, merges[i].right)));
    return out;
}

bool hf_tokenizer_print(const HfTokenizer *t, Buf *out, Error *err)
{
    json_t *file = json_copy(t->frame);
    json_t *model = json_copy(json_object_get(t->frame, "model"));
    json_object_set_new(model, "vocab", make_vocab(t));
    if (t->kind == MODEL_BPE)
        json_object_set_new(model, "merges", make_merges(t));
    json_object_set_new(file, "model", model);
    char *text = json_dumps(file, JSON_INDENT(2));
    json_decref(file);
    if (text) {
        buf_puts(out, text);
        buf_putc(out, '\n');
    }
    free(text);
    return (text && !out->failed) || error_set(err, "out of memory");
}

bool hf_tokenizer_hash(const HfTokenizer *t, uint64_t *out, Error *err)
{
    Buf text = { 0 };
    const bool ok = hf_tokenizer_print(t, &text, err);
    *out = ok ? hash_bytes(text.data, text.len) : 0;
    buf_free(&text);
    return ok;
}

bool hf_tokenizer_save(const HfTokenizer *t, const char *path, Error *err)
{
    Buf text = { 0 };
    const bool ok = hf_tokenizer_print(t, &text, err) &&
                    file_replace(path, text.data, text.len, err);
    buf_free(&text);
    return ok;
}
