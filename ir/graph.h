/* The graph: SSA over typed tensors in flat arrays, edges by index.
 *
 * Nodes stand in execution order: a node's inputs are results of nodes before it.  A graph is one
 * program; the frontend makes the program `model` (the forward pass as written), the passes make the
 * others from copies of it.  All memory is the arena's. */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include "base/arena.h"
#include "ir/diag.h"
#include "ir/op.h"

typedef uint32_t NodeId;
typedef uint32_t ValueId;
typedef uint32_t StorageId;
typedef uint32_t BufferId;
#define NO_VALUE ((ValueId)-1)
#define NO_NODE ((NodeId)-1)
#define NO_STORAGE ((StorageId)-1)
#define NO_BUFFER ((BufferId)-1)

/* What a graph computes.
 *   model      as the author wrote it: outputs, and the loss where there is a train block
 *   score      outputs from inputs, dropout off
 *   eval       `loss`, dropout off
 *   train      one step: `loss`, `grad_norm`, parameters and optimizer state updated
 *   accumulate `loss`; gradients added to state `grad.<param>`
 *   apply      the optimizer from the accumulated gradients, which it clears; `grad_norm`
 *   generate   the outputs at the last of 1..chunk new positions, against caches */
#define PROGRAMS(X) X(model) X(score) X(eval) X(train) X(accumulate) X(apply) X(generate)
typedef enum Program {
#define X(name) PROGRAM_##name,
    PROGRAMS(X)
#undef X
    N_PROGRAMS
} Program;
const char *program_name(Program p);
bool program_from_name(const char *name, Program *out);

typedef enum SymbolRole { ROLE_BATCH, ROLE_SEQUENCE, ROLE_FREE, N_ROLES } SymbolRole;

typedef struct Symbol {
    const char *name;
    SymbolRole role;
    int64_t max;                        /* largest size at run time; 0: not bounded yet */
    Span span;
} Symbol;

typedef enum StorageClass {
    STORAGE_INPUT,                      /* given for every run */
    STORAGE_PARAM,                      /* weights, saved */
    STORAGE_STATE,                      /* kept between runs: moments, caches, gradients */
    N_STORAGE_CLASSES
} StorageClass;

typedef enum InitKind {
    INIT_zeros, INIT_ones, INIT_constant, INIT_normal, INIT_uniform, INIT_xavier, INIT_kaiming,
    N_INITS
} InitKind;

typedef struct Storage {
    const char *name;                   /* path of a parameter, name of an input, "adamw.m.<path>",
                                           "cache.k.<n>"; the runtime's own inputs begin with '$':
                                           $lr f32[], $clip f32[], $scale f32[], $step i32[]
                                           (from 1), $seed i32[2], $past i32[] */
    StorageClass class;
    Type type;
    InitKind init;                      /* parameters; state starts as zeros */
    double init_value;                  /* std, bound or constant */
    DType stored;                       /* of an f32 parameter or cache: what pass `store` makes of
                                           its element type; f32: leaves it */
    const char *rounded_of;             /* a state of bf16 that is this f32 parameter, rounded, whenever a
                                           run begins: its name; NULL: no such state */
    bool train_only;                    /* an input of the train block */
    int64_t index_limit;                /* an i32 input used as ids: they lie in 0..limit-1;
                                           0: not an index */
    int64_t index_ignore;               /* one more id that is allowed (the ignored target) */
    Span span;
} Storage;

/* Where the bytes of a value are, once planned: an element i of the value is at
 * buffer + (offset + sum i[a] * stride[a]) * 4.  Views share their base's buffer. */
typedef struct Place {
    BufferId buffer;                    /* NO_BUFFER: not placed, or inside a fused group */
    Dim offset;                         /* elements */
    Dim stride[MAX_RANK];
} Place;

typedef struct Value {
    Type type;
    NodeId def;
    uint8_t index;                      /* which result of def */
    Place place;
} Value;

typedef struct Buffer {
    StorageId storage;                  /* NO_STORAGE: in the pool */
    Dim elements;
    int64_t bytes;                      /* at the largest sizes, rounded up to 64 */
    int64_t offset;                     /* in the pool, once planned; -1 before */
    NodeId first, last;                 /* live from the definition of its first value to the last
                                           use of any, both included, in node order */
} Buffer;

typedef struct Node {
    OpId op;
    uint8_t n_inputs, n_outputs;
    uint32_t first_input;               /* into Graph.edges */
    ValueId first_output;
    AttrValue attr[MAX_ATTRS];          /* in the order of the table */
    uint32_t group;                     /* 0: alone; else a fused group, whose nodes are adjacent */
    Span span;
    const char *path;                   /* the instance it came from, "h.0.attn"; "" outside */
} Node;

