/* The order of things, and the voice in which mistakes are told. */
#include "frontend/sema.h"

#include <string.h>

/* ---- messages ---------------------------------------------------------------------------------- */

const char *sema_format(Sema *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(s->arena, fmt, ap);
    va_end(ap);
    return text;
}

static const char *keep_text(Sema *s, Buf *b)
{
    const char *text = arena_strdup(s->arena, b->data ? b->data : "");
    buf_free(b);
    return text;
}

const char *sema_shape(Sema *s, const Shape *shape)
{
    Buf b = { 0 };
    shape_print(&b, s->g, shape);
    return keep_text(s, &b);
}

const char *sema_dim(Sema *s, Dim d)
{
    Buf b = { 0 };
    dim_print(&b, s->g, d);
    return keep_text(s, &b);
}

/* Who called the block in which the newest mistake was found, nearest first. */
static void note_calls(Sema *s)
{
    enum { SHOWN = 6 };
    int n = 0;
    for (const Frame *f = s->frame; f && n < SHOWN; f = f->caller)
        if (f->block) {
            diag_note(s->diags, f->call->span, "in the call of `%s` here", f->block->name);
            n++;
        }
}

Val sema_error(Sema *s, Span at, DiagCode code, const char *fmt, ...)
{
    Val poison = { 0 };
    s->muted = s->quiet > 0 || s->stop;
    if (s->muted)
        return poison;
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(s->arena, fmt, ap);
    va_end(ap);
    diag_error(s->diags, at, code, "%s", text);
    note_calls(s);
    if (s->diags->n_errors >= MAX_ERRORS)
        s->stop = true;
    return poison;
}

void sema_label(Sema *s, const char *fmt, ...)
{
    if (s->muted)
        return;
    va_list ap;
    va_start(ap, fmt);
    diag_label(s->diags, "%s", arena_vprintf(s->arena, fmt, ap));
    va_end(ap);
}

void sema_note(Sema *s, Span at, const char *fmt, ...)
{
    if (s->muted)
        return;
    va_list ap;
    va_start(ap, fmt);
    diag_note(s->diags, at, "%s", arena_vprintf(s->arena, fmt, ap));
    va_end(ap);
}

void sema_try(Sema *s, Nearest *near, const char *candidate)
{
    enum { PATIENCE = 200000 };
    if (s->tries < PATIENCE) {
        s->tries++;
        nearest_try(near, candidate);
    }
}

void sema_suggest(Sema *s, const Nearest *near)
{
    if (near->found)
        sema_label(s, "did you mean `%s`?", near->found);
}

void sema_note_origin(Sema *s, Dim d)
{
    if (!d.origin || d.origin >= s->g->n_origins)
        return;
    const char *name = s->g->origins[d.origin].name;
    const Define *set = sema_find_define(s, name);
    sema_note(s, s->g->origins[d.origin].span, "%s is `%s`%s%s", sema_dim(s, d), name,
              set ? ", as set by -D " : "", set ? sema_format(s, "%s=%s", set->name, set->text) : "");
}

bool sema_step(Sema *s, Span at)
{
    if (s->stop)
        return false;
    if (++s->steps > MAX_STEPS || s->g->n_nodes > MAX_NODES) {
        sema_error(s, at, DIAG_E0405, "the model is too large once its loops are unrolled");
        sema_label(s, "%u operations so far", s->g->n_nodes);
        s->stop = true;
    }
    return !s->stop;
}

/* ---- the model's own statements ----------------------------------------------------------------- */

static void add_broken(Sema *s, const Ast *ast)
{
    for (uint32_t i = 0; i < ast->broken_names.n; i++)
        name_map_set(&s->broken, s->arena, ast->broken_names.items[i].name, 1);
}

/* Configs and sizes are known by name before anything runs: blocks may stand before them. */
static void declare_globals(Sema *s)
{
    for (uint32_t i = 0; i < s->ast->items.n; i++) {
        const Stmt *stmt = s->ast->items.items[i];
        bool config = stmt->kind == STMT_config;
        if (!config && stmt->kind != STMT_batch && stmt->kind != STMT_sequence &&
            stmt->kind != STMT_dim)
            continue;
        Global *first = sema_global(s, stmt->name);
        if (first) {
            sema_error(s, stmt->name_span, DIAG_E0304, "`%s` is defined already", stmt->name);
            sema_note(s, first->stmt->name_span, "first defined here");
            continue;
        }
        Global g = { .kind = config ? GLOBAL_config : GLOBAL_size, .stmt = stmt };
        name_map_set(&s->global_index, s->arena, stmt->name, s->n_globals);
        ARENA_PUSH(s->arena, s->globals, s->n_globals, s->cap_globals, g);
    }
}

