/* Something to compute with where only the time matters, or that two runs agree: floats from the normal
 * distribution, ids below their limit, always the same ones. */
#ifndef RUNTIME_RANDOM_INPUTS_H
#define RUNTIME_RANDOM_INPUTS_H

#include "runtime/session.h"

/* Fills the inputs of the model as far as `sizes` reach; of the runtime's own, the learning rate (a
 * small one), the clip and the step. */
void random_inputs(Session *s, const int64_t sizes[MAX_SYMBOLS]);

#endif
