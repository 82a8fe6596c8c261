/* Words as runs of symbols, pairs in a hash table, a heap of pairs by count. */
#include "runtime/tokenizer/merge_learner.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t NOWHERE = UINT32_MAX;

typedef struct Word {
    size_t begin;                       /* in `symbol` */
    uint32_t n;
    int64_t count;
} Word;

typedef struct Pair {
    int32_t left, right;
    int64_t count;                      /* over all words, each as often as it occurs */
    uint32_t places;                    /* first of its list, NOWHERE when empty */
    bool risen;                         /* its count rose in this join: it goes to the heap */
} Pair;

/* A word that has, or had, the pair. */
typedef struct Place {
    uint32_t word, next;
} Place;

typedef struct Entry {
    int64_t count;                      /* of the pair when it was pushed */
    uint32_t pair;
} Entry;

/* A growing array of T. */
#define LIST(T) struct { T *at; size_t n, cap; }

struct MergeLearner {
    LIST(int32_t) symbol;
    LIST(Word) word;
    LIST(Pair) pair;
    LIST(Place) place;
    LIST(Entry) heap;
    LIST(uint32_t) risen;
    uint32_t *slot;                     /* open hash table of pair + 1, 0 empty */
    size_t mask;
    bool counted;
    uint32_t best;                      /* the pair to be joined */
};

/* `list` is the address of a LIST's pointer. */
static bool grow(void *list, size_t *cap, size_t n, size_t size)
{
    void *at;
    if (n < *cap)
        return true;
    memcpy(&at, list, sizeof at);
    const size_t larger = *cap ? 2 * *cap : 1024;
    at = n < UINT32_MAX - 1 ? realloc(at, larger * size) : NULL;
    if (!at)
        return false;
    memcpy(list, &at, sizeof at);
    *cap = larger;
    return true;
}

/* Room for one more. */
#define ROOM(list) grow(&(list).at, &(list).cap, (list).n, sizeof *(list).at)

MergeLearner *merge_learner_new(Error *err)
{
    MergeLearner *l = calloc(1, sizeof *l);
    if (!l)
        error_set(err, "out of memory");
    return l;
}

void merge_learner_free(MergeLearner *l)
{
    if (!l)
        return;
    free(l->symbol.at);
    free(l->word.at);
    free(l->pair.at);
    free(l->place.at);
    free(l->heap.at);
    free(l->risen.at);
    free(l->slot);
    free(l);
}

bool merge_learner_add(MergeLearner *l, const int32_t *symbol, size_t n, int64_t count, Error *err)
{
    bool ok = n <= UINT32_MAX && ROOM(l->word);
    const size_t begin = l->symbol.n;
    for (size_t i = 0; ok && i < n; i++) {
        ok = ROOM(l->symbol);
        if (ok)
            l->symbol.at[l->symbol.n++] = symbol[i];
    }
    if (!ok)
        return error_set(err, "out of memory: %zu words", l->word.n);
    l->word.at[l->word.n++] = (Word){ begin, (uint32_t)n, count };
    return true;
}

/* ---- pairs ------------------------------------------------------------------------------------ */

static size_t find_slot(const MergeLearner *l, int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 29) & l->mask;
    for (; l->slot[at]; at = (at + 1) & l->mask) {
        const Pair *p = &l->pair.at[l->slot[at] - 1];
        if (p->left == left && p->right == right)
            break;
    }
    return at;
}

static bool widen(MergeLearner *l)
{
    const size_t slots = l->slot ? 2 * (l->mask + 1) : 4096;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (!slot)
        return false;
    free(l->slot);
    l->slot = slot;
    l->mask = slots - 1;
    for (size_t i = 0; i < l->pair.n; i++)
        slot[find_slot(l, l->pair.at[i].left, l->pair.at[i].right)] = (uint32_t)i + 1;
    return true;
}

/* The pair's number, a new one when it was never seen; NOWHERE when memory ran out. */
static uint32_t pair_of(MergeLearner *l, int32_t left, int32_t right)
{
    if ((!l->slot || 2 * l->pair.n > l->mask) && !widen(l))
        return NOWHERE;
    const size_t at = find_slot(l, left, right);
    if (!l->slot[at]) {
        if (!ROOM(l->pair))
            return NOWHERE;
        l->pair.at[l->pair.n] = (Pair){ .left = left, .right = right, .places = NOWHERE };
        l->slot[at] = (uint32_t)++l->pair.n;
    }
    return l->slot[at] - 1;
}

