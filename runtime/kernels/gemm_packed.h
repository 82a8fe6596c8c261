/* A matrix that is B of products and nothing else, packed once: as gemm_bf16.inc packs its blocks, but over
 * all of K.
 *
 *     [N / 32][K / 32][2 squares][16 pairs of steps of K][16 columns][2]      zeros past the ends
 *
 *     LAYOUT_PAIRS      pair j holds steps 2 j and 2 j + 1 of a square's 32
 *     LAYOUT_HALVES     pair j holds steps j and j + 16: for a set that splits the other operand
 *
 * Which one a set wants, by what A is, says its table (KernelTable.packs).  Elements are the same and each
 * product has the bits that it has without.  A matrix is packed only where it is finite, so that no panel of
 * it is odd. */
#ifndef KERNELS_GEMM_PACKED_H
#define KERNELS_GEMM_PACKED_H

#include "runtime/kernels/gemm.h"
#include "runtime/kernels/operand.h"

static inline bool gemm_is_packed(const Gemm *g)
{
    return g->b_layout == LAYOUT_PAIRS || g->b_layout == LAYOUT_HALVES;
}

/* Elements of a panel of 32 columns. */
static inline int64_t gemm_packed_panel(int64_t k)
{
    return ceil_div(k, GEMM16_STEP) * GEMM16_NR * GEMM16_STEP;
}

/* Where element (k, n) of g's B lies, packed or not. */
static inline int64_t gemm_packed_at(const Gemm *g, int64_t k, int64_t n)
{
    if (g->b_layout == LAYOUT_STRIDES)
        return k * g->b_k + n * g->b_n;
    const int64_t step = k % GEMM16_STEP, side = GEMM16_SIDE;
    const int64_t pair = g->b_layout == LAYOUT_PAIRS ? step / 2 : step % side;
    const int64_t half = g->b_layout == LAYOUT_PAIRS ? step % 2 : step / side;
    return n / GEMM16_NR * gemm_packed_panel(g->k)
        + (k / GEMM16_STEP * 2 + n % GEMM16_NR / side) * GEMM16_SQUARE + pair * GEMM16_STEP + n % side * 2 + half;
}

/* Bytes of a packed matrix [k, n]; false when it does not fit. */
bool gemm_packed_bytes(int64_t k, int64_t n, size_t *out);

/* A matrix [k, n], dense and row-major. */
typedef struct GemmUnpacked {
    const uint16_t *data;
    int64_t k, n;
} GemmUnpacked;

/* Panels [first, last) of the packed matrix `to`, which shares no memory with the other. */
void gemm_packed_fill(const GemmUnpacked *from, OperandLayout layout, int64_t first, int64_t last,
                      uint16_t *to);

/* Is each of n numbers finite? */
bool gemm_packed_is_finite(const uint16_t *x, int64_t n);

/* What a call says of operand i as a matrix to pack: B of a product, whole, the same for all leading axes, of
 * bf16, its rows runs of memory.  (Where its columns are, a single row of A reads it faster as it lies: panels,
 * in the order of sums that these have, take 1.08 of the time.)  `split`: A keeps its floats.  False when it
 * is nothing of the kind. */
bool gemm_reads_as_b(const Call *call, int32_t i, bool *split);

#endif
