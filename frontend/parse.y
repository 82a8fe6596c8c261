/* Tokens to the syntax tree, and nothing more: what names mean is sema's business.
 *
 * After an error the lexer side (recover.c) skips to where a statement seems to begin and sends
 * SYNC, or to the body of a construct whose head could not be read and sends BODY_SYNC. */
%require "3.8"
%define api.pure full
%define api.prefix {smg_}
%define api.token.prefix {TOKEN_}
%define api.location.type {Loc}
%define parse.error custom
%define parse.lac full
%locations
%param {Parse *p}
%expect 0

%code requires {
#include "frontend/parse.h"
}

%union {
    const char *name;
    int64_t i;
    double f;
    Expr *expr;
    Stmt *stmt;
    Path *path;
    ExprList exprs;
    StmtList stmts;
    Arg arg;
    ArgList args;
    IndexItem index_item;
    IndexList index_items;
    Formal formal;
    FormalList formals;
    NameList names;
    Segment segment;
}

%code {
#include "frontend/ast_build.h"

#define YYMAXDEPTH 3000
#define YYLLOC_DEFAULT(cur, rhs, n)                                                  \
    do {                                                                             \
        if (n) {                                                                     \
            (cur) = YYRHSLOC(rhs, 1);                                                \
            (cur).last = YYRHSLOC(rhs, n).last;                                      \
            (cur).last_line = YYRHSLOC(rhs, n).last_line;                            \
        } else {                                                                     \
            (cur) = YYRHSLOC(rhs, 0);                                                \
            (cur).first = (cur).last;                                                \
        }                                                                            \
    } while (0)

static int smg_lex(SMG_STYPE *value, Loc *loc, Parse *p);
static void smg_error(const Loc *loc, Parse *p, const char *message);
#define BIN(op, x, y, at, here) ast_binary(p, BINARY_##op, x, y, at, here)
}

%token END                "the end of the file"
%token BAD                "text that is no token"
%token SYNC               "the next statement"
%token BODY_SYNC          "the next body"
%token <name> NAME        "a name"
%token <name> WORD        "a word of a path"
%token <name> STRING      "a string"
%token <i> INT            "a whole number"
%token <f> FLOAT          "a number"
%token MODEL "`model`" USE "`use`" CONFIG "`config`" BATCH "`batch`" SEQUENCE "`sequence`"
%token DIM "`dim`" INPUT "`input`" OUTPUT "`output`" PARAM "`param`" BLOCK "`block`"
%token RETURN "`return`" FOR "`for`" IN "`in`" AS "`as`" IF "`if`" ELSE "`else`" TRAIN "`train`"
%token LOSS "`loss`" OPTIMIZER "`optimizer`" TRUE "`true`" FALSE "`false`"
%token AND "`and`" OR "`or`" NOT "`not`"
%token EQ "`==`" NE "`!=`" LE "`<=`" GE "`>=`" RANGE "`..`" DOT "`.`"
%token BODY_OPEN "`{`" BODY_CLOSE "`}`" PATH_OPEN "`{` of a path" PATH_CLOSE "`}` of a path"
%token '=' "`=`" '<' "`<`" '>' "`>`" '+' "`+`" '-' "`-`" '*' "`*`" '/' "`/`" '%' "`%`" '^' "`^`" '@' "`@`"
%token '\'' "`'`" ',' "`,`" ':' "`:`" '(' "`(`" ')' "`)`" '[' "`[`" ']' "`]`"

%precedence NO_PATH
%precedence AS
%left OR
%left AND
%precedence NOT
%nonassoc '<' '>' LE GE EQ NE
%left '+' '-'
%left '*' '/' '%' '@'
%precedence NEGATE
%right '^'

%type <stmts> stmts body branch lost_body
%type <stmt> stmt if
%type <expr> expr postfix primary bound dims list list_item opt_index
%type <exprs> exprs list_items
%type <arg> arg
%type <args> args arg_list
%type <index_item> index_item
%type <index_items> index_items
%type <formal> formal
%type <formals> formals formal_list
%type <names> names
%type <path> opt_path path
%type <segment> segment
%%

file: stmts END                     { p->ast->items = $1; }

stmts:
  %empty                            { $$ = (StmtList){ 0 }; p->done = @$.last; }
| stmts stmt                        { $$ = ast_add_stmt(p, $1, $2); p->done = @2.last; }

stmt:
  MODEL NAME                        { $$ = ast_named(p, STMT_model, $2, @2, NULL, @$); }
| USE STRING                        { $$ = ast_named(p, STMT_use, $2, @2, NULL, @$); }
| CONFIG NAME '=' expr              { $$ = ast_named(p, STMT_config, $2, @2, $4, @$); }
| BATCH NAME bound                  { $$ = ast_named(p, STMT_batch, $2, @2, $3, @$); }
| SEQUENCE NAME bound               { $$ = ast_named(p, STMT_sequence, $2, @2, $3, @$); }
| DIM NAME bound                    { $$ = ast_named(p, STMT_dim, $2, @2, $3, @$); }
| INPUT NAME ':' NAME dims          { $$ = ast_named(p, STMT_input, $2, @2, NULL, @$);
                                      $$->type = $4;
                                      $$->type_span = parse_span(p, @4);
                                      $$->dims = $5; }
