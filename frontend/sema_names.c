/* The first walk: every statement once, in order, whatever branch or block it stands in.
 *
 * It settles what a name can mean, so that unknown names, unknown operations, wrong keywords and
 * statements out of place are told even where the model never gets; and what is never used.  A name
 * that is given a value in one branch only counts as known here. */
#include "frontend/sema.h"


#include <string.h>

/* A name that has been given a value. */
typedef struct Known {
    const char *name;
    Span span;
    bool used, quiet;                   /* quiet: nobody minds if it is not used */
    const char *meant;                  /* the known name that is nearly this one, or NULL */
} Known;

typedef enum Home { IN_MODEL, IN_BLOCK, IN_TRAIN } Home;

typedef struct Names {
    Sema *s;
    Home home;
    bool library;
    uint32_t nested;                    /* ifs and fors around */
    NameMap index;
    Known *items;
    uint32_t n, cap;
    struct Names *outer;                /* of the train block: the model's */
} Names;

static void walk_expr(Names *n, Expr *e);
static void walk_body(Names *n, const StmtList *body);

/* ---- names --------------------------------------------------------------------------------------- */

static Known *find(Names *n, const char *name)
{
    for (; n; n = n->outer) {
        uint32_t i;
        if (name_map_get(&n->index, name, &i))
            return &n->items[i];
    }
    return NULL;
}

static void add(Names *n, const char *name, Span span, bool quiet)
{
    uint32_t i;
    if (name_map_get(&n->index, name, &i))
        return;
    Known k = { name, span, false, quiet || name[0] == '_', NULL };
    name_map_set(&n->index, n->s->arena, name, n->n);
    ARENA_PUSH(n->s->arena, n->items, n->n, n->cap, k);
}

static void try_all(Names *n, Nearest *near)
{
    for (const Names *o = n; o; o = o->outer)
        for (uint32_t i = 0; i < o->n; i++)
            sema_try(n->s, near, o->items[i].name);
    for (uint32_t i = 0; !n->library && i < n->s->n_globals; i++)
        sema_try(n->s, near, n->s->globals[i].stmt->name);
}

static void unknown_name(Names *n, Expr *e)
{
    Sema *s = n->s;
    uint32_t i;
    e->reported = true;
    if (name_map_get(&s->broken, e->u.name, &i))
        return;
    if (n->home == IN_BLOCK && !n->library && name_map_get(&s->model_names, e->u.name, &i)) {
        sema_error(s, e->span, DIAG_E0315, "`%s` is a variable of the model, not of this block",
                   e->u.name);
        sema_label(s, "pass it as an argument");
        return;
    }
    Nearest near = nearest_of(e->u.name);
    try_all(n, &near);
    nearest_try(&near, "true");
    nearest_try(&near, "false");
    sema_error(s, e->span, DIAG_E0300, "unknown name `%s`", e->u.name);
    if (name_map_get(&s->block_index, e->u.name, &i))
        sema_label(s, "a block is called: `%s(...)`", e->u.name);
    else
        sema_suggest(s, &near);
}

static void walk_name(Names *n, Expr *e)
{
    Known *k = find(n, e->u.name);
    Global *g = n->library ? NULL : sema_global(n->s, e->u.name);
    if (k)
        k->used = true;
    else if (g)
        g->used = true;
    else if (!e->reported)
        unknown_name(n, e);
}

/* ---- calls --------------------------------------------------------------------------------------- */

static void unknown_function(Names *n, Expr *e)
{
    Sema *s = n->s;
    uint32_t i;
    e->reported = true;
    if (name_map_get(&s->broken, e->u.call.name, &i))
        return;
    Nearest near = nearest_of(e->u.call.name);
    for (uint32_t b = 0; b < s->n_blocks; b++)
        sema_try(s, &near, s->blocks[b]->name);
    for (OpId op = 0; op < N_OPS; op++)
        if (op_info(op)->flags & OP_SURFACE)
            sema_try(s, &near, op_info(op)->name);
    for (int f = 0; number_function_name(f); f++)
        sema_try(s, &near, number_function_name(f));
    sema_try(s, &near, "split");
    sema_error(s, e->u.call.name_span, DIAG_E0301, "there is no block or operation `%s`",
               e->u.call.name);
    sema_suggest(s, &near);
}

