/* A state machine over one text; its stack is a bit for each open bracket. */
#include "base/json_scan.h"

#include <stdint.h>
#include <string.h>

typedef struct Scan {
    const char *text;
    size_t n, at;
    uint64_t objects;                   /* bit 0: the innermost bracket is that of an object */
    int depth;
    Error *err;
} Scan;

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- is it JSON? ------------------------------------------------------------------------------ */

static bool wrong(Scan *s, const char *expected)
{
    if (s->at >= s->n)
        return error_set(s->err, "byte %zu: not valid JSON: it ends, expected %s", s->n, expected);
    return error_set(s->err, "byte %zu: not valid JSON: expected %s", s->at, expected);
}

/* The next character that is no space; 0 at the end. */
static char peek(Scan *s)
{
    while (s->at < s->n && is_space(s->text[s->at]))
        s->at++;
    return s->at < s->n ? s->text[s->at] : 0;
}

static bool scan_escape(Scan *s)
{
    s->at++;
    if (s->at >= s->n || !memchr("\"\\/bfnrtu", s->text[s->at], 9))
        return wrong(s, "an escape");
    if (s->text[s->at++] != 'u')
        return true;
    for (int i = 0; i < 4; i++, s->at++) {
        const char c = s->at < s->n ? (char)(s->text[s->at] | 32) : 0;
        if (!is_digit(c) && (c < 'a' || c > 'f'))
            return wrong(s, "four hexadecimal digits");
    }
    return true;
}

static bool scan_string(Scan *s)
{
    s->at++;
    while (s->at < s->n) {
        const char c = s->text[s->at];
        if (c == '\\') {
            if (!scan_escape(s))
                return false;
            continue;
        }
        if ((uint8_t)c < ' ')
            return wrong(s, "no control character in a string");
        s->at++;
        if (c == '"')
            return true;
    }
    return wrong(s, "the end of a string");
}

static bool scan_digits(Scan *s)
{
    if (s->at >= s->n || !is_digit(s->text[s->at]))
        return wrong(s, "a digit");
    while (s->at < s->n && is_digit(s->text[s->at]))
        s->at++;
    return true;
}

static bool scan_number(Scan *s)
{
    s->at += s->text[s->at] == '-';
    if (s->at < s->n && s->text[s->at] == '0')
        s->at++;
    else if (!scan_digits(s))
        return false;
    if (s->at < s->n && s->text[s->at] == '.') {
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at < s->n && (s->text[s->at] | 32) == 'e') {
        s->at++;
        s->at += s->at < s->n && (s->text[s->at] == '+' || s->text[s->at] == '-');
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(Scan *s)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < 3; i++) {
        const size_t n = strlen(words[i]);
        if (s->n - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
            s->at += n;
            return true;
        }
    }
    return wrong(s, "a value");
}

static bool scan_key(Scan *s)
{
    if (peek(s) != '"')
        return wrong(s, "a key");
    if (!scan_string(s))
        return false;
    if (peek(s) != ':')
        return wrong(s, "':'");
    s->at++;
    return true;
}

static bool scan_open(Scan *s, bool object)
{
    if (s->depth == MAX_JSON_DEPTH)
        return error_set(s->err, "byte %zu: nested deeper than %d", s->at, MAX_JSON_DEPTH);
    s->depth++;
    s->objects = s->objects << 1 | object;
    s->at++;
    return true;
}

/* What may follow a value: the ends of brackets, then a comma.  *more says that a value follows. */
static bool scan_after(Scan *s, bool *more)
{
    while (s->depth > 0) {
        const bool object = s->objects & 1;
        const char c = peek(s);
        *more = c == ',';
        if (*more) {
            s->at++;
            return !object || scan_key(s);
        }
        if (c != (object ? '}' : ']'))
            return wrong(s, object ? "',' or '}'" : "',' or ']'");
        s->at++;
        s->objects >>= 1;
        s->depth--;
    }
    *more = false;
    return true;
}

