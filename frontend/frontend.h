/* The front end's one door: .smg text in, the graph of program `model` out, or every mistake in the
 * text reported to the sink.
 *
 *     Sources sources = { 0 };
 *     FrontendOptions options = { .library_dir = dir, .sources = &sources };
 *     Graph *g = frontend_read("gpt2.smg", &options, &arena, &diags);
 *     carets_print(&out, &diags, &sources, colour);          (frontend/carets.h)
 *
 * Everything returned lives in the arena.  No bytes crash or hang any of these functions. */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

#include "base/buf.h"
#include "ir/graph.h"

/* The texts that were read, for showing the guilty lines.  Names are those of DiagSink.files. */
typedef struct SourceText {
    const char *name;
    const char *text;                   /* followed by a zero byte */
    size_t n;
} SourceText;

typedef struct Sources {
    SourceText *texts;
    uint32_t n, cap;
} Sources;

typedef struct FrontendOptions {
    const char *const *defines;         /* "NAME=VALUE", replacing a config's value */
    uint32_t n_defines;
    const char *library_dir;            /* where `use` looks after the file's own folder; or NULL */
    Sources *sources;                   /* filled with every text that was read; or NULL */
} FrontendOptions;

/* Reads the file at `path` ("-": standard input) and what it uses.  NULL when there was any error;
 * a file that cannot be read is an error of code E0100 without a place. */
Graph *frontend_read(const char *path, const FrontendOptions *options, Arena *arena,
                     DiagSink *diags);

/* The same from memory; `name` stands in messages, and `use` looks beside it. */
Graph *frontend_compile(const char *name, const char *text, size_t n,
                        const FrontendOptions *options, Arena *arena, DiagSink *diags);

/* The text in its one canonical layout, comments kept; formatting that again changes nothing.
 * False, and nothing added to `out`, when the text does not parse. */
bool frontend_format(const char *name, const char *text, size_t n, Buf *out, Arena *arena,
                     DiagSink *diags);

/* The syntax tree as indented text (`--emit=ast`).  What was understood is printed even when there
 * were errors; false then. */
bool frontend_dump_ast(const char *name, const char *text, size_t n, Buf *out, Arena *arena,
                       DiagSink *diags);

#endif
