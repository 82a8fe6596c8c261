/* Categories, cases and normal forms.  utf8proc knows the characters; the ordering of combining marks
 * is done here, because a long run of them must not cost the square of its length. */
#include "runtime/tokenizer/unicode.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { REPLACEMENT = 0xfffd, MAX_DECOMPOSED = 32 };

static size_t ascii_prefix(const char *text, size_t n)
{
    size_t at = 0;
    uint64_t eight;
    for (; at + 8 <= n; at += 8) {
        memcpy(&eight, text + at, 8);
        if (eight & 0x8080808080808080u)
            break;
    }
    while (at < n && (uint8_t)text[at] < 0x80)
        at++;
    return at;
}

/* Length of the longest valid beginning. */
static size_t valid_prefix(const char *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        uint32_t c;
        at += ascii_prefix(text + at, n - at);
        if (at == n)
            break;
        const int length = utf8_decode((const uint8_t *)text + at, n - at, &c);
        if (length <= 0)
            break;
        at += (size_t)length;
    }
    return at;
}

bool unicode_valid(const char *text, size_t n)
{
    return valid_prefix(text, n) == n;
}

/* How many bytes at `text`, which begin no character, one U+FFFD stands for. */
static size_t broken_length(const char *text, size_t n)
{
    uint32_t c;
    size_t length = 1;
    while (length < n && length < 3 &&
           utf8_decode((const uint8_t *)text, length + 1, &c) == -1)
        length++;
    return length;
}

void unicode_clean(Buf *out, const char *text, size_t n)
{
    while (n > 0) {
        const size_t good = valid_prefix(text, n);
        buf_add(out, text, good);
        text += good;
        n -= good;
        if (n == 0)
            break;
        const size_t bad = broken_length(text, n);
        unicode_put(out, REPLACEMENT);
        text += bad;
        n -= bad;
    }
}

void unicode_put(Buf *out, uint32_t c)
{
    char bytes[4];
    buf_add(out, bytes, utf8_encode(c, bytes));
}

/* ---- what a character is ---------------------------------------------------------------------- */

static utf8proc_category_t category(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

bool unicode_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

bool unicode_is_number(uint32_t c)
{
    const utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool unicode_is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return c > ' ' && c < 0x7f && !((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'));
    const utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool unicode_is_mark(uint32_t c)
{
    const utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
}

bool unicode_is_nonspacing(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_MN;
}

bool unicode_is_other(uint32_t c)
{
    return category(c) >= UTF8PROC_CATEGORY_CC;
}

bool unicode_is_word(uint32_t c)
{
    const utf8proc_category_t k = category(c);
    /* Letters in circles and squares are symbols, but alphabetic; the joiners belong to words. */
    const bool enclosed = (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
                          (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           enclosed || c == 0x200c || c == 0x200d;
}

void unicode_lower(Buf *out, uint32_t c)
{
    if (c == 0x130) {
        buf_puts(out, "i\xcc\x87");
        return;
    }
    unicode_put(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

/* ---- normal forms ----------------------------------------------------------------------------- */

typedef struct Codes {
    utf8proc_int32_t *code;
    size_t n, cap;
} Codes;

static bool reserve(Codes *c, size_t more)
{
    size_t need, bytes;
    if (!size_add(c->n, more, &need))
        return false;
    if (need <= c->cap)
        return true;
    need += need / 2;
    utf8proc_int32_t *grown = size_mul(need, sizeof *grown, &bytes) ? realloc(c->code, bytes) : NULL;
    if (!grown)
        return false;
    c->code = grown;
    c->cap = need;
    return true;
}

static bool decompose(Codes *out, const char *text, size_t n, utf8proc_option_t options)
{
    for (size_t at = 0; at < n;) {
        uint32_t c;
        int boundary = 0;
        at += utf8_next(text + at, &c);
        if (!reserve(out, MAX_DECOMPOSED))
            return false;
        const utf8proc_ssize_t got = utf8proc_decompose_char((utf8proc_int32_t)c, out->code + out->n,
                                                             MAX_DECOMPOSED, options, &boundary);
        if (got < 0 || got > MAX_DECOMPOSED)
            return false;
        out->n += (size_t)got;
    }
    return true;
}

static uint8_t combining_class(utf8proc_int32_t c)
{
    return (uint8_t)utf8proc_get_property(c)->combining_class;
}

/* A stable counting sort of a run of marks by their class. */
static void order_run(utf8proc_int32_t *code, size_t n, utf8proc_int32_t *spare)
{
    size_t start[257] = { 0 };
    for (size_t i = 0; i < n; i++)
        start[combining_class(code[i]) + 1]++;
    for (size_t k = 1; k < 257; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++)
        spare[start[combining_class(code[i])]++] = code[i];
    memcpy(code, spare, n * sizeof *code);
}

static bool order_marks(Codes *c, Codes *spare)
{
    if (!reserve(spare, c->n))
        return false;
    for (size_t at = 0; at < c->n;) {
        size_t end = at;
        bool ordered = true;
        for (; end < c->n && combining_class(c->code[end]) != 0; end++)
            ordered = ordered && (end == at || combining_class(c->code[end - 1]) <=
                                                   combining_class(c->code[end]));
        if (!ordered)
            order_run(c->code + at, end - at, spare->code);
        at = end + 1;
    }
    return true;
}

static bool normalize_part(Buf *out, const char *text, size_t n, UnicodeForm form, Codes *c, Codes *spare)
{
    const bool compat = form == FORM_NFKC || form == FORM_NFKD;
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compat)
        options |= UTF8PROC_COMPAT;
    c->n = spare->n = 0;
    if (!decompose(c, text, n, options) || !order_marks(c, spare))
        return false;
    if (form == FORM_NFC || form == FORM_NFKC) {
        const utf8proc_ssize_t left = utf8proc_normalize_utf32(
            c->code, (utf8proc_ssize_t)c->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (left < 0)
            return false;
        c->n = (size_t)left;
    }
    for (size_t i = 0; i < c->n; i++)
        unicode_put(out, (uint32_t)c->code[i]);
    return !out->failed;
}

/* Nothing is composed with, or ordered before, a character of ASCII: a part begins at each that others
 * follow, and what lies between is as it was. */
bool unicode_normalize(Buf *out, const char *text, size_t n, UnicodeForm form)
{
    Codes c = { 0 }, spare = { 0 };
    bool ok = true;
    for (size_t at = 0; ok && at < n;) {
        const size_t plain = ascii_prefix(text + at, n - at);
        const size_t begin = at + plain - (plain > 0 && at + plain < n);
        size_t end = at + plain;
        while (end < n && (uint8_t)text[end] >= 0x80)
            end++;
        buf_add(out, text + at, begin - at);
        ok = !out->failed && (begin == end || normalize_part(out, text + begin, end - begin, form, &c, &spare));
        at = end;
    }
    free(c.code);
    free(spare.code);
    return ok && !out->failed;
}
