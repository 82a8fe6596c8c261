/* The front end's doors: reading, formatting, showing the tree. */
#include "frontend/frontend.h"

#include "frontend/fmt.h"
#include "frontend/sema.h"

#include "base/file.h"

#include <string.h>

/* A copy of the text that lives as long as the graph, ended by a zero byte. */
static const char *keep(Arena *arena, const char *text, size_t n)
{
    char *copy = arena_alloc(arena, n + 1);
    if (n)
        memcpy(copy, text, n);
    return copy;
}

static void keep_source(const FrontendOptions *options, Arena *arena, const char *name,
                        const char *text, size_t n)
{
    if (!options || !options->sources)
        return;
    Sources *sources = options->sources;
    SourceText source = { arena_strdup(arena, name), text, n };
    ARENA_PUSH(arena, sources->texts, sources->n, sources->cap, source);
}

static Parse *new_parse(Arena *arena, Intern *names, DiagSink *diags)
{
    Parse *p = arena_alloc(arena, sizeof *p);
    p->arena = arena;
    p->diags = diags;
    p->intern = names;
    return p;
}

static Graph *compile(const char *name, const char *text, size_t n, const FrontendOptions *options,
                      Arena *arena, DiagSink *diags)
{
    uint32_t before = diags->n_errors;
    Sema *s = arena_alloc(arena, sizeof *s);
    s->arena = arena;
    s->diags = diags;
    s->options = options;
    s->intern.arena = arena;
    Ast *ast = parse_text(new_parse(arena, &s->intern, diags), name, text, n);
    Graph *g = sema_run(s, name, ast);
    return diags->n_errors > before ? NULL : g;
}

Graph *frontend_compile(const char *name, const char *text, size_t n,
                        const FrontendOptions *options, Arena *arena, DiagSink *diags)
{
    const char *copy = keep(arena, text, n > MAX_TEXT ? 0 : n);
    keep_source(options, arena, name, copy, n > MAX_TEXT ? 0 : n);
    return compile(name, copy, n, options, arena, diags);
}

Graph *frontend_read(const char *path, const FrontendOptions *options, Arena *arena,
                     DiagSink *diags)
{
    Buf text = { 0 };
    Error err;
    if (!file_read(path, MAX_TEXT + 1, &text, &err)) {
        diag_error(diags, (Span){ 0 }, DIAG_E0100, "%s", err.text);
        buf_free(&text);
        return NULL;
    }
    const char *copy = keep(arena, text.data, text.len);
    size_t n = text.len;
    buf_free(&text);                    /* before anything that may leave by longjmp */
    keep_source(options, arena, path, copy, n);
    return compile(path, copy, n, options, arena, diags);
}

static Parse *parse_alone(const char *name, const char *text, size_t n, Arena *arena,
                          DiagSink *diags)
{
    Intern *names = arena_alloc(arena, sizeof *names);
    names->arena = arena;
    Parse *p = new_parse(arena, names, diags);
    parse_text(p, name, keep(arena, text, n > MAX_TEXT ? 0 : n), n);
    return p;
}

bool frontend_format(const char *name, const char *text, size_t n, Buf *out, Arena *arena,
                     DiagSink *diags)
{
    const Parse *p = parse_alone(name, text, n, arena, diags);
    if (p->ast->n_syntax_errors)
        return false;
    format_tokens(p, out);
    return true;
}

bool frontend_dump_ast(const char *name, const char *text, size_t n, Buf *out, Arena *arena,
                       DiagSink *diags)
{
    const Parse *p = parse_alone(name, text, n, arena, diags);
    ast_print(out, p->ast);
    return p->ast->n_syntax_errors == 0;
}
