/* The syntax tree: what the text says, before anything is known about what it means.
 *
 * Names are interned: two equal names are one pointer within a compilation, so names compare with
 * `==`.  Everything lives in the arena of the compilation.  The parser builds it; sema reads it and
 * writes only the fields marked so. */
#ifndef FRONTEND_AST_H
#define FRONTEND_AST_H

#include "base/buf.h"
#include "ir/diag.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef struct Path Path;

typedef struct ExprList { Expr **items; uint32_t n, cap; } ExprList;
typedef struct StmtList { Stmt **items; uint32_t n, cap; } StmtList;

/* ---- expressions ---------------------------------------------------------------------------- */

typedef enum ExprKind {
    EXPR_int, EXPR_float, EXPR_bool, EXPR_string, EXPR_name,
    EXPR_rest,                          /* `..` in a list */
    EXPR_unary, EXPR_binary,
    EXPR_transpose,                     /* x' */
    EXPR_index,                         /* x[.., a:b] */
    EXPR_call,
    EXPR_list,                          /* [a, b] */
} ExprKind;

/* Names of the operators are those of the ops that they stand for, where there is one. */
#define BINARY_OPS(X)                                                                       \
    X(add, "+") X(sub, "-") X(mul, "*") X(div, "/") X(mod, "%") X(pow, "^") X(matmul, "@")              \
    X(lt, "<") X(le, "<=") X(gt, ">") X(ge, ">=") X(eq, "==") X(ne, "!=")                   \
    X(and, "and") X(or, "or")
typedef enum BinaryOp {
#define X(name, text) BINARY_##name,
    BINARY_OPS(X)
#undef X
    N_BINARY_OPS
} BinaryOp;
const char *binary_text(BinaryOp op);   /* "+" */
const char *binary_name(BinaryOp op);   /* "add" */

typedef enum UnaryOp { UNARY_neg, UNARY_not } UnaryOp;

/* An argument of a call: `value` or `name = value`. */
typedef struct Arg {
    const char *name;                   /* NULL: by position */
    Span name_span;
    Expr *value;
} Arg;
typedef struct ArgList { Arg *items; uint32_t n, cap; } ArgList;

/* One position between the brackets of an index. */
typedef struct IndexItem {
    enum { INDEX_rest, INDEX_at, INDEX_range } kind;
    Expr *start, *stop;                 /* `at`: start; `range`: either may be NULL */
    Span span;
} IndexItem;
typedef struct IndexList { IndexItem *items; uint32_t n, cap; } IndexList;

/* What a call's name turned out to mean; written by sema's pass over the names. */
typedef enum CalleeKind {
    CALLEE_unknown,                     /* already reported, or not looked at */
    CALLEE_block,
    CALLEE_op,
    CALLEE_split,
    CALLEE_number,                      /* floor, ceil, ...: numbers only */
} CalleeKind;

struct Expr {
    ExprKind kind;
    uint16_t depth;                     /* 1 + the deepest part's */
    uint32_t origin;                    /* sema: what this size is called in messages, or 0 */
    bool reported;                      /* sema: what is wrong with the name has been said */
    Span span;
    union {
        int64_t i;
        double f;
        bool b;
        const char *name;               /* name, string (without the quotes) */
        Expr *x;                        /* transpose */
        struct { UnaryOp op; Expr *x; } unary;
        struct { BinaryOp op; Expr *x, *y; } binary;
        struct { Expr *x; IndexList items; } index;
        struct {
            const char *name;
            Span name_span;
            ArgList args;
            Path *path;                 /* after `as`, or NULL */
            CalleeKind callee;          /* sema */
            const Stmt *block;          /* sema: of CALLEE_block */
            uint32_t op;                /* sema: OpId of CALLEE_op; index of CALLEE_number */
        } call;
        ExprList list;
    } u;
};

/* `h.{i}.attn`: words and computed segments. */
typedef struct Segment {
    const char *word;                   /* NULL: computed */
    Expr *value;
    Span span;
} Segment;
struct Path {
    Segment *items;
    uint32_t n, cap;
    Span span;
};

/* ---- statements ----------------------------------------------------------------------------- */

#define STMT_KINDS(X)                                                                       \
    X(model) X(use) X(config) X(batch) X(sequence) X(dim) X(input) X(output) X(param) X(block)       \
    X(assign) X(return) X(for) X(if) X(train) X(loss) X(optimizer) X(broken)
typedef enum StmtKind {
#define X(name) STMT_##name,
    STMT_KINDS(X)
#undef X
    N_STMT_KINDS
} StmtKind;
const char *stmt_kind_name(StmtKind k); /* the keyword: "config"; "assign" for an assignment */

/* A parameter of a block: `name`, `name : [pattern]`, `name = default`. */
typedef struct Formal {
    const char *name;
    Span span;
    Expr *pattern;                      /* EXPR_list or NULL */
    Expr *value;                        /* the default, or NULL */
} Formal;
typedef struct FormalList { Formal *items; uint32_t n, cap; } FormalList;

typedef struct NameAt {
    const char *name;
    Span span;
} NameAt;
typedef struct NameList { NameAt *items; uint32_t n, cap; } NameList;

struct Stmt {
    StmtKind kind;
    Span span;                          /* its first line */
    uint32_t first, last;               /* byte offsets of the whole, for the formatter */
    const char *name;                   /* model, config, dims, input, output, param, block, for: the
                                           variable; use: the file's name */
    Span name_span;
    Expr *value;                        /* config, output (or NULL), param's initialiser, loss,
                                           optimizer, dims' bound (or NULL), if's condition */
    const char *type;                   /* input */
    Span type_span;
    Expr *dims;                         /* input, param: EXPR_list, or NULL for a scalar */
    NameList targets;                   /* assign */
    ExprList values;                    /* assign has one; return */
    FormalList formals;                 /* block */
    Expr *from, *to;                    /* for */
    Path *path;                         /* for, or NULL */
    StmtList body;                      /* block, for, if, train; broken: what could be read */
    StmtList otherwise;                 /* if: the else branch */
    bool has_broken;                    /* somewhere inside a statement could not be read */
    bool library;                       /* block: sema: from a used file */
    bool misplaced;                     /* sema: told so, and left out */
};

typedef struct Ast {
    const char *model;                  /* NULL when the text does not say */
    Span model_span;
    StmtList items;
    NameList broken_names;              /* names in text that could not be read: whatever they
                                           were to mean, not knowing them is no new mistake */
    uint32_t n_syntax_errors;
    bool unbalanced;                    /* braces are missing: where a body ends is a guess */
} Ast;

/* Deeper trees are refused by the parser, so that walking one is safe. */
enum { MAX_EXPR_DEPTH = 200 };

void ast_print(Buf *out, const Ast *ast);
void expr_print(Buf *out, const Expr *e);   /* on one line, as the author would write it */

#endif
