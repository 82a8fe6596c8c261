/* Inputs, parameters, outputs. */
#include "frontend/sema.h"


#include <string.h>

/* The value that a storage is read by. */
static Val source(Sema *s, OpId op, StorageId id, Span at)
{
    NodeSpec spec = node_spec(op, NULL, 0, at, s->frame->path);
    spec.attr[ATTR_INDEX(input, storage)].i = id;
    return sema_node(s, &spec);
}

/* ---- parameters ----------------------------------------------------------------------------------- */

/* Does the parameter belong to an instance whose path is taken?  That is told once an instance. */
static bool is_twin(Sema *s)
{
    for (Frame *f = s->frame; f; f = f->caller) {
        if (!f->twin)
            continue;
        if (!f->twin_told) {
            Frame *inner = s->frame;
            s->frame = f->caller;
            sema_error(s, f->call->span, DIAG_E0308, "a second instance named `%s`", f->path);
            sema_label(s, "name it with `as`");
            sema_note(s, *f->twin, "the first is here");
            s->frame = inner;
            f->twin_told = true;
        }
        return true;
    }
    return false;
}

static bool is_taken(Sema *s, const char *name, const Stmt *stmt)
{
    uint32_t first;
    if (!name_map_get(&s->storages, name, &first))
        return false;
    sema_error(s, stmt->name_span, DIAG_E0309, "there is a second parameter or input `%s`", name);
    sema_note(s, s->g->storages[first].span, "the first is here");
    return true;
}

void sema_param(Sema *s, const Stmt *stmt)
{
    Storage st = { .class = STORAGE_PARAM, .type.dtype = DTYPE_f32, .span = stmt->name_span };
    Frame *f = s->frame;
    f->has_params = true;
    frame_set(s, f, stmt->name, (Val){ 0 });
    bool sized = sema_dims(s, stmt->dims, &st.type.shape, NULL);
    bool begun = sema_init(s, stmt->value, &st);
    if (is_twin(s) || !sized || !begun || s->stop)
        return;
    for (int i = 0; i < st.type.shape.rank; i++)
        if (!dim_is_const(st.type.shape.dim[i])) {
            sema_error(s, stmt->dims->u.list.items[i]->span, DIAG_E0417,
                       "a parameter has one size for ever, and %s is known only at run time",
                       sema_dim(s, st.type.shape.dim[i]));
            return;
        }
    st.name = *f->path ? sema_format(s, "%s.%s", f->path, stmt->name) : stmt->name;
    st.name = intern(&s->intern, st.name, strlen(st.name));
    if (is_taken(s, st.name, stmt))
        return;
    StorageId id = graph_storage(s->g, st);
    name_map_set(&s->storages, s->arena, st.name, id);
    frame_set(s, f, stmt->name, source(s, OP_param, id, stmt->span));
}

/* ---- initialisers --------------------------------------------------------------------------------- */

static const struct { const char *name; InitKind kind; uint32_t n; } inits[] = {
    { "zeros", INIT_zeros, 0 },       { "ones", INIT_ones, 0 },
    { "constant", INIT_constant, 1 }, { "normal", INIT_normal, 1 },
    { "uniform", INIT_uniform, 1 },   { "xavier", INIT_xavier, 0 },
    { "kaiming", INIT_kaiming, 0 },
};

static bool init_value(Sema *s, Expr *e, InitKind kind, uint32_t n, Storage *out)
{
    uint32_t given = e->kind == EXPR_call ? e->u.call.args.n : 0;
    if (given != n) {
        sema_error(s, e->span, given < n ? DIAG_E0310 : DIAG_E0311,
                   n ? "this initialiser takes a number, as in normal(0.02)"
                     : "this initialiser takes nothing");
        return false;
    }
    if (n == 0)
        return true;
    const Arg *a = &e->u.call.args.items[0];
    Val v = sema_expr(s, a->value);
    if (v.kind == VAL_poison)
        return false;
    if (a->name || !val_is_number(v)) {
        sema_error(s, a->value->span, DIAG_E0400, "an initialiser takes a number%s%s",
                   a->name ? " without a name" : ", not ", a->name ? "" : val_kind_name(v));
        return false;
    }
    out->init_value = val_number(v);
    if (kind == INIT_constant || out->init_value >= 0)
        return true;
    sema_error(s, a->value->span, DIAG_E0206, "%s: %g is negative",
               kind == INIT_normal ? "normal" : "uniform", out->init_value);
    return false;
}

