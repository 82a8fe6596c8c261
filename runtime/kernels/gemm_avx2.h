/* The matrix product's own words on AVX2 with FMA; explained in gemm_scalar.h. */
#ifndef KERNELS_GEMM_ISA_H
#define KERNELS_GEMM_ISA_H

/* 12 sums, 2 vectors of B and a broadcast of A.  A step's 12 multiply-adds take 6 cycles, in which a panel of B
 * would bring 64 bytes from the second-level cache, and one of A brings 32.  Four runs of memory at once come faster
 * than one, and faster than columns that are neighbours, each of which is a short run.  Up to six rows are dot
 * products: turning B for tiles takes longer. */
enum { GEMM_MR = 6, GEMM_NV = 2, GEMM_KEEPS_B = 1, GEMM_DOT_APART = 1 };
#define GEMM_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define GEMM_WIDE(X) X(1, 8) X(2, 4) X(3, 3)
#define GEMM_DOT(X)  X(1, 4) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2)

static inline vf g_fma(vf a, vf b, vf c)
{
    return v_fma(a, b, c);
}

static inline vf g_load_bf16(const uint16_t *p)
{
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

static inline vf g_load_bf16_n(const uint16_t *p, size_t n)
{
    uint16_t x[VL] = { 0 };
    memcpy(x, p, n * sizeof *x);
    return g_load_bf16(x);
}

/* Four elements of a row. */
static inline __attribute__((always_inline)) __m128 g_load4(bool bf16, const void *row, int64_t k)
{
    if (!bf16)
        return _mm_loadu_ps((const float *)row + k);
    __m128i half = _mm_loadl_epi64((const void *)((const uint16_t *)row + k));
    return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), half));
}

/* Half-rows i and i + 4 share a register, so that no shuffle crosses its halves. */
static inline __attribute__((always_inline)) void
g_transpose(bool bf16, const void *const *row, int64_t k, float *dst, int64_t dst_ld)
{
    for (int j = 0; j < VL; j += 4) {
        vf x[4];
        for (int i = 0; i < 4; i++)
            x[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(g_load4(bf16, row[i], k + j)),
                                        g_load4(bf16, row[i + 4], k + j), 1);
        vf a = _mm256_unpacklo_ps(x[0], x[1]), b = _mm256_unpackhi_ps(x[0], x[1]);
        vf c = _mm256_unpacklo_ps(x[2], x[3]), d = _mm256_unpackhi_ps(x[2], x[3]);
        v_store(dst + (j + 0) * dst_ld, _mm256_shuffle_ps(a, c, 0x44));
        v_store(dst + (j + 1) * dst_ld, _mm256_shuffle_ps(a, c, 0xee));
        v_store(dst + (j + 2) * dst_ld, _mm256_shuffle_ps(b, d, 0x44));
        v_store(dst + (j + 3) * dst_ld, _mm256_shuffle_ps(b, d, 0xee));
    }
}

#endif
