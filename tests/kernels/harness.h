/* What the kernel tests share: operands in guarded memory, calls run in random shares of tasks on
 * every instruction set that this processor has.
 *
 *     Case c = case_new(KERNEL_rope);
 *     case_add(&c, DTYPE_f32, 4, dims, ROWS);   outputs and inputs in the contract's order, filled
 *     c.call.f[0] = 10000;                      with draws in (-1, 1); strides are drawn too
 *     CASE_EACH_ISA(&c, outputs, table) ...     runs it, then the body looks at the results
 *     case_free(&c);
 *
 * A run is made twice from the same memory, once in one piece and once in several, last pieces
 * first; both must leave the same bits, and everything that is not an element of an output (bit i of
 * `outputs`) as it was.  Operands and scratch end where a page that may not be touched begins, and
 * scratch is filled with NaN. */
#ifndef TESTS_KERNELS_HARNESS_H
#define TESTS_KERNELS_HARNESS_H

#include "tests/kernels/guarded.h"

#include "base/half.h"
#include "base/random.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum Strides { ROWS, ANY };

typedef struct Case {
    Operand operand[MAX_OPERANDS];
    Guarded memory[MAX_OPERANDS];
    float *before[MAX_OPERANDS];    /* copies of the memory, from case_keep on */
    Call call;
} Case;

Case case_new(KernelId kernel);

static inline float *element(const Case *c, int i, int64_t index)
{
    const Operand *o = &c->operand[i];
    return (float *)o->data + at(o, index);
}

static inline int32_t *element_i32(const Case *c, int i, int64_t index)
{
    return (int32_t *)(void *)element(c, i, index);
}

/* Adds an operand and returns its index.  Its axes lie in a drawn order (the last one innermost for
 * ROWS) with drawn gaps. */
int case_add(Case *c, DType dtype, int32_t rank, const int64_t *dim, enum Strides kind);

/* Operand i, of f32, becomes dense and of a type of storage; numbers[] gets what it stands for then. */
void case_store(Case *c, int i, DType t, double *numbers);

/* Operand i, a matrix of blocks in rows, is laid in panels, as kernels read parameters. */
void case_pack(Case *c, int i);

/* Adds an operand that is one number. */
void case_scalar_i32(Case *c, int32_t value);

/* Operand i becomes a broadcast along an axis. */
void case_broadcast(Case *c, int i, int axis);

void case_free(Case *c);

/* Takes the memory as it stands for what every run begins with.  Binds the operands. */
void case_keep(Case *c);

/* Every operand is as it was kept. */
void case_restore(Case *c);

/* Runs all tasks in `pieces` ranges, cut anywhere, the last range first. */
void case_run(Case *c, const KernelTable *table, int pieces);

/* Runs whole and in shares; both leave the same bits, and the rest of the memory as it was. */
void case_check_split(Case *c, const KernelTable *table, uint32_t outputs);

/* The call is one that the kernel takes; one that it refuses with a message. */
void case_expect_legal(Case *c);
void case_expect_illegal(Case *c);

#define CASE_EACH_ISA(c, outputs, table)                                                      \
    case_keep(c);                                                                             \
    case_expect_legal(c);                                                                     \
    for (int isa_ = 0; isa_ < N_ISAS; isa_++)                                                 \
        for (const KernelTable *table = kernels_table((Isa)isa_); table; table = NULL)        \
            if (isa_brings(isa_, (c)->call.kernel) &&                                         \
                (case_check_split((c), table, (outputs)), true))

/* A NaN is near a NaN, an infinity near the same. */
void expect_near(const char *what, double got, double want, double tolerance);

#endif