| OUTPUT NAME                       { $$ = ast_named(p, STMT_output, $2, @2, NULL, @$); }
| OUTPUT NAME '=' expr              { $$ = ast_named(p, STMT_output, $2, @2, $4, @$); }
| PARAM NAME dims '=' expr          { $$ = ast_named(p, STMT_param, $2, @2, $5, @$);
                                      $$->dims = $3; }
| BLOCK NAME '(' formals ')' body   { $$ = ast_named(p, STMT_block, $2, @2, NULL, @$);
                                      $$->formals = $4;
                                      ast_body(p, $$, $6); }
| names '=' expr                    { $$ = ast_stmt(p, STMT_assign, @$);
                                      $$->targets = $1;
                                      $$->value = $3; }
| RETURN exprs                      { $$ = ast_stmt(p, STMT_return, @$); $$->values = $2; }
| FOR NAME IN expr RANGE expr opt_path body
                                    { $$ = ast_named(p, STMT_for, $2, @2, NULL, @$);
                                      ast_range(p, $$, $4, $6, $7);
                                      ast_body(p, $$, $8); }
| if
| TRAIN body                        { $$ = ast_stmt(p, STMT_train, @$); ast_body(p, $$, $2); }
| LOSS expr                         { $$ = ast_stmt(p, STMT_loss, @$); $$->value = $2; }
| OPTIMIZER expr                    { $$ = ast_stmt(p, STMT_optimizer, @$); $$->value = $2; }
| error SYNC                        { $$ = ast_broken(p, @$); yyerrok; }
| error lost_body branch            { $$ = ast_broken(p, @1);
                                      ast_body(p, $$, $2);
                                      ast_otherwise(p, $$, $3); }

if: IF expr body branch             { $$ = ast_stmt(p, STMT_if, @$);
                                      $$->value = $2;
                                      ast_body(p, $$, $3);
                                      ast_otherwise(p, $$, $4); }

branch:
  %empty                            { $$ = (StmtList){ 0 }; }
| ELSE body                         { $$ = $2; }
| ELSE if                           { $$ = ast_add_stmt(p, (StmtList){ 0 }, $2); }

body: BODY_OPEN stmts BODY_CLOSE    { $$ = $2; }

lost_body:
  BODY_SYNC { yyerrok; } stmts BODY_CLOSE
                                    { $$ = $3; }

bound:
  %empty                            { $$ = NULL; }
| LE expr                           { $$ = $2; }

dims:
  %empty                            { $$ = NULL; }
| list

names:
  NAME                              { $$ = ast_add_name(p, (NameList){ 0 }, $1, @1); }
| names ',' NAME                    { $$ = ast_add_name(p, $1, $3, @3); }

formals:
  %empty                            { $$ = (FormalList){ 0 }; }
| formal_list
| formal_list ','

formal_list:
  formal                            { $$ = ast_add_formal(p, (FormalList){ 0 }, $1); }
| formal_list ',' formal            { $$ = ast_add_formal(p, $1, $3); }

formal:
  NAME                              { $$ = (Formal){ $1, parse_span(p, @1), NULL, NULL }; }
| NAME ':' list                     { $$ = (Formal){ $1, parse_span(p, @1), $3, NULL }; }
| NAME '=' expr                     { $$ = (Formal){ $1, parse_span(p, @1), NULL, $3 }; }

exprs:
  expr                              { $$ = ast_add_expr(p, (ExprList){ 0 }, $1); }
| exprs ',' expr                    { $$ = ast_add_expr(p, $1, $3); }

expr:
  postfix
| '-' expr  %prec NEGATE            { $$ = ast_unary(p, UNARY_neg, $2, @$); }
| NOT expr                          { $$ = ast_unary(p, UNARY_not, $2, @$); }
| expr '+' expr                     { $$ = BIN(add, $1, $3, @2, @$); }
| expr '-' expr                     { $$ = BIN(sub, $1, $3, @2, @$); }
| expr '*' expr                     { $$ = BIN(mul, $1, $3, @2, @$); }
| expr '/' expr                     { $$ = BIN(div, $1, $3, @2, @$); }
| expr '%' expr                     { $$ = BIN(mod, $1, $3, @2, @$); }
| expr '@' expr                     { $$ = BIN(matmul, $1, $3, @2, @$); }
| expr '^' expr                     { $$ = BIN(pow, $1, $3, @2, @$); }
| expr '<' expr                     { $$ = BIN(lt, $1, $3, @2, @$); }
| expr '>' expr                     { $$ = BIN(gt, $1, $3, @2, @$); }
| expr LE expr                      { $$ = BIN(le, $1, $3, @2, @$); }
| expr GE expr                      { $$ = BIN(ge, $1, $3, @2, @$); }
| expr EQ expr                      { $$ = BIN(eq, $1, $3, @2, @$); }
| expr NE expr                      { $$ = BIN(ne, $1, $3, @2, @$); }
| expr AND expr                     { $$ = BIN(and, $1, $3, @2, @$); }
| expr OR expr                      { $$ = BIN(or, $1, $3, @2, @$); }

