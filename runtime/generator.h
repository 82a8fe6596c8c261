/* A language model at work, one text at a time: feed ids, get the logits behind the last of them.
 *
 * With the cache (program generate) each id is computed once, in chunks of at most `chunk`; without it
 * (program score) the whole text is computed again every time, which is slow and good for checking. */
#ifndef RUNTIME_GENERATOR_H
#define RUNTIME_GENERATOR_H

#include "runtime/session.h"
#include "runtime/text_model.h"

typedef struct GeneratorOptions {
    bool cache;
    int64_t chunk;                      /* 0: as many as the plan allows */
    int n_threads;
    const char *cpu;
    void *const *given;                 /* see SessionOptions */
} GeneratorOptions;

typedef struct Generator {
    const Plan *plan;
    TextModel model;
    Session *session;
    PlanProgramKind program;
    const char *logits_name;
    int64_t chunk, context;             /* most positions a run, most positions at all */
    int64_t sizes[MAX_SYMBOLS];
    int64_t n;                          /* positions so far */
    int32_t *ids;                       /* context of them; owned */
    int32_t *past;                      /* the plan's $past, or NULL */
    const float *logits;                /* behind the last position */
    int64_t logits_stride;
} Generator;

/* Parameters are zeros until somebody fills them (weights.h). */
bool generator_open(Generator *g, const Plan *p, const GeneratorOptions *o, Error *err);
void generator_close(Generator *g);

/* The text begins anew. */
void generator_clear(Generator *g);
/* Needs 1 <= n <= context - g->n and ids below vocab.  Allocates nothing. */
void generator_feed(Generator *g, const int32_t *ids, int64_t n);

#endif
