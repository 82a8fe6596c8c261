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
 * Sets whose tiles have few rows (GEMM_KEEPS_B) change what is where: a panel of B lies in the first-level cache,
 * a chunk of panels of A in the second-level cache, and blocks of B are wide and come from the last (Goto and
 * van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).  No bit depends on that.
 *
 * A bias, an activation and a residual are applied to a tile of C when the last block of K has been
 * added to it, while it lies in the first-level cache.
 *
 * Operands of two bytes, and precision 1, are a matter of packing alone: it widens, rounds, or both.
 * Sets that multiply bf16 pack that instead of floats (gemm_bf16.inc); those that are far faster at it
 * take floats apart into three bf16 and lose nothing by it.
 *
 * An element of C is one chain of fused multiply-adds over k from zero for each block of K, added
 * to C block by block, or as gemm_bf16.inc tells; either way its bits depend on the sizes, not on where
 * the cuts of tiles fall. */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include "base/half.h"
#include "runtime/kernels/row.h"

/* Upper bounds that scratch is made for; multiples of every instruction set's panel. */
enum {
    GEMM_BLOCK_K = 256,
    GEMM_BLOCK_N = 1024,
    GEMM_PANEL_N = 64,          /* every panel's width divides it */
    GEMM_PANEL_M = 16,          /* no panel of A has more rows */
    GEMM_CHUNK = 8,             /* panels of A that are packed together */
    GEMM_CHUNK_MOST = 32,       /* or as many, of 8 lanes, where a panel of B stays in the first-level cache */
    GEMM_CHUNK_LANES = 256,     /* of either */
    GEMM_ROW_N = 4096,          /* sums of a single row of C that stay in the first-level cache */
    GEMM_SQUARED = 64,          /* rows of C whose squares are added up; tiles hold whole groups */
    GEMM_SPLIT_K = 32,          /* runs of K in which a few rows of A meet a transposed B of bf16 */
};

/* The same for products of bf16 (gemm_bf16.inc): packed in squares of SIDE items by STEP of K.  SPLIT:
 * where floats are split in three parts. */
enum {
    GEMM16_STEP = 32, GEMM16_SIDE = 16,
    GEMM16_SQUARE = GEMM16_STEP * GEMM16_SIDE,
    GEMM16_NR = 2 * GEMM16_SIDE,            /* columns of a panel of B */
    GEMM16_BLOCK_K = 512,                   /* a panel of A stays in the first-level cache */
    GEMM16_SPLIT_BLOCK_K = 256,             /* or near it, if there are three parts of it */
    GEMM16_FEW_N = 512,                     /* columns of three parts */
    GEMM16_SPLIT_ROWS = 32,                 /* of C; with fewer, splitting B costs more than it saves */
    GEMM16_PANEL = 3 * 32 * GEMM16_SPLIT_BLOCK_K, /* elements of a panel of A, at most */
    GEMM16_SPARE = 2 * 2 * 4 * 16 * 16,     /* elements for two panels of sums, before the packed operands */
};

/* What an element of an operand is, and becomes. */
typedef enum GemmKind {
    GEMM_FLOAT,                 /* a float */
    GEMM_WIDENED,               /* bf16, exact as a float */
    GEMM_ROUNDED,               /* a float that is rounded to bf16 first */
} GemmKind;

/* The product of a prepared call; leading axes that remain are a batch. */
typedef struct Gemm {
    const void *a, *b;
    float *c;
    const float *bias, *residual;               /* NULL without */
    float *squares;                             /* likewise: a row for each GEMM_SQUARED rows of C */
    int64_t s_m;
    GemmKind a_kind, b_kind;
    OperandLayout b_layout;                            /* if packed, leading axes do not move B */
    int64_t m, n, k;
    int64_t a_m, a_k, b_k, b_n, c_m, r_m;       /* strides; r: the residual */
    int64_t tile_m, tile_n, tiles_m, tiles_n;
    int64_t block_k, block_n;
    int64_t l2;                 /* floats that the second-level cache holds; what depends on it moves no bit */
    int32_t lead;                               /* leading axes of the operands that are batch */
    int32_t ia, ib;                             /* operands that play A and B */
    float alpha;
    bool accumulate;
    bool finish;                                /* there is a bias, an activation or a residual */
    RowOp activation;
    bool rounds;                                /* precision 1: both operands are bf16, or become it */
    bool across;                                /* tasks run along rows of tiles */
} Gemm;

Gemm gemm_bind(const Call *call);

enum { GEMM_DERIVED = 10 };     /* slots of Call.derived that gemm_bind reads */

/* A part of C: rows [m0, m1), columns [n0, n1). */
typedef struct GemmRect { int64_t m0, m1, n0, n1; } GemmRect;

/* The largest rectangle that tasks [first, last) begin with.  Returns how many tasks it is. */
int64_t gemm_tiles(const Gemm *g, int64_t first, int64_t last, GemmRect *r);

/* The same, and g's a, b and c are set to the matrix of the leading axes that they are of. */
int64_t gemm_rect(Gemm *g, const Call *call, int64_t first, int64_t last, GemmRect *r);

/* Where element `i` of an operand lies. */
static inline const void *gemm_at(const void *p, GemmKind kind, int64_t i)
{
    return (const char *)p + i * (kind == GEMM_WIDENED ? 2 : 4);
}

/* Element `i` of an operand, as the product takes it. */
static inline float gemm_element(GemmKind kind, const void *p, int64_t i)
{
    if (kind == GEMM_WIDENED)
        return f32_of_bf16(((const uint16_t *)p)[i]);
    float x = ((const float *)p)[i];
    return kind == GEMM_ROUNDED ? f32_of_bf16(bf16_of_f32(x)) : x;
}

#endif
