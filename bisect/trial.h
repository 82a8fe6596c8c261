/* A program on given numbers: evaluated exactly, and with errors of the size that arithmetic makes,
 * which tells how far another way of computing the same may be from it (noise.h). */
#ifndef BISECT_TRIAL_H
#define BISECT_TRIAL_H

#include "bisect/noise.h"

enum { TRIAL_RUNS = 5 };

/* What goes in.  A storage's numbers depend on its name, its class and the seed alone, so they are the
 * same in every graph of a model: weights around 0 (or 1), ids below their limit, moments that an
 * optimizer could have, `past` positions in the caches. */
typedef struct TrialInputs {
    uint64_t seed;
    int64_t past;
    int64_t sizes[MAX_SYMBOLS];
} TrialInputs;

/* Every symbol at its largest. */
void trial_largest(const Graph *g, int64_t sizes[MAX_SYMBOLS]);

/* Element i of a storage. */
double trial_value(const Storage *s, const TrialInputs *in, int64_t i);
/* The whole of one that is bf16, f16 or blocks, as it is stored. */
void trial_stored(const Storage *s, const TrialInputs *in, int64_t count, void *out);
/* All storages of an Eval. */
void trial_fill(Eval *e, const TrialInputs *in);

/* The exact run, and those that stray from it. */
typedef struct Trial {
    Eval exact, noisy[TRIAL_RUNS];
    double unit;
} Trial;

/* `unit`: UNIT_FLOAT, or UNIT_DOUBLE. */
Trial trial_run(const Graph *g, const TrialInputs *in, double unit, Arena *arena);

/* What differed, for messages. */
typedef struct Difference {
    char text[1024];
} Difference;

/* A value, an output and a storage of the trial's graph: is `got` within the bound of the exact run?
 * `name` is for the message. */
bool trial_value_is(const Trial *t, const char *name, ValueId v, const Tensor *got,
                    Difference *difference);
bool trial_output(const Trial *t, const Output *o, const Tensor *got, Difference *difference);
bool trial_storage(const Trial *t, StorageId s, const Tensor *got, Difference *difference);

/* Every output and every storage of the trial's graph that `e`, which has run, has too. */
bool trial_same(const Trial *t, Eval *e, Difference *difference);

#endif
