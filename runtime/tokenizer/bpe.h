/* What the two files of the BPE model share: bpe.c reads words, bpe_merge.c joins their symbols. */
#ifndef RUNTIME_TOKENIZER_BPE_H
#define RUNTIME_TOKENIZER_BPE_H

#include "runtime/tokenizer/parts.h"

#define NO_RANK UINT32_MAX

/* An open hash table of pairs. */
typedef struct MergeTable {
    struct MergeSlot {
        int32_t left, right;            /* left -1: empty */
        uint32_t rank;
        int32_t result;
    } *slot;
    size_t mask;
} MergeTable;

static inline const struct MergeSlot *merge_find(const MergeTable *t, int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t mixed = key * 0x9e3779b97f4a7c15u;
    for (size_t at = (size_t)(mixed >> 32) & t->mask;; at = (at + 1) & t->mask)
        if (t->slot[at].left < 0 || (t->slot[at].left == left && t->slot[at].right == right))
            return &t->slot[at];
}

/* Joins the n symbols at `id` in place as the merges say; returns how many are left, or SIZE_MAX
 * when memory runs out.  Ranks are below n_ranks. */
size_t bpe_merge(const MergeTable *t, uint32_t n_ranks, struct BpeScratch **scratch, int32_t *id,
                 size_t n);

#endif
