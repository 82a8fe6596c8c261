/* Wrong programs: each file of wrong/ says on its guilty lines what must be reported there.
 *
 *     y = x * widht      #! E0300:9 unknown name `widht`
 *
 * code, column and a part of the message; several `#!` may stand on one line.  `#!0 CODE:0 text` is
 * for what has no place in the file (the command line, another file); `#! -D name=value` defines.
 * Exactly what is expected must come; warnings count in files whose names begin with `warn`.
 *
 * SMALLMIND_UPDATE=1 rewrites the expectations for review. */
#include "base/check.h"
#include "base/file.h"
#include "base/str.h"
#include "frontend/carets.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WRONG SOURCE_DIR "/tests/frontend/wrong"

enum { MAX_CASES = 400, MAX_EXPECTED = 200, MAX_DEFINES = 8 };

typedef struct Expected {
    uint32_t line;                      /* 0: no place in this file */
    char code[8];
    uint32_t column;
    const char *text;
    bool met;
} Expected;

typedef struct Case {
    Arena arena;
    const char *name;
    Buf text;
    Expected expected[MAX_EXPECTED];
    uint32_t n_expected;
    const char *defines[MAX_DEFINES];
    uint32_t n_defines;
} Case;

static bool seen[N_DIAGS];

/* One `#!` up to the next or the end of the line. */
static void read_marker(Case *c, const char *at, const char *end, uint32_t line)
{
    char text[512];
    size_t n = (size_t)(end - at) < sizeof text - 1 ? (size_t)(end - at) : sizeof text - 1;
    memcpy(text, at, n);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\r'))
        n--;
    text[n] = 0;
    if (strncmp(text, " -D ", 4) == 0) {
        assert_true(c->n_defines < MAX_DEFINES);
        c->defines[c->n_defines++] = arena_strdup(&c->arena, text + 4);
        return;
    }
    assert_true(c->n_expected < MAX_EXPECTED);
    Expected *e = &c->expected[c->n_expected++];
    e->line = text[0] == '0' ? 0 : line;
    int used = 0;
    if (sscanf(text + (text[0] == '0'), " %7[A-Z0-9]:%u %n", e->code, &e->column, &used) < 2)
        fail_msg("%s:%u: cannot read `#!%s`", c->name, line, text);
    e->text = arena_strdup(&c->arena, text + (text[0] == '0') + used);
}

static const char *find_marker(const char *at, const char *end)
{
    for (; at + 1 < end; at++)
        if (at[0] == '#' && at[1] == '!')
            return at;
    return end;
}

static void read_markers(Case *c)
{
    const char *at = c->text.data, *end = at + c->text.len;
    for (uint32_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *m = find_marker(at, stop);
        while (m < stop) {
            const char *next = find_marker(m + 2, stop);
            read_marker(c, m + 2, next, line);
            m = next;
        }
        at = stop + 1;
    }
}

static bool counts(const Case *c, const Diag *d)
{
    return !d->warning || strncmp(c->name, "warn", 4) == 0;
}

static bool is_here(const Case *c, const DiagSink *diags, const Diag *d)
{
    return d->span.line && strcmp(diags->files[d->span.file], c->name) == 0;
}

static bool meet(Case *c, const DiagSink *diags, const Diag *d)
{
    bool here = is_here(c, diags, d);
    for (uint32_t i = 0; i < c->n_expected; i++) {
        Expected *e = &c->expected[i];
        if (!e->met && e->line == (here ? d->span.line : 0) &&
            e->column == (here ? d->span.column : 0) &&
            strcmp(e->code, diag_code_name(d->code)) == 0 && strstr(d->text, e->text))
            return e->met = true;
    }
    return false;
}

static bool compare(Case *c, const DiagSink *diags)
{
    bool same = true;
    for (uint32_t i = 0; i < diags->n; i++) {
        const Diag *d = &diags->diags[i];
        seen[d->code] = true;
        if (counts(c, d) && !meet(c, diags, d)) {
            print_error("%s:%u:%u: not expected: %s %s\n", c->name, d->span.line, d->span.column,
                        diag_code_name(d->code), d->text);
            same = false;
        }
    }
    for (uint32_t i = 0; i < c->n_expected; i++)
        if (!c->expected[i].met) {
            print_error("%s:%u: did not come: %s %s\n", c->name, c->expected[i].line,
                        c->expected[i].code, c->expected[i].text);
            same = false;
        }
    return same;
}

/* ---- rewriting the expectations -------------------------------------------------------------- */

static void put_markers(Buf *out, const Case *c, const DiagSink *diags, uint32_t line)
{
    for (uint32_t i = 0; i < diags->n; i++) {
        const Diag *d = &diags->diags[i];
        bool here = is_here(c, diags, d);
        if (counts(c, d) && here && d->span.line == line)
            buf_printf(out, "   #! %s:%u %s", diag_code_name(d->code), d->span.column, d->text);
        else if (counts(c, d) && !here && line == 0)
            buf_printf(out, "#!0 %s:0 %s\n", diag_code_name(d->code), d->text);
    }
}