int sema_find_init(Sema *s, Expr *e)
{
    const char *name = e->kind == EXPR_name                    ? e->u.name
                       : e->kind == EXPR_call && !e->u.call.path ? e->u.call.name
                                                               : NULL;
    if (e->reported)
        return -1;
    Nearest near = nearest_of(name ? name : "");
    for (int i = 0; name && i < (int)(sizeof inits / sizeof *inits); i++) {
        if (strcmp(name, inits[i].name) == 0)
            return i;
        nearest_try(&near, inits[i].name);
    }
    Span at = e->kind == EXPR_call ? e->u.call.name_span : e->span;
    if (name)
        sema_error(s, at, DIAG_E0316, "unknown initialiser `%s`", name);
    else
        sema_error(s, at, DIAG_E0316, "expected an initialiser");
    if (near.found)
        sema_suggest(s, &near);
    else
        sema_label(s, "zeros, ones, constant(c), normal(std), uniform(bound), xavier or kaiming");
    e->reported = true;
    return -1;
}

bool sema_init(Sema *s, Expr *e, Storage *out)
{
    int i = sema_find_init(s, e);
    if (i < 0)
        return false;
    out->init = inits[i].kind;
    return init_value(s, e, inits[i].kind, inits[i].n, out);
}

/* ---- inputs and outputs ----------------------------------------------------------------------------- */

static bool input_type(Sema *s, const Stmt *stmt, DType *out)
{
    Nearest near = nearest_of(stmt->type);
    if (dtype_from_name(stmt->type, out)) {
        if (dtype_is_lane(*out))
            return true;
        sema_error(s, stmt->type_span, DIAG_E0203, "%s is a type of storage, not of inputs",
                   stmt->type);
        sema_label(s, "f32, i32 or bool");
        return false;
    }
    for (int i = 0; i < N_DTYPES; i++)
        if (dtype_is_lane((DType)i))
            nearest_try(&near, dtype_name((DType)i));
    sema_error(s, stmt->type_span, DIAG_E0316, "unknown element type `%s`", stmt->type);
    if (near.found)
        sema_suggest(s, &near);
    else
        sema_label(s, "f32, i32 or bool");
    return false;
}

void sema_input(Sema *s, const Stmt *stmt)
{
    Storage st = { .class = STORAGE_INPUT, .name = stmt->name, .span = stmt->name_span,
                   .train_only = s->frame->parent != NULL };
    frame_set(s, s->frame, stmt->name, (Val){ 0 });
    bool typed = input_type(s, stmt, &st.type.dtype);
    bool sized = sema_dims(s, stmt->dims, &st.type.shape, NULL);
    if (!typed || !sized || s->stop || is_taken(s, stmt->name, stmt))
        return;
    StorageId id = graph_storage(s->g, st);
    name_map_set(&s->storages, s->arena, stmt->name, id);
    frame_set(s, s->frame, stmt->name, source(s, OP_input, id, stmt->span));
}

void sema_output(Sema *s, const Stmt *stmt)
{
    Val v;
    if (stmt->value) {
        v = sema_expr(s, stmt->value);
    } else {
        Expr name = { .kind = EXPR_name, .depth = 1, .span = stmt->name_span,
                      .u.name = stmt->name };
        v = sema_expr(s, &name);
    }
    uint32_t first;
    bool again = name_map_get(&s->outputs, stmt->name, &first);
    name_map_set(&s->outputs, s->arena, stmt->name, again ? first : s->g->n_outputs);
    v = sema_tensor(s, v, stmt->value ? stmt->value->span : stmt->name_span, false);
    frame_set(s, s->frame, stmt->name, v);
    if (again) {
        sema_error(s, stmt->name_span, DIAG_E0304, "there is an output `%s` already", stmt->name);
        if (first < s->g->n_outputs)
            sema_note(s, s->g->outputs[first].span, "the first is here");
        return;
    }
    if (v.kind == VAL_tensor)
        graph_output(s->g, stmt->name, v.u.tensor, stmt->name_span);
}
