/* What patterns have in common. */
#ifndef PASSES_MATCH_H
#define PASSES_MATCH_H

#include "ir/graph.h"

/* The number that the scalar `v` is, in *out. */
bool match_number(const Graph *g, ValueId v, double *out);
/* x, where `n` is x times or over a number; the factor in *f. */
bool match_scaled(const Graph *g, const Node *n, ValueId *x, double *f);

#endif