static void rewrite(const Case *c, const DiagSink *diags)
{
    Buf out = { 0 };
    const char *at = c->text.data, *end = at + c->text.len;
    for (uint32_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *m = find_marker(at, stop);
        bool define = m + 4 < stop && memcmp(m, "#! -D", 5) == 0;
        bool nowhere = m + 2 < stop && m[2] == '0';
        const char *keep = define ? stop : m;
        while (!define && keep > at && keep[-1] == ' ')
            keep--;
        if (!nowhere) {
            buf_add(&out, at, (size_t)(keep - at));
            if (!define)
                put_markers(&out, c, diags, line);
            buf_putc(&out, '\n');
        }
        at = stop + 1;
    }
    put_markers(&out, c, diags, 0);
    Error err;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", WRONG, c->name);
    if (!file_replace(path, out.data, out.len, &err))
        fail_msg("%s", err.text);
    buf_free(&out);
}

/* ---- running ------------------------------------------------------------------------------------ */

/* What must hold for every diagnostic, wherever it comes from. */
static void check_form(const DiagSink *diags, const Sources *sources)
{
    Buf text = { 0 }, json = { 0 };
    carets_print(&text, diags, sources, true);
    carets_json(&json, diags);
    assert_false(text.failed || json.failed);
    assert_int_equal(json.data[0], '[');
    for (uint32_t i = 0; i < diags->n; i++) {
        const Diag *d = &diags->diags[i];
        assert_true(strlen(d->text) > 5);
        assert_true(d->span.line == 0 || d->span.column > 0);
        assert_non_null(strstr(json.data, diag_code_name(d->code)));
    }
    buf_free(&text);
    buf_free(&json);
}

static bool run(const char *name)
{
    Case *c = calloc(1, sizeof *c);
    c->name = name;
    Error err;
    if (!file_read(name, 4 << 20, &c->text, &err))
        fail_msg("%s", err.text);
    arena_init(&c->arena, NULL);
    read_markers(c);
    DiagSink diags;
    diag_init(&diags, &c->arena);
    Sources sources = { 0 };
    FrontendOptions options = { .defines = c->defines, .n_defines = c->n_defines,
                                .sources = &sources };
    const Graph *g = frontend_compile(name, c->text.data, c->text.len, &options, &c->arena, &diags);
    diag_sort(&diags);
    check_form(&diags, &sources);
    assert_true((g == NULL) == (diags.n_errors > 0));
    bool same = true;
    if (getenv("SMALLMIND_UPDATE"))
        rewrite(c, &diags);
    else
        same = compare(c, &diags);
    arena_free(&c->arena);
    buf_free(&c->text);
    free(c);
    return same;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void test_wrong_programs(void **state)
{
    (void)state;
    static char *names[MAX_CASES];
    size_t n = 0;
    if (chdir(WRONG) != 0)
        fail_msg("no folder %s", WRONG);
    DIR *dir = opendir(".");
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        if (length > 4 && strcmp(e->d_name + length - 4, ".smg") == 0 && n < MAX_CASES)
            names[n++] = strdup(e->d_name);
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    assert_true(n >= 80);
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        failed += !run(names[i]);
        free(names[i]);
    }
    assert_int_equal(failed, 0);
}

/* Codes that other rooms raise (what a program needs of the model: E0401, E042x and up, W0502), or
 * that no file can raise. */
static bool raised_elsewhere(const char *code)
{
    bool programs = strncmp(code, "E04", 3) == 0 && strcmp(code, "E0420") >= 0;
    static const char *const codes[] = { "E0100", "E0200", "E0401", "W0502" };
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (strcmp(codes[i], code) == 0)
            return true;
    return programs;
}

static void test_every_code_appears(void **state)
{
    (void)state;
    size_t missing = 0;
    for (int c = 0; c < N_DIAGS; c++)
        if (!seen[c] && !raised_elsewhere(diag_code_name((DiagCode)c))) {
            print_error("no wrong program raises %s (%s)\n", diag_code_name((DiagCode)c),
                        diag_code_title((DiagCode)c));
            missing++;
        }
    assert_int_equal(missing, 0);
}

/* An explanation says more than the title, and shows an example or a bound. */
static void test_every_code_is_explained(void **state)
{
    (void)state;
    for (int c = 0; c < N_DIAGS; c++) {
        assert_true(strlen(diag_code_title((DiagCode)c)) > 5);
        assert_true(strlen(diag_code_text((DiagCode)c)) > 40);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_programs),
        cmocka_unit_test(test_every_code_appears),
        cmocka_unit_test(test_every_code_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
