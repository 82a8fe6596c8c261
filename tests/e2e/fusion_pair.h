/* A program of a shipped model with a fusion and without it, in turns, with a control beside them.  Fusions
 * that only mixed precision has are measured in that. */
#ifndef TESTS_E2E_FUSION_PAIR_H
#define TESTS_E2E_FUSION_PAIR_H

#include "passes/fusion_set.h"
#include "tests/e2e/compiled.h"

/* A model at the sizes at which fusions are measured. */
typedef struct FusionCase {
    const char *name;
    ModelSpec model;
    int64_t batch, sequence;            /* of training and evaluation */
    int64_t past;                       /* of generation, one position further; 0: it generates nothing */
} FusionCase;

/* Medians over the rounds, of the processor time of one thread. */
typedef struct FusionFigure {
    double ratio;                       /* without the fusion over with it: above 1 it pays */
    double control;                     /* the plan with the fusion over itself */
    double noise;                       /* how far from 1 the control's median may lie: 95 of 100 times */
    double ms;                          /* with the fusion */
    int rounds;
} FusionFigure;

/* Does the fusion change the program's instructions? */
bool fusion_touches(const FusionCase *c, PlanProgramKind kind, Fusion fusion);

/* Measures for about `seconds` of processor time, and five rounds at least.  The fusion is one that
 * touches the program. */
FusionFigure fusion_measure(const FusionCase *c, PlanProgramKind kind, Fusion fusion, double seconds);

#endif
