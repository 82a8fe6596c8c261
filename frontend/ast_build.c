/* Nodes of the tree.  Depth is bounded here, so that everything after may recurse. */
#include "frontend/ast_build.h"

#include "parse.tab.h"

/* Adds to one of the tree's lists, all of which have items, n and cap. */
#define LIST_WITH(p, list, item)                                              \
    do {                                                                      \
        ARENA_PUSH((p)->arena, (list).items, (list).n, (list).cap, (item));   \
        return (list);                                                        \
    } while (0)

Stmt *ast_stmt(Parse *p, StmtKind kind, Loc at)
{
    Stmt *s = arena_alloc(p->arena, sizeof *s);
    s->kind = kind;
    s->span = parse_span(p, at);
    s->first = at.first;
    s->last = at.last;
    return s;
}

Stmt *ast_named(Parse *p, StmtKind kind, const char *name, Loc name_at, Expr *value, Loc at)
{
    Stmt *s = ast_stmt(p, kind, at);
    s->name = name;
    s->name_span = parse_span(p, name_at);
    s->value = value;
    return s;
}

/* Index of the first token at or after a byte. */
static uint32_t token_at(const Parse *p, uint32_t byte)
{
    uint32_t lo = 0, hi = p->n_tokens;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->tokens[mid].loc.first < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

Stmt *ast_broken(Parse *p, Loc at)
{
    Stmt *s = ast_stmt(p, STMT_broken, at);
    s->has_broken = true;
    for (uint32_t i = token_at(p, at.first); i < p->n_tokens && i < p->next; i++) {
        const Token *t = &p->tokens[i];
        if (t->loc.first >= at.last)
            break;
        NameAt name = { t->u.name, parse_span(p, t->loc) };
        if (t->kind == TOKEN_NAME)
            ARENA_PUSH(p->arena, p->ast->broken_names.items, p->ast->broken_names.n,
                       p->ast->broken_names.cap, name);
    }
    return s;
}

void ast_range(Parse *p, Stmt *s, Expr *from, Expr *to, Path *path)
{
    (void)p;
    Expr *last = to;
    while (last->kind == EXPR_binary || last->kind == EXPR_unary)
        last = last->kind == EXPR_binary ? last->u.binary.y : last->u.unary.x;
    if (!path && last->kind == EXPR_call && last->u.call.path) {
        path = last->u.call.path;
        last->u.call.path = NULL;
    }
    s->from = from;
    s->to = to;
    s->path = path;
}

static bool any_broken(StmtList body)
{
    for (uint32_t i = 0; i < body.n; i++)
        if (body.items[i]->has_broken)
            return true;
    return false;
}

void ast_body(Parse *p, Stmt *s, StmtList body)
{
    (void)p;
    s->body = body;
    s->has_broken |= any_broken(body);
}

void ast_otherwise(Parse *p, Stmt *s, StmtList body)
{
    (void)p;
    s->otherwise = body;
    s->has_broken |= any_broken(body);
}

Expr *ast_expr(Parse *p, ExprKind kind, Loc at)
{
    Expr *e = arena_alloc(p->arena, sizeof *e);
    e->kind = kind;
    e->depth = 1;
    e->span = parse_span(p, at);
    return e;
}

/* Makes `e` deeper than its part `x`, or gives up what it was to hold. */
static bool holds(Parse *p, Expr *e, const Expr *x, Loc at)
{
    if (!x || x->depth < e->depth)
        return true;
    if (x->depth < MAX_EXPR_DEPTH) {
        e->depth = (uint16_t)(x->depth + 1);
        return true;
    }
    parse_error(p, at, DIAG_E0107, "this expression is nested too deeply");
    *e = (Expr){ .kind = EXPR_name, .depth = 1, .reported = true, .span = e->span,
                 .u.name = intern(p->intern, "_", 1) };
    return false;
}

Expr *ast_unary(Parse *p, UnaryOp op, Expr *x, Loc at)
{
    Expr *e = ast_expr(p, EXPR_unary, at);
    e->u.unary.op = op;
    e->u.unary.x = x;
    holds(p, e, x, at);
    return e;
}

Expr *ast_binary(Parse *p, BinaryOp op, Expr *x, Expr *y, Loc op_at, Loc at)
{
    (void)op_at;
    Expr *e = ast_expr(p, EXPR_binary, at);
    e->u.binary.op = op;
    e->u.binary.x = x;
    e->u.binary.y = y;
    if (holds(p, e, x, at))
        holds(p, e, y, at);
    return e;
}

Expr *ast_transpose(Parse *p, Expr *x, Loc at)
{
    Expr *e = ast_expr(p, EXPR_transpose, at);
    e->u.x = x;
    holds(p, e, x, at);
    return e;
}

Expr *ast_index(Parse *p, Expr *x, IndexList items, Loc at)
{
    Expr *e = ast_expr(p, EXPR_index, at);
    e->u.index.x = x;
    e->u.index.items = items;
    bool ok = holds(p, e, x, at);
    for (uint32_t i = 0; ok && i < items.n; i++)
        ok = holds(p, e, items.items[i].start, at) && holds(p, e, items.items[i].stop, at);
    return e;
}

Expr *ast_call(Parse *p, const char *name, Loc name_at, ArgList args, Path *path, Loc at)
{
    Expr *e = ast_expr(p, EXPR_call, at);
    e->u.call.name = name;
    e->u.call.name_span = parse_span(p, name_at);
    e->u.call.args = args;
    e->u.call.path = path;
    bool ok = true;
    for (uint32_t i = 0; ok && i < args.n; i++)
        ok = holds(p, e, args.items[i].value, at);
    for (uint32_t i = 0; ok && path && i < path->n; i++)
        ok = holds(p, e, path->items[i].value, at);
    return e;
}

Expr *ast_list(Parse *p, ExprList items, Loc at)
{
    Expr *e = ast_expr(p, EXPR_list, at);
    e->u.list = items;
    for (uint32_t i = 0; i < items.n; i++)
        if (!holds(p, e, items.items[i], at))
            break;
    return e;
}

Path *ast_path(Parse *p, Path *path, Segment segment, Loc at)
{
    if (!path)
        path = arena_alloc(p->arena, sizeof *path);
    ARENA_PUSH(p->arena, path->items, path->n, path->cap, segment);
    path->span = parse_span(p, at);
    return path;
}

StmtList ast_add_stmt(Parse *p, StmtList list, Stmt *s) { LIST_WITH(p, list, s); }
ExprList ast_add_expr(Parse *p, ExprList list, Expr *e) { LIST_WITH(p, list, e); }
ArgList ast_add_arg(Parse *p, ArgList list, Arg arg) { LIST_WITH(p, list, arg); }
IndexList ast_add_index(Parse *p, IndexList list, IndexItem item) { LIST_WITH(p, list, item); }
/* More parameters or results than any block has would only make the walks over them slow. */
enum { MAX_NAMES = 64 };

FormalList ast_add_formal(Parse *p, FormalList list, Formal formal)
{
    if (list.n == MAX_NAMES) {
        diag_error(p->diags, formal.span, DIAG_E0106, "more than %d parameters", MAX_NAMES);
        return list;
    }
    LIST_WITH(p, list, formal);
}

NameList ast_add_name(Parse *p, NameList list, const char *name, Loc at)
{
    NameAt item = { name, parse_span(p, at) };
    if (list.n == MAX_NAMES) {
        diag_error(p->diags, item.span, DIAG_E0106, "more than %d names", MAX_NAMES);
        return list;
    }
    LIST_WITH(p, list, item);
}
