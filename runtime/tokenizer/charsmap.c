/* Looking up in the double array, and cutting text into graphemes, which utf8proc knows. */
#include "runtime/tokenizer/charsmap.h"

#include "runtime/tokenizer/unicode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_GRAPHEME = 5, N_ASCII = 128, HEADER = 4 };

typedef struct Rule {
    const char *text;                   /* NULL: none */
    size_t n;
} Rule;

struct Charsmap {
    char *bytes;                        /* decoded; owned */
    uint32_t *unit;
    size_t n_units;
    const char *result;                 /* in `bytes` */
    size_t n_result;
    Rule ascii[N_ASCII];                /* of a character that stands alone */
};

/* ---- reading ---------------------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void charsmap_base64(Buf *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i < 3 ? n - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < left ? bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_putc(out, k <= left ? digits[bits >> (18 - 6 * k) & 63] : '=');
    }
}

static int digit_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Four digits are three bytes; signs at the end stand for none. */
static bool decode_base64(const char *s, size_t n, char *out, size_t *out_n, Error *err)
{
    uint32_t bits = 0;
    for (int k = 0; k < 2 && n > 0 && s[n - 1] == '='; k++)
        n--;
    *out_n = 0;
    for (size_t i = 0; i < n; i++) {
        const int digit = digit_of(s[i]);
        if (digit < 0)
            return error_set(err, "its byte %zu is no digit of base64", i);
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            out[(*out_n)++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
    }
    return n % 4 != 1 || error_set(err, "it ends within a byte");
}

/* The place of a result, where one can begin. */
static Rule rule_at(const Charsmap *m, size_t at)
{
    if (at >= m->n_result || ((uint8_t)m->result[at] & 0xc0) == 0x80)
        return (Rule){ NULL, 0 };
    return (Rule){ m->result + at, strnlen(m->result + at, m->n_result - at) };
}

/* The rule of the shortest key that the text begins with. */
static Rule find_rule(const Charsmap *m, const char *text, size_t n)
{
    size_t at = 0;
    uint32_t unit = m->unit[0];
    for (size_t i = 0; i < n && text[i]; i++) {
        at ^= (unit >> 10) << ((unit & 1u << 9) >> 6);
        at ^= (uint8_t)text[i];
        if (at >= m->n_units)
            break;
        unit = m->unit[at];
        if ((unit & (1u << 31 | 0xff)) != (uint8_t)text[i])
            break;
        if (!(unit >> 8 & 1))
            continue;
        at ^= (unit >> 10) << ((unit & 1u << 9) >> 6);
        return at < m->n_units ? rule_at(m, m->unit[at] & INT32_MAX) : (Rule){ NULL, 0 };
    }
    return (Rule){ NULL, 0 };
}

static bool read_parts(Charsmap *m, size_t n, Error *err)
{
    uint32_t trie;
    if (n < HEADER)
        return error_set(err, "it has %zu bytes", n);
    memcpy(&trie, m->bytes, HEADER);
    if (trie == 0 || trie % sizeof *m->unit != 0 || trie > n - HEADER)
        return error_set(err, "its trie has %" PRIu32 " bytes of %zu", trie, n - HEADER);
    m->n_units = trie / sizeof *m->unit;
    m->unit = malloc(trie);
    if (!m->unit)
        return error_set(err, "out of memory");
    memcpy(m->unit, m->bytes + HEADER, trie);
    m->result = m->bytes + HEADER + trie;
    m->n_result = n - HEADER - trie;
    if (!unicode_valid(m->result, m->n_result))
        return error_set(err, "what characters become is not UTF-8");
    for (int c = 0; c < N_ASCII; c++)
        m->ascii[c] = find_rule(m, &(char){ (char)c }, 1);
    return true;
}

Charsmap *charsmap_read(const char *base64, size_t n, Error *err)
{
    size_t bytes;
    Charsmap *m = calloc(1, sizeof *m);
    if (m)
        m->bytes = malloc(n + 1);
    bool ok = (m && m->bytes) || error_set(err, "out of memory");
    ok = ok && decode_base64(base64, n, m->bytes, &bytes, err) && read_parts(m, bytes, err);
    if (ok)
        return m;
    charsmap_free(m);
    return NULL;
}

void charsmap_free(Charsmap *m)
{
    if (!m)
        return;
    free(m->bytes);
    free(m->unit);
    free(m);
}

/* ---- rewriting -------------------------------------------------------------------------------- */

static void put_rule(Buf *out, Rule r, const char *text, size_t n)
{
    buf_add(out, r.text ? r.text : text, r.text ? r.n : n);
}

/* Bytes of the grapheme at `text`. */
static size_t grapheme_length(const char *text, size_t n)
{
    uint32_t before, c;
    utf8proc_int32_t state = 0;
    size_t at = utf8_next(text, &before);
    while (at < n) {
        const size_t length = utf8_next(text + at, &c);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)c, &state))
            break;
        at += length;
        before = c;
    }
    return at;
}

static void run_grapheme(const Charsmap *m, Buf *out, const char *text, size_t n)
{
    const Rule whole = n <= MAX_GRAPHEME ? find_rule(m, text, n) : (Rule){ NULL, 0 };
    if (whole.text) {
        put_rule(out, whole, text, n);
        return;
    }
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_length(text[at]);
        put_rule(out, find_rule(m, text + at, length), text + at, length);
        at += length;
    }
}

void charsmap_run(const Charsmap *m, Buf *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        /* Of characters of ASCII, only a line's two ends are a grapheme together. */
        const uint8_t c = (uint8_t)text[at], next = at + 1 < n ? (uint8_t)text[at + 1] : 0;
        if (c < N_ASCII && next < N_ASCII && !(c == '\r' && next == '\n')) {
            put_rule(out, m->ascii[c], text + at, 1);
            at++;
            continue;
        }
        const size_t length = grapheme_length(text + at, n - at);
        run_grapheme(m, out, text + at, length);
        at += length;
    }
}
