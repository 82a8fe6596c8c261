/* How often each word of a text occurs: what a tokenizer is learned from, and far smaller. */
#ifndef RUNTIME_TOKENIZER_WORD_COUNT_H
#define RUNTIME_TOKENIZER_WORD_COUNT_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CountedWord {
    size_t begin;                       /* in `bytes` */
    uint32_t length;
    int64_t count;
} CountedWord;

/* Begins as { 0 }; words are in the order in which they were first met. */
typedef struct WordCount {
    Buf bytes;
    CountedWord *word;                  /* owned */
    size_t n, cap;
    uint32_t *slot;                     /* open hash table of word + 1, 0 empty; owned */
    size_t mask;
} WordCount;

bool word_count_add(WordCount *c, const char *text, size_t n, Error *err);
void word_count_free(WordCount *c);

#endif
