/* What a training run is told that decides its numbers: one table, for the command line, for
 * trainer.json and for the comparison when a run is resumed. */
#ifndef RUNTIME_HYPER_H
#define RUNTIME_HYPER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum HyperKind { HYPER_NUMBER, HYPER_COUNT, HYPER_WORD } HyperKind;

enum { HYPER_WORD_SIZE = 32 };

/* A value that nobody gave is NAN, HYPER_UNSET or "". */
#define HYPER_UNSET INT64_MIN
typedef struct Hyper {
    double lr, min_lr, clip, val_fraction;
    int64_t warmup, decay_steps, seed, accumulate, batch, seq;
    char schedule[HYPER_WORD_SIZE], order[HYPER_WORD_SIZE];
} Hyper;

typedef struct HyperInfo {
    const char *name;                   /* in trainer.json; the option is this with - for _ */
    HyperKind kind;
    size_t offset;                      /* in Hyper */
} HyperInfo;
extern const HyperInfo hyper_table[];
extern const size_t n_hypers;

void hyper_unset(Hyper *h);
bool hyper_is_set(const Hyper *h, const HyperInfo *info);
bool hyper_equal(const Hyper *a, const Hyper *b, const HyperInfo *info);
void hyper_copy(Hyper *to, const Hyper *from, const HyperInfo *info);
/* "0.001" into out. */
void hyper_text(const Hyper *h, const HyperInfo *info, char *out, size_t cap);

/* What was not given takes the value of `recorded`; what was given and differs is an error that names
 * the option and both values. */
bool hyper_resume(Hyper *given, const Hyper *recorded, Error *err);

#endif
