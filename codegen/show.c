/* How the windows into the compiler name things. */
#include "codegen/show.h"

#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *show_line(Arena *a, const Graph *g, const Node *n)
{
    if (n->span.line == 0 || n->span.file >= g->n_files)
        return "";
    const char *file = g->files[n->span.file], *slash = strrchr(file, '/');
    return arena_printf(a, "%s:%u", slash ? slash + 1 : file, n->span.line);
}

const char *show_type(Arena *a, const Graph *g, ValueId v)
{
    Buf text = { 0 };
    type_print(&text, g, value_type(g, v));
    const char *copy = arena_strdup(a, text.failed ? "?" : text.data);
    buf_free(&text);
    return copy;
}

const char *show_bytes(Arena *a, int64_t bytes)
{
    char text[32];
    str_bytes(text, sizeof text, bytes > 0 ? (uint64_t)bytes : 0);
    return arena_strdup(a, text);
}

const char *show_count(Arena *a, int64_t n)
{
    char digits[32], text[48];
    const int len = snprintf(digits, sizeof digits, "%" PRId64, n > 0 ? n : 0);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    return arena_strndup(a, text, (size_t)at);
}

const char *show_pattern(Arena *a, const char *path)
{
    char *out = arena_strdup(a, path), *to = out;
    for (const char *p = path; *p;) {
        const size_t part = strcspn(p, "."), digits = strspn(p, "0123456789");
        if (part > 0 && digits == part)
            *to++ = '*';
        else
            for (size_t i = 0; i < part; i++)
                *to++ = p[i];
        p += part;
        if (*p)
            *to++ = *p++;
    }
    *to = '\0';
    return out;
}

bool path_matches(const char *pattern, const char *path)
{
    for (; *pattern; pattern++, path++) {
        if (*pattern == '*') {
            do
                if (path_matches(pattern + 1, path))
                    return true;
            while (*path && *path++ != '.');
            return false;
        }
        if (*pattern != *path)
            return false;
    }
    return *path == '\0' || *path == '.';
}

void show_json_string(Buf *out, const char *s)
{
    buf_putc(out, '"');
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (iscntrl(c))
            buf_printf(out, "\\u%04x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}
