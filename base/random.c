/* Philox4x32-10 and the two distributions drawn from it.
 *
 * The counter of a block is {block low, block high, stream low, stream high}, the key {seed low,
 * seed high}.  The logarithm and the cosine are our own: those of the C library differ in the last
 * bit from one machine to the next, and a seed must mean the same weights everywhere.  They use
 * only operations that IEEE 754 rounds exactly. */
#include "base/random.h"

#include "base/check.h"

#include <math.h>

enum { ROUNDS = 10 };

static uint32_t high(uint64_t x)
{
    return (uint32_t)(x >> 32);
}

void philox4x32(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block, c1 = high(block), c2 = (uint32_t)stream, c3 = high(stream);
    uint32_t k0 = (uint32_t)seed, k1 = high(seed);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = UINT64_C(0xD2511F53) * c0;
        uint64_t p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = high(p1) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = high(p0) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;       /* golden ratio */
        k1 += 0xBB67AE85;       /* square root of 3, less one */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t random_u32(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    philox4x32(seed, stream, index / 4, w);
    return w[index % 4];
}

static uint64_t bits53(uint32_t lo, uint32_t hi)
{
    return ((uint64_t)hi << 32 | lo) >> 11;
}

double random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    philox4x32(seed, stream, index, w);
    return (double)bits53(w[0], w[1]) * 0x1p-53;
}

/* ln x = e ln 2 + 2 atanh((m - 1) / (m + 1)) with x = m 2^e, m within a square root of 2 of 1. */
static double portable_log(double x)
{
    static const double terms[] = {     /* of atanh(s) / s, the highest power first */
        1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1,
    };
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (size_t i = 0; i < COUNT_OF(terms); i++)
        sum = sum * s2 + terms[i];
    return e * 0.69314718055994530942 + 2 * s * sum;
}

/* cos(2 pi u) for u in [0, 1): to the nearest quarter turn, then Taylor within an eighth. */
static double portable_cos_turns(double u)
{
    static const double steps[][2] = {  /* from one term to the next: cosine, sine; last first */
        { 1.0 / (16 * 15), 1.0 / (17 * 16) }, { 1.0 / (14 * 13), 1.0 / (15 * 14) },
        { 1.0 / (12 * 11), 1.0 / (13 * 12) }, { 1.0 / (10 * 9), 1.0 / (11 * 10) },
        { 1.0 / (8 * 7), 1.0 / (9 * 8) },     { 1.0 / (6 * 5), 1.0 / (7 * 6) },
        { 1.0 / (4 * 3), 1.0 / (5 * 4) },     { 1.0 / (2 * 1), 1.0 / (3 * 2) },
    };
    int quarter = (int)(4 * u + 0.5);
    double x = (u - 0.25 * quarter) * 6.28318530717958647693;
    double x2 = x * x, cosine = 1, sine = 1;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        cosine = 1 - cosine * (x2 * steps[i][0]);
        sine = 1 - sine * (x2 * steps[i][1]);
    }
    sine *= x;
    switch (quarter & 3) {
    case 0: return cosine;
    case 1: return -sine;
    case 2: return -cosine;
    }
    return sine;
}

double random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    philox4x32(seed, stream, index, w);
    double radius2 = -2 * portable_log((double)(bits53(w[0], w[1]) + 1) * 0x1p-53);
    return sqrt(radius2) * portable_cos_turns((double)bits53(w[2], w[3]) * 0x1p-53);
}

/* ---- permutations ---------------------------------------------------------------------------- */

enum { FEISTEL_ROUNDS = 6 };

static uint64_t feistel(uint64_t seed, uint64_t stream, unsigned half_bits, uint64_t x)
{
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = x >> half_bits, right = x & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint32_t word[4];
        philox4x32(seed ^ round, stream, right, word);
        const uint64_t mixed = (word[0] | (uint64_t)word[1] << 32) & mask;
        const uint64_t next = left ^ mixed;
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t random_permuted(uint64_t seed, uint64_t stream, uint64_t n, uint64_t i)
{
    unsigned half_bits = 1;
    while (half_bits < 32 && (n - 1) >> (2 * half_bits))
        half_bits++;
    do
        i = feistel(seed, stream, half_bits, i);
    while (i >= n);
    return i;
}
