/* tokenizer.json: read into its parts, and written again. */
#include "runtime/tokenizer/assemble.h"

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "runtime/json_parts.h"
#include "runtime/tokenizer/unicode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 256 << 20 };

/* ---- the model -------------------------------------------------------------------------------- */

/* "model" of the file: what is small decoded, what is long as it is written. */
typedef struct ModelText {
    JsonSource *source;
    const json_t *fields;               /* all but the two that follow */
    JsonText vocab, merges;             /* empty where they are missing */
} ModelText;

enum {
    LEAST_TOKEN = 8,                    /* ["a",0], with its comma; "ab":123, on the average */
    LEAST_MERGE = 6,                    /* "a b", */
    FEW_TOKENS = 256,
};

/* Arrays for all parts of a list are made before the first part is read; so their number must be one
 * that so much text can hold. */
static bool can_hold(JsonText list, size_t least, const char *what, size_t *count, Error *err)
{
    *count = json_count(list);
    return *count <= FEW_TOKENS || *count <= list.n / least
        || error_set(err, "\"%s\": %zu parts in %zu bytes cannot all be tokens", what, *count, list.n);
}

static bool read_vocab(HfTokenizer *t, const ModelText *m, Error *err)
{
    size_t count;
    if (!json_is(m->vocab, '{'))
        return error_set(err, "\"vocab\" is missing or no object");
    if (!can_hold(m->vocab, LEAST_TOKEN, "vocab", &count, err) || !vocab_init(&t->vocab, count, err))
        return false;
    JsonParts p = json_parts(m->source, m->vocab);
    bool ok = true;
    while (ok && json_parts_next(&p, err)) {
        ok = json_is_integer(p.value)
            || error_set(err, "\"vocab\": the id of \"%.40s\" is no whole number", p.key);
        ok = ok && vocab_add(&t->vocab, p.key, p.key_n, json_integer_value(p.value), err);
    }
    json_parts_close(&p);
    return ok && !p.failed;
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
        return n[0] > 0 && n[1] > 0;
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

static bool read_merges(const Vocab *v, const ModelText *m, size_t prefix_n, Merge *out, Error *err)
{
    Buf joined = { 0 };
    JsonParts p = json_parts(m->source, m->merges);
    bool ok = true;
    while (ok && json_parts_next(&p, err)) {
        out[p.index].rank = (uint32_t)p.index;
        ok = read_merge(v, p.value, prefix_n, &joined, &out[p.index], err) ||
             error_prefix(err, "\"merges\": number %zu", p.index);
    }
    json_parts_close(&p);
    buf_free(&joined);
    return ok && !p.failed;
}

static bool read_bpe(HfTokenizer *t, const ModelText *m, Error *err)
{
    const json_t *dropout = json_object_get(m->fields, "dropout");
    BpeOptions o = { 0 };
    size_t n, count;
    t->kind = MODEL_BPE;
    if (json_is_number(dropout) && json_number_value(dropout) != 0)
        return error_set(err, "\"dropout\" makes ids random; it is not supported");
    if (!field_string(m->fields, "unk_token", &o.unk_token, &n, err) ||
        !field_string(m->fields, "end_of_word_suffix", &o.suffix, &n, err) ||
        !field_string(m->fields, "continuing_subword_prefix", &o.prefix, &n, err) ||
        !field_bool(m->fields, "fuse_unk", false, &o.fuse_unk, err) ||
        !field_bool(m->fields, "byte_fallback", false, &o.byte_fallback, err) ||
        !field_bool(m->fields, "ignore_merges", false, &o.ignore_merges, err) ||
        !read_vocab(t, m, err))
        return false;
    if (!json_is(m->merges, '['))
        return error_set(err, "\"merges\" is missing or no array");
    if (!can_hold(m->merges, LEAST_MERGE, "merges", &count, err))
        return false;
    Merge *merges = malloc((count + 1) * sizeof *merges);
    if (!merges)
        return error_set(err, "out of memory");
    if (!read_merges(&t->vocab, m, n, merges, err)) {
        free(merges);
        return false;
    }
    t->bpe = bpe_new(&t->vocab, &o, merges, count, err);
    return t->bpe != NULL;
}

/* [[token, score], ...]: a token's id is its place. */
static bool read_scored(Vocab *v, const ModelText *m, double *score, Error *err)
{
    JsonParts p = json_parts(m->source, m->vocab);
    bool ok = true;
    while (ok && json_parts_next(&p, err)) {
        const json_t *token = json_array_get(p.value, 0), *value = json_array_get(p.value, 1);
        ok = (json_is_string(token) && json_is_number(value))
            || error_set(err, "\"vocab\": number %zu is no token with its score", p.index);
        score[p.index] = json_number_value(value);
        ok = ok && vocab_add(v, json_string_value(token), json_string_length(token), (int64_t)p.index,
                             err);
    }
    json_parts_close(&p);
    return ok && !p.failed;
}

static bool read_unigram(HfTokenizer *t, const ModelText *m, Error *err)
{
    const json_t *unk = json_object_get(m->fields, "unk_id");
    bool bytes;
    size_t count;
    t->kind = MODEL_UNIGRAM;
    if (!json_is(m->vocab, '['))
        return error_set(err, "\"vocab\" is missing or no array");
    if (unk && !json_is_null(unk) && (!json_is_integer(unk) || json_integer_value(unk) < 0))
        return error_set(err, "\"unk_id\" is no id");
    if (!field_bool(m->fields, "byte_fallback", false, &bytes, err) ||
        !can_hold(m->vocab, LEAST_TOKEN, "vocab", &count, err) || !vocab_init(&t->vocab, count, err))
        return false;
    double *score = malloc((count + 1) * sizeof *score);
    if (!score)
        return error_set(err, "out of memory");
    if (!read_scored(&t->vocab, m, score, err)) {
        free(score);
        return false;
    }
    t->unigram = unigram_new(&t->vocab, score, json_is_integer(unk) ? json_integer_value(unk) : -1,
                             bytes, err);
    return t->unigram != NULL;
}

static bool read_wordpiece(HfTokenizer *t, const ModelText *m, Error *err)
{
    const char *unk, *prefix;
    size_t n, max_chars;
    t->kind = MODEL_WORDPIECE;
    if (!field_string(m->fields, "unk_token", &unk, &n, err) ||
        !field_string(m->fields, "continuing_subword_prefix", &prefix, &n, err) ||
        !field_size(m->fields, "max_input_chars_per_word", 100, &max_chars, err) ||
        !read_vocab(t, m, err))
        return false;
    t->wordpiece = wordpiece_new(&t->vocab, unk ? unk : "[UNK]", prefix ? prefix : "##", max_chars,
                                 err);
    return t->wordpiece != NULL;
}

static bool read_wordlevel(HfTokenizer *t, const ModelText *m, Error *err)
{
    const char *unk;
    size_t n;
    t->kind = MODEL_WORDLEVEL;
    if (!field_string(m->fields, "unk_token", &unk, &n, err) || !read_vocab(t, m, err))
        return false;
    t->unk = strdup(unk ? unk : "<unk>");
    return t->unk || error_set(err, "out of memory");
}

/* Files of old say nothing of the kind; their fields tell. */
static const char *guess_kind(const ModelText *m)
{
    if (m->merges.n)
        return "BPE";
    if (json_is(m->vocab, '['))
        return "Unigram";
    return json_object_get(m->fields, "max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}

static bool read_model(HfTokenizer *t, const ModelText *m, Error *err)
{
    static const char *const kinds[] = { "BPE", "Unigram", "WordPiece", "WordLevel" };
    static bool (*const read[])(HfTokenizer *, const ModelText *, Error *) = {
        read_bpe, read_unigram, read_wordpiece, read_wordlevel,
    };
    if (!json_is_object(m->fields))
        return error_set(err, "it is missing");
    const char *type = json_string_value(json_object_get(m->fields, "type"));
    const int kind = word_index(type ? type : guess_kind(m), kinds, (int)COUNT_OF(kinds), "model", err);
    return kind >= 0 && read[kind](t, m, err);
}

/* ---- the file --------------------------------------------------------------------------------- */

/* A list that is read later, part by part. */
static bool keep_list(JsonText *kept, JsonText value, const char *name, Error *err)
{
    if (kept->n)
        return error_set(err, "not valid JSON: the key \"%s\" is there twice", name);
    *kept = value;
    return true;
}

/* The fields of "model" without its lists. */
static json_t *split_model(ModelText *m, JsonText text, Error *err)
{
    json_t *fields = json_object();
    JsonText key, value;
    bool ok = fields != NULL || error_set(err, "out of memory");
    for (JsonWalk w = json_walk(text); ok && json_walk_next(&w, &key, &value);)
        ok = json_equals(key, "vocab") ? keep_list(&m->vocab, value, "vocab", err)
            : json_equals(key, "merges") ? keep_list(&m->merges, value, "merges", err)
            : json_source_add(m->source, fields, key, value, err);
    if (ok)
        return fields;
    json_decref(fields);
    return NULL;
}

static bool add_model(ModelText *m, json_t *frame, JsonText value, Error *err)
{
    if (m->fields)
        return error_set(err, "not valid JSON: the key \"model\" is there twice");
    json_t *model = json_is(value, '{') ? split_model(m, value, err)
                                        : json_source_load(m->source, value, err);
    m->fields = model;
    return model && (json_object_set_new(frame, "model", model) == 0 || error_set(err, "out of memory"));
}

/* The file without its long lists; "added_tokens" is null there. */
static bool split_file(json_t *frame, ModelText *m, JsonText *added, Error *err)
{
    JsonText key, value;
    bool ok = true;
    for (JsonWalk w = json_walk(m->source->root); ok && json_walk_next(&w, &key, &value);) {
        if (json_equals(key, "model"))
            ok = add_model(m, frame, value, err);
        else if (json_equals(key, "added_tokens"))
            ok = keep_list(added, value, "added_tokens", err) &&
                 (json_object_set_new(frame, "added_tokens", json_null()) == 0 ||
                  error_set(err, "out of memory"));
        else
            ok = json_source_add(m->source, frame, key, value, err);
    }
    return ok;
}

static bool read_added(HfTokenizer *t, JsonSource *source, JsonText list, Error *err)
{
    if (list.n && !json_is(list, '[') && !json_is(list, 'n'))
        return error_set(err, "it is not an array");
    JsonParts p = json_parts(source, list);
    bool ok = true;
    while (ok && json_parts_next(&p, err))
        ok = added_read(t->added, p.value, err);
    json_parts_close(&p);
    return ok && !p.failed;
}

/* What may be refused comes before what takes memory: the settings, the lists, and last what is made of
 * them. */
static bool read_file(HfTokenizer *t, JsonSource *source, Error *err)
{
    ModelText m = { .source = source };
    JsonText added = { "", 0 };
    json_t *frame = json_object();
    if (!frame)
        return error_set(err, "out of memory");
    if (!split_file(frame, &m, &added, err)) {
        json_decref(frame);
        return false;
    }
    return assemble(t, frame, err) &&
           (read_added(t, source, added, err) || error_prefix(err, "\"added_tokens\"")) &&
           (read_model(t, &m, err) || error_prefix(err, "\"model\"")) &&
           assemble_end(t, err);
}

HfTokenizer *hf_tokenizer_parse(const char *json, size_t n, Error *err)
{
    JsonSource source;
    if (!json_source_open(&source, json, n, JSON_ALLOW_NUL, err))
        return NULL;
    HfTokenizer *t = tokenizer_new(err);
    if (t && read_file(t, &source, err))
        return t;
    hf_tokenizer_free(t);
    return NULL;
}

HfTokenizer *tokenizer_of_json(json_t *file, Error *err)
{
    char *text = json_dumps(file, JSON_COMPACT);
    HfTokenizer *t = NULL;
    json_decref(file);
    if (text)
        t = hf_tokenizer_parse(text, strlen(text), err);
    else
        error_set(err, "out of memory");
    free(text);
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

static json_t *make_added(const HfTokenizer *t)
{
    json_t *out = json_array();
    for (size_t i = 0; i < added_count(t->added); i++) {
        size_t n;
        int32_t id;
        unsigned f;
        const char *text = added_get(t->added, i, &n, &id, &f);
        json_array_append_new(
            out, json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (int)id, "content",
                           json_stringn(text, n), "single_word", (f & ADDED_SINGLE_WORD) != 0, "lstrip",
                           (f & ADDED_LSTRIP) != 0, "rstrip", (f & ADDED_RSTRIP) != 0, "normalized",
                           (f & ADDED_NORMALIZED) != 0, "special", (f & ADDED_SPECIAL) != 0));
    }
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
    if (json_object_get(file, "added_tokens"))
        json_object_set_new(file, "added_tokens", make_added(t));
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
