/* The largest error of one-input instructions over all 2^32 floats, against the double oracle:
 *
 *     exhaustive ISA STEP OP...        every STEP-th float; STEP 1 for all
 *
 * Not part of the tests: an instruction takes minutes.  The figures stand in math.inc. */
#include "runtime/kernels/select.h"
#include "tests/kernels/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

static const Oracle *oracle_of(RowOp op)
{
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (oracles[i].op == op)
            return &oracles[i];
    return NULL;
}

static void try_all(const KernelTable *table, const Oracle *o, uint64_t step)
{
    static float x[BLOCK], y[BLOCK];
    double worst = 0;
    float worst_at = 0, worst_got = 0;
    for (uint64_t bits = 0; bits >> 32 == 0; bits += BLOCK * step) {
        for (uint64_t i = 0; i < BLOCK; i++) {
            uint32_t b = (uint32_t)(bits + i * step);
            memcpy(&x[i], &b, sizeof b);
        }
        table->row[o->op].map1(1, BLOCK, (Lane){ y, 0, 1 }, (Lane){ x, 0, 1 });
        for (int i = 0; i < BLOCK; i++) {
            double e = oracle_error(o, x[i], y[i]);
            if (e > worst) {
                worst = e;
                worst_at = x[i];
                worst_got = y[i];
            }
        }
    }
    double scale = -1;
    printf("%-8s %-16s %6.3f ulp at %a (%.9g): got %.9g, want %.9g%s\n", isa_name(table->isa),
           row_op_name(o->op), worst, (double)worst_at, (double)worst_at, (double)worst_got,
           o->f((double)worst_at, &scale), worst > o->ulps ? "  BEYOND ITS BOUND" : "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    Error err = { "" };
    const KernelTable *table = argc > 3 ? kernels_select(argv[1], &err) : NULL;
    if (!table) {
        fprintf(stderr, "usage: exhaustive ISA STEP OP...  %s\n", err.text);
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        RowOp op = N_ROW_OPS;
        const Oracle *o = row_op_from_name(argv[i], &op) ? oracle_of(op) : NULL;
        if (!o) {
            fprintf(stderr, "no oracle for \"%s\"\n", argv[i]);
            return 2;
        }
        try_all(table, o, strtoull(argv[2], NULL, 10));
    }
    return 0;
}
