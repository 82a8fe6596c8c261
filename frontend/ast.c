/* The tree as text: `--emit=ast`, and expressions as their author would write them. */
#include "frontend/ast.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *binary_text(BinaryOp op)
{
    static const char *const texts[] = {
#define X(name, text) text,
        BINARY_OPS(X)
#undef X
    };
    return texts[op];
}

const char *binary_name(BinaryOp op)
{
    static const char *const names[] = {
#define X(name, text) #name,
        BINARY_OPS(X)
#undef X
    };
    return names[op];
}

const char *stmt_kind_name(StmtKind k)
{
    static const char *const names[] = {
#define X(name) #name,
        STMT_KINDS(X)
#undef X
    };
    return names[k];
}

static void print_list(Buf *out, const ExprList *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        buf_puts(out, i ? ", " : "");
        expr_print(out, list->items[i]);
    }
}

static void print_path(Buf *out, const Path *path)
{
    for (uint32_t i = 0; i < path->n; i++) {
        buf_puts(out, i ? "." : "");
        if (path->items[i].word) {
            buf_puts(out, path->items[i].word);
        } else {
            buf_putc(out, '{');
            expr_print(out, path->items[i].value);
            buf_putc(out, '}');
        }
    }
}

static void print_call(Buf *out, const Expr *e)
{
    buf_printf(out, "%s(", e->u.call.name);
    for (uint32_t i = 0; i < e->u.call.args.n; i++) {
        const Arg *a = &e->u.call.args.items[i];
        buf_puts(out, i ? ", " : "");
        if (a->name)
            buf_printf(out, "%s = ", a->name);
        expr_print(out, a->value);
    }
    buf_putc(out, ')');
    if (e->u.call.path) {
        buf_puts(out, " as ");
        print_path(out, e->u.call.path);
    }
}

static void print_index(Buf *out, const Expr *e)
{
    expr_print(out, e->u.index.x);
    buf_putc(out, '[');
    for (uint32_t i = 0; i < e->u.index.items.n; i++) {
        const IndexItem *it = &e->u.index.items.items[i];
        buf_puts(out, i ? ", " : "");
        if (it->kind == INDEX_rest)
            buf_puts(out, "..");
        if (it->start)
            expr_print(out, it->start);
        if (it->kind == INDEX_range)
            buf_putc(out, ':');
        if (it->stop)
            expr_print(out, it->stop);
    }
    buf_putc(out, ']');
}

/* With parentheses around every operation inside another: the structure is what is shown. */
static void print_part(Buf *out, const Expr *e)
{
    bool wrap = e->kind == EXPR_binary || e->kind == EXPR_unary;
    buf_puts(out, wrap ? "(" : "");
    expr_print(out, e);
    buf_puts(out, wrap ? ")" : "");
}

static void print_float(Buf *out, double f)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", f);
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
    buf_puts(out, text);
}

void expr_print(Buf *out, const Expr *e)
{
    switch (e->kind) {
    case EXPR_int: buf_printf(out, "%" PRId64, e->u.i); break;
    case EXPR_float: print_float(out, e->u.f); break;
    case EXPR_bool: buf_puts(out, e->u.b ? "true" : "false"); break;
    case EXPR_string: buf_printf(out, "\"%s\"", e->u.name); break;
    case EXPR_name: buf_puts(out, e->u.name); break;
    case EXPR_rest: buf_puts(out, ".."); break;
    case EXPR_unary:
        buf_puts(out, e->u.unary.op == UNARY_neg ? "-" : "not ");
        print_part(out, e->u.unary.x);
        break;
    case EXPR_binary:
        print_part(out, e->u.binary.x);
        buf_printf(out, " %s ", binary_text(e->u.binary.op));
        print_part(out, e->u.binary.y);
        break;
    case EXPR_transpose:
        print_part(out, e->u.x);
        buf_putc(out, '\'');
        break;
    case EXPR_index: print_index(out, e); break;
    case EXPR_call: print_call(out, e); break;
    case EXPR_list:
        buf_putc(out, '[');
        print_list(out, &e->u.list);
        buf_putc(out, ']');
        break;
    }
}

static void print_formals(Buf *out, const FormalList *formals)
{
    buf_putc(out, '(');
    for (uint32_t i = 0; i < formals->n; i++) {
        const Formal *f = &formals->items[i];
        buf_printf(out, "%s%s", i ? ", " : "", f->name);
        if (f->pattern) {
            buf_puts(out, " : ");
            expr_print(out, f->pattern);
        }
        if (f->value) {
            buf_puts(out, " = ");
            expr_print(out, f->value);
        }
    }
    buf_putc(out, ')');
}

static void print_head(Buf *out, const Stmt *s)
{
    buf_puts(out, stmt_kind_name(s->kind));
    if (s->name)
        buf_printf(out, s->kind == STMT_use ? " \"%s\"" : " %s", s->name);
    if (s->type)
        buf_printf(out, " : %s", s->type);
    if (s->dims)
        expr_print(out, s->dims);
    if (s->kind == STMT_block)
        print_formals(out, &s->formals);
    for (uint32_t i = 0; i < s->targets.n; i++)
        buf_printf(out, "%s %s", i ? "," : "", s->targets.items[i].name);
    if (s->from) {
        buf_puts(out, " in ");
        expr_print(out, s->from);
        buf_puts(out, "..");
        expr_print(out, s->to);
    }
    if (s->path) {
        buf_puts(out, " as ");
        print_path(out, s->path);
    }
    bool bound = s->kind == STMT_batch || s->kind == STMT_sequence || s->kind == STMT_dim;
    bool equals = s->kind == STMT_config || s->kind == STMT_param || s->kind == STMT_assign ||
                  s->kind == STMT_output;
    if (s->value) {
        buf_puts(out, bound ? " <= " : equals ? " = " : " ");
        expr_print(out, s->value);
    }
    if (s->values.n)
        buf_putc(out, ' ');
    print_list(out, &s->values);
}

static void print_stmts(Buf *out, const StmtList *list, int indent)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const Stmt *s = list->items[i];
        buf_printf(out, "%*s%u:%u ", 2 * indent, "", s->span.line, s->span.column);
        print_head(out, s);
        buf_putc(out, '\n');
        print_stmts(out, &s->body, indent + 1);
        if (s->otherwise.n) {
            buf_printf(out, "%*selse\n", 2 * indent, "");
            print_stmts(out, &s->otherwise, indent + 1);
        }
    }
}

void ast_print(Buf *out, const Ast *ast)
{
    print_stmts(out, &ast->items, 0);
}