/* A value that has no parts, or the beginning of one that has; *inside says that a part follows. */
static bool scan_value(Scan *s, bool *inside)
{
    const char c = peek(s);
    *inside = false;
    if (c == '"')
        return scan_string(s);
    if (c == '-' || is_digit(c))
        return scan_number(s);
    if (c != '{' && c != '[')
        return scan_word(s);
    if (!scan_open(s, c == '{'))
        return false;
    *inside = peek(s) != (c == '{' ? '}' : ']');
    return !*inside || c == '[' || scan_key(s);
}

bool json_scan(const char *text, size_t n, JsonText *out, Error *err)
{
    Scan s = { .text = text, .n = n, .err = err };
    peek(&s);
    const size_t begin = s.at;
    for (bool more = true; more;) {
        bool inside;
        if (!scan_value(&s, &inside))
            return false;
        if (!inside && !scan_after(&s, &more))
            return false;
    }
    *out = (JsonText){ text + begin, s.at - begin };
    peek(&s);
    return s.at == n || wrong(&s, "the end of the text");
}

/* ---- walking ---------------------------------------------------------------------------------- */

static const char *skip_space(const char *p)
{
    while (is_space(*p))
        p++;
    return p;
}

static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

/* What skipping stops at, and how a bracket changes the depth. */
enum { QUOTE = 2 };
static const int8_t marks[256] = { ['"'] = QUOTE, ['{'] = 1, ['['] = 1, ['}'] = -1, [']'] = -1 };

static const char *skip_value(const char *p)
{
    int depth = 0;
    do {
        int8_t mark;
        while ((mark = marks[(uint8_t)*p]) == 0)
            p++;
        depth += mark == QUOTE ? 0 : mark;
        p = mark == QUOTE ? skip_string(p) : p + 1;
    } while (depth > 0);
    return p;
}

/* Behind a number or a word. */
static const char *skip_plain(const char *p)
{
    while (is_digit(*p) || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '+' || *p == '.' || *p == 'E')
        p++;
    return p;
}

JsonWalk json_walk(JsonText value)
{
    if (!json_is(value, '{') && !json_is(value, '['))
        return (JsonWalk){ NULL, false };
    return (JsonWalk){ skip_space(value.text + 1), *value.text == '{' };
}

/* The text was found valid, so that every bracket and every quote has its other. */
bool json_walk_next(JsonWalk *w, JsonText *key, JsonText *value)
{
    const char *p = w->at;
    *key = (JsonText){ "", 0 };
    if (!p || *p == '}' || *p == ']')
        return false;
    if (w->object) {
        *key = (JsonText){ p, (size_t)(skip_string(p) - p) };
        p = skip_space(skip_space(p + key->n) + 1);
    }
    const bool whole = *p == '"' || *p == '{' || *p == '[';
    *value = (JsonText){ p, (size_t)((whole ? skip_value(p) : skip_plain(p)) - p) };
    p = skip_space(p + value->n);
    w->at = *p == ',' ? skip_space(p + 1) : p;
    return true;
}

size_t json_count(JsonText value)
{
    JsonWalk w = json_walk(value);
    JsonText key, part;
    size_t n = 0;
    while (json_walk_next(&w, &key, &part))
        n++;
    return n;
}

bool json_is(JsonText value, char first)
{
    return value.n > 0 && *value.text == first;
}

bool json_equals(JsonText string, const char *ascii)
{
    if (!json_is(string, '"'))
        return false;
    const char *p = string.text + 1;
    for (; *p != '"' && *ascii; p++, ascii++) {
        char c = *p;
        if (c == '\\' && *++p != 'u') {
            c = *p == 'b' ? '\b' : *p == 'f' ? '\f' : *p == 'n' ? '\n' : *p == 'r' ? '\r'
                : *p == 't' ? '\t' : *p;
        } else if (c == '\\') {
            unsigned code = 0;
            for (int i = 0; i < 4; i++) {
                const char h = *++p;
                code = 16 * code + (unsigned)(is_digit(h) ? h - '0' : (h | 32) - 'a' + 10);
            }
            c = (char)(code < 128 ? code : 0xff);
        }
        if (c != *ascii)
            return false;
    }
    return *p == '"' && *ascii == 0;
}
