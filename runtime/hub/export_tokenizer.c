/* tokenizer.json as the values tokenizer.ggml.* of a GGUF file: BPE on bytes ("gpt2") and BPE on
 * characters with bytes to fall back on ("llama"), which are what llama.cpp's published models have.
 *
 * GGUF names a byte-level tokenizer's pattern instead of holding it, so one that no name stands for
 * cannot be written.  Of SentencePiece's scores tokenizer.json keeps the order alone, as the order of its
 * merges: a token's score is the rank of the merge that makes it, negated. */
#include "runtime/hub/export.h"

#include "base/check.h"
#include "base/file.h"
#include "runtime/hub/json.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };
enum { MAX_PATTERNS = 6, MAX_NAMES = 16, MAX_TOKENS = 1 << 22 };

typedef struct Tokens {
    const json_t *json, *model;
    int64_t n;
    GgufString *text;                   /* by id */
    int32_t *type;
    float *score;
    Arena arena;                        /* of names for ids without a token */
} Tokens;

/* ---- the pattern's name ----------------------------------------------------------------------- */

static const struct {
    const char *pattern[MAX_PATTERNS];
    bool ignore_merges, add_bos;
    const char *name[MAX_NAMES];
} patterns[] = {
#define P(...) { __VA_ARGS__ }
#define PRE(patterns, ignore_merges, add_bos, ...) { patterns, ignore_merges, add_bos, { __VA_ARGS__ } },
#include "runtime/tokenizer/pretokenizers.def"
#undef PRE
#undef P
};

/* What ByteLevel cuts by itself, the first row of the table. */
static const char *byte_level_pattern(void)
{
    return patterns[0].pattern[0];
}

static bool is_type(const json_t *part, const char *type)
{
    const char *text = json_string_value(json_object_get(part, "type"));
    return text && strcmp(text, type) == 0;
}

/* Adds the patterns of one part; false when there is a part that patterns cannot stand for. */
static bool add_patterns(const json_t *part, const char *out[MAX_PATTERNS], size_t *n)
{
    const char *one = NULL;
    if (is_type(part, "ByteLevel"))
        one = json_is_false(json_object_get(part, "use_regex")) ? NULL : byte_level_pattern();
    else if (is_type(part, "Digits") && json_is_true(json_object_get(part, "individual_digits")))
        one = "\\p{N}";
    else if (is_type(part, "Split"))
        one = json_string_value(json_object_get(json_object_get(part, "pattern"), "Regex"));
    if (!one)
        return is_type(part, "ByteLevel");
    if (*n == MAX_PATTERNS)
        return false;
    out[(*n)++] = one;
    return true;
}

static const char *pattern_name(const json_t *pre, bool ignore_merges)
{
    const char *mine[MAX_PATTERNS] = { 0 };
    const json_t *parts = json_object_get(pre, "pretokenizers");
    size_t n = 0;
    bool ok = parts || add_patterns(pre, mine, &n);
    for (size_t i = 0; ok && i < json_array_size(parts); i++)
        ok = add_patterns(json_array_get(parts, i), mine, &n);
    for (size_t i = 0; ok && i < COUNT_OF(patterns); i++) {
        bool same = patterns[i].ignore_merges == ignore_merges;
        for (size_t k = 0; k < MAX_PATTERNS && same; k++)
            same = mine[k] ? patterns[i].pattern[k] && strcmp(mine[k], patterns[i].pattern[k]) == 0
                           : !patterns[i].pattern[k];
        if (same)
            return patterns[i].name[0];
    }
    return NULL;
}

/* ---- tokens ----------------------------------------------------------------------------------- */

static bool set_token(Tokens *t, const char *text, const json_t *id, int32_t type, Error *err)
{
    const json_int_t i = json_is_integer(id) ? json_integer_value(id) : -1;
    if (i < 0 || i >= t->n)
        return error_set(err, "token \"%.64s\" has an id that the model does not have", text);
    t->text[i] = (GgufString){ text, strlen(text) };
    t->type[i] = type;
    return true;
}

static bool is_byte(const char *text)
{
    return strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
}

static bool add_vocab(Tokens *t, bool bytes, Error *err)
{
    const json_t *vocab = json_object_get(t->model, "vocab");
    const char *unknown = json_string_value(json_object_get(t->model, "unk_token")), *text;
    json_t *id;
    if (!json_is_object(vocab))
        return error_set(err, "its model has no \"vocab\"");
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id) {
        const bool fallback = bytes && is_byte(text);
        const bool none = unknown && strcmp(unknown, text) == 0;
        if (!set_token(t, text, id, fallback ? TOKEN_BYTE : none ? TOKEN_UNKNOWN : TOKEN_NORMAL, err))
            return false;
    }
    return true;
}

