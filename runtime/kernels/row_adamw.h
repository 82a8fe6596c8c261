/* The one row program with a loop of its own: a parameter's AdamW step (passes/update.c).
 *
 * Run as tiles, its fifteen instructions compute while memory waits and wait while memory works, since
 * a tile's operands are fetched when they are first read.  In one loop the two overlap, which makes
 * it as fast as memory allows.  Every element goes through the same operations in the same order, so
 * the bits are those of the row program.
 *
 *     g' = g factor;  m' = m beta1 + g' rest1;  v' = v beta2 + (g' g') rest2
 *     p' = [p keep, or p] - step (m' / (sqrt(v') unbias + eps));  [a constant over g;]  [p' as bf16] */
#ifndef KERNELS_ROW_ADAMW_H
#define KERNELS_ROW_ADAMW_H

#include "runtime/kernels/row_grid.h"

#include <string.h>

/* Registers of the program; each of the first four and of the results is a run of memory, the others
 * are one value. */
typedef enum AdamwReg {
    ADAMW_g, ADAMW_m, ADAMW_v, ADAMW_p,
    ADAMW_factor, ADAMW_rest1, ADAMW_beta1, ADAMW_rest2, ADAMW_beta2, ADAMW_unbias, ADAMW_eps,
    ADAMW_step, ADAMW_keep,
    N_ADAMW_INPUTS,
    ADAMW_new_m = N_ADAMW_INPUTS, ADAMW_new_v, ADAMW_new_p,
    ADAMW_cleared, ADAMW_clear_value, ADAMW_rounded,
    N_ADAMW_REGS
} AdamwReg;

enum { NO_REG = UINT8_MAX };            /* of keep, cleared, clear_value, rounded: there is none */

typedef struct RowAdamw {
    uint8_t found;
    uint8_t reg[N_ADAMW_REGS];
} RowAdamw;

/* Is the prepared call such a step, over one run of memory? */
RowAdamw row_adamw_match(const Call *call);

/* Kept in derived[] from here on. */
enum { ROW_ADAMW = ROW_WORDS };
_Static_assert(ROW_ADAMW * sizeof(int64_t) + sizeof(RowAdamw) <= MAX_DERIVED * sizeof(int64_t),
               "the match fits a call");

static inline RowAdamw row_adamw(const Call *call)
{
    RowAdamw r;
    memcpy(&r, &call->derived[ROW_ADAMW], sizeof r);
    return r;
}

#endif