postfix:
  primary
| postfix '\''                      { $$ = ast_transpose(p, $1, @$); }
| postfix '[' index_items ']'       { $$ = ast_index(p, $1, $3, @$); }

primary:
  INT                               { $$ = ast_expr(p, EXPR_int, @$); $$->u.i = $1; }
| FLOAT                             { $$ = ast_expr(p, EXPR_float, @$); $$->u.f = $1; }
| TRUE                              { $$ = ast_expr(p, EXPR_bool, @$); $$->u.b = true; }
| FALSE                             { $$ = ast_expr(p, EXPR_bool, @$); $$->u.b = false; }
| STRING                            { $$ = ast_expr(p, EXPR_string, @$); $$->u.name = $1; }
| NAME                              { $$ = ast_expr(p, EXPR_name, @$); $$->u.name = $1; }
| NAME '(' args ')' opt_path        { Loc call = @$;
                                      call.last = @4.last;
                                      call.last_line = @4.last_line;
                                      $$ = ast_call(p, $1, @1, $3, $5, call); }
| '(' expr ')'                      { $$ = $2; $$->span = parse_span(p, @$); }
| list

list: '[' list_items ']'            { $$ = ast_list(p, $2, @$); }

list_items:
  %empty                            { $$ = (ExprList){ 0 }; }
| list_item                         { $$ = ast_add_expr(p, (ExprList){ 0 }, $1); }
| list_items ',' list_item          { $$ = ast_add_expr(p, $1, $3); }

list_item:
  expr
| RANGE                             { $$ = ast_expr(p, EXPR_rest, @$); }

args:
  %empty                            { $$ = (ArgList){ 0 }; }
| arg_list
| arg_list ','

arg_list:
  arg                               { $$ = ast_add_arg(p, (ArgList){ 0 }, $1); }
| arg_list ',' arg                  { $$ = ast_add_arg(p, $1, $3); }

arg:
  expr                              { $$ = (Arg){ NULL, $1->span, $1 }; }
| NAME '=' expr                     { $$ = (Arg){ $1, parse_span(p, @1), $3 }; }

index_items:
  index_item                        { $$ = ast_add_index(p, (IndexList){ 0 }, $1); }
| index_items ',' index_item        { $$ = ast_add_index(p, $1, $3); }

index_item:
  RANGE                             { $$ = (IndexItem){ INDEX_rest, NULL, NULL, parse_span(p, @$) }; }
| expr                              { $$ = (IndexItem){ INDEX_at, $1, NULL, parse_span(p, @$) }; }
| opt_index ':' opt_index           { $$ = (IndexItem){ INDEX_range, $1, $3, parse_span(p, @$) }; }
| opt_index ':' opt_index ':' opt_index
                                    { $$ = (IndexItem){ INDEX_range, $1, $3, parse_span(p, @$) };
                                      parse_error(p, @$, DIAG_E0112, "a slice has no step"); }

opt_index:
  %empty                            { $$ = NULL; }
| expr

opt_path:
  %empty  %prec NO_PATH             { $$ = NULL; }
| AS path                           { $$ = $2; }

path:
  segment                           { $$ = ast_path(p, NULL, $1, @$); }
| path DOT segment                  { $$ = ast_path(p, $1, $3, @$); }

segment:
  WORD                              { $$ = (Segment){ $1, NULL, parse_span(p, @$) }; }
| PATH_OPEN expr PATH_CLOSE         { $$ = (Segment){ NULL, $2, parse_span(p, @$) }; }

%%

static int smg_lex(SMG_STYPE *value, Loc *loc, Parse *p)
{
    int kind;
    const Token *t = &p->tokens[recover_next(p, &kind)];
    *loc = t->loc;
    if (kind == TOKEN_INT)
        value->i = t->u.i;
    else if (kind == TOKEN_FLOAT)
        value->f = t->u.f;
    else
        value->name = t->u.name;
    return kind;
}

/* Called by bison when its own stack is at its limit; every other error goes to the report. */
static void smg_error(const Loc *loc, Parse *p, const char *message)
{
    (void)message;
    parse_error(p, *loc, DIAG_E0107, "statements or expressions are nested too deeply");
    p->gave_up = true;
}

static int yyreport_syntax_error(const yypcontext_t *context, Parse *p)
{
    yysymbol_kind_t kinds[YYNTOKENS];
    const char *names[YYNTOKENS];
    int n = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
    for (int i = 0; i < n; i++)
        names[i] = yysymbol_name(kinds[i]);
    recover_report(p, names, n);
    return 0;
}

void parse_tokens(Parse *p)
{
    if (smg_parse(p) != 0)
        p->ast->n_syntax_errors++;
}
