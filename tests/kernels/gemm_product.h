/* Products under test: a call of KERNEL_gemm with C, A and B in guarded memory, run on every instruction set
 * that this processor has, whole and in pieces, and compared with sums in double.
 *
 * Tolerance: a float sum of K products in any order, then scaled and added to C, is off by at most
 * gamma = (K + 3) u / (1 - (K + 3) u) of the sum of magnitudes, u = 2^-24 (Higham, "Accuracy and
 * Stability of Numerical Algorithms", 3.1); products rounded apart from sums, or made of three parts each,
 * cost one u more.  No sum is longer than a block of K, at most 256, and blocks are added to C, of
 * which there are at most K / 128 + 1: so a term goes through no more roundings than these together.  At
 * precision 1 the same holds of operands rounded to bf16, and each of K steps may flush what is below
 * the smallest normal number.
 *
 * Operands end where a page that may not be touched begins, scratch is filled with NaN, and every
 * element of C's memory that is not C's must keep its value. */
#ifndef TESTS_KERNELS_GEMM_PRODUCT_H
#define TESTS_KERNELS_GEMM_PRODUCT_H

#include "tests/kernels/guarded.h"

typedef struct Product {
    Operand operand[3];                 /* C, A, B */
    Call call;
    Guarded memory[3];
} Product;

/* How a matrix lies: its rows one after the other, its columns, or with gaps both ways. */
typedef enum Layout { ROWS, COLUMNS, GAPS, N_LAYOUTS } Layout;

/* An operand of floats without memory; `pad` numbers lie between rows, or columns. */
Operand matrix(int64_t rows, int64_t columns, Layout layout, int64_t pad);

/* Gives a matrix leading axes with sizes `dim`; it repeats along an axis whose bit is not set in `present`. */
Operand batched(Operand o, int lead, const int64_t *dim, unsigned present, int64_t gap);

/* Allocates the operands' memory, fills it with draws and binds the call to it. */
void product_fill(Product *p);
void product_free(Product *p);

/* Runs all tasks in `pieces` ranges, cut anywhere, the last range first. */
void product_run(const Product *p, const KernelTable *table, int pieces);

/* Runs on every instruction set, whole and in pieces; C's memory is left as it was. */
void product_verify(Product *p);

/* A product of floats, and one with one of the other types and precisions after the other. */
void verify_plain(int64_t m, int64_t n, int64_t k, Layout a, Layout b, int64_t pad, double alpha, bool accumulate);

/* Types of A and B, and precision, that verify_plain goes through. */
enum { N_GEMM_MODES = 7 };

#endif
