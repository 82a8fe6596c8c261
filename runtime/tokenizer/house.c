/* The tokenizers of models that are trained here, as the tokenizer.json that describes them. */
#include "runtime/tokenizer/house.h"

#include "runtime/tokenizer/assemble.h"
#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>

enum { N_BYTES = 256, N_CODES = 0x110000 };

static bool not_text(const char *text, size_t at, Error *err)
{
    const unsigned byte = (unsigned char)text[at];
    if (byte == 0)
        return error_set(err, "byte %zu of the text is zero; for data that is not text use "
                         "--tokenizer byte", at);
    return error_set(err, "byte %zu of the text, 0x%02x, is not UTF-8; use --tokenizer byte, or "
                     "convert the text", at, byte);
}

bool house_check_text(const char *text, size_t n, Error *err)
{
    uint32_t c;
    for (size_t at = 0; at < n;) {
        const int length = utf8_decode((const uint8_t *)text + at, n - at, &c);
        if (length <= 0 || c == 0)
            return not_text(text, at, err);
        at += (size_t)length;
    }
    return true;
}

static void vocab_put(json_t *vocab, uint32_t code)
{
    char text[4];
    const size_t n = utf8_encode(code, text);
    json_object_setn_new(vocab, text, n, json_integer((json_int_t)json_object_size(vocab)));
}

/* Everything around the three parts that differ. */
static HfTokenizer *make(json_t *pre, json_t *decoder, json_t *model, Error *err)
{
    json_t *file = json_pack("{s:s, s:n, s:n, s:[], s:n, s:o, s:n, s:o, s:o}", "version", "1.0",
                             "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                             pre, "post_processor", "decoder", decoder, "model", model);
    if (file)
        return tokenizer_of_json(file, err);
    error_set(err, "out of memory");
    return NULL;
}

static json_t *vocab_of(const char *text, size_t n, Error *err)
{
    uint8_t *seen = calloc(N_CODES, 1);
    json_t *vocab = json_object();
    bool ok = (seen && vocab) || error_set(err, "out of memory");
    ok = ok && house_check_text(text, n, err) && (n > 0 || error_set(err, "the text is empty"));
    for (size_t at = 0; ok && at < n;) {
        uint32_t c;
        at += utf8_next(text + at, &c);
        seen[c] = 1;
    }
    for (uint32_t c = 0; ok && c < N_CODES; c++)
        if (seen[c])
            vocab_put(vocab, c);
    free(seen);
    if (ok)
        return vocab;
    json_decref(vocab);
    return NULL;
}

HfTokenizer *house_characters(const char *text, size_t n, Error *err)
{
    json_t *vocab = vocab_of(text, n, err);
    if (!vocab)
        return NULL;
    json_t *pre = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                            "[\\s\\S]", "behavior", "Isolated", "invert", 0);
    json_t *model = json_pack("{s:s, s:o, s:s}", "type", "WordLevel", "vocab", vocab, "unk_token",
                              "<unk>");
    return make(pre, json_pack("{s:s}", "type", "Fuse"), model, err);
}

HfTokenizer *house_bytes(Error *err)
{
    json_t *vocab = json_object();
    json_t *pre = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                            "trim_offsets", 1, "use_regex", 0);
    for (int b = 0; b < N_BYTES; b++)
        vocab_put(vocab, byte_level_code[b]);
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}", "type", "BPE",
                              "dropout", "unk_token", "continuing_subword_prefix",
                              "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "ignore_merges", 0, "vocab", vocab, "merges");
    return make(pre, json_deep_copy(pre), model, err);
}