static void resolve(Names *n, Expr *e)
{
    uint32_t block;
    OpId op;
    if (name_map_get(&n->s->block_index, e->u.call.name, &block)) {
        e->u.call.callee = CALLEE_block;
        e->u.call.block = n->s->blocks[block];
    } else if (strcmp(e->u.call.name, "split") == 0) {
        e->u.call.callee = CALLEE_split;
    } else if (op_from_name(e->u.call.name, &op) && (op_info(op)->flags & OP_SURFACE)) {
        e->u.call.callee = CALLEE_op;
        e->u.call.op = op;
    } else if (number_function(e->u.call.name) >= 0) {
        e->u.call.callee = CALLEE_number;
        e->u.call.op = (uint32_t)number_function(e->u.call.name);
    } else {
        unknown_function(n, e);
    }
}

static bool has_formal(const Stmt *block, const char *name)
{
    for (uint32_t i = 0; i < block->formals.n; i++)
        if (block->formals.items[i].name == name)
            return true;
    return false;
}

static bool has_keyword(const Expr *e, const char *name)
{
    switch (e->u.call.callee) {
    case CALLEE_block: return has_formal(e->u.call.block, name);
    case CALLEE_split: return strcmp(name, "axis") == 0;
    case CALLEE_op:
        return surface_keyword((OpId)e->u.call.op, name);
    case CALLEE_number: return false;
    case CALLEE_unknown: return true;
    }
    return true;
}

static void try_keywords(Sema *s, const Expr *e, Nearest *near)
{
    OpId op = (OpId)e->u.call.op;
    if (e->u.call.callee == CALLEE_block)
        for (uint32_t i = 0; i < e->u.call.block->formals.n; i++)
            sema_try(s, near, e->u.call.block->formals.items[i].name);
    if (e->u.call.callee == CALLEE_split)
        sema_try(s, near, "axis");
    if (e->u.call.callee != CALLEE_op)
        return;
    for (unsigned i = 0; surface_attr(op, i) >= 0; i++)
        sema_try(s, near, op_info(op)->attrs[surface_attr(op, i)].name);
    if (surface_takes_shape(op))
        sema_try(s, near, "shape");
    if (op == OP_rope)
        sema_try(s, near, "factors");
    if (op == OP_cross_entropy)
        sema_try(s, near, "ignore_index");
}

static void check_keywords(Sema *s, Expr *e)
{
    NameMap seen = { 0 };
    bool keyword = false;
    for (uint32_t i = 0; i < e->u.call.args.n; i++) {
        const Arg *a = &e->u.call.args.items[i];
        uint32_t unused;
        if (!a->name && keyword) {
            sema_error(s, a->value->span, DIAG_E0311,
                       "an argument by position after one by name");
            e->reported = true;
            return;
        }
        if (!a->name)
            continue;
        keyword = true;
        if (name_map_get(&seen, a->name, &unused)) {
            sema_error(s, a->name_span, DIAG_E0312, "`%s` is given twice", a->name);
            e->reported = true;
        } else if (!has_keyword(e, a->name)) {
            Nearest near = nearest_of(a->name);
            try_keywords(s, e, &near);
            sema_error(s, a->name_span, DIAG_E0302, "`%s` has no argument `%s`", e->u.call.name,
                       a->name);
            sema_suggest(s, &near);
            e->reported = true;
        }
        name_map_set(&seen, s->arena, a->name, 1);
    }
}

/* Every parameter of a block gets one value. */
static void check_block_args(Sema *s, Expr *e)
{
    const Stmt *block = e->u.call.block;
    const ArgList *args = &e->u.call.args;
    uint32_t positional = 0;
    while (positional < args->n && !args->items[positional].name)
        positional++;
    if (positional > block->formals.n) {
        sema_error(s, args->items[block->formals.n].value->span, DIAG_E0311,
                   "`%s` takes %u arguments, not %u", block->name, block->formals.n, positional);
        sema_note(s, block->span, "defined here");
        e->reported = true;
        return;
    }
    for (uint32_t f = 0; f < block->formals.n; f++) {
        const Formal *formal = &block->formals.items[f];
        uint32_t named = positional;
        while (named < args->n && args->items[named].name != formal->name)
            named++;
        if (f < positional && named < args->n) {
            sema_error(s, args->items[named].name_span, DIAG_E0312, "`%s` is given twice",
                       formal->name);
            e->reported = true;
        } else if (f >= positional && named == args->n && !formal->value) {
            sema_error(s, e->span, DIAG_E0310, "`%s` needs an argument `%s`", block->name,
                       formal->name);
            sema_note(s, formal->span, "declared here");
            e->reported = true;
        }
    }
}

