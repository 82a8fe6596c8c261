/* What the tests of the front end share: compiling a text and seeing its graph. */
#ifndef TESTS_FRONTEND_SUPPORT_H
#define TESTS_FRONTEND_SUPPORT_H

#include "base/file.h"
#include "frontend/carets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIBRARY SOURCE_DIR "/models/lib"

typedef struct Compiled {
    Arena arena;
    DiagSink diags;
    Sources sources;
    Graph *g;                           /* NULL when there were errors */
} Compiled;

static inline Compiled *compile_begin(void)
{
    Compiled *c = calloc(1, sizeof *c);
    arena_init(&c->arena, NULL);
    diag_init(&c->diags, &c->arena);
    return c;
}

static inline FrontendOptions compile_options(Compiled *c, const char *const *defines,
                                              uint32_t n_defines)
{
    return (FrontendOptions){ .defines = defines, .n_defines = n_defines, .library_dir = LIBRARY,
                              .sources = &c->sources };
}

static inline Compiled *compile_text(const char *text, size_t n)
{
    Compiled *c = compile_begin();
    FrontendOptions options = compile_options(c, NULL, 0);
    c->g = frontend_compile("test.smg", text, n, &options, &c->arena, &c->diags);
    return c;
}

static inline Compiled *compile_file(const char *path, const char *const *defines,
                                     uint32_t n_defines)
{
    Compiled *c = compile_begin();
    FrontendOptions options = compile_options(c, defines, n_defines);
    c->g = frontend_read(path, &options, &c->arena, &c->diags);
    return c;
}

/* Shows what was reported, for a test that expected nothing. */
static inline void compile_show(const Compiled *c)
{
    Buf b = { 0 };
    carets_print(&b, &c->diags, &c->sources, false);
    print_error("%s", b.data ? b.data : "");
    buf_free(&b);
}

static inline void compile_end(Compiled *c)
{
    arena_free(&c->arena);
    free(c);
}

static inline Buf read_text(const char *path)
{
    Buf text = { 0 };
    Error err;
    if (!file_read(path, 4 << 20, &text, &err))
        fail_msg("%s", err.text);
    return text;
}

#endif
