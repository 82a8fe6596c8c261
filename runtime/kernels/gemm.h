/* What the two halves of the matrix product share: gemm.c plans, gemm.inc computes.
 *
 * A product is cut three ways.
 *
 *     tiles      the grid of tasks: C in tiles of tile_m x tile_n, each with all of K.  Tasks run
 *                down a column of tiles first, so that a share packs its own part of B and all
 *                of A; or along a row first, where A is the larger.  A call's range of tasks is
 *                joined into rectangles as large as they come, so small tiles cost nothing: they
 *                only let shares be even.
 *     blocks     a rectangle is walked in blocks of block_k x block_n of B: a block is packed once,
 *                lies in the second-level cache, and meets every row of the rectangle.
 *     panels     the micro-kernel's: a few rows of A by block_k in the first-level cache, times a
 *                panel of B, into registers.
 *
 * A bias, an activation and a residual are applied to a tile of C when the last block of K has been
 * added to it, while it lies in the first-level cache.
 *
 * An element of C is one chain of fused multiply-adds over k from zero for each block of K, added
 * to C block by block; so its bits depend on the sizes, not on where the cuts of tiles fall. */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include "runtime/kernels/row.h"

/* Upper bounds that scratch is made for; multiples of every instruction set's panel. */
enum {
    GEMM_BLOCK_K = 256,
    GEMM_BLOCK_N = 1024,
    GEMM_PANEL_N = 64,          /* every panel's width divides it */
    GEMM_PANEL_M = 16,          /* no panel of A has more rows */
};

/* The product of a prepared call; leading axes that remain are a batch. */
typedef struct Gemm {
    const float *a, *b;
    float *c;
    const float *bias, *residual;               /* NULL without */
    int64_t m, n, k;
    int64_t a_m, a_k, b_k, b_n, c_m, r_m;       /* strides; r: the residual */
    int64_t tile_m, tile_n, tiles_m, tiles_n;
    int64_t block_k, block_n;
    int32_t lead;                               /* leading axes of the operands that are batch */
    int32_t ia, ib;                             /* operands that play A and B */
    float alpha;
    bool accumulate;
    bool finish;                                /* there is a bias, an activation or a residual */
    RowOp activation;
    bool across;                                /* tasks run along rows of tiles */
} Gemm;

Gemm gemm_bind(const Call *call);

/* g with a, b and c at matrix `batch` of the leading axes. */
void gemm_seek(Gemm *g, const Call *call, int64_t batch);

#endif
