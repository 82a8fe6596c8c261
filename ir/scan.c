/* The pieces that lines of graph text are made of. */
#include "ir/scan.h"

#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST_STRING = 4096 };

/* ---- messages -------------------------------------------------------------------------------- */

bool scan_fail(Scan *s, const char *fmt, ...)
{
    char text[800];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return error_set(s->err, "line %u, column %zu: %s", s->line_no, (size_t)(s->p - s->line) + 1,
                     text);
}

bool scan_expected(Scan *s, const char *what)
{
    if (scan_peek(s) == '\n')
        return scan_fail(s, "expected %s, found the end of the %s", what,
                         s->p == s->end ? "text" : "line");
    char found[17] = { 0 };
    for (size_t i = 0; i + 1 < sizeof found && s->p + i < s->end; i++) {
        char c = s->p[i];
        if (c == '\n' || (c == ' ' && i > 0))
            break;
        found[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    return scan_fail(s, "expected %s, found `%s`", what, found);
}

/* ---- bytes and lines ------------------------------------------------------------------------- */

static bool at(const Scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

int scan_peek(Scan *s)
{
    while (at(s, ' ') || at(s, '\t'))
        s->p++;
    return s->p < s->end ? (unsigned char)*s->p : '\n';
}

bool scan_try(Scan *s, char c)
{
    scan_peek(s);
    if (!at(s, c))
        return false;
    s->p++;
    return true;
}

bool scan_need(Scan *s, char c)
{
    const char what[] = { '`', c, '`', 0 };
    return scan_try(s, c) || scan_expected(s, what);
}

bool scan_end_line(Scan *s)
{
    int c = scan_peek(s);
    if (c == '#') {
        const char *newline = memchr(s->p, '\n', (size_t)(s->end - s->p));
        s->p = newline ? newline : s->end;
    } else if (c != '\n') {
        return scan_expected(s, "the end of the line");
    }
    return true;
}

bool scan_next_line(Scan *s)
{
    for (;;) {
        int c = scan_peek(s);
        if (c == '#')
            scan_end_line(s);
        else if (c != '\n')
            return true;
        if (s->p == s->end)
            return false;
        s->p++;
        s->line = s->p;
        s->line_no++;
    }
}

/* ---- words and numbers ----------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Length of the word that comes next, 0 when none does. */
static size_t word_length(Scan *s)
{
    scan_peek(s);
    size_t left = (size_t)(s->end - s->p), n = 0;
    if (left == 0 || is_digit(*s->p))
        return 0;
    while (n < left && in_word(s->p[n]))
        n++;
    return n;
}

bool scan_word(Scan *s, Word *out)
{
    size_t n = word_length(s);
    if (n == 0)
        return scan_expected(s, "a word");
    if (n >= sizeof out->text)
        return scan_fail(s, "a word of %zu letters; no name here has so many", n);
    memcpy(out->text, s->p, n);
    out->text[n] = 0;
    s->p += n;
    return true;
}

bool scan_choice(Scan *s, const char *const *words, size_t n, const char *what, size_t *out)
{
    size_t length = word_length(s);
    for (size_t i = 0; i < n && length; i++)
        if (strlen(words[i]) == length && memcmp(words[i], s->p, length) == 0) {
            s->p += length;
            *out = i;
            return true;
        }
    return scan_expected(s, what);
}

bool scan_try_key(Scan *s, const char *key)
{
    size_t n = word_length(s);
    if (n != strlen(key) || memcmp(key, s->p, n) != 0 || s->p + n == s->end || s->p[n] != '=')
        return false;
    s->p += n + 1;
    return true;
}

bool scan_int(Scan *s, int64_t least, int64_t most, int64_t *out)
{
    char digits[32];
    size_t n = 0;
    scan_peek(s);
    while (n + 1 < sizeof digits && s->p + n < s->end && (is_digit(s->p[n]) ||
                                                          (n == 0 && s->p[n] == '-'))) {
        digits[n] = s->p[n];
        n++;
    }
    digits[n] = 0;
    if (n == 0 || (n == 1 && *digits == '-'))
        return scan_expected(s, "a whole number");
    if (!str_to_i64(digits, least, most, out))
        return scan_fail(s, "%s lies outside of %lld to %lld", digits, (long long)least,
                         (long long)most);
    s->p += n;
    return true;
}

bool scan_u32(Scan *s, uint32_t most, uint32_t *out)
{
    int64_t v;
    if (!scan_int(s, 0, most, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool scan_double(Scan *s, double *out)
{
    static const struct {
        const char *word;
        double value;
    } special[] = { { "nan", NAN }, { "inf", INFINITY }, { "-inf", -INFINITY } };
    scan_peek(s);
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(special[i].word);
        if ((size_t)(s->end - s->p) >= n && memcmp(s->p, special[i].word, n) == 0) {
            *out = special[i].value;
            s->p += n;
            return true;
        }
    }
    char text[64];
    size_t n = 0;
    while (n + 1 < sizeof text && s->p + n < s->end &&
           (is_digit(s->p[n]) || memchr("+-.eE", s->p[n], 5))) {
        text[n] = s->p[n];
        n++;
    }
    text[n] = 0;
    if (!str_to_double(text, out))
        return scan_expected(s, "a number");
    s->p += n;
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte after a backslash, which was taken. */
static bool scan_escape(Scan *s, char *out)
{
    if (at(s, '"') || at(s, '\\')) {
        *out = *s->p++;
        return true;
    }
    if (s->end - s->p < 3 || *s->p != 'x')
        return scan_fail(s, "a backslash stands before \", \\ or xNN");
    int value = hex_digit(s->p[1]) * 16 + hex_digit(s->p[2]);
    if (hex_digit(s->p[1]) < 0 || hex_digit(s->p[2]) < 0 || value == 0)
        return scan_fail(s, "\\x stands before two digits 0-9a-f, not both 0");
    *out = (char)value;
    s->p += 3;
    return true;
}

bool scan_string(Scan *s, const char **out)
{
    char text[LONGEST_STRING + 1];
    size_t n = 0;
    if (!scan_need(s, '"'))
        return false;
    while (!at(s, '"')) {
        if (s->p == s->end || *s->p == '\n' || *s->p == 0)
            return scan_fail(s, "a string without its closing \"");
        if (n == LONGEST_STRING)
            return scan_fail(s, "a string of more than %d bytes", LONGEST_STRING);
        char c = *s->p++;
        if (c == '\\' && !scan_escape(s, &c))
            return false;
        text[n++] = c;
    }
    s->p++;
    text[n] = 0;
    if (!s->last_string || strcmp(text, s->last_string) != 0)
        s->last_string = arena_strdup(s->arena, text);
    *out = s->last_string;
    return true;
}

/* ---- sizes, types, spans --------------------------------------------------------------------- */

/* A number, or a symbol with an optional power. */
static bool scan_factor(Scan *s, const Graph *g, Dim *out)
{
    if (is_digit((char)scan_peek(s))) {
        int64_t n;
        if (!scan_int(s, 0, ((int64_t)1 << 62) - 1, &n))
            return false;
        *out = dim_const(n);
        return true;
    }
    const char *names[MAX_SYMBOLS];
    size_t symbol = 0;
    for (uint32_t i = 0; i < g->n_symbols; i++)
        names[i] = g->symbol[i].name;
    if (!scan_choice(s, names, g->n_symbols, "a number or a symbol of this graph", &symbol))
        return false;
    *out = dim_symbol((int)symbol);
    if (scan_try(s, '^')) {
        int64_t power;
        if (!scan_int(s, 1, UINT8_MAX, &power))
            return false;
        out->power[symbol] = (uint8_t)power;
    }
    return true;
}

bool scan_dim(Scan *s, const Graph *g, int64_t least_coef, Dim *out)
{
    Dim d = dim_const(1), factor;
    do {
        if (!scan_factor(s, g, &factor))
            return false;
        if (!dim_mul(d, factor, &d))
            return scan_fail(s, "the size does not fit 62 bits");
    } while (scan_try(s, '*'));
    if (d.coef < least_coef)
        return scan_fail(s, "a size below %lld", (long long)least_coef);
    *out = d;
    return true;
}

bool scan_type(Scan *s, const Graph *g, Type *out)
{
    Word name;
    *out = (Type){ 0 };
    scan_peek(s);
    const char *start = s->p;
    if (!scan_word(s, &name))
        return false;
    if (!dtype_from_name(name.text, &out->dtype)) {
        s->p = start;
        return scan_expected(s, "an element type");
    }
    if (!scan_need(s, '['))
        return false;
    if (scan_try(s, ']'))
        return true;
    do {
        if (out->shape.rank == MAX_RANK)
            return scan_fail(s, "a shape of more than %d axes", MAX_RANK);
        if (!scan_dim(s, g, 1, &out->shape.dim[out->shape.rank]))
            return false;
        out->shape.rank++;
    } while (scan_try(s, ','));
    return scan_need(s, ']');
}

bool scan_span(Scan *s, const Graph *g, Span *out)
{
    *out = (Span){ 0 };
    if (!scan_try(s, '@'))
        return true;
    if (!scan_u32(s, UINT32_MAX, &out->file))
        return false;
    if (out->file >= g->n_files)
        return scan_fail(s, "file %u of %u", out->file, g->n_files);
    return scan_need(s, ':') && scan_u32(s, UINT32_MAX, &out->line) && scan_need(s, ':') &&
           scan_u32(s, UINT32_MAX, &out->column) && scan_need(s, '+') &&
           scan_u32(s, UINT32_MAX, &out->length);
}