typedef struct Output {
    const char *name;
    ValueId value;
    Span span;
} Output;

/* The optimizer as the author wrote it. */
#define OPTIMIZERS(X) X(none) X(sgd) X(adamw)
typedef enum OptimizerKind {
#define X(name) OPTIMIZER_##name,
    OPTIMIZERS(X)
#undef X
    N_OPTIMIZERS
} OptimizerKind;

typedef struct Optimizer {
    OptimizerKind kind;
    double lr, momentum;                /* sgd */
    double beta1, beta2, eps;           /* adamw */
    double weight_decay;                /* both; only on parameters of rank 2 and up */
    Span span;
} Optimizer;

typedef struct Origin {                 /* who named a size, for messages */
    const char *name;
    Span span;
} Origin;

typedef struct Graph {
    Arena *arena;
    const char *name;                   /* of the model */
    const char *configs;                /* what its configs were, "width=64\nheads=4"; NULL: not known */
    Program program;

    const char **files;                 /* what spans point into */
    uint32_t n_files;
    Symbol symbol[MAX_SYMBOLS];
    uint32_t n_symbols;
    int64_t context;                    /* largest sequence that the author allows, whatever the
                                           program's own largest is; 0 before specialize */
    Origin *origins;                    /* [0] is "none" */
    uint32_t n_origins, cap_origins;

    Storage *storages;
    uint32_t n_storages, cap_storages;
    Node *nodes;
    uint32_t n_nodes, cap_nodes;
    Value *values;
    uint32_t n_values, cap_values;
    ValueId *edges;
    uint32_t n_edges, cap_edges;
    Output *outputs;
    uint32_t n_outputs, cap_outputs;
    ValueId loss;                       /* program model: a scalar, or NO_VALUE */
    Optimizer optimizer;

    Buffer *buffers;
    uint32_t n_buffers, cap_buffers;
    uint32_t n_groups;                  /* groups are 1..n_groups */
    int64_t pool_bytes, pool_bound;     /* peak, and the most bytes live at once; -1 before */

    struct Graph *spare;                /* arrays that the last rewrite left, for the next one */
} Graph;

Graph *graph_new(Arena *arena, const char *name, Program program);
/* Symbols, storages, files, optimizer of `g`; no nodes, outputs or buffers. */
Graph *graph_like(const Graph *g, Arena *arena, Program program);
Graph *graph_clone(const Graph *g, Arena *arena);

int graph_symbol(Graph *g, const char *name, SymbolRole role, int64_t max, Span span); /* -1: full */
int graph_sequence(const Graph *g);                     /* the symbol of role sequence, or -1 */
int graph_batch(const Graph *g);
uint32_t graph_origin(Graph *g, const char *name, Span span);

StorageId graph_storage(Graph *g, Storage s);
StorageId graph_find_storage(const Graph *g, const char *name);      /* or NO_STORAGE */

static inline const ValueId *node_inputs(const Graph *g, const Node *n)
{
    return n->n_inputs ? g->edges + n->first_input : NULL;
}
static inline ValueId node_input(const Graph *g, const Node *n, unsigned i)
{
    return g->edges[n->first_input + i];
}
/* Does the node only wait for this input, and read nothing of it? */
static inline bool node_waits(const Node *n, unsigned i) { return n->op == OP_after && i == 1; }
static inline const Type *value_type(const Graph *g, ValueId v) { return &g->values[v].type; }
static inline const Node *value_def(const Graph *g, ValueId v)
{
    return &g->nodes[g->values[v].def];
}

/* The `constant` or `extent` node that `v` is, or is a view of; else NULL.  Such a value never has
 * bytes: row programs hold it as a number. */
const Node *value_constant(const Graph *g, ValueId v);

void graph_output(Graph *g, const char *name, ValueId v, Span span);

/* Number of uses of each value: by nodes, outputs and the loss; an array of n_values. */
uint32_t *graph_uses(const Graph *g, Arena *arena);

/* ---- building --------------------------------------------------------------------------------
 * A NodeSpec names everything about a node but its results, which its shape rule works out. */
typedef struct NodeSpec {
    OpId op;
    const ValueId *inputs;
    uint32_t n_inputs;
    AttrValue attr[MAX_ATTRS];          /* see node_spec */
    Shape shape;                        /* reshape, broadcast: the shape asked for */
    Span span;
    const char *path;
} NodeSpec;

/* With the defaults of the table. */
NodeSpec node_spec(OpId op, const ValueId *inputs, uint32_t n_inputs, Span span, const char *path);

/* Adds the node at the end.  Author's mistakes go to `diags` and give NO_VALUE; with diags NULL they
 * are our bug.  Returns the first result. */
ValueId graph_add(Graph *g, const NodeSpec *spec, DiagSink *diags);

#endif
