/* What makes a compiled model a language model: ids in, logits over the same ids out.
 *
 *   tokens    the one input that is not train_only: i32 [batch, sequence], ids below vocab
 *   targets   for training, the one train_only input: the same shape and limit
 *   logits    the first output of a program whose last axis is vocab */
#ifndef RUNTIME_TEXT_MODEL_H
#define RUNTIME_TEXT_MODEL_H

#include "runtime/session.h"

typedef struct TextModel {
    int32_t tokens, targets;            /* storages; targets is -1 where there are none */
    int64_t vocab;
    int batch, sequence;                /* symbols */
} TextModel;

/* False when the plan is something else; the message says what does not fit. */
bool text_model_of(const Plan *p, TextModel *out, Error *err);

/* Sizes with every symbol at its largest in `program`. */
void plan_largest_sizes(const Plan *p, PlanProgramKind program, int64_t sizes[MAX_SYMBOLS]);

/* Name of the logits of a program, or NULL with a message: [batch, sequence, vocab], but of generate
 * [1, 1, vocab], those of the last position. */
const char *text_model_logits(const Plan *p, const TextModel *m, PlanProgramKind program,
                              Error *err);

/* "smc compile gpt2.smg -D width=64 -D vocab=65 -o gpt2.smp": the command that made the plan, with
 * another vocabulary. */
void text_model_mend(const Plan *p, const char *plan_path, int64_t vocab, char *out, size_t cap);

/* Fails with that command where the tokenizer has more ids than the model, or, when `exact`, fewer. */
bool text_model_fits(const Plan *p, const char *plan_path, const TextModel *m, int64_t n_ids,
                     bool exact, Error *err);
/* The tokenizer beside weights: those of an imported model cannot be mended by compiling, so a tokenizer
 * with more ids is another model's.  `named` is the plan or model as the user calls it. */
bool text_model_takes(const Plan *p, const char *named, const char *weights, const TextModel *m,
                      int64_t n_ids, Error *err);
/* Fails because no tokenizer lies beside the weights; `then` is what follows from it.  `named` likewise. */
bool text_model_without_ids(const char *named, const char *weights, const char *then, Error *err);

#endif
