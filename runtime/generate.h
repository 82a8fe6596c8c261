/* Generation: a prompt, then id after id, streamed as whole characters. */
#ifndef RUNTIME_GENERATE_H
#define RUNTIME_GENERATE_H

#include "base/buf.h"
#include "runtime/generator.h"
#include "runtime/sample.h"
#include "runtime/weights_file.h"

#include <signal.h>
#include <stdio.h>

typedef struct GenerateOptions {
    const char *plan_path;              /* for messages */
    const char *weights;                /* a run's directory, or a .safetensors file */
    const char *prompt;                 /* NULL: a new text */
    bool special;                       /* special tokens in the prompt are such, not text */
    const char *prompt_tokens;          /* ids instead, "12,5 7" */
    bool map;                           /* weights stay in their file where they can (weights_file.h); they do
                                           too when a session with a copy is larger than `memory` */
    size_t memory;                      /* bytes; 0: what is free (free_memory.h) */
    bool keep_packed;                   /* and panels of blocks stay on disk for the next time */
    int64_t n;                          /* most ids to generate */
    GeneratorOptions run;
    SampleOptions sample;
    const char *const *stop;            /* texts that end it; they are not part of the result */
    size_t n_stop;
    bool ignore_eos;                    /* go on behind an id that ends the text */
    bool print_tokens;                  /* ids instead of text */
    FILE *stream;                       /* gets prompt and text (or ids) as they come; NULL: nobody */
    const volatile sig_atomic_t *interrupted;
} GenerateOptions;

typedef enum GenerateEnd {
    GENERATE_LENGTH,                    /* n ids */
    GENERATE_STOP,                      /* a stop text */
    GENERATE_EOS,                       /* an id that ends the text, the last of `ids` */
    GENERATE_CONTEXT,                   /* the model's context is full */
    GENERATE_INTERRUPTED,
    N_GENERATE_ENDS
} GenerateEnd;
const char *generate_end_name(GenerateEnd e);

typedef struct GenerateResult {
    Buf text;                           /* generated, UTF-8; empty without a tokenizer */
    int32_t *ids;                       /* prompt and generated; owned */
    int64_t n_prompt, n_generated;
    int64_t context;
    GenerateEnd end;
    size_t mapped;                      /* bytes of weights that stayed in their file */
    size_t memory;                      /* that a copy had been too large for; 0: map was asked for */
    PackedState packed;
    char packed_why[256];               /* what was wrong with what was kept, or with keeping it */
    double prefill_seconds, decode_seconds;
    int64_t n_decoded;                  /* ids that decode_seconds were spent on */
    uint32_t barriers;                  /* that the threads met at for the last of them */
} GenerateResult;

/* The result is the caller's to free, on failure too. */
bool generate(const Plan *p, const GenerateOptions *o, GenerateResult *out, Error *err);
void generate_result_free(GenerateResult *r);

#endif
