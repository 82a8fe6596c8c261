/* The two tokenizers and the stream of characters. */
#include "runtime/tokenizer.h"

#include "base/check.h"
#include "base/hash.h"
#include "runtime/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { N_BYTES = 256, N_CODES = 0x110000, REPLACEMENT = 0xfffd };

const char *tokenizer_kind_name(TokenizerKind k)
{
    return k == TOKENIZER_CHAR ? "char" : "byte";
}

void tokenizer_bytes(Tokenizer *out)
{
    *out = (Tokenizer){ .kind = TOKENIZER_BYTE, .n = N_BYTES, .hash = hash_bytes("byte", 4) };
}

/* Where the last id whose code point is at most `code` stands in `sorted`, or -1. */
static int32_t place_of(const Tokenizer *t, uint32_t code)
{
    int32_t low = 0, high = t->n;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (t->code[t->sorted[middle]] <= code)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

static int32_t id_of(const Tokenizer *t, uint32_t code)
{
    const int32_t place = place_of(t, code);
    return place >= 0 && t->code[t->sorted[place]] == code ? t->sorted[place] : -1;
}

/* Ids in order of code points, by a mark for each code point that there is. */
static bool sort_ids(Tokenizer *t, Error *err)
{
    int32_t *id = malloc(N_CODES * sizeof *id), n = 0;
    if (!id)
        return error_set(err, "out of memory");
    memset(id, 0xff, N_CODES * sizeof *id);
    for (int32_t i = 0; i < t->n; i++) {
        if (t->code[i] >= N_CODES || id[t->code[i]] >= 0) {
            free(id);
            return error_set(err, "U+%04" PRIX32 " is no character, or stands there twice",
                             t->code[i]);
        }
        id[t->code[i]] = i;
    }
    for (int32_t c = 0; c < N_CODES; c++)
        if (id[c] >= 0)
            t->sorted[n++] = id[c];
    free(id);
    return true;
}

bool tokenizer_of_codes(const uint32_t *code, int32_t n, Tokenizer *out, Error *err)
{
    *out = (Tokenizer){ .kind = TOKENIZER_CHAR, .n = n };
    if (n < 1)
        return error_set(err, "a tokenizer without characters");
    out->code = malloc((size_t)n * sizeof *out->code);
    out->sorted = malloc((size_t)n * sizeof *out->sorted);
    bool ok = out->code && out->sorted;
    if (!ok) {
        error_set(err, "out of memory");
    } else {
        memcpy(out->code, code, (size_t)n * sizeof *code);
        out->hash = hash_seeded(code, (size_t)n * sizeof *code, hash_bytes("char", 4));
        ok = sort_ids(out, err);
    }
    if (!ok)
        tokenizer_free(out);
    return ok;
}

static bool not_text(const char *text, size_t at, Error *err)
{
    const unsigned byte = (unsigned char)text[at];
    if (byte == 0)
        return error_set(err, "byte %zu of the text is zero; for data that is not text use "
                         "--tokenizer byte", at);
    return error_set(err, "byte %zu of the text, 0x%02x, is not UTF-8; use --tokenizer byte, or "
                     "convert the text", at, byte);
}

bool tokenizer_check_text(const char *text, size_t n, Error *err)
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

bool tokenizer_chars(const char *text, size_t n, Tokenizer *out, Error *err)
{
    *out = (Tokenizer){ 0 };
    uint8_t *seen = calloc(N_CODES, 1);
    uint32_t *code = malloc(N_CODES * sizeof *code);
    bool ok = (seen && code) || error_set(err, "out of memory");
    ok = ok && tokenizer_check_text(text, n, err);
    uint32_t c = 0;
    for (size_t at = 0; ok && at < n; seen[c] = 1)
        at += (size_t)utf8_decode((const uint8_t *)text + at, n - at, &c);
    int32_t n_codes = 0;
    for (uint32_t k = 0; ok && k < N_CODES; k++)
        if (seen[k])
            code[n_codes++] = k;
    if (ok)
        ok = n_codes ? tokenizer_of_codes(code, n_codes, out, err)
                     : error_set(err, "the text is empty");
    free(seen);
    free(code);
    return ok;
}

void tokenizer_free(Tokenizer *t)
{
    free(t->code);
    free(t->sorted);
    *t = (Tokenizer){ 0 };
}

static bool unknown_character(uint32_t code, size_t at, Error *err)
{
    char text[5] = { 0 };
    utf8_encode(code, text);
    return error_set(err, "the character U+%04" PRIX32 " \"%s\" at byte %zu is not among those that "
                     "the model was trained on", code, code < 0x20 ? "" : text, at);
}

bool tokenizer_encode(const Tokenizer *t, const char *text, size_t n, int32_t *ids, size_t *n_ids,
                      Error *err)
{
    size_t count = 0;
    int32_t ascii[128];
    for (uint32_t c = 0; c < COUNT_OF(ascii); c++)
        ascii[c] = t->kind == TOKENIZER_CHAR ? id_of(t, c) : (int32_t)c;
    for (size_t at = 0; at < n; count++) {
        const uint8_t *s = (const uint8_t *)text + at;
        uint32_t code = s[0];
        int length = 1;
        if (t->kind == TOKENIZER_CHAR)
            length = utf8_decode(s, n - at, &code);
        if (length <= 0)
            return not_text(text, at, err);
        if (t->kind == TOKENIZER_BYTE)
            ids[count] = s[0];
        else
            ids[count] = code < COUNT_OF(ascii) ? ascii[code] : id_of(t, code);
        if (ids[count] < 0)
            return unknown_character(code, at, err);
        at += (size_t)length;
    }
    *n_ids = count;
    return true;
}

size_t tokenizer_piece(const Tokenizer *t, int32_t id, char out[4])
{
    if (id < 0 || id >= t->n)
        return 0;
    if (t->kind == TOKENIZER_CHAR)
        return utf8_encode(t->code[id], out);
    out[0] = (char)id;
    return 1;
}

/* ---- whole characters ------------------------------------------------------------------------- */

static void add_code(Buf *out, uint32_t code)
{
    char text[4];
    buf_add(out, text, utf8_encode(code, text));
}

/* Passes on what the held bytes decide. */
static void settle(TextStream *s, Buf *out)
{
    uint32_t code;
    int length;
    while (s->n > 0 && (length = utf8_decode(s->held, s->n, &code)) >= 0) {
        add_code(out, length ? code : REPLACEMENT);
        const size_t used = length ? (size_t)length : 1;
        s->n -= used;
        memmove(s->held, s->held + used, s->n);
    }
}

void text_stream_add(TextStream *s, const char *bytes, size_t n, Buf *out)
{
    for (size_t i = 0; i < n; i++) {
        s->held[s->n++] = (uint8_t)bytes[i];
        settle(s, out);
    }
}

void text_stream_end(TextStream *s, Buf *out)
{
    for (; s->n > 0; settle(s, out)) {
        add_code(out, REPLACEMENT);
        memmove(s->held, s->held + 1, --s->n);
    }
}
