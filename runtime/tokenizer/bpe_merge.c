/* Joining the symbols of one word, always the pair of lowest rank, of equal ones the leftmost.
 *
 * A short word is searched for its best pair again and again.  A long one is first swept from left to
 * right, a rank a sweep, as long as sweeps shorten it well: so a run of a million equal characters
 * halves and halves in one small array.  What is left keeps its pairs in buckets by rank.  Within a
 * bucket positions mostly come in ascending order, so that it is read from front to back; and a heap
 * holds the ranks whose buckets have something. */
#include "runtime/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 48, MAX_POOR_SWEEPS = 6 };

/* ---- short words ------------------------------------------------------------------------------ */

static uint32_t rank_of(const MergeTable *t, const int32_t *id)
{
    const struct MergeSlot *s = merge_find(t, id[0], id[1]);
    return s->left < 0 ? NO_RANK : s->rank;
}

static size_t merge_short(const MergeTable *t, int32_t *id, size_t n)
{
    uint32_t rank[SHORT];               /* of the pair i, i + 1 */
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(t, id + i);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        id[best] = merge_find(t, id[best], id[best + 1])->result;
        memmove(id + best + 1, id + best + 2, (n - best - 2) * sizeof *id);
        memmove(rank + best, rank + best + 1, (n - best - 2) * sizeof *rank);
        n--;
        if (best + 1 < n)
            rank[best] = rank_of(t, id + best);
        if (best > 0)
            rank[best - 1] = rank_of(t, id + best - 1);
    }
    return n;
}

/* ---- sweeps ----------------------------------------------------------------------------------- */

/* One rank's way from left to right: id[0 .. out) is done with, id[in .. n) not yet seen. */
typedef struct Sweep {
    const MergeTable *t;
    int32_t *id;
    size_t n, in, out;
    uint32_t rank;
    bool stopped;                       /* a pair of lower rank arose; the rest stays as it is */
} Sweep;

/* The next symbol, joined with what follows, and with what precedes where that makes the same rank. */
static int32_t next_symbol(Sweep *s)
{
    static const struct MergeSlot none = { .left = -1, .right = -1, .rank = NO_RANK, .result = -1 };
    int32_t symbol = s->id[s->in++];
    bool grown = false;                 /* before that, what precedes was looked at already */
    while (!s->stopped) {
        const struct MergeSlot *left = &none, *right = &none;
        if (grown && s->out > 0)
            left = merge_find(s->t, s->id[s->out - 1], symbol);
        if (s->in < s->n)
            right = merge_find(s->t, symbol, s->id[s->in]);
        s->stopped = (left->left >= 0 && left->rank < s->rank) ||
                     (right->left >= 0 && right->rank < s->rank);
        if (s->stopped)
            break;
        if (left->left >= 0 && left->rank == s->rank) {
            s->out--;
            symbol = left->result;
        } else if (right->left >= 0 && right->rank == s->rank) {
            s->in++;
            symbol = right->result;
        } else {
            break;
        }
        grown = true;
    }
    return symbol;
}

/* Joins the pairs of one rank in place; returns how many symbols are left and the lowest rank among
 * them, or one that was. */
static size_t sweep(const MergeTable *t, int32_t *id, size_t n, uint32_t rank, uint32_t *lowest)
{
    Sweep s = { .t = t, .id = id, .n = n, .rank = rank };
    *lowest = NO_RANK;
    while (s.in < n) {
        const int32_t symbol = next_symbol(&s);         /* may take back what came before */
        id[s.out] = symbol;
        if (s.out > 0) {
            const uint32_t r = rank_of(t, id + s.out - 1);
            *lowest = r < *lowest ? r : *lowest;
        }
        s.out++;
    }
    return s.out;
}

/* Sweeps until a few took off less than an eighth.  *done says that nothing can be joined any more. */
static size_t merge_sweeps(const MergeTable *t, int32_t *id, size_t n, uint64_t *steps, bool *done)
{
    uint32_t rank = NO_RANK, next;
    for (size_t i = 0; i + 1 < n; i++) {
        const uint32_t r = rank_of(t, id + i);
        rank = r < rank ? r : rank;
    }
    for (int poor = 0; rank != NO_RANK && poor < MAX_POOR_SWEEPS;) {
        const size_t left = sweep(t, id, n, rank, &next);
        *steps += n;
        poor += n - left < n / 8;
        n = left;
        rank = next;
    }
    *done = rank == NO_RANK;
    return n;
}

/* ---- long words ------------------------------------------------------------------------------- */

typedef struct Positions {
    uint32_t *at;
    size_t n, cap;
} Positions;

