/* How a product with a matrix of blocks is cut, shared by the family's check and its bodies.
 *
 * A task is one panel of B (16 columns of C) for one tile of rows of A.  Tasks of a tile follow each
 * other, so a thread rounds the tile's rows of A once for all the panels that it meets: no
 * instruction of its own, no memory but scratch, no barrier.  A tile's rounded rows are meant for the
 * second-level cache, an opened part of a panel (gemm_q_amx.inc, gemm_q_pairs.inc) for the first.
 *
 * Rounded rows lie in scratch in groups of up to `group` rows, block after block of 32 numbers: for
 * each block int8 q[group][32], float d[group], int32 sum[group][2] (of the block's halves). */
#ifndef KERNELS_GEMM_Q_H
#define KERNELS_GEMM_Q_H

#include "runtime/kernels/operand.h"
#include "runtime/kernels/panel.h"

enum {
    GEMM_Q_TILE = 256,                  /* rows of a tile at most, */
    GEMM_Q_TILE_BYTES = 1 << 20,        /* and what they may take, rounded, unless a group takes more */
    GEMM_Q_GROUP = 16,                  /* rows of a group at most */
    GEMM_Q_OPENED = 32,                 /* blocks of 32 of a panel that are opened at a time */
    GEMM_Q_OPENED_BYTES = 64 * PANEL_ROWS + 3 * 4 * PANEL_ROWS,         /* of each, at most */
};

typedef struct GemmQ {
    DType type;
    int64_t m, n, k;
    int64_t panels, tile;               /* of B; rows of a tile of A */
    size_t panel_bytes;
    char *rounded;                      /* scratch: rows of a tile of A, */
    void *opened;                       /* part of a panel, GEMM_Q_OPENED_BYTES for each block of 32, */
    float *sums;                        /* the tile's part of C, PANEL_ROWS columns, */
    float **rows;                       /* and where its rows of C begin; those that fill a group: the last */
} GemmQ;

static inline size_t gemm_q_block_bytes(int64_t group)
{
    return (size_t)group * (32 + sizeof(float) + 2 * sizeof(int32_t));
}

/* Of a tile of rows of k numbers; its last group, of whatever size, may be filled up. */
static inline size_t gemm_q_rounded_bytes(int64_t tile, int64_t k)
{
    return (size_t)(k / 32) * gemm_q_block_bytes(tile + GEMM_Q_GROUP);
}

static inline size_t gemm_q_opened_bytes(int64_t k)
{
    return (size_t)min_i64(k / 32, GEMM_Q_OPENED) * GEMM_Q_OPENED_BYTES;
}

#endif