static bool add_added(Tokens *t, Error *err)
{
    const json_t *added = json_object_get(t->json, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *one = json_array_get(added, i), *id = json_object_get(one, "id");
        const char *text = json_string_value(json_object_get(one, "content"));
        const json_int_t k = json_is_integer(id) ? json_integer_value(id) : -1;
        const bool special = json_is_true(json_object_get(one, "special"));
        if (!text)
            return error_set(err, "an added token has no \"content\"");
        if (k >= 0 && k < t->n && t->type[k] == TOKEN_UNKNOWN)
            continue;
        if (!set_token(t, text, id, special ? TOKEN_CONTROL : TOKEN_USER, err))
            return false;
    }
    return true;
}

static void name_unused(Tokens *t)
{
    for (int64_t i = 0; i < t->n; i++)
        if (!t->text[i].text) {
            const char *name = arena_printf(&t->arena, "[PAD%" PRId64 "]", i);
            t->text[i] = (GgufString){ name, strlen(name) };
            t->type[i] = TOKEN_UNUSED;
        }
}

/* ---- merges ----------------------------------------------------------------------------------- */

/* "a b", from that or from ["a", "b"]; NULL when it is neither. */
static const char *merge_text(Tokens *t, const json_t *merge)
{
    const char *a = json_string_value(json_array_get(merge, 0));
    const char *b = json_string_value(json_array_get(merge, 1));
    if (json_is_string(merge))
        return json_string_value(merge);
    return a && b ? arena_printf(&t->arena, "%s %s", a, b) : NULL;
}

static bool put_merges(Tokens *t, GgufWriter *w, Error *err)
{
    const json_t *merges = json_object_get(t->model, "merges");
    const size_t n = json_array_size(merges);
    GgufString *text = arena_array(&t->arena, n + 1, sizeof *text);
    for (size_t i = 0; i < n; i++) {
        const char *one = merge_text(t, json_array_get(merges, i));
        if (!one)
            return error_set(err, "merge %zu is no pair of tokens", i);
        text[i] = (GgufString){ one, strlen(one) };
    }
    gguf_add_strings(w, "tokenizer.ggml.merges", text, n);
    return true;
}

static bool put_scores(Tokens *t, GgufWriter *w, Error *err)
{
    const json_t *merges = json_object_get(t->model, "merges");
    const json_t *vocab = json_object_get(t->model, "vocab");
    const size_t n = json_array_size(merges);
    for (int64_t i = 0; i < t->n; i++)
        t->score[i] = t->type[i] == TOKEN_NORMAL ? -(float)(n + 1) : 0;
    for (size_t i = n; i-- > 0;) {      /* backwards: of several merges the first counts */
        const char *one = merge_text(t, json_array_get(merges, i));
        const char *space = one ? strchr(one, ' ') : NULL;
        if (!space)
            return error_set(err, "merge %zu is no pair of tokens", i);
        const char *joined = arena_printf(&t->arena, "%.*s%s", (int)(space - one), one, space + 1);
        const json_t *id = json_object_get(vocab, joined);
        if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < t->n)
            t->score[json_integer_value(id)] = -(float)i;
    }
    gguf_add_array(w, "tokenizer.ggml.scores", GGUF_f32, t->score, (uint64_t)t->n);
    return true;
}

/* ---- the file --------------------------------------------------------------------------------- */

/* A token for each byte: where nothing is ever joined, it does not matter where text is cut. */
static bool joins_nothing(const Tokens *t)
{
    const json_t *pre = json_object_get(t->json, "pre_tokenizer");
    return is_type(pre, "ByteLevel") && !json_is_true(json_object_get(pre, "add_prefix_space"))
        && json_array_size(json_object_get(t->model, "merges")) == 0;
}

static bool put_byte_level(Tokens *t, GgufWriter *w, Error *err)
{
    const bool ignore = json_is_true(json_object_get(t->model, "ignore_merges"));
    const char *name = joins_nothing(t) ? "gpt-2"
        : pattern_name(json_object_get(t->json, "pre_tokenizer"), ignore);
    if (!name)
        return error_set(err, "no name in GGUF stands for what its pre_tokenizer cuts text by");
    gguf_add_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(w, "tokenizer.ggml.pre", name);
    return put_merges(t, w, err);
}

