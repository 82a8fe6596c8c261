/* From the tree to the graph: what the files sema*.c share, private to them and to frontend.c.
 *
 * Two walks.  The first (sema_names.c) looks at every statement once, in whatever branch or block it
 * stands, and settles what names can mean, so that mistakes in code that is not reached are told as
 * well.  The second (the others) runs the model as a program: configs and sizes are numbers, tensors
 * are values of the graph, a block is run at each of its calls, a loop at each of its turns.
 *
 * A mistake gives poison, a value that everything accepts in silence, so that it is told once. */
#ifndef FRONTEND_SEMA_H
#define FRONTEND_SEMA_H

#include "frontend/frontend.h"
#include "frontend/parse.h"

#include "base/str.h"

enum {
    MAX_PATH = 500,                     /* bytes of a parameter's path */
    MAX_CALLS = 64,                     /* blocks inside blocks */
    MAX_DEPTH = 600,                    /* expressions, statements and calls inside each other */
    MAX_NODES = 200000,                 /* of the unrolled graph */
    MAX_STEPS = 4000000,                /* expressions and turns of loops while unrolling */
    MAX_FILES = 64,                     /* used by one model */
};

/* ---- values ---------------------------------------------------------------------------------- */

typedef enum ValKind {
    VAL_poison, VAL_int, VAL_float, VAL_bool, VAL_string,
    VAL_dim,                            /* a size known only at run time */
    VAL_tensor, VAL_list,
    VAL_tuple,                          /* several results */
} ValKind;

typedef struct Val Val;
struct Val {
    ValKind kind;
    uint32_t origin;                    /* int: who named it, for messages about sizes */
    union {
        int64_t i;
        double f;
        bool b;
        const char *s;
        Dim dim;
        ValueId tensor;
        struct { Val *items; uint32_t n; } list;    /* and tuple */
    } u;
};

static inline Val val_int(int64_t i) { return (Val){ .kind = VAL_int, .u.i = i }; }
static inline Val val_float(double f) { return (Val){ .kind = VAL_float, .u.f = f }; }
static inline Val val_bool(bool b) { return (Val){ .kind = VAL_bool, .u.b = b }; }
static inline Val val_tensor(ValueId v)
{
    return v == NO_VALUE ? (Val){ 0 } : (Val){ .kind = VAL_tensor, .u.tensor = v };
}
Val val_dim(Dim d);                     /* an int where the size is a constant */
static inline bool val_is_number(Val v) { return v.kind == VAL_int || v.kind == VAL_float; }
static inline double val_number(Val v) { return v.kind == VAL_int ? (double)v.u.i : v.u.f; }
/* "a whole number", "a tensor", ...: for messages. */
const char *val_kind_name(Val v);

/* ---- scopes ---------------------------------------------------------------------------------- */

typedef struct Local {
    const char *name;
    Val value;
} Local;

/* The names of one run of a body: the model's, a block's during one call, the train block's. */
typedef struct Frame Frame;
struct Frame {
    Frame *parent;                      /* of the train block: the model's; else NULL */
    Frame *caller;                      /* of a block */
    const Stmt *block;                  /* NULL: the model or train */
    const Expr *call;
    NameMap names;
    Local *locals;
    uint32_t n_locals, cap_locals;
    const char *path;                   /* of the instance and the loops around; interned */
    bool has_params;                    /* any so far, those of inner instances too */
    const Span *twin;                   /* an earlier instance with this path, or NULL */
    bool twin_told;
    bool returned;
    Val result;
};

typedef enum GlobalKind { GLOBAL_config, GLOBAL_size } GlobalKind;

/* A config or a named size: visible in the model and in its blocks. */
typedef struct Global {
    GlobalKind kind;
    const Stmt *stmt;
    bool set, used;
    Val value;
} Global;

typedef struct Define {
    const char *name, *text;            /* NAME, VALUE */
    bool used;
} Define;

/* A name without a reader; `meant` is one that is nearly the same, or NULL. */
typedef struct Unused {
    const char *name;
    Span span;
    const char *meant;
} Unused;

typedef struct UsedFile {
    const char *path;
    bool open;                          /* what it uses is being read */
} UsedFile;

typedef struct Sema {
    Arena *arena;
    DiagSink *diags;
    const FrontendOptions *options;
    Intern intern;
    Graph *g;
    const Ast *ast;                     /* of the model itself */

    Global *globals;
    uint32_t n_globals, cap_globals;
    NameMap global_index;
    Stmt **blocks;
    uint32_t n_blocks, cap_blocks;
    NameMap block_index;
    NameMap broken;                     /* names in text that could not be read, in any file */
    NameMap model_names;                /* variables of the model, for a better message */
    uint32_t n_syntax_errors;           /* in any file */
    Unused *unused;                     /* told as warnings if nothing is wrong */
    uint32_t n_unused, cap_unused;
    Define *defines;
    uint32_t n_defines;
    UsedFile files[MAX_FILES];          /* the model itself first */
    uint32_t n_files;

    NameMap instances;                  /* path -> index of its place */
    NameMap storages;                   /* name -> StorageId, inputs and parameters */
    NameMap outputs;                    /* name -> index of Graph.outputs */
    Span *places;
    uint32_t n_places, cap_places;

    Frame *frame;                       /* the running one */
    Frame *free_frames;
    const Stmt *train;                  /* the first train block */
    const Stmt *loss, *optimizer;       /* the first of each */
    int64_t n_sites;                    /* of dropout */
    uint32_t depth, n_calls;
    uint32_t steps, tries;
    uint32_t quiet;                     /* > 0: nothing is reported */
    bool stop;                          /* a limit was passed: wind up */
    bool muted;                         /* the newest mistake was not added to the sink */
} Sema;

