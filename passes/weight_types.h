/* Which element types a model's parameters are stored in: rules that a user gives, in order.
 *
 *     bf16                 for all that only matrix products and embeddings read
 *     q4_k,q8_0            the first of them that a parameter allows
 *     lm_head.*=q6_k       for those of such names; `*` stands for any run of characters
 *
 * The last rule that names a parameter holds for it.  A parameter that a product or an embedding does
 * not read, or something else reads too, stays f32: norms, biases.  Blocks (q8_0 .. q6_k) ask for rows
 * of whole blocks, and for a product that reads the parameter transposed, [N, K]. */
#ifndef PASSES_WEIGHT_TYPES_H
#define PASSES_WEIGHT_TYPES_H

#include "base/status.h"
#include "ir/graph.h"

enum { MAX_WEIGHT_TYPES = 4 };
typedef struct WeightRule {
    const char *pattern;                /* "*": all */
    DType type[MAX_WEIGHT_TYPES];       /* f32 too: leave it */
    uint32_t n;
} WeightRule;

/* Reads one rule; the pattern is the arena's.  False with what is wrong with it. */
bool weight_rule_parse(const char *text, Arena *arena, WeightRule *out, Error *err);

/* Sets `stored` of the model's parameters.  False, with the parameter and what would mend it, when a
 * rule names one and none of its types is possible. */
bool weight_types_set(Graph *model, const WeightRule *rules, uint32_t n, Arena *scratch, Error *err);

#endif
