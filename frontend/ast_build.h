/* What the grammar's actions call to make the tree. */
#ifndef FRONTEND_AST_BUILD_H
#define FRONTEND_AST_BUILD_H

#include "frontend/parse.h"

Stmt *ast_stmt(Parse *p, StmtKind kind, Loc at);
Stmt *ast_named(Parse *p, StmtKind kind, const char *name, Loc name_at, Expr *value, Loc at);
/* A statement that could not be read; remembers the names in it. */
Stmt *ast_broken(Parse *p, Loc at);
/* The bounds of a `for`; a path that the last call of `to` took is the loop's. */
void ast_range(Parse *p, Stmt *s, Expr *from, Expr *to, Path *path);
void ast_body(Parse *p, Stmt *s, StmtList body);
void ast_otherwise(Parse *p, Stmt *s, StmtList body);

Expr *ast_expr(Parse *p, ExprKind kind, Loc at);
Expr *ast_unary(Parse *p, UnaryOp op, Expr *x, Loc at);
Expr *ast_binary(Parse *p, BinaryOp op, Expr *x, Expr *y, Loc op_at, Loc at);
Expr *ast_transpose(Parse *p, Expr *x, Loc at);
Expr *ast_index(Parse *p, Expr *x, IndexList items, Loc at);
Expr *ast_call(Parse *p, const char *name, Loc name_at, ArgList args, Path *path, Loc at);
Expr *ast_list(Parse *p, ExprList items, Loc at);
Path *ast_path(Parse *p, Path *path, Segment segment, Loc at);     /* path NULL: a new one */

StmtList ast_add_stmt(Parse *p, StmtList list, Stmt *s);
ExprList ast_add_expr(Parse *p, ExprList list, Expr *e);
ArgList ast_add_arg(Parse *p, ArgList list, Arg arg);
IndexList ast_add_index(Parse *p, IndexList list, IndexItem item);
FormalList ast_add_formal(Parse *p, FormalList list, Formal formal);
NameList ast_add_name(Parse *p, NameList list, const char *name, Loc at);

#endif
