/* What the halves of the verifier share.  Private to verify*.c. */
#ifndef IR_VERIFY_RULE_H
#define IR_VERIFY_RULE_H

#include "ir/verify.h"

typedef struct Verify {
    const Graph *g;
    Arena *scratch;
    Error *err;
} Verify;

/* "%5 = matmul: " and the message.  Returns false. */
bool verify_fail(const Verify *v, NodeId n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Powers of symbols that the graph has, and least <= coef < 2^62. */
bool verify_dim(const Graph *g, const Dim *d, int64_t least);

static inline bool is_view(const Node *n) { return op_info(n->op)->class == CLASS_VIEW; }

/* Buffers, places and the pool of a graph that is legal otherwise. */
bool verify_places(const Verify *v);
bool verify_pool(const Verify *v, const NodeId *first, const NodeId *last);

#endif
