/* The page of `smc report`: its three files, which the build puts into the program, around the
 * facts. */
#include "codegen/report_parts.h"

#include <string.h>

extern const unsigned char report_page_html[], report_style_css[], report_script_js[];
extern const size_t report_page_html_size, report_style_css_size, report_script_js_size;

/* Inside an element of HTML. */
static void add_escaped(Buf *out, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<': buf_puts(out, "&lt;"); break;
        case '>': buf_puts(out, "&gt;"); break;
        case '&': buf_puts(out, "&amp;"); break;
        default: buf_putc(out, *s);
        }
}

/* JSON inside a script element: no `<`, so nothing in it can end the element.  Outside of strings
 * JSON has none. */
static void add_json(Buf *out, const char *json)
{
    while (*json) {
        const size_t n = strcspn(json, "<");
        buf_add(out, json, n);
        json += n;
        if (*json == '<') {
            buf_puts(out, "\\u003c");
            json++;
        }
    }
}

void report_page(Buf *out, const char *title, const char *json)
{
    static const char *const marks[] = { "{{title}}", "{{style}}", "{{facts}}", "{{script}}" };
    const char *page = (const char *)report_page_html;
    const char *end = page + report_page_html_size;
    for (int i = 0; i < 4; i++) {
        const char *mark = memmem(page, (size_t)(end - page), marks[i], strlen(marks[i]));
        if (!mark)
            continue;
        buf_add(out, page, (size_t)(mark - page));
        page = mark + strlen(marks[i]);
        switch (i) {
        case 0: add_escaped(out, title); break;
        case 1: buf_add(out, report_style_css, report_style_css_size); break;
        case 2: add_json(out, json); break;
        case 3: buf_add(out, report_script_js, report_script_js_size); break;
        }
    }
    buf_add(out, page, (size_t)(end - page));
}
