/* Which pairs of symbols to join, learned from counted words: byte pair encoding as Sennrich, Haddow
 * and Birch (2016) describe it.
 *
 * Again and again the pair that stands side by side most often becomes one symbol.  Of pairs that are
 * equally often, that with the smaller left symbol comes first, then that with the smaller right one;
 * so the result depends on nothing but the words and their counts.
 *
 * Counts are kept and changed only where a join changes them: every pair knows the words that have
 * had it, and a heap holds the pairs by count.  An entry of the heap may be out of date; it is put
 * right when it comes up. */
#ifndef RUNTIME_TOKENIZER_MERGE_LEARNER_H
#define RUNTIME_TOKENIZER_MERGE_LEARNER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MergeLearner MergeLearner;

MergeLearner *merge_learner_new(Error *err);
void merge_learner_free(MergeLearner *l);

/* A word of n symbols that occurs `count` times; none may be added after the first best. */
bool merge_learner_add(MergeLearner *l, const int32_t *symbol, size_t n, int64_t count, Error *err);

/* The pair to be joined next; its count is 0 when there is none. */
bool merge_learner_best(MergeLearner *l, int32_t *left, int32_t *right, int64_t *count, Error *err);
/* Joins it everywhere into `symbol`, which may be one that words have already. */
bool merge_learner_join(MergeLearner *l, int32_t symbol, Error *err);

#endif
