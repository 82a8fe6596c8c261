/* Normalizers: text to text, before it is cut. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/charsmap.h"
#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* The order of `names`. */
typedef enum NormalizerKind {
    NORM_SEQUENCE, NORM_NFC, NORM_NFD, NORM_NFKC, NORM_NFKD, NORM_LOWERCASE, NORM_PREPEND,
    NORM_REPLACE, NORM_STRIP, NORM_STRIP_ACCENTS, NORM_BERT, NORM_BYTE_LEVEL,
    NORM_NMT, NORM_PRECOMPILED,
} NormalizerKind;

static const char *const names[] = {
    "Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "Replace", "Strip",
    "StripAccents", "BertNormalizer", "ByteLevel", "Nmt", "Precompiled",
};

struct Normalizer {
    NormalizerKind kind;
    Normalizer **child;                 /* of a sequence */
    size_t n_children;
    Pattern pattern;                    /* of a replacement */
    char *content;                      /* what is prepended, or put in place */
    size_t content_n;
    Charsmap *charsmap;                 /* of Precompiled */
    bool left, right;                   /* of a strip */
    bool clean, chinese, accents, lower;        /* of BERT's */
};

/* ---- reading ---------------------------------------------------------------------------------- */

static bool read_children(const json_t *o, Normalizer *m, Error *err)
{
    const json_t *list = json_object_get(o, "normalizers");
    if (!json_is_array(list))
        return error_set(err, "\"normalizers\" is missing");
    m->child = calloc(json_array_size(list) + 1, sizeof(Normalizer *));
    if (!m->child)
        return error_set(err, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        m->child[i] = normalizer_read(json_array_get(list, i), err);
        if (!m->child[i])
            return false;
        m->n_children++;
    }
    return true;
}

static bool read_content(const json_t *o, const char *key, Normalizer *m, Error *err)
{
    const char *s;
    if (!field_string(o, key, &s, &m->content_n, err))
        return false;
    if (!s)
        return error_set(err, "\"%s\" is missing", key);
    m->content = malloc(m->content_n + 1);
    if (!m->content)
        return error_set(err, "out of memory");
    memcpy(m->content, s, m->content_n);
    return true;
}

static bool read_charsmap(const json_t *o, Normalizer *m, Error *err)
{
    const char *s;
    size_t n;
    if (!field_string(o, "precompiled_charsmap", &s, &n, err))
        return false;
    if (!s)
        return error_set(err, "\"precompiled_charsmap\" is missing");
    m->charsmap = charsmap_read(s, n, err);
    return m->charsmap || error_prefix(err, "\"precompiled_charsmap\"");
}

static bool read_fields(const json_t *o, Normalizer *m, Error *err)
{
    switch (m->kind) {
    case NORM_SEQUENCE:
        return read_children(o, m, err);
    case NORM_PREPEND:
        return read_content(o, "prepend", m, err);
    case NORM_REPLACE:
        return pattern_read(json_object_get(o, "pattern"), &m->pattern, err) &&
               read_content(o, "content", m, err);
    case NORM_STRIP:
        return field_bool(o, "strip_left", true, &m->left, err) &&
               field_bool(o, "strip_right", true, &m->right, err);
    case NORM_BERT:
        /* Accents go when letters are lowered, unless the file says otherwise. */
        return field_bool(o, "clean_text", true, &m->clean, err) &&
               field_bool(o, "handle_chinese_chars", true, &m->chinese, err) &&
               field_bool(o, "lowercase", true, &m->lower, err) &&
               field_bool(o, "strip_accents", m->lower, &m->accents, err);
    case NORM_PRECOMPILED:
        return read_charsmap(o, m, err);
    case NORM_NFC: case NORM_NFD: case NORM_NFKC: case NORM_NFKD: case NORM_LOWERCASE:
    case NORM_STRIP_ACCENTS: case NORM_BYTE_LEVEL: case NORM_NMT:
        break;
    }
    return true;
}

Normalizer *normalizer_read(const json_t *o, Error *err)
{
    const char *type = field_type(o, err);
    const int kind = type ? word_index(type, names, sizeof names / sizeof *names, "normalizer", err)
                          : -1;
    if (kind < 0)
        return NULL;
    Normalizer *m = calloc(1, sizeof *m);
    if (!m) {
        error_set(err, "out of memory");
        return NULL;
    }
    m->kind = (NormalizerKind)kind;
    if (!read_fields(o, m, err)) {
        error_prefix(err, "%s", type);
        normalizer_free(m);
        return NULL;
    }
    return m;
}

void normalizer_free(Normalizer *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_children; i++)
        normalizer_free(m->child[i]);
    free(m->child);
    pattern_free(&m->pattern);
    charsmap_free(m->charsmap);
    free(m->content);
    free(m);
}

/* ---- running ---------------------------------------------------------------------------------- */

static void lower(Buf *out, const char *text, size_t n)
{
    uint32_t c;
    for (size_t at = 0; at < n;) {
        if ((uint8_t)text[at] < 0x80) {
            const char b = text[at++];
            buf_putc(out, b >= 'A' && b <= 'Z' ? (char)(b | 32) : b);
            continue;
        }
        at += utf8_next(text + at, &c);
        unicode_lower(out, c);
    }
}

/* Like those that follow it returns whether the first character goes. */
static bool drop(Buf *out, const char *text, size_t n, bool (*what)(uint32_t))
{
    uint32_t c;
    bool kept_first = false;
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_next(text + at, &c);
        if (!what(c)) {
            kept_first |= at == 0;
            buf_add(out, text + at, length);
        }
        at += length;
    }
    return !kept_first;
}