typedef struct Bucket {
    uint32_t rank;
    bool waiting;                       /* in the heap of ranks */
    bool reading;                       /* `early` is sorted, and what comes now goes to `late` */
    Positions early;
    size_t next;                        /* of `early` */
    Positions late;                     /* a heap, smallest first */
} Bucket;

typedef struct Symbol {
    uint32_t prev, next;                /* NONE at the ends */
    uint32_t rank;                      /* of the pair that begins here; NO_RANK: none, or dead */
    int32_t id, result;                 /* what the pair becomes */
} Symbol;

struct BpeScratch {
    Symbol *symbol;
    size_t cap_symbols;
    uint32_t *bucket_of;                /* by rank: index + 1, 0 for none */
    uint32_t n_ranks;
    Bucket *bucket;
    uint32_t n_buckets, cap_buckets;
    uint32_t *heap;                     /* waiting buckets, lowest rank first */
    uint32_t n_heap, cap_heap;
    bool failed;                        /* memory ran out */
    uint64_t steps;                     /* symbols swept, moves in heaps, pairs looked at */
};

static const uint32_t NONE = UINT32_MAX;

static bool positions_push(Positions *p, uint32_t at)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 16;
        uint32_t *grown = realloc(p->at, cap * sizeof *grown);
        if (!grown)
            return false;
        p->at = grown;
        p->cap = cap;
    }
    p->at[p->n++] = at;
    return true;
}

static void late_push(struct BpeScratch *s, Bucket *b, uint32_t at)
{
    if (!positions_push(&b->late, at)) {
        s->failed = true;
        return;
    }
    uint32_t *h = b->late.at;
    size_t i = b->late.n - 1;
    for (; i > 0 && h[(i - 1) / 2] > at; i = (i - 1) / 2, s->steps++)
        h[i] = h[(i - 1) / 2];
    h[i] = at;
}

static uint32_t late_pop(Bucket *b)
{
    uint32_t *h = b->late.at;
    const uint32_t top = h[0], last = h[--b->late.n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < b->late.n; i = child) {
        if (child + 1 < b->late.n && h[child + 1] < h[child])
            child++;
        if (h[child] >= last)
            break;
        h[i] = h[child];
    }
    h[i] = last;
    return top;
}

