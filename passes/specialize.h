/* Which programs a model supports. */
#ifndef PASSES_SPECIALIZE_H
#define PASSES_SPECIALIZE_H

#include "ir/graph.h"

/* Can `p` be made of this model, as far as its declarations tell?  The cache pass may still find
 * that generation cannot be proved. */
bool program_possible(const Graph *model, Program p);

#endif
