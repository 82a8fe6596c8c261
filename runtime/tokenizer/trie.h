/* Words by their bytes: which of them begin here? */
#ifndef RUNTIME_TOKENIZER_TRIE_H
#define RUNTIME_TOKENIZER_TRIE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Node 0 is the root.  Edges lie in one open hash table by (node, byte). */
typedef struct Trie {
    struct TrieEdge {
        uint32_t key;                   /* node << 8 | byte, plus 1; 0 empty */
        uint32_t node;
    } *edge;
    size_t mask, n_edges;
    int32_t *value;                     /* by node, -1 where no word ends; owned */
    uint32_t n, cap;
} Trie;

enum { TRIE_MAX_NODES = 1 << 24 };
bool trie_add(Trie *t, const char *word, size_t n, int32_t value, Error *err);
void trie_free(Trie *t);

/* The node behind a byte, 0 when there is none. */
static inline uint32_t trie_step(const Trie *t, uint32_t node, uint8_t byte)
{
    const uint32_t key = (node << 8 | byte) + 1;
    for (size_t at = (key * 0x9e3779b1u >> 7) & t->mask;; at = (at + 1) & t->mask) {
        if (t->edge[at].key == key)
            return t->edge[at].node;
        if (t->edge[at].key == 0)
            return 0;
    }
}

#endif
