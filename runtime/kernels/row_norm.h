/* Norms and their gradients as row programs spell them out, found for the loops of row_norm.inc and row_norm_grad.inc.
 * What is in brackets may be missing.  A norm, where without brackets x is an input, and z is x:
 *
 *      [x = a + b | c + (a + b),] [m = c0 sum x, z = x - m,] v = c1 sum z z + c2, r = rsqrt v, y = z r w [+ bias]
 *
 * The gradient of a centred one, g that of its output, d what joins as a residual:
 *
 *      x = z r, [y = x w [+ bias],] [gains += g,] u = g w, columns += g x, t = u r, s = c (half r^3 sum u z),
 *      t' = t + s z + s z, out = [d +] t' + c sum -t'
 *
 * Of one that is not centred:
 *
 *      x = z r, [y = x w,] [g = first + second | third + (first + second),] u = g w, columns += g x, t = [d +] u r,
 *      s as above, out = t + s z + s z */
#ifndef KERNELS_ROW_NORM_H
#define KERNELS_ROW_NORM_H

#include "runtime/kernels/row_match.h"

/* Inputs and what is stored; registers of values per row or constants are c0, c1, c2 and r. */
enum {
    NORM_a, NORM_b, NORM_c, NORM_w, NORM_bias, NORM_x, NORM_z, NORM_y,
    NORM_c0, NORM_c1, NORM_c2, NORM_r,
    N_NORM_REGS
};

/* Bits of those that are whole rows, and of those that are values. */
enum { NORM_ROWS = (1 << NORM_c0) - 1, NORM_VALUES = (1 << N_NORM_REGS) - (1 << NORM_c0) };

typedef struct RowNorm {
    int n_instrs;                       /* 0: at the instruction no norm begins */
    int inputs;                         /* that x is the sum of: a, b, c; of one alone, x */
    bool centred;
    uint16_t reg[N_NORM_REGS];          /* NO_ROW_REG: it has none */
} RowNorm;

/* The norm that begins at an instruction. */
RowNorm row_norm(const RowProgram *p, int32_t n_operands, int32_t at);

/* Likewise of the gradient; z and r are read as two registers each.  Where `rounded`, y in bf16, is
 * stored, y itself is not. */
enum {
    GRAD_first, GRAD_second, GRAD_third, GRAD_z, GRAD_z2, GRAD_g, GRAD_d, GRAD_w, GRAD_bias, GRAD_y,
    GRAD_rounded, GRAD_t, GRAD_out,
    GRAD_r, GRAD_r2, GRAD_half, GRAD_c,
    GRAD_columns, GRAD_gains,
    N_GRAD_REGS
};
enum { MAX_NORM_REGS = N_GRAD_REGS };   /* of either */
enum { GRAD_ROWS = (1 << GRAD_r) - 1, GRAD_VALUES = (1 << GRAD_columns) - (1 << GRAD_r) };

typedef struct RowNormGrad {
    int n_instrs;
    bool centred;
    uint16_t reg[N_GRAD_REGS];          /* t: a temporary, for the loop's own use */
} RowNormGrad;

RowNormGrad row_norm_grad(const RowProgram *p, int32_t n_operands, int32_t at);

#endif