/* One more of the pair in every occurrence of the word, or, with `change` -1, one less. */
static bool change_pair(MergeLearner *l, int32_t left, int32_t right, uint32_t word, int change)
{
    const uint32_t k = pair_of(l, left, right);
    if (k == NOWHERE)
        return false;
    Pair *p = &l->pair.at[k];
    p->count += change * l->word.at[word].count;
    if (change < 0)
        return true;
    if (!p->risen) {
        if (!ROOM(l->risen))
            return false;
        l->risen.at[l->risen.n++] = k;
        p->risen = true;
    }
    if (p->places != NOWHERE && l->place.at[p->places].word == word)
        return true;
    if (!ROOM(l->place))
        return false;
    l->place.at[l->place.n] = (Place){ word, p->places };
    p->places = (uint32_t)l->place.n++;
    return true;
}

/* ---- the heap --------------------------------------------------------------------------------- */

static bool before(const MergeLearner *l, Entry a, Entry b)
{
    const Pair *p = &l->pair.at[a.pair], *q = &l->pair.at[b.pair];
    if (a.count != b.count)
        return a.count > b.count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static bool heap_push(MergeLearner *l, Entry e)
{
    if (!ROOM(l->heap))
        return false;
    Entry *heap = l->heap.at;
    size_t i = l->heap.n++;
    for (; i > 0 && before(l, e, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
    return true;
}

static Entry heap_pop(MergeLearner *l)
{
    Entry *heap = l->heap.at;
    const Entry top = heap[0], last = heap[--l->heap.n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->heap.n; i = child) {
        child += child + 1 < l->heap.n && before(l, heap[child + 1], heap[child]);
        if (!before(l, heap[child], last))
            break;
        heap[i] = heap[child];
    }
    if (l->heap.n > 0)
        heap[i] = last;
    return top;
}

static bool push_risen(MergeLearner *l)
{
    for (size_t i = 0; i < l->risen.n; i++) {
        Pair *p = &l->pair.at[l->risen.at[i]];
        p->risen = false;
        if (p->count > 0 && !heap_push(l, (Entry){ p->count, l->risen.at[i] }))
            return false;
    }
    l->risen.n = 0;
    return true;
}

/* ---- joining ---------------------------------------------------------------------------------- */

static bool count_pairs(MergeLearner *l)
{
    for (size_t w = 0; w < l->word.n; w++) {
        const Word *word = &l->word.at[w];
        const int32_t *s = l->symbol.at + word->begin;
        for (uint32_t i = 0; i + 1 < word->n; i++)
            if (!change_pair(l, s[i], s[i + 1], (uint32_t)w, 1))
                return false;
    }
    return push_risen(l);
}

bool merge_learner_best(MergeLearner *l, int32_t *left, int32_t *right, int64_t *count, Error *err)
{
    if (!l->counted && !count_pairs(l))
        return error_set(err, "out of memory: %zu pairs", l->pair.n);
    l->counted = true;
    *count = 0;
    while (l->heap.n > 0) {
        const Entry e = heap_pop(l);
        const Pair *p = &l->pair.at[e.pair];
        if (p->count == e.count) {
            l->best = e.pair;
            *left = p->left;
            *right = p->right;
            *count = p->count;
            return true;
        }
        if (p->count > 0 && !heap_push(l, (Entry){ p->count, e.pair }))
            return error_set(err, "out of memory: %zu pairs", l->pair.n);
    }
    return true;
}

/* From left to right: what precedes a joined pair may have been joined just before. */
static bool join_word(MergeLearner *l, uint32_t w, int32_t left, int32_t right, int32_t symbol)
{
    Word *word = &l->word.at[w];
    int32_t *s = l->symbol.at + word->begin;
    uint32_t out = 0;
    bool ok = true;
    for (uint32_t in = 0; in < word->n; out++) {
        if (in + 1 == word->n || s[in] != left || s[in + 1] != right) {
            s[out] = s[in++];
            continue;
        }
        in += 2;
        if (ok && out > 0)
            ok = change_pair(l, s[out - 1], left, w, -1) && change_pair(l, s[out - 1], symbol, w, 1);
        if (ok && in < word->n)
            ok = change_pair(l, right, s[in], w, -1) && change_pair(l, symbol, s[in], w, 1);
        s[out] = symbol;
    }
    word->n = out;
    return ok;
}

bool merge_learner_join(MergeLearner *l, int32_t symbol, Error *err)
{
    const Pair p = l->pair.at[l->best];
    bool ok = true;
    l->pair.at[l->best].places = NOWHERE;
    for (uint32_t at = p.places; ok && at != NOWHERE; at = l->place.at[at].next)
        ok = join_word(l, l->place.at[at].word, p.left, p.right, symbol);
    l->pair.at[l->best].count = 0;
    return (ok && push_risen(l)) || error_set(err, "out of memory: %zu pairs", l->pair.n);
}
