/* What the grammar's actions call to make the tree. */
#ifndef FRONTEND_AST_BUILD_H
#define FRONTEND_AST_BUILD_H

#include "frontend/parse.h"

Stmt *build_stmt(Parse *p, StmtKind kind, Loc at);
Stmt *build_named(Parse *p, StmtKind kind, const char *name, Loc name_at, Expr *value, Loc at);
/* A statement that could not be read; remembers the names in it. */
Stmt *build_broken(Parse *p, Loc at);
/* The bounds of a `for`; a path that the last call of `to` took is the loop's. */
void build_range(Parse *p, Stmt *s, Expr *from, Expr *to, Path *path);
void build_body(Parse *p, Stmt *s, StmtList body);
void build_otherwise(Parse *p, Stmt *s, StmtList body);

Expr *build_expr(Parse *p, ExprKind kind, Loc at);
Expr *build_unary(Parse *p, UnaryOp op, Expr *x, Loc at);
Expr *build_binary(Parse *p, BinaryOp op, Expr *x, Expr *y, Loc op_at, Loc at);
Expr *build_transpose(Parse *p, Expr *x, Loc at);
Expr *build_index(Parse *p, Expr *x, IndexList items, Loc at);
Expr *build_call(Parse *p, const char *name, Loc name_at, ArgList args, Path *path, Loc at);
Expr *build_list(Parse *p, ExprList items, Loc at);
Path *build_path(Parse *p, Path *path, Segment segment, Loc at);     /* path NULL: a new one */

StmtList build_add_stmt(Parse *p, StmtList list, Stmt *s);
ExprList build_add_expr(Parse *p, ExprList list, Expr *e);
ArgList build_add_arg(Parse *p, ArgList list, Arg arg);
IndexList build_add_index(Parse *p, IndexList list, IndexItem item);
FormalList build_add_formal(Parse *p, FormalList list, Formal formal);
NameList build_add_name(Parse *p, NameList list, const char *name, Loc at);

#endif