static bool strip(Buf *out, const char *text, size_t n, bool left, bool right)
{
    uint32_t c;
    size_t begin = 0, end = n;
    while (left && begin < n) {
        const size_t length = utf8_next(text + begin, &c);
        if (!unicode_is_space(c))
            break;
        begin += length;
    }
    while (right && end > begin) {
        size_t last = end - 1;
        while (last > begin && ((uint8_t)text[last] & 0xc0) == 0x80)
            last--;
        utf8_next(text + last, &c);
        if (!unicode_is_space(c))
            break;
        end = last;
    }
    buf_add(out, text + begin, end - begin);
    return begin > 0;
}

static bool clean(Buf *out, const char *text, size_t n)
{
    uint32_t c;
    bool kept_first = false;
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_next(text + at, &c);
        const bool space = unicode_is_space(c) && c != 0x0b && c != 0x0c && c != 0x85;
        const bool kept = space || (c != 0 && c != 0xfffd && !unicode_is_other(c));
        kept_first |= kept && at == 0;
        if (space)
            buf_putc(out, ' ');
        else if (kept)
            buf_add(out, text + at, length);
        at += length;
    }
    return !kept_first;
}

/* What machine translation leaves out: control characters go, spaces of every kind are one kind. */
static bool is_nmt_removed(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f ||
           c == 0x9f;
}

static bool is_nmt_space(uint32_t c)
{
    return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
           c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
}

static bool nmt(Buf *out, const char *text, size_t n)
{
    uint32_t c;
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_next(text + at, &c);
        if (is_nmt_space(c))
            buf_putc(out, ' ');
        else if (!is_nmt_removed(c))
            buf_add(out, text + at, length);
        at += length;
    }
    utf8_next(text, &c);
    return is_nmt_removed(c);
}

static bool is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static void set_apart(Buf *out, const char *text, size_t n)
{
    uint32_t c;
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_next(text + at, &c);
        if (is_ideograph(c))
            buf_putc(out, ' ');
        buf_add(out, text + at, length);
        if (is_ideograph(c))
            buf_putc(out, ' ');
        at += length;
    }
}

/* w->spare becomes w->normal. */
static void turn(Workspace *w)
{
    const Buf old = w->normal;
    w->normal = w->spare;
    w->spare = old;
    buf_clear(&w->spare);
}

static bool run_bert(const Normalizer *m, Workspace *w)
{
    bool ok = true;
    buf_clear(&w->spare);
    if (m->clean) {
        w->beheaded |= clean(&w->spare, w->normal.data, w->normal.len);
        turn(w);
    }
    if (m->chinese && w->normal.len) {
        set_apart(&w->spare, w->normal.data, w->normal.len);
        turn(w);
    }
    if (m->accents && w->normal.len) {
        ok = unicode_normalize(&w->spare, w->normal.data, w->normal.len, FORM_NFD);
        turn(w);
        if (w->normal.len)
            w->beheaded |= drop(&w->spare, w->normal.data, w->normal.len, unicode_is_nonspacing);
        turn(w);
    }
    if (m->lower && w->normal.len) {
        lower(&w->spare, w->normal.data, w->normal.len);
        turn(w);
    }
    return ok && !w->normal.failed && !w->spare.failed;
}

static bool run_sequence(const Normalizer *m, Workspace *w, Error *err)
{
    for (size_t i = 0; i < m->n_children; i++)
        if (!normalizer_run(m->child[i], w, err))
            return false;
    return true;
}

bool normalizer_run(const Normalizer *m, Workspace *w, Error *err)
{
    if (!m || w->normal.len == 0)
        return true;
    if (m->kind == NORM_SEQUENCE)
        return run_sequence(m, w, err);
    if (m->kind == NORM_BERT)
        return run_bert(m, w) || error_set(err, "out of memory");
    const char *text = w->normal.data;
    const size_t n = w->normal.len;
    Buf *out = &w->spare;
    bool ok = true;
    buf_clear(out);
    switch (m->kind) {
    case NORM_SEQUENCE: case NORM_BERT: break;
    case NORM_NFC: ok = unicode_normalize(out, text, n, FORM_NFC); break;
    case NORM_NFD: ok = unicode_normalize(out, text, n, FORM_NFD); break;
    case NORM_NFKC: ok = unicode_normalize(out, text, n, FORM_NFKC); break;
    case NORM_NFKD: ok = unicode_normalize(out, text, n, FORM_NFKD); break;
    case NORM_LOWERCASE: lower(out, text, n); break;
    case NORM_PREPEND:
        buf_add(out, m->content, m->content_n);
        buf_add(out, text, n);
        break;
    case NORM_REPLACE:
        if (!pattern_replace(&m->pattern, w, text, n, m->content, m->content_n, out, err))
            return false;
        w->beheaded |= m->content_n == 0 && (out->len == 0 || utf8_length(*text) > out->len ||
                                             memcmp(text, out->data, utf8_length(*text)) != 0);
        break;
    case NORM_STRIP: w->beheaded |= strip(out, text, n, m->left, m->right); break;
    case NORM_STRIP_ACCENTS: w->beheaded |= drop(out, text, n, unicode_is_mark); break;
    case NORM_BYTE_LEVEL: byte_level_put(out, text, n); break;
    case NORM_NMT: w->beheaded |= nmt(out, text, n); break;
    case NORM_PRECOMPILED: charsmap_run(m->charsmap, out, text, n); break;
    }
    turn(w);
    return (ok && !w->normal.failed && !w->spare.failed) || error_set(err, "out of memory");
}
