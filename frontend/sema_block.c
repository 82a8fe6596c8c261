/* Blocks: run at each call, in a frame of their own. */
#include "frontend/sema.h"

#include <string.h>

/* ---- parameters by value -------------------------------------------------------------------------- */

/* The argument of parameter `i`: by position, by name, or NULL. */
static Expr *find_arg(const Expr *call, const Stmt *block, uint32_t i)
{
    const ArgList *args = &call->u.call.args;
    for (uint32_t k = 0; k < args->n; k++) {
        const Arg *a = &args->items[k];
        if (a->name ? a->name == block->formals.items[i].name : k == i)
            return a->value;
    }
    return NULL;
}

/* Arguments in the caller's frame; defaults later, in the block's. */
static Val *eval_args(Sema *s, Expr *call, const Stmt *block)
{
    Val *values = arena_array(s->arena, block->formals.n, sizeof *values);
    for (uint32_t i = 0; i < block->formals.n; i++) {
        Expr *arg = find_arg(call, block, i);
        if (arg)
            values[i] = sema_expr(s, arg);
    }
    return values;
}

/* ---- patterns --------------------------------------------------------------------------------------- */

typedef struct Match {
    Sema *s;
    const Formal *formal;
    Span at;                            /* the argument */
    Shape shape;
} Match;

static bool mismatch(Match *m, const char *label)
{
    Sema *s = m->s;
    Frame *inner = s->frame;
    Buf pattern = { 0 };
    s->frame = inner->caller;           /* the caller's mistake */
    expr_print(&pattern, m->formal->pattern);
    sema_error(s, m->at, DIAG_E0415, "`%s` is %s, and the block wants %s", m->formal->name,
               sema_shape(s, &m->shape), pattern.data ? pattern.data : "");
    buf_free(&pattern);
    if (label)
        sema_label(s, "%s", label);
    sema_note(s, m->formal->span, "the pattern is here");
    s->frame = inner;
    return false;
}

/* One element against one size: a new name is bound, everything else must be equal. */
static bool match_dim(Match *m, Expr *e, int axis)
{
    Sema *s = m->s;
    Dim have = m->shape.dim[axis], want;
    if (e->kind == EXPR_name) {
        if (strcmp(e->u.name, "_") == 0)
            return true;
        bool global = !s->frame->block->library && sema_global(s, e->u.name);
        if (!global && !frame_find(s->frame, e->u.name)) {
            frame_set(s, s->frame, e->u.name, val_dim(have));
            return true;
        }
    }
    Val v = sema_expr(s, e);
    if (!sema_size_of(s, e, v, &want) || dim_equal(have, want))
        return v.kind != VAL_poison;
    Buf text = { 0 };
    expr_print(&text, e);
    mismatch(m, sema_format(s, "axis %d is %s, `%s` is %s", axis, sema_dim(s, have),
                            text.data ? text.data : "", sema_dim(s, want)));
    buf_free(&text);
    sema_note_origin(s, have);
    sema_note_origin(s, want);
    return false;
}

static bool match(Match *m)
{
    const ExprList *items = &m->formal->pattern->u.list;
    int n = (int)items->n, rest = -1;
    for (int i = 0; i < n; i++)
        if (items->items[i]->kind == EXPR_rest)
            rest = i;
    int named = rest >= 0 ? n - 1 : n;
    if (rest >= 0 ? m->shape.rank < named : m->shape.rank != named)
        return mismatch(m, NULL);
    for (int i = 0; i < n; i++) {
        if (i == rest || items->items[i]->kind == EXPR_rest)
            continue;
        int axis = rest >= 0 && i > rest ? m->shape.rank - (n - i) : i;
        if (!match_dim(m, items->items[i], axis))
            return false;
    }
    return true;
}

/* New names of a pattern that could not be matched. */
static void poison_pattern(Sema *s, const Formal *f)
{
    for (uint32_t i = 0; f->pattern && i < f->pattern->u.list.n; i++) {
        const Expr *e = f->pattern->u.list.items[i];
        bool known = e->kind != EXPR_name || frame_find(s->frame, e->u.name) ||
                     (!s->frame->block->library && sema_global(s, e->u.name));
        if (!known)
            frame_set(s, s->frame, e->u.name, (Val){ 0 });
    }
}