/* Names like f32 and half stand where an operation expects a word, not a value. */
static bool may_be_word(Names *n, const Expr *e, uint32_t arg)
{
    const Arg *a = &e->u.call.args.items[arg];
    if (e->u.call.callee != CALLEE_op || a->value->kind != EXPR_name)
        return false;
    OpId op = (OpId)e->u.call.op;
    if (find(n, a->value->u.name) || (!n->library && sema_global(n->s, a->value->u.name)))
        return false;
    int attr = a->name                        ? surface_attr_named(op, a->name)
               : arg >= surface_inputs(op) ? surface_attr(op, arg - surface_inputs(op))
                                              : -1;
    if (attr < 0)
        return false;
    AttrKind kind = op_info(op)->attrs[attr].kind;
    return kind == ATTR_DTYPE || kind == ATTR_STYLE;
}

static void walk_path(Names *n, const Path *path)
{
    for (uint32_t i = 0; path && i < path->n; i++)
        if (path->items[i].value)
            walk_expr(n, path->items[i].value);
}

static void walk_args(Names *n, Expr *e)
{
    for (uint32_t i = 0; i < e->u.call.args.n; i++)
        if (!may_be_word(n, e, i))
            walk_expr(n, e->u.call.args.items[i].value);
}

static void walk_call(Names *n, Expr *e)
{
    resolve(n, e);
    check_keywords(n->s, e);
    if (e->u.call.callee == CALLEE_block && !e->reported)
        check_block_args(n->s, e);
    walk_args(n, e);
    walk_path(n, e->u.call.path);
    if (e->u.call.path && e->u.call.callee != CALLEE_block && e->u.call.callee != CALLEE_unknown) {
        sema_error(n->s, e->u.call.path->span, DIAG_E0409, "`%s` is no block: it has no parameters "
                   "to name", e->u.call.name);
    }
}

static void walk_index(Names *n, Expr *e)
{
    walk_expr(n, e->u.index.x);
    for (uint32_t i = 0; i < e->u.index.items.n; i++) {
        const IndexItem *it = &e->u.index.items.items[i];
        if (it->start)
            walk_expr(n, it->start);
        if (it->stop)
            walk_expr(n, it->stop);
    }
}

static void walk_expr(Names *n, Expr *e)
{
    switch (e->kind) {
    case EXPR_int:
    case EXPR_float:
    case EXPR_bool:
    case EXPR_string:
    case EXPR_rest: break;
    case EXPR_name: walk_name(n, e); break;
    case EXPR_unary: walk_expr(n, e->u.unary.x); break;
    case EXPR_binary:
        walk_expr(n, e->u.binary.x);
        walk_expr(n, e->u.binary.y);
        break;
    case EXPR_transpose: walk_expr(n, e->u.x); break;
    case EXPR_index: walk_index(n, e); break;
    case EXPR_call: walk_call(n, e); break;
    case EXPR_list:
        for (uint32_t i = 0; i < e->u.list.n; i++)
            walk_expr(n, e->u.list.items[i]);
        break;
    }
}

/* ---- statements ----------------------------------------------------------------------------------- */

static bool belongs(const Names *n, StmtKind kind)
{
    switch (kind) {
    case STMT_model: case STMT_use: case STMT_config: case STMT_batch: case STMT_sequence:
    case STMT_dim: case STMT_block: case STMT_train:
        return n->home == IN_MODEL && n->nested == 0;
    case STMT_input: return n->home != IN_BLOCK;
    case STMT_output: return n->home == IN_MODEL;
    case STMT_param: return n->home != IN_TRAIN;
    case STMT_return: return n->home == IN_BLOCK;
    case STMT_loss: case STMT_optimizer: return n->home == IN_TRAIN;
    case STMT_assign: case STMT_for: case STMT_if: case STMT_broken: return true;
    case N_STMT_KINDS: break;
    }
    return false;
}

