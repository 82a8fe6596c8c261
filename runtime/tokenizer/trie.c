/* Building the trie. */
#include "runtime/tokenizer/trie.h"

#include <stdlib.h>

static size_t place(const Trie *t, uint32_t key)
{
    size_t at = (key * 0x9e3779b1u >> 7) & t->mask;
    while (t->edge[at].key && t->edge[at].key != key)
        at = (at + 1) & t->mask;
    return at;
}

static bool grow_edges(Trie *t)
{
    const Trie old = *t;
    const size_t slots = old.edge ? 2 * (old.mask + 1) : 256;
    t->edge = calloc(slots, sizeof *t->edge);
    if (!t->edge) {
        t->edge = old.edge;
        return false;
    }
    t->mask = slots - 1;
    for (size_t i = 0; old.edge && i <= old.mask; i++)
        if (old.edge[i].key)
            t->edge[place(t, old.edge[i].key)] = old.edge[i];
    free(old.edge);
    return true;
}

static bool new_node(Trie *t, uint32_t *out)
{
    if (t->n == t->cap) {
        const uint32_t cap = t->cap ? 2 * t->cap : 256;
        int32_t *value = realloc(t->value, cap * sizeof *value);
        if (!value)
            return false;
        t->value = value;
        t->cap = cap;
    }
    t->value[t->n] = -1;
    *out = t->n++;
    return true;
}

bool trie_add(Trie *t, const char *word, size_t n, int32_t value, Error *err)
{
    uint32_t node = 0;
    if (t->n == 0 && (!new_node(t, &node) || !grow_edges(t)))
        return error_set(err, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = (node << 8 | (uint8_t)word[i]) + 1;
        if (t->n >= TRIE_MAX_NODES)
            return error_set(err, "the tokens have too many bytes together");
        if (2 * t->n_edges >= t->mask && !grow_edges(t))
            return error_set(err, "out of memory");
        struct TrieEdge *e = &t->edge[place(t, key)];
        if (!e->key) {
            uint32_t next;
            if (!new_node(t, &next))
                return error_set(err, "out of memory");
            *e = (struct TrieEdge){ key, next };
            t->n_edges++;
        }
        node = e->node;
    }
    t->value[node] = value;
    return true;
}

void trie_free(Trie *t)
{
    free(t->edge);
    free(t->value);
    *t = (Trie){ 0 };
}