static void match_formal(Sema *s, const Formal *f, Expr *arg, Span call)
{
    Val v = *frame_find(s->frame, f->name);
    Span at = arg ? arg->span : call;
    Frame *inner = s->frame;
    bool ok = false;
    if (val_is_number(v) || v.kind == VAL_dim) {
        s->frame = inner->caller;       /* the argument's mistake, not the block's */
        v = sema_tensor(s, v, at, false);
        s->frame = inner;
        frame_set(s, inner, f->name, v);
    }
    if (v.kind == VAL_tensor) {
        Match m = { s, f, at, value_type(s->g, v.u.tensor)->shape };
        ok = match(&m);
    } else if (v.kind != VAL_poison) {
        s->frame = inner->caller;
        sema_error(s, at, DIAG_E0400, "`%s` of `%s` is a tensor, not %s", f->name,
                   inner->block->name, val_kind_name(v));
        s->frame = inner;
    }
    if (!ok) {
        frame_set(s, inner, f->name, (Val){ 0 });
        poison_pattern(s, f);
    }
}

/* All parameters first, so that a pattern may name any of them. */
static void bind(Sema *s, Expr *call, const Stmt *block, const Val *values)
{
    for (uint32_t i = 0; i < block->formals.n; i++) {
        const Formal *f = &block->formals.items[i];
        Expr *arg = find_arg(call, block, i);
        Val v = arg || !f->value ? values[i] : sema_expr(s, f->value);
        frame_set(s, s->frame, f->name, v);
    }
    for (uint32_t i = 0; i < block->formals.n; i++)
        if (block->formals.items[i].pattern)
            match_formal(s, &block->formals.items[i], find_arg(call, block, i), call->span);
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static bool is_running(Sema *s, Expr *call)
{
    const Stmt *block = call->u.call.block;
    for (const Frame *f = s->frame; f; f = f->caller)
        if (f->block == block) {
            sema_error(s, call->span, DIAG_E0404, "`%s` calls itself", block->name);
            sema_label(s, "a block is copied into each call, so it cannot end");
            return true;
        }
    if (s->n_calls < MAX_CALLS)
        return false;
    sema_error(s, call->span, DIAG_E0107, "more than %d blocks inside each other", MAX_CALLS);
    return true;
}

static const char *instance_path(Sema *s, const Expr *call)
{
    if (call->u.call.path)
        return sema_path(s, s->frame->path, call->u.call.path);
    Segment own = { call->u.call.block->name, NULL, call->u.call.name_span };
    Path path = { .items = &own, .n = 1, .cap = 1, .span = call->span };
    return sema_path(s, s->frame->path, &path);
}

/* Remembers an instance that has parameters, for the next one of the same path. */
static void remember(Sema *s, Frame *f)
{
    uint32_t i;
    if (f->caller)
        f->caller->has_params = true;
    if (name_map_get(&s->instances, f->path, &i))
        return;
    name_map_set(&s->instances, s->arena, f->path, s->n_places);
    ARENA_PUSH(s->arena, s->places, s->n_places, s->cap_places, f->call->span);
}

Val sema_call_block(Sema *s, Expr *e)
{
    const Stmt *block = e->u.call.block;
    if (is_running(s, e))
        return (Val){ 0 };
    Val *values = eval_args(s, e, block);
    const char *path = instance_path(s, e);
    if (e->reported || !path || s->stop)
        return (Val){ 0 };
    Frame *f = frame_push(s);
    f->block = block;
    f->call = e;
    f->path = path;
    uint32_t twin;
    if (name_map_get(&s->instances, path, &twin))
        f->twin = &s->places[twin];
    s->n_calls++;
    bind(s, e, block, values);
    sema_body(s, &block->body);
    s->n_calls--;
    Val r = f->result;
    if (!f->returned && !block->has_broken && !s->stop) {
        s->frame = f->caller;
        sema_error(s, e->span, DIAG_E0407, "`%s` ends without a `return`", block->name);
        sema_note(s, block->name_span, "defined here");
        s->frame = f;
    }
    if (f->has_params)
        remember(s, f);
    frame_pop(s);
    return r;
}