static const char *home_of(StmtKind kind)
{
    switch (kind) {
    case STMT_loss: case STMT_optimizer: return "it belongs into `train { }`";
    case STMT_return: return "it belongs into a block";
    case STMT_input: return "it belongs into the model or into `train { }`";
    case STMT_param: return "it belongs into the model or a block";
    case STMT_output: return "it belongs into the model";
    case STMT_model: case STMT_use: case STMT_config: case STMT_batch: case STMT_sequence:
    case STMT_dim: case STMT_block: case STMT_train:
        return "it stands at the top of the file, outside of every body";
    case STMT_assign: case STMT_for: case STMT_if: case STMT_broken: case N_STMT_KINDS: break;
    }
    return "";
}

static void walk_targets(Names *n, const Stmt *stmt)
{
    for (uint32_t i = 0; i < stmt->targets.n; i++) {
        const NameAt *t = &stmt->targets.items[i];
        Global *g = n->library || find(n, t->name) ? NULL : sema_global(n->s, t->name);
        if (g) {
            sema_error(n->s, t->span, DIAG_E0306, "`%s` is a %s and keeps its value", t->name,
                       g->kind == GLOBAL_config ? "config" : "size");
            sema_note(n->s, g->stmt->name_span, "defined here");
        }
        for (uint32_t k = 0; k < i; k++)
            if (stmt->targets.items[k].name == t->name && t->name[0] != '_')
                sema_error(n->s, t->span, DIAG_E0304, "`%s` is assigned twice here", t->name);
        add(n, t->name, t->span, false);
    }
}

/* `zeros`, `normal(std)` and `adamw(...)` are words where they stand; their arguments are values. */
static void walk_word(Names *n, Expr *e)
{
    if (e->kind == EXPR_call) {
        e->u.call.callee = CALLEE_unknown;
        for (uint32_t i = 0; i < e->u.call.args.n; i++)
            walk_expr(n, e->u.call.args.items[i].value);
    } else if (e->kind != EXPR_name) {
        walk_expr(n, e);
    }
}

static void walk_declared(Names *n, const Stmt *stmt)
{
    Global *g = n->library ? NULL : sema_global(n->s, stmt->name);
    if (g) {
        sema_error(n->s, stmt->name_span, DIAG_E0304, "`%s` is defined already", stmt->name);
        sema_note(n->s, g->stmt->name_span, "first defined here");
    }
    add(n, stmt->name, stmt->name_span, stmt->kind == STMT_output);
}

static void walk_for(Names *n, const Stmt *stmt)
{
    walk_expr(n, stmt->from);
    walk_expr(n, stmt->to);
    add(n, stmt->name, stmt->name_span, true);
    walk_path(n, stmt->path);
    n->nested++;
    walk_body(n, &stmt->body);
    n->nested--;
}

static void walk_train(Names *n, const Stmt *stmt)
{
    Names inner = { .s = n->s, .home = IN_TRAIN, .outer = n };
    walk_body(&inner, &stmt->body);
}

static void walk_stmt(Names *n, Stmt *stmt)
{
    if (!belongs(n, stmt->kind)) {
        stmt->misplaced = true;
        if (!n->s->ast->unbalanced) {
            sema_error(n->s, stmt->span, DIAG_E0406, "`%s` does not belong here",
                       stmt_kind_name(stmt->kind));
            sema_label(n->s, "%s", home_of(stmt->kind));
        }
        if (stmt->name && stmt->kind != STMT_block)
            add(n, stmt->name, stmt->name_span, true);
        return;
    }
    bool word = stmt->kind == STMT_param || stmt->kind == STMT_optimizer;
    if (stmt->dims)
        walk_expr(n, stmt->dims);
    if (stmt->value)
        (word ? walk_word : walk_expr)(n, stmt->value);
    if (stmt->kind == STMT_param)
        sema_find_init(n->s, stmt->value);
    for (uint32_t i = 0; i < stmt->values.n; i++)
        walk_expr(n, stmt->values.items[i]);
    switch (stmt->kind) {
    case STMT_input:
    case STMT_param: walk_declared(n, stmt); break;
    case STMT_output: {
        Known *k = find(n, stmt->name);
        if (stmt->value) {
            walk_declared(n, stmt);
        } else if (k) {
            k->used = true;
        } else {
            Expr name = { .kind = EXPR_name, .span = stmt->name_span, .u.name = stmt->name };
            unknown_name(n, &name);
            stmt->misplaced = true;
        }
        break;
    }
    case STMT_assign: walk_targets(n, stmt); break;
    case STMT_for: walk_for(n, stmt); break;
    case STMT_if:
        n->nested++;
        walk_body(n, &stmt->body);
        walk_body(n, &stmt->otherwise);
        n->nested--;
        break;
    case STMT_train: walk_train(n, stmt); break;
    case STMT_model: case STMT_use: case STMT_config: case STMT_batch: case STMT_sequence:
    case STMT_dim: case STMT_block: case STMT_return: case STMT_loss: case STMT_optimizer:
    case STMT_broken: case N_STMT_KINDS: break;
    }
}

