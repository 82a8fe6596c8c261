/* How far may a program be from the evaluator, when both are right?
 *
 * Every op of a program makes a rounding error whose size is bounded by textbook analysis
 * (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 3): a few units in the last
 * place of the result for element-wise ops, gamma_K sum |a||b| for a sum of K products.  The evaluator
 * is run again several times in double with a random error of up to that bound added to each result.
 * How far these runs stray from the exact one is the first-order effect of such errors on everything
 * computed from them, cancellation and amplification included.  A program must stay within a small
 * multiple of it.  With the unit of double the same holds of two graphs that the evaluator runs, which
 * add up the same numbers in another order. */
#ifndef BISECT_NOISE_H
#define BISECT_NOISE_H

#include "ir/eval.h"

#define UNIT_FLOAT 0x1p-24
#define UNIT_DOUBLE 0x1p-53

typedef struct Noise {
    uint64_t seed;                      /* of this run */
    double unit;                        /* half the distance of 1 to the next number: UNIT_FLOAT .. */
    bool floats;                        /* no error at random: results are rounded to floats, so numbers
                                         * that those cannot tell apart become equal, as maxima may */
    Arena *arena;
} Noise;

/* How far apart the numbers are that a block of q8_0 from element `at` on can hold. */
double noise_block_step(const Tensor *t, int64_t at);

/* For Eval.after, with arg a Noise. */
void noise_after(Eval *e, NodeId n, void *noise);

#endif
