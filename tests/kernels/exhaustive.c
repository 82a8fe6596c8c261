/* The largest error of one-input instructions over all 2^32 floats, against the double oracle, on every
 * instruction set that runs here and has its own:
 *
 *     exhaustive [STEP [OP | ISA]...]  every STEP-th float (default 1: all); default: all instructions,
 *                                      all instruction sets
 *
 * Not part of the tests, which sample: an instruction takes one to four minutes, plain C half of that.  The
 * figures stand in docs/kernels.md.  Exits 1 when an error is beyond its bound. */
#include "runtime/kernels/select.h"
#include "tests/kernels/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

/* An instruction set and the worst that it did. */
typedef struct Level {
    const KernelTable *table;
    float y[BLOCK];
    double worst;
    float worst_at, worst_got;
} Level;

/* Those with functions of their own, of those in `asked`. */
static int find_levels(RowOp op, uint32_t asked, Level level[N_ISAS])
{
    int n = 0;
    for (int i = 0; i < N_ISAS; i++) {
        const KernelTable *table = kernels_table((Isa)i);
        if (!(asked >> i & 1) || !isa_supported((Isa)i) || (n > 0 && table->row[op].map1 == level[n - 1].table->row[op].map1))
            continue;
        level[n].table = table;
        level[n].worst = level[n].worst_at = level[n].worst_got = 0;
        n++;
    }
    return n;
}

static void judge(Level *l, float x, float got, double error)
{
    if (error > l->worst) {
        l->worst = error;
        l->worst_at = x;
        l->worst_got = got;
    }
}

/* Sets mostly agree to the bit, and then the oracle, which takes longest, is asked once. */
static void try_block(const Oracle *o, int n_levels, Level *level, const float x[BLOCK])
{
    for (int k = 0; k < n_levels; k++) {
        Lane in = { .p = (float *)(uintptr_t)x, .col = 1 }, out = { .p = level[k].y, .col = 1 };
        level[k].table->row[o->op].map1(1, BLOCK, out, in);
    }
    for (int i = 0; i < BLOCK; i++) {
        const double first = oracle_error(o, x[i], level[0].y[i]);
        judge(&level[0], x[i], level[0].y[i], first);
        for (int k = 1; k < n_levels; k++) {
            const bool same = memcmp(&level[k].y[i], &level[0].y[i], sizeof(float)) == 0;
            judge(&level[k], x[i], level[k].y[i], same ? first : oracle_error(o, x[i], level[k].y[i]));
        }
    }
}

static bool try_all(const Oracle *o, uint64_t step, uint32_t isas)
{
    static float x[BLOCK];
    static Level level[N_ISAS];
    const int n = find_levels(o->op, isas, level);
    bool good = true;
    for (uint64_t bits = 0; bits >> 32 == 0; bits += BLOCK * step) {
        for (uint64_t i = 0; i < BLOCK; i++) {
            const uint32_t b = (uint32_t)(bits + i * step);
            memcpy(&x[i], &b, sizeof b);
        }
        try_block(o, n, level, x);
    }
    for (int k = 0; k < n; k++) {
        const Level *l = &level[k];
        const bool beyond = l->worst > o->ulps;
        double scale = -1;
        good = good && !beyond;
        printf("%-16s %-8s %6.3f ulp at %a (%.9g): got %.9g, want %.9g%s\n", row_op_name(o->op),
               isa_name(l->table->isa), l->worst, (double)l->worst_at, (double)l->worst_at,
               (double)l->worst_got, o->f((double)l->worst_at, &scale), beyond ? "  BEYOND ITS BOUND" : "");
    }
    fflush(stdout);
    return good;
}

/* Names the instruction or the set that the word is. */
static bool take_word(const char *word, uint64_t *ops, uint32_t *isas)
{
    RowOp op;
    for (size_t k = 0; k < sizeof oracles / sizeof *oracles; k++)
        if (row_op_from_name(word, &op) && oracles[k].op == op)
            return *ops |= (uint64_t)1 << k, true;
    for (int i = 0; i < N_ISAS; i++)
        if (strcmp(word, isa_name((Isa)i)) == 0)
            return *isas |= 1u << i, true;
    return false;
}

int main(int argc, char **argv)
{
    const uint64_t step = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t ops = 0;
    uint32_t isas = 0;
    bool good = true, known = step > 0;
    for (int i = 2; i < argc; i++)
        known = known && take_word(argv[i], &ops, &isas);
    if (!known) {
        fprintf(stderr, "usage: exhaustive [STEP [OP | ISA]...]\n");
        return 2;
    }
    for (size_t k = 0; k < sizeof oracles / sizeof *oracles; k++)
        if (!ops || ops >> k & 1)
            good = try_all(&oracles[k], step, isas ? isas : UINT32_MAX) && good;
    return good ? 0 : 1;
}
