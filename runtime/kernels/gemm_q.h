/* How a product with a matrix of blocks is cut, shared by the family's check and its bodies.
 *
 * A task is one panel of B (16 columns of C) for one tile of rows of A.  Tasks of a tile follow each
 * other, so a thread rounds the tile's rows of A once for all the panels that it meets: no
 * instruction of its own, no memory but scratch, no barrier.
 *
 * Rounded rows lie in scratch in groups of up to `group` rows, block after block of 32 numbers: for
 * each block int8 q[group][32], float d[group], int32 sum[group][2] (of the block's halves). */
#ifndef KERNELS_GEMM_Q_H
#define KERNELS_GEMM_Q_H

#include "runtime/kernels/operand.h"
#include "runtime/kernels/panel.h"

enum {
    GEMM_Q_TILE = 48,                   /* rows of a tile: a multiple of every body's group */
    GEMM_Q_OPENED_BYTES = 32 * PANEL_ROWS + 3 * 4 * PANEL_ROWS,
};

typedef struct GemmQ {
    DType type;
    int64_t m, n, k;
    int64_t panels;
    size_t panel_bytes;
    void *opened;                       /* scratch for one panel, GEMM_Q_OPENED_BYTES for each block of 32 */
} GemmQ;

static inline size_t gemm_q_block_bytes(int64_t group)
{
    return (size_t)group * (32 + sizeof(float) + 2 * sizeof(int32_t));
}

/* Of a tile of rows of k numbers, in whole lines. */
static inline size_t gemm_q_rounded_bytes(int64_t k)
{
    return ((size_t)(k / 32) * gemm_q_block_bytes(GEMM_Q_TILE) + 63) / 64 * 64;
}

#endif
