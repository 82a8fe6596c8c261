/* Training a tokenizer: byte-level BPE from text.
 *
 * Text is cut into words by the byte-level pattern (that of GPT-2), as the tokenizer itself will cut
 * it; the words are counted, and merge_learner.h says which pairs become tokens.  Ids are, in this
 * order: the special tokens as given, the 256 bytes by the code points that stand for them, the merged
 * tokens as they are learned.  A text's special tokens are not learned from.
 *
 * On the same text these are the tokens and merges of Hugging Face's BpeTrainer with ByteLevel's
 * initial alphabet. */
#ifndef RUNTIME_TOKENIZER_BPE_TRAIN_H
#define RUNTIME_TOKENIZER_BPE_TRAIN_H

#include "runtime/tokenizer/hf_tokenizer.h"

typedef struct BpeTrainOptions {
    size_t vocab;                       /* ids in all; fewer where the text has no more pairs */
    const char *const *special;
    size_t n_special;
    /* Told how far it is; NULL: nobody.  False stops the training. */
    bool (*progress)(void *context, const char *what, size_t done, size_t total);
    void *context;
} BpeTrainOptions;

/* Reads the files one after the other.  NULL with a message. */
HfTokenizer *bpe_train(const char *const *paths, size_t n, const BpeTrainOptions *o, Error *err);

#endif
