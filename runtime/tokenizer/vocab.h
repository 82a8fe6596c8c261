/* Tokens by id and ids by token. */
#ifndef RUNTIME_TOKENIZER_VOCAB_H
#define RUNTIME_TOKENIZER_VOCAB_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Vocab {
    Buf bytes;                          /* the tokens' texts */
    uint32_t *begin;                    /* by id: place in `bytes`; owned */
    uint32_t *length;                   /* by id; UINT32_MAX where there is no such id; owned */
    size_t n, cap;                      /* ids are below n */
    size_t count;                       /* ids that are there */
    int32_t *slot;                      /* hash table of ids by text, -1 empty; owned */
    uint32_t mask;
    uint32_t longest;                   /* bytes of the longest token */
} Vocab;

/* Room for `count` tokens, whose ids may have holes, but not far beyond 3/2 * count + 65536. */
bool vocab_init(Vocab *v, size_t count, Error *err);
/* A text or an id that is there already is an error. */
bool vocab_add(Vocab *v, const char *text, size_t n, int64_t id, Error *err);
void vocab_free(Vocab *v);

int32_t vocab_find(const Vocab *v, const char *text, size_t n);         /* -1: none */
const char *vocab_text(const Vocab *v, int32_t id, size_t *n);          /* NULL: none */

#endif
