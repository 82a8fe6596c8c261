/* Shape rules: from the types of the inputs to those of the results. */
#ifndef IR_INFER_H
#define IR_INFER_H

#include "ir/graph.h"

/* What a rule sees and fills.  Attributes may be put into their normal form (axis -1 becomes
 * rank - 1); a second run changes nothing. */
typedef struct Infer {
    const Graph *g;
    const NodeSpec *spec;
    AttrValue *attr;
    Type *out;                          /* op_n_results of them */
    DiagSink *diags;                    /* NULL: a mistake is a bug of ours */
} Infer;

typedef bool InferFn(Infer *in);
extern InferFn *const infer_rules[N_OPS];

enum { MAX_OUTPUTS = 8 };

/* Runs the rule of spec->op, counting the inputs first.  `attr` is spec->attr on entry and in its
 * normal form after; `out` has the types of the results.  False after a mistake. */
bool infer_types(const Graph *g, const NodeSpec *spec, AttrValue attr[MAX_ATTRS],
                 Type out[MAX_OUTPUTS], DiagSink *diags);

/* NumPy's broadcasting: sizes match from the right; 1 stretches, any other difference is an error,
 * two named sizes that differ included.  *bad is the axis counted from the right. */
bool shape_broadcast(const Shape *a, const Shape *b, Shape *out, int *bad);

#endif
