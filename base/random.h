/* Random numbers as pure functions of (seed, stream, index): a value drawn again is the same value,
 * on every machine and from any number of threads.
 *
 * The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as
 * 1, 2, 3", SC 2011): key = seed, counter = (index / 4, stream), the word index % 4 of the block. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* One block of four words. */
void philox4x32(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);

uint32_t random_u32(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in [0, 1) with 53 bits, and standard normal (Box-Muller), from blocks `index`. */
double random_uniform(uint64_t seed, uint64_t stream, uint64_t index);
double random_normal(uint64_t seed, uint64_t stream, uint64_t index);

/* Where i < n stands in a random order of 0 .. n-1 (n >= 1): a bijection, computed for one i at a
 * time.  A Feistel network of philox rounds (Luby and Rackoff, "How to Construct Pseudorandom
 * Permutations", 1988) over the next even power of two, walked until it falls below n (Black and
 * Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). */
uint64_t random_permuted(uint64_t seed, uint64_t stream, uint64_t n, uint64_t i);

#endif
