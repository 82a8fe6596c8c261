/* The reference evaluator: what each op MEANS, in double, slowly and plainly.
 *
 * Constant folding uses it and every fast thing is compared with it. */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/graph.h"

typedef struct Tensor {
    int rank;
    int64_t dim[MAX_RANK];
    int64_t count;                      /* product of dims */
    double *data;                       /* row-major; integers and bools as doubles too */
} Tensor;

typedef struct Eval {
    const Graph *g;
    Arena *arena;
    int64_t sizes[MAX_SYMBOLS];
    Tensor *storages;                   /* n_storages; read by sources, changed by writes.  The
                                           caller fills inputs, parameters and state */
    Tensor *values;                     /* n_values, filled by eval_run */
    void (*after)(struct Eval *e, NodeId n, void *arg);     /* sees each node's results, and may
                                           change them; NULL: nobody looks */
    void *arg;
} Eval;

/* Storage tensors have their sizes and zeros after this. */
Eval eval_begin(const Graph *g, Arena *arena, const int64_t sizes[MAX_SYMBOLS]);
void eval_run(Eval *e);                 /* eval_round_copies, then all nodes in order */
/* Storages that are others, rounded, become that, as sessions have it before each run. */
void eval_round_copies(Eval *e);
const Tensor *eval_output(const Eval *e, const char *name);
Tensor *eval_storage(Eval *e, const char *name);        /* NULL when there is none */

/* One node, its inputs given; for constant folding and for tests of single ops. */
typedef struct EvalNode {
    const Graph *g;                     /* for symbols and storages; may hold the node or not */
    const Node *node;
    const Tensor *const *in;
    Tensor *out;                        /* n_outputs; sizes set, data allocated and zero */
    Eval *e;                            /* for sources and writes; may be NULL otherwise */
    const int64_t *sizes;
} EvalNode;
typedef void EvalFn(EvalNode *n);
extern EvalFn *const eval_rules[N_OPS];

#endif
