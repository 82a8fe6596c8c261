/* How masked_matmul is cut, shared by the family's check and its bodies.
 *
 * A task is a run of columns of all rows.  The rows that are asked for are gathered, a tile at a time, and
 * meet the run's weights in one product: gemm where those are f32 or bf16, gemm_q where they are blocks.
 * What an element's bits depend on, its run and how many rows its tile has, is the same for any number of
 * threads. */
#ifndef KERNELS_MASKED_MATMUL_H
#define KERNELS_MASKED_MATMUL_H

#include "runtime/kernels/operand.h"

enum {
    MASKED_TILE = 64,                   /* rows of a tile */
    MASKED_COLUMNS = 64,                /* a run's columns: a multiple of it, and whole panels of blocks */
};

/* The most columns of a product: a run's, so that its bits depend on no share of the tasks; of blocks, whose
 * sums do not care, all that a thread has, so that it rounds its rows once. */
int64_t masked_most(const Call *call);

/* Where the parts of scratch begin, and where what is left to the product does. */
typedef struct MaskedScratch { size_t rows, a, c, product; } MaskedScratch;

MaskedScratch masked_scratch(const Call *call);

/* c = a w' for `rows` rows with `stride_c` and `stride_a` floats from one to the next, and columns
 * [n0, n1) of the call. */
typedef struct MaskedPart {
    int64_t rows, n0, n1;
    float *c, *a;
    int64_t stride_c, stride_a;
} MaskedPart;

/* The part as a product of its own, prepared; `operand`: its three. */
Call masked_product(const Call *call, const MaskedPart *part, Operand operand[3]);

#endif
