/* The matrix product's own words on AVX-512; explained in gemm_scalar.h. */
#ifndef KERNELS_GEMM_ISA_H
#define KERNELS_GEMM_ISA_H

/* 28 sums, 2 vectors of B and a broadcast of A: 31 of 32 registers, and 16 loads for 28 FMAs. */
enum { GEMM_MR = 14, GEMM_NV = 2, GEMM_KEEPS_B = 0, GEMM_DOT_APART = 0 };
#define GEMM_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define GEMM_WIDE(X) X(1, 8) X(2, 8) X(3, 6) X(4, 5) X(5, 4) X(6, 4)
#define GEMM_DOT(X)  X(1, 8) X(2, 8) X(3, 4) X(4, 4) X(5, 4) X(6, 4)

static inline vf g_fma(vf a, vf b, vf c)
{
    return v_fma(a, b, c);
}

static inline vf g_load_bf16(const uint16_t *p)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

static inline vf g_load_bf16_n(const uint16_t *p, size_t n)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(vm_tail(n), p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

/* Four elements of a row. */
static inline __attribute__((always_inline)) __m128 g_load4(bool bf16, const void *row, int64_t k)
{
    if (!bf16)
        return _mm_loadu_ps((const float *)row + k);
    __m128i half = _mm_loadl_epi64((const void *)((const uint16_t *)row + k));
    return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), half));
}

/* Quarter-rows i, i + 4, i + 8 and i + 12 share a register, so that no shuffle crosses quarters and
 * the gathering is done by loads. */
static inline __attribute__((always_inline)) void
g_transpose(bool bf16, const void *const *row, int64_t k, float *dst, int64_t dst_ld)
{
    for (int j = 0; j < VL; j += 4) {
        vf x[4];
        for (int i = 0; i < 4; i++) {
            x[i] = _mm512_castps128_ps512(g_load4(bf16, row[i], k + j));
            x[i] = _mm512_insertf32x4(x[i], g_load4(bf16, row[i + 4], k + j), 1);
            x[i] = _mm512_insertf32x4(x[i], g_load4(bf16, row[i + 8], k + j), 2);
            x[i] = _mm512_insertf32x4(x[i], g_load4(bf16, row[i + 12], k + j), 3);
        }
        vf a = _mm512_unpacklo_ps(x[0], x[1]), b = _mm512_unpackhi_ps(x[0], x[1]);
        vf c = _mm512_unpacklo_ps(x[2], x[3]), d = _mm512_unpackhi_ps(x[2], x[3]);
        v_store(dst + (j + 0) * dst_ld, _mm512_shuffle_ps(a, c, 0x44));
        v_store(dst + (j + 1) * dst_ld, _mm512_shuffle_ps(a, c, 0xee));
        v_store(dst + (j + 2) * dst_ld, _mm512_shuffle_ps(b, d, 0x44));
        v_store(dst + (j + 3) * dst_ld, _mm512_shuffle_ps(b, d, 0xee));
    }
}

#endif
