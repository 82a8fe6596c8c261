/* How far may a float program be from the evaluator?
 *
 * Every op of a float program makes a rounding error whose size is bounded by textbook analysis
 * (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 3): a few units in the last
 * place of the result for element-wise ops, gamma_K sum |a||b| for a sum of K products.  The evaluator
 * is run again several times in double with a random error of up to that bound added to each result.
 * How far these runs stray from the exact one is the first-order effect of such errors on everything
 * computed from them, cancellation and amplification included.  A float program must stay within a
 * small multiple of it. */
#ifndef TESTS_E2E_NOISE_H
#define TESTS_E2E_NOISE_H

#include "ir/eval.h"

typedef struct Noise {
    uint64_t seed;                      /* of this run */
    Arena *arena;
} Noise;

/* For Eval.after, with arg a Noise. */
void noise_after(Eval *e, NodeId n, void *noise);

#endif