static void walk_body(Names *n, const StmtList *body)
{
    for (uint32_t i = 0; i < body->n && !n->s->stop; i++)
        walk_stmt(n, body->items[i]);
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

/* Nobody minds a size that is bound and not used, unless it looks like a known name misspelt: that
 * would match any size. */
static void bind_name(Names *n, const Expr *e)
{
    Nearest near = nearest_of(e->u.name);
    try_all(n, &near);
    bool typo = near.found && strlen(e->u.name) >= 3;
    add(n, e->u.name, e->span, !typo);
    uint32_t i;
    if (typo && name_map_get(&n->index, e->u.name, &i))
        n->items[i].meant = near.found;
}

/* A new name in a pattern is bound by it; anything else is a value to match. */
static void walk_pattern(Names *n, Expr *pattern)
{
    int rests = 0;
    for (uint32_t i = 0; i < pattern->u.list.n; i++) {
        Expr *e = pattern->u.list.items[i];
        bool bound = e->kind == EXPR_name &&
                     (find(n, e->u.name) || (!n->library && sema_global(n->s, e->u.name)));
        if (e->kind == EXPR_rest && rests++)
            sema_error(n->s, e->span, DIAG_E0415, "a pattern has one `..` at most");
        if (e->kind == EXPR_name && !bound)
            bind_name(n, e);
        else
            walk_expr(n, e);
    }
}

static void warn(Sema *s, const char *name, Span at, const char *meant)
{
    enum { ENOUGH = 100 };
    Unused unused = { name, at, meant };
    if (s->n_unused < ENOUGH)
        ARENA_PUSH(s->arena, s->unused, s->n_unused, s->cap_unused, unused);
}

static void warn_unused(const Names *n)
{
    for (uint32_t i = 0; i < n->n; i++)
        if (!n->items[i].used && !n->items[i].quiet)
            warn(n->s, n->items[i].name, n->items[i].span, n->items[i].meant);
}

static void walk_block(Sema *s, const Stmt *block)
{
    Names n = { .s = s, .home = IN_BLOCK, .library = block->library };
    for (uint32_t i = 0; i < block->formals.n; i++) {
        const Formal *f = &block->formals.items[i];
        uint32_t unused;
        if (f->value)
            walk_expr(&n, f->value);
        if (name_map_get(&n.index, f->name, &unused))
            sema_error(s, f->span, DIAG_E0304, "`%s` is a parameter already", f->name);
        add(&n, f->name, f->span, false);
    }
    for (uint32_t i = 0; i < block->formals.n; i++)
        if (block->formals.items[i].pattern)
            walk_pattern(&n, block->formals.items[i].pattern);
    walk_body(&n, &block->body);
    if (!block->library)
        warn_unused(&n);
}

/* Names that the model assigns, wherever, so that a block that wants one is told where it is. */
static void collect(Sema *s, const StmtList *body)
{
    for (uint32_t i = 0; i < body->n; i++) {
        const Stmt *stmt = body->items[i];
        if (stmt->kind == STMT_block)
            continue;
        if (stmt->kind == STMT_input || stmt->kind == STMT_output || stmt->kind == STMT_param)
            name_map_set(&s->model_names, s->arena, stmt->name, 1);
        for (uint32_t k = 0; k < stmt->targets.n; k++)
            name_map_set(&s->model_names, s->arena, stmt->targets.items[k].name, 1);
        collect(s, &stmt->body);
        collect(s, &stmt->otherwise);
    }
}

void sema_names(Sema *s)
{
    collect(s, &s->ast->items);
    for (uint32_t i = 0; i < s->n_blocks; i++)
        walk_block(s, s->blocks[i]);
    Names n = { .s = s, .home = IN_MODEL };
    walk_body(&n, &s->ast->items);
    warn_unused(&n);
    for (uint32_t i = 0; i < s->n_globals; i++)
        if (!s->globals[i].used)
            warn(s, s->globals[i].stmt->name, s->globals[i].stmt->name_span, NULL);
}
