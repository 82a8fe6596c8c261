/* From bytes to a tree: is it text at all, then tokens, then the grammar. */
#include "frontend/parse.h"

#include <string.h>

Span parse_span(const Parse *p, Loc loc)
{
    uint32_t last = loc.last;
    if (loc.last_line != loc.line) {
        const char *end = memchr(p->text + loc.first, '\n', loc.last - loc.first);
        if (end)
            last = (uint32_t)(end - p->text);
    }
    return (Span){ p->file, loc.line, loc.column, last - loc.first };
}

bool parse_error(Parse *p, Loc loc, DiagCode code, const char *fmt, ...)
{
    if (p->diags->n_errors >= MAX_ERRORS)
        return false;
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    diag_error(p->diags, parse_span(p, loc), code, "%s", text);
    return true;
}

/* Bytes of the UTF-8 sequence at `s`, 0 when there is none: no overlong forms, no surrogates,
 * nothing past U+10FFFF. */
static uint32_t utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    uint32_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || length > n)
        return 0;
    for (uint32_t i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool bad = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
               (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F);
    return bad ? 0 : length;
}

/* Reports the first few bytes that no text holds; false when there are any. */
static bool check_bytes(Parse *p)
{
    enum { ENOUGH = 3 };
    int bad = 0;
    uint32_t line = 1, line_start = 0;
    for (uint32_t i = 0; i < p->n && bad < ENOUGH;) {
        Loc loc = { i, i + 1, line, i - line_start + 1, line };
        uint32_t length = utf8_length((const unsigned char *)p->text + i, p->n - i);
        if (p->text[i] == '\n') {
            line++;
            line_start = i + 1;
        } else if (p->text[i] == 0) {
            parse_error(p, loc, DIAG_E0101, "a zero byte: this is not a text file");
            bad++;
        } else if (length == 0) {
            parse_error(p, loc, DIAG_E0102, "the byte 0x%02x is not UTF-8",
                        (unsigned char)p->text[i]);
            bad++;
        }
        i += length ? length : 1;
    }
    return bad == 0;
}

Ast *parse_text(Parse *p, const char *name, const char *text, size_t n)
{
    p->ast = arena_alloc(p->arena, sizeof *p->ast);
    p->file = diag_file(p->diags, name);
    if (n > MAX_TEXT) {
        diag_error(p->diags, (Span){ p->file, 0, 0, 0 }, DIAG_E0100,
                   "%s: %zu bytes; a model file has at most %d", name, n, MAX_TEXT);
        p->ast->n_syntax_errors++;
        return p->ast;
    }
    p->text = text;
    p->n = (uint32_t)n;
    uint32_t before = p->diags->n_errors;
    if (check_bytes(p)) {
        lex_text(p);
        parse_tokens(p);
    }
    if (p->diags->n_errors > before)
        p->ast->n_syntax_errors += p->diags->n_errors - before;
    return p->ast;
}