static void declare_blocks(Sema *s)
{
    for (uint32_t i = 0; i < s->ast->items.n; i++)
        if (s->ast->items.items[i]->kind == STMT_block)
            sema_add_block(s, s->ast->items.items[i], false);
}

void sema_add_block(Sema *s, Stmt *block, bool library)
{
    uint32_t first;
    OpId op;
    if (name_map_get(&s->block_index, block->name, &first)) {
        sema_error(s, block->name_span, DIAG_E0304, "the block `%s` is defined already",
                   block->name);
        sema_note(s, s->blocks[first]->name_span, "first defined here");
        return;
    }
    bool is_op = op_from_name(block->name, &op) && (op_info(op)->flags & OP_SURFACE);
    if (is_op || number_function(block->name) >= 0 || strcmp(block->name, "split") == 0) {
        sema_error(s, block->name_span, DIAG_E0305, "`%s` is an operation already", block->name);
        sema_label(s, "a block needs a name of its own");
    }
    block->library = library;
    name_map_set(&s->block_index, s->arena, block->name, s->n_blocks);
    ARENA_PUSH(s->arena, s->blocks, s->n_blocks, s->cap_blocks, block);
}

/* What no single statement can see. */
static void check_whole(Sema *s)
{
    if (s->n_syntax_errors || s->stop)
        return;
    const Span nowhere = { s->ast->items.n ? s->ast->items.items[0]->span.file : 0, 1, 1, 1 };
    if (!s->ast->model)
        sema_error(s, nowhere, DIAG_E0410, "the file does not begin with `model NAME`");
    if (s->g->n_outputs == 0 && !s->train && s->outputs.n == 0)
        sema_error(s, s->ast->model ? s->ast->model_span : nowhere, DIAG_E0414,
                   "the model has no output");
}

/* Finds the model line: one, and before everything else. */
static void find_model(Sema *s, Ast *ast)
{
    for (uint32_t i = 0; i < ast->items.n; i++) {
        const Stmt *stmt = ast->items.items[i];
        if (stmt->kind != STMT_model)
            continue;
        if (ast->model) {
            sema_error(s, stmt->span, DIAG_E0410, "a file is one model");
            sema_note(s, ast->model_span, "it is `%s`, named here", ast->model);
            continue;
        }
        ast->model = stmt->name;
        ast->model_span = stmt->span;
        if (i > 0 && !s->n_syntax_errors)
            sema_error(s, stmt->span, DIAG_E0410, "`model` stands before everything else");
    }
}

static void warn_unused(Sema *s)
{
    for (uint32_t i = 0; i < s->n_unused; i++) {
        const Unused *u = &s->unused[i];
        diag_warning(s->diags, u->span, DIAG_W0501, "`%s` is never used", u->name);
        if (u->meant)
            diag_label(s->diags, "did you mean `%s`?", u->meant);
    }
}

Graph *sema_run(Sema *s, const char *name, Ast *ast)
{
    uint32_t before = s->diags->n_errors - ast->n_syntax_errors;
    s->ast = ast;
    s->g = graph_new(s->arena, "model", PROGRAM_model);
    s->n_syntax_errors = ast->n_syntax_errors;
    add_broken(s, ast);
    find_model(s, ast);
    if (ast->model)
        s->g->name = ast->model;
    sema_parse_defines(s);
    declare_globals(s);
    s->files[s->n_files++] = (UsedFile){ name, true };
    sema_use(s, ast, name);
    declare_blocks(s);
    sema_check_defines(s);
    sema_names(s);

    frame_push(s);
    sema_body(s, &ast->items);
    check_whole(s);
    frame_pop(s);
    if (s->diags->n_errors == before)
        warn_unused(s);
    s->g->configs = sema_config_values(s);
    s->g->n_files = s->diags->n_files;
    s->g->files = arena_grow(s->arena, s->diags->files, s->g->n_files, s->g->n_files,
                             sizeof *s->g->files);
    return s->g;
}
