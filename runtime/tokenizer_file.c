/* tokenizer.json, the format of Hugging Face's `tokenizers`.
 *
 * Characters are a WordLevel model behind a pre-tokenizer that isolates every character; bytes are a
 * BPE model without merges over the 256 symbols that stand for bytes there (printable bytes stand
 * for themselves, the others for U+0100 and following).  A file is read by comparing all of it but
 * the vocabulary with what we would have written: anything else would mean other ids. */
#include "runtime/tokenizer.h"

#include "base/check.h"
#include "base/file.h"
#include "runtime/utf8.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { N_BYTES = 256, MAX_TOKENIZER_FILE = 256 << 20 };

/* Code points by which `tokenizers` writes the bytes. */
static void byte_symbols(uint32_t symbol[N_BYTES])
{
    uint32_t next = 256;
    for (uint32_t b = 0; b < N_BYTES; b++) {
        const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        symbol[b] = printable ? b : next++;
    }
}

static json_t *make_vocab(const uint32_t *code, int32_t n)
{
    json_t *vocab = json_object();
    for (int32_t id = 0; id < n; id++) {
        char text[5] = { 0 };
        utf8_encode(code[id], text);
        json_object_set_new(vocab, text, json_integer(id));
    }
    return vocab;
}

/* The whole file for these codes; everything but the vocabulary is the same for every tokenizer of
 * the kind. */
static json_t *make_file(TokenizerKind kind, const uint32_t *code, int32_t n)
{
    json_t *vocab = make_vocab(code, n), *model, *pre, *decoder;
    if (kind == TOKENIZER_CHAR) {
        pre = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", "[\\s\\S]",
                        "behavior", "Isolated", "invert", 0);
        decoder = json_pack("{s:s}", "type", "Fuse");
        model = json_pack("{s:s, s:o, s:s}", "type", "WordLevel", "vocab", vocab, "unk_token",
                          "<unk>");
    } else {
        pre = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                        "trim_offsets", 1, "use_regex", 0);
        decoder = json_deep_copy(pre);
        model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}", "type", "BPE",
                          "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                          "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab", vocab,
                          "merges");
    }
    return json_pack("{s:s, s:n, s:n, s:[], s:n, s:o, s:n, s:o, s:o}", "version", "1.0",
                     "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", pre,
                     "post_processor", "decoder", decoder, "model", model);
}

bool tokenizer_print(const Tokenizer *t, Buf *out, Error *err)
{
    uint32_t symbol[N_BYTES];
    byte_symbols(symbol);
    json_t *file = make_file(t->kind, t->kind == TOKENIZER_BYTE ? symbol : t->code, t->n);
    char *text = json_dumps(file, JSON_INDENT(2));
    json_decref(file);
    if (text) {
        buf_puts(out, text);
        buf_putc(out, '\n');
    }
    free(text);
    return (text && !out->failed) || error_set(err, "out of memory");
}

bool tokenizer_save(const Tokenizer *t, const char *path, Error *err)
{
    Buf text = { 0 };
    bool ok = tokenizer_print(t, &text, err) && file_replace(path, text.data, text.len, err);
    buf_free(&text);
    return ok;
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* Code points by id, to be freed; NULL with a message. */
static uint32_t *read_vocab(const json_t *vocab, int32_t *n, Error *err)
{
    const size_t size = json_object_size(vocab);
    const char *text;
    json_t *value;
    if (size == 0 || size > INT32_MAX) {
        error_set(err, "\"vocab\" is missing or empty");
        return NULL;
    }
    uint32_t *code = malloc(size * sizeof *code);
    if (!code) {
        error_set(err, "out of memory");
        return NULL;
    }
    memset(code, 0xff, size * sizeof *code);
    json_object_foreach((json_t *)(uintptr_t)vocab, text, value) {
        uint32_t c = 0;
        const size_t length = strlen(text);
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (utf8_decode((const uint8_t *)text, length, &c) != (int)length || length == 0) {
            error_set(err, "\"vocab\": the token \"%.40s\" is not one character; tokenizers of "
                      "words or word parts are not supported", text);
        } else if (id < 0 || (size_t)id >= size || code[id] != UINT32_MAX) {
            error_set(err, "\"vocab\": the id of \"%.8s\" is %" JSON_INTEGER_FORMAT "; ids must be 0 "
                      "to %zu, each once", text, id, size - 1);
        } else {
            code[id] = c;
            continue;
        }
        free(code);
        return NULL;
    }
    *n = (int32_t)size;
    return code;
}

/* The name of the first part that differs, or NULL. */
static const char *different_part(const json_t *found, const json_t *expected)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)expected, key, value)
        if (!json_equal(value, json_object_get(found, key)))
            return key;
    json_object_foreach((json_t *)(uintptr_t)found, key, value)
        if (!json_object_get(expected, key))
            return key;
    return NULL;
}

static bool check_parts(const json_t *file, TokenizerKind kind, const uint32_t *code, int32_t n,
                        Error *err)
{
    json_t *expected = make_file(kind, code, n);
    const char *part = different_part(file, expected);
    bool ok = !part;
    if (part) {
        char *found = json_dumps(json_object_get(file, part), JSON_COMPACT | JSON_ENCODE_ANY);
        error_set(err, "\"%.40s\" is %.120s: this is not a tokenizer of single %s as smrun writes "
                  "them, and others are not supported", part, found ? found : "missing",
                  kind == TOKENIZER_CHAR ? "characters" : "bytes");
        free(found);
    }
    json_decref(expected);
    return ok;
}

static bool read_file(const json_t *file, Tokenizer *out, Error *err)
{
    const json_t *model = json_object_get(file, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    int32_t n = 0;
    uint32_t symbol[N_BYTES];
    if (!type || (strcmp(type, "WordLevel") != 0 && strcmp(type, "BPE") != 0))
        return error_set(err, "its model is \"%.40s\"; tokenizers of characters (WordLevel) and of "
                         "bytes (BPE without merges) are supported", type ? type : "missing");
    const TokenizerKind kind = type[0] == 'W' ? TOKENIZER_CHAR : TOKENIZER_BYTE;
    if (kind == TOKENIZER_BYTE && json_array_size(json_object_get(model, "merges")) > 0)
        return error_set(err, "its BPE model has merges; only bytes are supported");
    uint32_t *code = read_vocab(json_object_get(model, "vocab"), &n, err);
    if (!code)
        return false;
    byte_symbols(symbol);
    bool ok = check_parts(file, kind, code, n, err);
    if (ok && kind == TOKENIZER_CHAR)
        ok = tokenizer_of_codes(code, n, out, err);
    else if (ok && (n != N_BYTES || memcmp(code, symbol, sizeof symbol) != 0))
        ok = error_set(err, "its ids are not those of the bytes, 0 to 255");
    else if (ok)
        tokenizer_bytes(out);
    free(code);
    return ok;
}

bool tokenizer_parse(const char *text, size_t n, Tokenizer *out, Error *err)
{
    json_error_t why;
    *out = (Tokenizer){ 0 };
    json_t *file = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!file)
        return error_set(err, "line %d, column %d: not valid JSON: %s", why.line, why.column,
                         why.text);
    bool ok = read_file(file, out, err);
    json_decref(file);
    return ok;
}

bool tokenizer_open(const char *path, Tokenizer *out, Error *err)
{
    Buf text = { 0 };
    bool ok = file_read(path, MAX_TOKENIZER_FILE, &text, err);
    if (ok && !tokenizer_parse(text.data ? text.data : "", text.len, out, err))
        ok = error_prefix(err, "%s", path);
    buf_free(&text);
    return ok;
}
