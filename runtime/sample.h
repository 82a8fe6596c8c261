/* Choosing the next id from logits.
 *
 * In this order: repeated ids are made less likely, logits are divided by the temperature, then the
 * likeliest are kept: the first top_k, of these as few as reach top_p together, of these those at
 * least min_p times as likely as the first.  One of them is drawn by its probability; the draw is a
 * pure function of (seed, index).  Temperature 0 takes the likeliest; of equals the smallest id. */
#ifndef RUNTIME_SAMPLE_H
#define RUNTIME_SAMPLE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct SampleOptions {
    double temperature;                 /* >= 0 */
    int64_t top_k;                      /* 0: all */
    double top_p;                       /* (0, 1]; 1: all */
    double min_p;                       /* [0, 1]; 0: all */
    double repeat_penalty;              /* > 0; 1: none */
    uint64_t seed;
} SampleOptions;

typedef struct Candidate {
    double weight;                      /* not normalized */
    int32_t id;
} Candidate;

typedef struct Sampler {
    SampleOptions options;
    int64_t vocab;
    Candidate *candidates;              /* vocab; owned */
    float *logits;                      /* vocab; owned */
    uint8_t *seen;                      /* vocab: ids to penalize; owned */
} Sampler;

bool sampler_open(Sampler *s, const SampleOptions *o, int64_t vocab, Error *err);
void sampler_close(Sampler *s);

/* An id of the text so far, for the penalty. */
void sampler_see(Sampler *s, int32_t id);

/* `logits` has `stride` elements from one to the next.  Allocates nothing.  Returns -1 when no logit
 * is a number. */
int32_t sampler_pick(Sampler *s, const float *logits, int64_t stride, uint64_t index);

#endif
