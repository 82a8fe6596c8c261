/* Joining symbols against the definition: the pair of lowest rank, of equal ones the leftmost, until
 * none is left.  The tables are random and worse than any tokenizer's: ranks repeat, and a merge may
 * make pairs of lower rank than its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1 << 12, MAX_SYMBOLS = 3000 };

static uint32_t draw(uint64_t stream, uint64_t *at, uint32_t below)
{
    return random_u32(11, stream, (*at)++) % below;
}

/* n_ids symbols, a share of whose pairs can be joined. */
static uint32_t make_table(MergeTable *t, uint64_t stream, uint64_t *at, uint32_t n_ids, uint32_t n_ranks)
{
    memset(t->slot, 0xff, SLOTS * sizeof *t->slot);
    const uint32_t share = 1 + draw(stream, at, 8), monotone = draw(stream, at, 2);
    for (uint32_t a = 0; a < n_ids; a++)
        for (uint32_t b = 0; b < n_ids; b++) {
            if (draw(stream, at, 8) >= share)
                continue;
            const uint32_t result = draw(stream, at, n_ids);
            const uint32_t rank = monotone ? result * n_ranks / n_ids : draw(stream, at, n_ranks);
            *(struct MergeSlot *)(uintptr_t)merge_find(t, (int32_t)a, (int32_t)b) =
                (struct MergeSlot){ (int32_t)a, (int32_t)b, rank, (int32_t)result };
        }
    return n_ranks;
}

static size_t by_definition(const MergeTable *t, int32_t *id, size_t n)
{
    for (;;) {
        const struct MergeSlot *best = NULL;
        size_t where = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct MergeSlot *m = merge_find(t, id[i], id[i + 1]);
            if (m->left >= 0 && (!best || m->rank < best->rank)) {
                best = m;
                where = i;
            }
        }
        if (!best)
            return n;
        id[where] = best->result;
        memmove(id + where + 1, id + where + 2, (n - where - 2) * sizeof *id);
        n--;
    }
}

/* Random symbols, or a few of them again and again. */
static void make_symbols(int32_t *id, size_t n, uint64_t stream, uint64_t *at, uint32_t n_ids)
{
    const uint32_t period = draw(stream, at, 2) ? 1 + draw(stream, at, 4) : 0;
    for (size_t i = 0; i < n; i++)
        id[i] = period && i >= period && draw(stream, at, 50) ? id[i - period]
                                                              : (int32_t)draw(stream, at, n_ids);
}

static void random_tables(void **state)
{
    (void)state;
    MergeTable t = { .slot = malloc(SLOTS * sizeof *t.slot), .mask = SLOTS - 1 };
    static int32_t id[MAX_SYMBOLS], want[MAX_SYMBOLS];
    assert_non_null(t.slot);
    for (uint64_t round = 0; round < 400; round++) {
        uint64_t at = 0;
        const uint32_t n_ids = 2 + draw(round, &at, 40), ranks = 1 + draw(round, &at, 600);
        const uint32_t n_ranks = make_table(&t, round, &at, n_ids, ranks);
        struct BpeScratch *scratch = NULL;              /* one for all words of a table */
        for (int word = 0; word < 4; word++) {
            const size_t n = draw(round, &at, word == 0 ? 60 : round % 20 ? 400 : MAX_SYMBOLS);
            make_symbols(id, n, round, &at, n_ids);
            memcpy(want, id, n * sizeof *id);
            const size_t n_want = by_definition(&t, want, n);
            assert_int_equal(bpe_merge(&t, n_ranks, &scratch, id, n), n_want);
            assert_memory_equal(id, want, n_want * sizeof *id);
        }
        bpe_scratch_free(scratch);
    }
    free(t.slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
