/* `use "file.smg"`: the blocks of other files.
 *
 * A file is looked for beside the one that uses it, then in the library.  Reading a file twice gives
 * nothing new, so two files may use a third; using each other is a cycle. */
#include "frontend/sema.h"

#include "base/file.h"

#include <string.h>
#include <sys/stat.h>

/* `name` beside the file `from`. */
static const char *beside(Sema *s, const char *from, const char *name)
{
    const char *slash = strrchr(from, '/');
    if (!slash || name[0] == '/')
        return name;
    return sema_format(s, "%.*s/%s", (int)(slash - from), from, name);
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static const char *find_file(Sema *s, const Stmt *stmt, const char *from)
{
    const char *path = beside(s, from, stmt->name);
    if (is_file(path))
        return path;
    const char *library = s->options ? s->options->library_dir : NULL;
    if (library) {
        const char *installed = sema_format(s, "%s/%s", library, stmt->name);
        if (is_file(installed))
            return installed;
    }
    sema_error(s, stmt->name_span, DIAG_E0313, "`use`: there is no file %s", path);
    if (library)
        sema_label(s, "nor %s/%s", library, stmt->name);
    return NULL;
}

static void add_blocks(Sema *s, const Ast *ast)
{
    for (uint32_t i = 0; i < ast->items.n; i++) {
        Stmt *stmt = ast->items.items[i];
        if (stmt->kind == STMT_block)
            sema_add_block(s, stmt, true);
        else if (stmt->kind != STMT_use && stmt->kind != STMT_broken)
            sema_error(s, stmt->span, DIAG_E0406,
                       "`%s` in a file that is used: it holds blocks only",
                       stmt_kind_name(stmt->kind));
    }
    for (uint32_t i = 0; i < ast->broken_names.n; i++)
        name_map_set(&s->broken, s->arena, ast->broken_names.items[i].name, 1);
}

static void read_library(Sema *s, const Stmt *stmt, const char *path)
{
    Buf text = { 0 };
    Error err;
    if (!file_read(path, MAX_TEXT + 1, &text, &err)) {
        sema_error(s, stmt->name_span, DIAG_E0313, "`use`: %s", err.text);
        buf_free(&text);
        return;
    }
    char *copy = arena_alloc(s->arena, text.len + 1);
    if (text.len)
        memcpy(copy, text.data, text.len);
    Parse *p = arena_alloc(s->arena, sizeof *p);
    *p = (Parse){ .arena = s->arena, .diags = s->diags, .intern = &s->intern };
    if (s->options && s->options->sources) {
        Sources *sources = s->options->sources;
        SourceText source = { path, copy, text.len };
        ARENA_PUSH(s->arena, sources->texts, sources->n, sources->cap, source);
    }
    const Ast *ast = parse_text(p, path, copy, text.len);
    buf_free(&text);
    s->n_syntax_errors += ast->n_syntax_errors;
    sema_use(s, ast, path);
    add_blocks(s, ast);
}

/* Has the file been read, or is it being read (a cycle)? */
static bool is_known(Sema *s, const Stmt *stmt, const char *path)
{
    for (uint32_t i = 0; i < s->n_files; i++) {
        if (strcmp(s->files[i].path, path) != 0)
            continue;
        if (s->files[i].open)
            sema_error(s, stmt->name_span, DIAG_E0314, "%s is used by what it uses", path);
        return true;
    }
    return false;
}

void sema_use(Sema *s, const Ast *ast, const char *from)
{
    for (uint32_t i = 0; i < ast->items.n; i++) {
        const Stmt *stmt = ast->items.items[i];
        if (stmt->kind != STMT_use)
            continue;
        const char *path = find_file(s, stmt, from);
        if (!path || is_known(s, stmt, path))
            continue;
        if (s->n_files == MAX_FILES) {
            sema_error(s, stmt->span, DIAG_E0405, "a model uses at most %d files", MAX_FILES);
            return;
        }
        uint32_t file = s->n_files++;
        s->files[file] = (UsedFile){ path, true };
        read_library(s, stmt, path);
        s->files[file].open = false;
    }
}
