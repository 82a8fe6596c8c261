/* Which fusions are to be done: the table fusions.def with what the user turned round. */
#ifndef PASSES_FUSION_SET_H
#define PASSES_FUSION_SET_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum Fusion {
#define FUSION(name, on, what) FUSE_##name,
#include "passes/fusions.def"
    N_FUSIONS
} Fusion;

typedef struct FusionInfo {
    const char *name;
    bool on;                            /* by default */
    const char *what;
} FusionInfo;

/* The rows of fusions.def. */
extern const FusionInfo fusion_table[N_FUSIONS];

/* All zero: the defaults of the table. */
typedef struct FusionSet {
    uint64_t turned;                    /* bit per fusion: not as the table says */
} FusionSet;

static inline bool fusion_on(FusionSet s, Fusion f)
{
    return fusion_table[f].on != (s.turned >> f & 1);
}

void fusion_switch(FusionSet *s, Fusion f, bool on);

/* "-name,+name" changes *s from left to right; `all` and `none` name every fusion.  An unknown name
 * is an error that tells the nearest. */
bool fusion_parse(const char *text, FusionSet *s, Error *err);

#endif