/* Runs both walks; NULL when anything was reported as an error. */
Graph *sema_run(Sema *s, const char *name, Ast *ast);

/* ---- saying what is wrong (sema.c) ------------------------------------------------------------- */

/* Returns poison.  The chain of calls that leads here follows as notes. */
Val sema_error(Sema *s, Span at, DiagCode code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void sema_label(Sema *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sema_note(Sema *s, Span at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* nearest_try, as long as there is patience for it: a file may hold very many names. */
void sema_try(Sema *s, Nearest *near, const char *candidate);
/* "did you mean `x`?" as the label, if anything was near. */
void sema_suggest(Sema *s, const Nearest *near);
/* The last `-D` of a name counts, as with compilers of C; NULL without one. */
const Define *sema_find_define(Sema *s, const char *name);
/* Notes about who named a size, and that `-D` set it. */
void sema_note_origin(Sema *s, Dim d);
/* Counts a step; false once there were too many (which is reported once) or reading stops. */
bool sema_step(Sema *s, Span at);
const char *sema_format(Sema *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *sema_shape(Sema *s, const Shape *shape);        /* "[B, T, 768]" */
const char *sema_dim(Sema *s, Dim d);

/* ---- names and files ------------------------------------------------------------------------- */

void sema_use(Sema *s, const Ast *ast, const char *from);   /* files, and blocks of them */
void sema_add_block(Sema *s, Stmt *block, bool library);
void sema_names(Sema *s);                                   /* the first walk */

void sema_parse_defines(Sema *s);
void sema_check_defines(Sema *s);                           /* those without a config */
Global *sema_global(Sema *s, const char *name);             /* or NULL */
void sema_config(Sema *s, const Stmt *stmt);
/* The values of all configs of the model, a line each, in the order of the file. */
const char *sema_config_values(Sema *s);
void sema_size(Sema *s, const Stmt *stmt);

Frame *frame_push(Sema *s);
void frame_pop(Sema *s);
Val *frame_find(Frame *f, const char *name);                /* in its parents too; or NULL */
void frame_set(Sema *s, Frame *f, const char *name, Val v);

/* ---- running --------------------------------------------------------------------------------- */

void sema_body(Sema *s, const StmtList *body);
void sema_stmt(Sema *s, const Stmt *stmt);
void sema_poison_targets(Sema *s, const StmtList *body);    /* of a branch that cannot be chosen */

/* One value; several results are a mistake. */
Val sema_expr(Sema *s, Expr *e);
Val sema_exprs(Sema *s, Expr *e);                           /* a tuple may come */
/* A number that is a size. */
bool sema_size_of(Sema *s, Expr *e, Val v, Dim *out);
/* `[a, b]` as a shape; `guess` is the index of an item that was -1, or -1; NULL forbids it. */
bool sema_dims(Sema *s, Expr *list, Shape *out, int *guess);
Val sema_number_binary(Sema *s, const Expr *e, Val x, Val y);
Val sema_index(Sema *s, Expr *e);
Val sema_call_op(Sema *s, Expr *e);
Val sema_call_split(Sema *s, Expr *e);
Val sema_call_block(Sema *s, Expr *e);
const char *sema_path(Sema *s, const char *base, const Path *path);     /* NULL after a mistake */

/* A value as a tensor: numbers become constants, of i32 where `integers` and the number is whole. */
Val sema_tensor(Sema *s, Val v, Span at, bool integers);
Val sema_node(Sema *s, NodeSpec *spec);                     /* graph_add, counted and explained */
Val sema_op(Sema *s, OpId op, const ValueId *inputs, uint32_t n, Span at);

/* Functions of numbers: index, or -1. */
int number_function(const char *name);
const char *number_function_name(int i);                    /* NULL behind the last */
Val sema_call_number(Sema *s, Expr *e, int function, const Val *args, uint32_t n);

void sema_param(Sema *s, const Stmt *stmt);
void sema_input(Sema *s, const Stmt *stmt);
void sema_output(Sema *s, const Stmt *stmt);
void sema_train(Sema *s, const Stmt *stmt);
void sema_loss(Sema *s, const Stmt *stmt);
void sema_optimizer(Sema *s, const Stmt *stmt);
bool sema_init(Sema *s, Expr *e, Storage *out);
int sema_find_init(Sema *s, Expr *e);                       /* -1 after a mistake */

/* Attributes that the language shows, in the table's order: -1 behind the last. */
int surface_attr(OpId op, unsigned i);
int surface_attr_named(OpId op, const char *name);
unsigned surface_inputs(OpId op);                           /* tensors before the attributes */
bool surface_takes_shape(OpId op);
bool surface_keyword(OpId op, const char *name);            /* may an argument be named so? */

#endif
