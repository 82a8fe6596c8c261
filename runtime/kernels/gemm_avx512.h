/* The matrix product's own words on AVX-512; explained in gemm_scalar.h. */
#ifndef KERNELS_GEMM_ISA_H
#define KERNELS_GEMM_ISA_H

/* 28 sums, 2 vectors of B and a broadcast of A: 31 of 32 registers, and 16 loads for 28 FMAs. */
enum { GEMM_MR = 14, GEMM_NV = 2 };
#define GEMM_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define GEMM_WIDE(X) X(1, 8) X(2, 8) X(3, 6) X(4, 5) X(5, 4) X(6, 4)
#define GEMM_DOT(X)  X(1, 8) X(2, 8) X(3, 4) X(4, 4) X(5, 4) X(6, 4)

static inline vf g_fma(vf a, vf b, vf c)
{
    return v_fma(a, b, c);
}

/* Quarter-rows i, i + 4, i + 8 and i + 12 share a register, so that no shuffle crosses quarters and
 * the gathering is done by loads. */
static inline void g_transpose_block(const float *const *row, int64_t k, float *dst, int64_t dst_ld)
{
    for (int j = 0; j < VL; j += 4) {
        vf x[4];
        for (int i = 0; i < 4; i++) {
            x[i] = _mm512_castps128_ps512(_mm_loadu_ps(row[i] + k + j));
            x[i] = _mm512_insertf32x4(x[i], _mm_loadu_ps(row[i + 4] + k + j), 1);
            x[i] = _mm512_insertf32x4(x[i], _mm_loadu_ps(row[i + 8] + k + j), 2);
            x[i] = _mm512_insertf32x4(x[i], _mm_loadu_ps(row[i + 12] + k + j), 3);
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
