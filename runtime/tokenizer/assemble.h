/* A tokenizer put together: what the readers of tokenizer.json and of GGUF fill, and what
 * hf_tokenizer.c runs. */
#ifndef RUNTIME_TOKENIZER_ASSEMBLE_H
#define RUNTIME_TOKENIZER_ASSEMBLE_H

#include "runtime/tokenizer/parts.h"

typedef enum ModelKind { MODEL_BPE, MODEL_UNIGRAM, MODEL_WORDPIECE, MODEL_WORDLEVEL } ModelKind;

struct HfTokenizer {
    Vocab vocab;
    Normalizer *normalizer;             /* NULL: none */
    PreTokenizer *pretokenizer;         /* NULL: none */
    AddedTokens *added;
    PostProcessor *post;
    DecoderPlan *decoder;
    ModelKind kind;
    Bpe *bpe;                           /* the one of the kind */
    Unigram *unigram;
    WordPiece *wordpiece;
    char *unk;                          /* WordLevel's */
    json_t *frame;                      /* the file without its vocabulary, merges and added tokens */
    int32_t role[N_HF_ROLES];
    int32_t size;
};

/* Reads every part but the model from `frame`, which it takes over.  Then the caller adds the added
 * tokens and makes the model, and ends. */
bool assemble(HfTokenizer *t, json_t *frame, Error *err);
bool assemble_end(HfTokenizer *t, Error *err);

HfTokenizer *tokenizer_new(Error *err);
/* From the content of a tokenizer.json, which it takes over; NULL with a message. */
HfTokenizer *tokenizer_of_json(json_t *file, Error *err);
bool workspace_init(Workspace *w, Error *err);
void workspace_free(Workspace *w);

#endif
