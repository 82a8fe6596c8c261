/* Diagnostics as text with the guilty line and carets, or as JSON. */
#include "frontend/carets.h"

#include <string.h>

typedef struct Style {
    const char *bold, *red, *yellow, *blue, *off;
} Style;

static const Style plain = { "", "", "", "", "" };
static const Style ansi = { "\033[1m", "\033[1;31m", "\033[1;33m", "\033[1;34m", "\033[0m" };

enum { MAX_LINE_SHOWN = 200 };          /* bytes of a source line */

static const SourceText *find_source(const Sources *sources, const char *name)
{
    for (uint32_t i = 0; sources && i < sources->n; i++)
        if (strcmp(sources->texts[i].name, name) == 0)
            return &sources->texts[i];
    return NULL;
}

static const char *file_name(const DiagSink *diags, Span at)
{
    return at.file < diags->n_files ? diags->files[at.file] : "?";
}

/* Start and length of line `line`, without its end; NULL past the last. */
static const char *find_line(const SourceText *s, uint32_t line, size_t *n)
{
    const char *at = s->text, *end = s->text + s->n;
    for (uint32_t i = 1; i < line; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at)
            return NULL;
        at++;
    }
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    *n = (size_t)((stop ? stop : end) - at);
    if (*n && at[*n - 1] == '\r')
        --*n;
    return at;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Text of the source as a terminal may see it: no controls but the tab. */
static void put_clean(Buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        buf_putc(out, (c < 0x20 && c != '\t') || c == 0x7F ? '?' : text[i]);
    }
}

static void print_source(Buf *out, const DiagSink *diags, const Sources *sources, const Diag *d,
                         const Style *style, const char *colour)
{
    const SourceText *source = find_source(sources, file_name(diags, d->span));
    size_t n = 0;
    const char *line = source && d->span.line ? find_line(source, d->span.line, &n) : NULL;
    if (!line)
        return;
    size_t column = d->span.column ? d->span.column - 1 : 0;
    size_t from = column > MAX_LINE_SHOWN / 2 ? column - MAX_LINE_SHOWN / 2 : 0;
    while (from && from < n && is_continuation(line[from]))
        from--;
    size_t to = n - from > MAX_LINE_SHOWN ? from + MAX_LINE_SHOWN : n;
    if (from > n)
        return;
    buf_printf(out, "%s%5u |%s ", style->blue, d->span.line, style->off);
    put_clean(out, line + from, to - from);
    buf_printf(out, "\n      %s|%s ", style->blue, style->off);
    for (size_t i = from; i < column && i < to; i++)
        if (line[i] == '\t')
            buf_putc(out, '\t');
        else if (!is_continuation(line[i]))
            buf_putc(out, ' ');
    buf_printf(out, "%s^", colour);
    for (size_t i = column + 1; i < column + d->span.length && i < to; i++)
        if (!is_continuation(line[i]))
            buf_putc(out, '~');
    buf_puts(out, style->off);
    if (d->label)
        buf_printf(out, " %s", d->label);
    buf_putc(out, '\n');
}

static void print_diag(Buf *out, const DiagSink *diags, const Sources *sources, const Diag *d,
                       const Style *style)
{
    const char *colour = d->warning ? style->yellow : style->red;
    if (d->span.line)
        buf_printf(out, "%s%s:%u:%u: ", style->bold, file_name(diags, d->span), d->span.line,
                   d->span.column);
    buf_printf(out, "%s%s[%s]:%s ", colour, d->warning ? "warning" : "error",
               diag_code_name(d->code), style->off);
    put_clean(out, d->text, strlen(d->text));
    buf_putc(out, '\n');
    size_t before = out->len;
    print_source(out, diags, sources, d, style, colour);
    if (out->len == before && d->label)
        buf_printf(out, "   %s\n", d->label);
    for (uint32_t i = 0; i < d->n_notes; i++) {
        const DiagNote *note = &d->notes[i];
        buf_printf(out, "   %snote:%s ", style->blue, style->off);
        put_clean(out, note->text, strlen(note->text));
        if (note->span.line)
            buf_printf(out, " (%s:%u)", file_name(diags, note->span), note->span.line);
        buf_putc(out, '\n');
    }
}

void carets_print(Buf *out, const DiagSink *diags, const Sources *sources, bool colour)
{
    for (uint32_t i = 0; i < diags->n; i++)
        print_diag(out, diags, sources, &diags->diags[i], colour ? &ansi : &plain);
}

static void json_string(Buf *out, const char *s)
{
    if (!s) {
        buf_puts(out, "null");
        return;
    }
    buf_putc(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(out, "\\u%04x", c);
        else
            buf_putc(out, *s);
    }
    buf_putc(out, '"');
}

static void json_place(Buf *out, const DiagSink *diags, Span at)
{
    buf_puts(out, ", \"file\": ");
    json_string(out, at.line ? file_name(diags, at) : NULL);
    buf_printf(out, ", \"line\": %u, \"column\": %u, \"length\": %u", at.line, at.column,
               at.length);
}

void carets_json(Buf *out, const DiagSink *diags)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < diags->n; i++) {
        const Diag *d = &diags->diags[i];
        buf_printf(out, "%s\n  {\"severity\": \"%s\", \"code\": \"%s\", \"title\": ",
                   i ? "," : "", d->warning ? "warning" : "error", diag_code_name(d->code));
        json_string(out, diag_code_title(d->code));
        buf_puts(out, ", \"message\": ");
        json_string(out, d->text);
        buf_puts(out, ", \"label\": ");
        json_string(out, d->label);
        json_place(out, diags, d->span);
        buf_puts(out, ", \"notes\": [");
        for (uint32_t k = 0; k < d->n_notes; k++) {
            buf_printf(out, "%s{\"message\": ", k ? ", " : "");
            json_string(out, d->notes[k].text);
            json_place(out, diags, d->notes[k].span);
            buf_putc(out, '}');
        }
        buf_puts(out, "]}");
    }
    buf_puts(out, diags->n ? "\n]\n" : "]\n");
}