static bool has_prepend(const json_t *normalizer)
{
    const json_t *parts = json_object_get(normalizer, "normalizers");
    bool found = is_type(normalizer, "Prepend");
    for (size_t i = 0; i < json_array_size(parts); i++)
        found = found || is_type(json_array_get(parts, i), "Prepend");
    return found;
}

static bool put_pieces(Tokens *t, GgufWriter *w, Error *err)
{
    gguf_add_string(w, "tokenizer.ggml.model", "llama");
    gguf_add_bool(w, "tokenizer.ggml.add_space_prefix",
                  has_prepend(json_object_get(t->json, "normalizer")));
    return put_scores(t, w, err);
}

/* Ids that config.json or generation_config.json name. */
static void put_roles(GgufWriter *w, const char *folder)
{
    static const char *const files[] = { "config.json", "generation_config.json" };
    static const struct { const char *hub, *gguf; } roles[] = {
        { "bos_token_id", "tokenizer.ggml.bos_token_id" },
        { "eos_token_id", "tokenizer.ggml.eos_token_id" },
        { "pad_token_id", "tokenizer.ggml.padding_token_id" },
    };
    bool said[COUNT_OF(roles)] = { 0 };
    for (size_t f = COUNT_OF(files); f-- > 0;) {
        char path[MAX_SOURCE_PATH];
        json_t *json = path_join(path, sizeof path, folder, files[f], NULL) && file_exists(path)
            ? hub_json_read(path, NULL) : NULL;
        for (size_t i = 0; i < COUNT_OF(roles); i++) {
            const json_t *v = json_object_get(json, roles[i].hub);
            const json_t *id = json_is_array(v) ? json_array_get(v, 0) : v;
            if (said[i] || !json_is_integer(id) || json_integer_value(id) < 0)
                continue;
            gguf_add_u32(w, roles[i].gguf, (uint32_t)json_integer_value(id));
            said[i] = true;
        }
        json_decref(json);
    }
}

/* Does a text begin with a special token?  The post-processor says it. */
static bool adds_bos(const json_t *post)
{
    const json_t *parts = json_object_get(post, "processors");
    bool found = is_type(post, "TemplateProcessing")
        && json_object_get(json_array_get(json_object_get(post, "single"), 0), "SpecialToken");
    for (size_t i = 0; i < json_array_size(parts) && !found; i++)
        found = adds_bos(json_array_get(parts, i));
    return found;
}

static bool put_tokenizer(Tokens *t, GgufWriter *w, Error *err)
{
    const bool bytes = json_is_true(json_object_get(t->model, "byte_fallback"));
    if (!is_type(t->model, "BPE"))
        return error_set(err, "its model is no BPE, and no other is written to GGUF");
    if (!add_vocab(t, bytes, err) || !add_added(t, err))
        return false;
    name_unused(t);
    if (!(bytes ? put_pieces(t, w, err) : put_byte_level(t, w, err)))
        return false;
    gguf_add_strings(w, "tokenizer.ggml.tokens", t->text, (uint64_t)t->n);
    gguf_add_array(w, "tokenizer.ggml.token_type", GGUF_i32, t->type, (uint64_t)t->n);
    gguf_add_bool(w, "tokenizer.ggml.add_bos_token",
                  adds_bos(json_object_get(t->json, "post_processor")));
    return true;
}

bool export_tokenizer(GgufWriter *w, const char *folder, int64_t vocab, bool *there, Error *err)
{
    char path[MAX_SOURCE_PATH];
    *there = path_join(path, sizeof path, folder, "tokenizer.json", NULL) && file_exists(path);
    if (!*there) {
        gguf_add_string(w, "tokenizer.ggml.model", "no_vocab");
        return true;
    }
    HfTokenizer *known = hf_tokenizer_open(path, err);
    json_t *json = known ? hub_json_read_known(path, err) : NULL;
    hf_tokenizer_free(known);
    if (!json)
        return false;
    Tokens t = { .json = json, .model = json_object_get(json, "model"), .n = vocab };
    arena_init(&t.arena, NULL);
    bool ok = (vocab > 0 && vocab <= MAX_TOKENS) || error_set(err, "too many tokens");
    if (ok) {
        t.text = arena_array(&t.arena, (size_t)vocab, sizeof *t.text);
        t.type = arena_array(&t.arena, (size_t)vocab, sizeof *t.type);
        t.score = arena_array(&t.arena, (size_t)vocab, sizeof *t.score);
        ok = put_tokenizer(&t, w, err);
        if (ok)
            put_roles(w, folder);
    }
    arena_free(&t.arena);
    json_decref(json);
    return ok || error_prefix(err, "%s", path);
}