static void heap_push(struct BpeScratch *s, uint32_t bucket)
{
    if (s->n_heap == s->cap_heap) {
        const uint32_t cap = s->cap_heap ? 2 * s->cap_heap : 64;
        uint32_t *grown = realloc(s->heap, cap * sizeof *grown);
        if (!grown) {
            s->failed = true;
            return;
        }
        s->heap = grown;
        s->cap_heap = cap;
    }
    const uint32_t rank = s->bucket[bucket].rank;
    uint32_t i = s->n_heap++;
    for (; i > 0 && s->bucket[s->heap[(i - 1) / 2]].rank > rank; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = bucket;
}

static void heap_pop(struct BpeScratch *s)
{
    const uint32_t last = s->heap[--s->n_heap];
    const uint32_t rank = s->bucket[last].rank;
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < s->n_heap; i = child) {
        if (child + 1 < s->n_heap &&
            s->bucket[s->heap[child + 1]].rank < s->bucket[s->heap[child]].rank)
            child++;
        if (s->bucket[s->heap[child]].rank >= rank)
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
}

/* The bucket of a rank, new when there is none; NULL when memory runs out. */
static Bucket *bucket_for(struct BpeScratch *s, uint32_t rank)
{
    if (s->bucket_of[rank])
        return &s->bucket[s->bucket_of[rank] - 1];
    if (s->n_buckets == s->cap_buckets) {
        const uint32_t cap = s->cap_buckets ? 2 * s->cap_buckets : 64;
        Bucket *grown = realloc(s->bucket, cap * sizeof *grown);
        if (!grown) {
            s->failed = true;
            return NULL;
        }
        memset(grown + s->cap_buckets, 0, (cap - s->cap_buckets) * sizeof *grown);
        s->bucket = grown;
        s->cap_buckets = cap;
    }
    Bucket *b = &s->bucket[s->n_buckets++];             /* its arrays are kept from earlier words */
    b->rank = rank;
    b->waiting = b->reading = false;
    b->early.n = b->late.n = b->next = 0;
    s->bucket_of[rank] = s->n_buckets;
    return b;
}

/* Looks at the pair that begins at `at`, and puts it on the list when it can be joined. */
static void look_at(struct BpeScratch *s, const MergeTable *t, uint32_t at)
{
    Symbol *a = &s->symbol[at];
    s->steps++;
    a->rank = NO_RANK;
    if (a->next == NONE)
        return;
    const struct MergeSlot *m = merge_find(t, a->id, s->symbol[a->next].id);
    if (m->left < 0)
        return;
    Bucket *b = bucket_for(s, m->rank);
    if (!b)
        return;
    a->rank = m->rank;
    a->result = m->result;
    if (b->reading)
        late_push(s, b, at);
    else if (!positions_push(&b->early, at))
        s->failed = true;
    if (!b->waiting) {
        b->waiting = true;
        heap_push(s, (uint32_t)(b - s->bucket));
    }
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void start_reading(Bucket *b)
{
    b->reading = true;
    for (size_t i = 1; i < b->early.n; i++)
        if (b->early.at[i - 1] > b->early.at[i]) {
            qsort(b->early.at, b->early.n, sizeof *b->early.at, ascending);
            break;
        }
}

/* The leftmost position of the bucket, NONE when it is empty. */
static uint32_t bucket_pop(Bucket *b)
{
    if (!b->reading)
        start_reading(b);
    const bool early = b->next < b->early.n;
    if (b->late.n && (!early || b->late.at[0] < b->early.at[b->next]))
        return late_pop(b);
    return early ? b->early.at[b->next++] : NONE;
}

static void join(struct BpeScratch *s, const MergeTable *t, uint32_t at)
{
    Symbol *a = &s->symbol[at], *b = &s->symbol[a->next];
    a->id = a->result;
    a->next = b->next;
    b->rank = NO_RANK;
    if (b->next != NONE)
        s->symbol[b->next].prev = at;
    if (a->prev != NONE)
        look_at(s, t, a->prev);
    look_at(s, t, at);
}

static bool prepare(struct BpeScratch *s, uint32_t n_ranks, const int32_t *id, size_t n)
{
    if (s->cap_symbols < n) {
        free(s->symbol);
        s->symbol = n < NONE ? malloc(n * sizeof *s->symbol) : NULL;
        s->cap_symbols = s->symbol ? n : 0;
    }
    if (!s->bucket_of) {
        s->bucket_of = calloc(n_ranks, sizeof *s->bucket_of);
        s->n_ranks = n_ranks;
    }
    if (!s->symbol || !s->bucket_of)
        return false;
    for (size_t i = 0; i < n; i++)
        s->symbol[i] = (Symbol){ .prev = i ? (uint32_t)(i - 1) : NONE,
                                 .next = i + 1 < n ? (uint32_t)(i + 1) : NONE, .id = id[i] };
    return true;
}

static size_t merge_long(const MergeTable *t, struct BpeScratch *s, int32_t *id, size_t n)
{
    for (uint32_t i = 0; i < n; i++)
        look_at(s, t, i);
    while (s->n_heap > 0 && !s->failed) {
        const uint32_t top = s->heap[0];
        const uint32_t rank = s->bucket[top].rank, at = bucket_pop(&s->bucket[top]);
        s->steps++;
        if (at == NONE) {
            s->bucket[top].waiting = s->bucket[top].reading = false;
            s->bucket[top].early.n = s->bucket[top].next = 0;
            heap_pop(s);
        } else if (s->symbol[at].rank == rank) {
            join(s, t, at);
        }
    }
    size_t left = 0;
    for (uint32_t at = 0; at != NONE; at = s->symbol[at].next)
        id[left++] = s->symbol[at].id;
    for (uint32_t b = 0; b < s->n_buckets; b++)
        s->bucket_of[s->bucket[b].rank] = 0;
    s->n_buckets = s->n_heap = 0;
    return s->failed ? SIZE_MAX : left;
}

size_t bpe_merge(const MergeTable *t, uint32_t n_ranks, struct BpeScratch **scratch, int32_t *id,
                 size_t n)
{
    if (n <= SHORT)
        return n < 2 ? n : merge_short(t, id, n);
    bool done;
    if (!*scratch)
        *scratch = calloc(1, sizeof **scratch);
    if (!*scratch)
        return SIZE_MAX;
    n = merge_sweeps(t, id, n, &(*scratch)->steps, &done);
    if (done || n <= SHORT)
        return done || n < 2 ? n : merge_short(t, id, n);
    if (!prepare(*scratch, n_ranks, id, n))
        return SIZE_MAX;
    (*scratch)->failed = false;
    return merge_long(t, *scratch, id, n);
}

uint64_t bpe_scratch_steps(const struct BpeScratch *s)
{
    return s ? s->steps : 0;
}

void bpe_scratch_free(struct BpeScratch *s)
{
    if (!s)
        return;
    for (uint32_t b = 0; b < s->cap_buckets; b++) {
        free(s->bucket[b].early.at);
        free(s->bucket[b].late.at);
    }
    free(s->bucket);
    free(s->symbol);
    free(s->bucket_of);
    free(s->heap);
    free(s);
}
