/* Building graphs from passes: short names for common nodes, and the rewriter.
 *
 * Most passes are a walk over the old graph that emits a new one: for each node either a copy, or
 * something else whose results stand for the old ones.
 *
 *     Rewriter rw = rewrite_begin(g, scratch);
 *     for (NodeId n = 0; n < g->n_nodes; n++)
 *         if (!my_replacement(&rw, n))
 *             rewrite_copy(&rw, n);
 *     rewrite_end(&rw);                       // g is the new graph now
 */
#ifndef IR_BUILD_H
#define IR_BUILD_H

#include "ir/graph.h"

/* Where new nodes get their span and path from. */
typedef struct Builder {
    Graph *g;
    Span span;
    const char *path;
} Builder;

Builder builder_at(Graph *g, const Node *like);         /* like NULL: no place */

/* A mistake in what is asked for is a bug of ours.  What would change nothing (a scale by 1, a
 * reshape to the same shape) gives x itself; the extent of a constant is a constant. */

ValueId build1(Builder *b, OpId op, ValueId a);
ValueId build2(Builder *b, OpId op, ValueId x, ValueId y);
ValueId build3(Builder *b, OpId op, ValueId x, ValueId y, ValueId z);
ValueId build_constant(Builder *b, double value);       /* f32 scalar */
ValueId build_scale(Builder *b, ValueId x, double factor);
ValueId build_extent(Builder *b, Dim size);
ValueId build_sum(Builder *b, ValueId x, int64_t axes);
ValueId build_reshape(Builder *b, ValueId x, const Shape *shape);
ValueId build_broadcast(Builder *b, ValueId x, const Shape *shape);
ValueId build_transpose(Builder *b, ValueId x, int a, int c);
ValueId build_slice(Builder *b, ValueId x, int axis, int64_t start, int64_t stop);
ValueId build_matmul(Builder *b, ValueId x, ValueId y, bool transpose_x, bool transpose_y,
                     double alpha);
/* With the precision of the product `like`. */
ValueId build_product(Builder *b, const Node *like, ValueId x, ValueId y, bool transpose_x,
                      bool transpose_y, double alpha);
ValueId build_storage(Builder *b, StorageId s);         /* input, param or state by its class */
ValueId build_zeros(Builder *b, const Type *t);         /* broadcast(constant 0) */

typedef struct Rewriter {
    Graph *old, *new_;                  /* both live until rewrite_end */
    ValueId *map;                       /* old value -> new value, NO_VALUE until copied */
} Rewriter;

/* The new graph keeps the old one's arena, program, symbols, storages and group numbers; new
 * storages go to the new graph.  Nothing may point into the old graph's arrays after rewrite_end:
 * the rewrite after this one builds on them. */
Rewriter rewrite_begin(Graph *g, Arena *scratch);
ValueId rewrite_copy(Rewriter *rw, NodeId n);           /* same node, mapped inputs; first result */
Builder rewrite_builder(Rewriter *rw, NodeId like);     /* builds into the new graph */
static inline ValueId rewrite_of(const Rewriter *rw, ValueId old) { return rw->map[old]; }
/* Outputs and loss are mapped; *old becomes the new graph. */
void rewrite_end(Rewriter *rw);

#endif
