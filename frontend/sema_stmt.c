/* Statements, run one after the other. */
#include "frontend/sema.h"


#include <string.h>

/* The path of the running frame with `path` appended. */
static void append(Buf *b, const char *text)
{
    if (b->len)
        buf_putc(b, '.');
    buf_puts(b, text);
}

static bool is_word(const char *text)
{
    return *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
                        == strlen(text);
}

static bool append_segment(Sema *s, Buf *b, const Segment *segment)
{
    if (segment->word) {
        append(b, segment->word);
        return true;
    }
    Val v = sema_expr(s, segment->value);
    if (v.kind == VAL_int && v.u.i >= 0) {
        append(b, sema_format(s, "%lld", (long long)v.u.i));
        return true;
    }
    if (v.kind == VAL_string && is_word(v.u.s)) {
        append(b, v.u.s);
        return true;
    }
    if (v.kind != VAL_poison)
        sema_error(s, segment->span, DIAG_E0400,
                   "a segment of a path is a whole number or a word, not %s",
                   v.kind == VAL_int ? "a negative one" : val_kind_name(v));
    return false;
}

const char *sema_path(Sema *s, const char *base, const Path *path)
{
    Buf b = { 0 };
    bool ok = true;
    if (*base)
        buf_puts(&b, base);
    for (uint32_t i = 0; ok && i < path->n; i++)
        ok = append_segment(s, &b, &path->items[i]);
    const char *text = NULL;
    if (ok && b.len > MAX_PATH)
        sema_error(s, path->span, DIAG_E0106, "this path is longer than %d bytes", MAX_PATH);
    else if (ok)
        text = intern(&s->intern, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

/* ---- assignment ------------------------------------------------------------------------------- */

static void assign_tuple(Sema *s, const Stmt *stmt, Val v)
{
    bool fits = v.kind == VAL_tuple && v.u.list.n == stmt->targets.n;
    if (!fits && v.kind != VAL_poison) {
        sema_error(s, stmt->value->span, DIAG_E0408, "%u names for %u value%s", stmt->targets.n,
                   v.kind == VAL_tuple ? v.u.list.n : 1,
                   v.kind == VAL_tuple && v.u.list.n > 1 ? "s" : "");
    }
    for (uint32_t i = 0; i < stmt->targets.n; i++)
        frame_set(s, s->frame, stmt->targets.items[i].name,
                  fits ? v.u.list.items[i] : (Val){ 0 });
}

static void run_assign(Sema *s, const Stmt *stmt)
{
    if (stmt->targets.n == 1)
        frame_set(s, s->frame, stmt->targets.items[0].name, sema_expr(s, stmt->value));
    else
        assign_tuple(s, stmt, sema_exprs(s, stmt->value));
}

/* ---- if and for ------------------------------------------------------------------------------- */

void sema_poison_targets(Sema *s, const StmtList *body)
{
    for (uint32_t i = 0; i < body->n; i++) {
        const Stmt *stmt = body->items[i];
        for (uint32_t k = 0; k < stmt->targets.n; k++)
            frame_set(s, s->frame, stmt->targets.items[k].name, (Val){ 0 });
        if (stmt->kind == STMT_output || stmt->kind == STMT_param || stmt->kind == STMT_input)
            frame_set(s, s->frame, stmt->name, (Val){ 0 });
        if (stmt->kind == STMT_output)
            name_map_set(&s->outputs, s->arena, stmt->name, 0);
        if (stmt->kind == STMT_return)
            s->frame->returned = true;
        sema_poison_targets(s, &stmt->body);
        sema_poison_targets(s, &stmt->otherwise);
    }
}

static void run_if(Sema *s, const Stmt *stmt)
{
    Val c = sema_expr(s, stmt->value);
    if (c.kind == VAL_bool) {
        sema_body(s, c.u.b ? &stmt->body : &stmt->otherwise);
        return;
    }
    if (c.kind == VAL_tensor) {
        sema_error(s, stmt->value->span, DIAG_E0400, "`if` chooses when the model is compiled; a "
                   "tensor is known only at run time");
        sema_label(s, "`where(condition, x, y)` chooses by element");
    } else if (c.kind != VAL_poison) {
        sema_error(s, stmt->value->span, DIAG_E0400, "a condition is true or false, not %s",
                   val_kind_name(c));
    }
    sema_poison_targets(s, &stmt->body);
    sema_poison_targets(s, &stmt->otherwise);
}

static bool bound_of(Sema *s, Expr *e, int64_t *out)
{
    Val v = sema_expr(s, e);
    if (v.kind == VAL_int) {
        *out = v.u.i;
        return true;
    }
    if (v.kind != VAL_poison)
        sema_error(s, e->span, DIAG_E0400, "the bound of a loop is a whole number, not %s",
                   val_kind_name(v));
    return false;
}

static void run_for(Sema *s, const Stmt *stmt)
{
    int64_t from, to;
    bool low = bound_of(s, stmt->from, &from), high = bound_of(s, stmt->to, &to);
    if (!low || !high) {
        sema_poison_targets(s, &stmt->body);
        return;
    }
    Frame *f = s->frame;
    const char *path = f->path;
    for (int64_t i = from; i < to && !f->returned && sema_step(s, stmt->span); i++) {
        frame_set(s, f, stmt->name, val_int(i));
        const char *inner = stmt->path ? sema_path(s, path, stmt->path) : path;
        if (!inner) {
            sema_poison_targets(s, &stmt->body);
            break;
        }
        f->path = inner;
        sema_body(s, &stmt->body);
        f->path = path;
    }
}

/* ---- the rest ----------------------------------------------------------------------------------- */

static void run_return(Sema *s, const Stmt *stmt)
{
    Frame *f = s->frame;
    f->returned = true;
    if (stmt->values.n == 1) {
        f->result = sema_exprs(s, stmt->values.items[0]);
        return;
    }
    Val v = { .kind = VAL_tuple, .u.list.n = stmt->values.n };
    v.u.list.items = arena_array(s->arena, stmt->values.n, sizeof *v.u.list.items);
    for (uint32_t i = 0; i < stmt->values.n; i++)
        v.u.list.items[i] = sema_expr(s, stmt->values.items[i]);
    f->result = v;
}

void sema_stmt(Sema *s, const Stmt *stmt)
{
    if (stmt->misplaced || !sema_step(s, stmt->span))
        return;
    switch (stmt->kind) {
    case STMT_config: sema_config(s, stmt); break;
    case STMT_batch:
    case STMT_sequence:
    case STMT_dim: sema_size(s, stmt); break;
    case STMT_input: sema_input(s, stmt); break;
    case STMT_output: sema_output(s, stmt); break;
    case STMT_param: sema_param(s, stmt); break;
    case STMT_assign: run_assign(s, stmt); break;
    case STMT_return: run_return(s, stmt); break;
    case STMT_for: run_for(s, stmt); break;
    case STMT_if: run_if(s, stmt); break;
    case STMT_train: sema_train(s, stmt); break;
    case STMT_loss: sema_loss(s, stmt); break;
    case STMT_optimizer: sema_optimizer(s, stmt); break;
    case STMT_broken:
        sema_poison_targets(s, &stmt->body);
        sema_poison_targets(s, &stmt->otherwise);
        break;
    case STMT_model:
    case STMT_use:
    case STMT_block:                    /* known before anything runs */
    case N_STMT_KINDS: break;
    }
}

void sema_body(Sema *s, const StmtList *body)
{
    if (s->depth == MAX_DEPTH) {
        if (body->n)
            sema_error(s, body->items[0]->span, DIAG_E0107, "too deep inside blocks and bodies");
        return;
    }
    s->depth++;
    for (uint32_t i = 0; i < body->n && !s->frame->returned && !s->stop; i++)
        sema_stmt(s, body->items[i]);
    s->depth--;
}
