/* The matrix product's own words on AVX2 with FMA; explained in gemm_scalar.h. */
#ifndef KERNELS_GEMM_ISA_H
#define KERNELS_GEMM_ISA_H

enum { GEMM_MR = 6, GEMM_NV = 2 };
#define GEMM_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define GEMM_WIDE(X) X(1, 8) X(2, 4) X(3, 3)
#define GEMM_DOT(X)  X(1, 8) X(2, 4) X(3, 4)

static inline vf g_fma(vf a, vf b, vf c)
{
    return v_fma(a, b, c);
}

/* Half-rows i and i + 4 share a register, so that no shuffle crosses its halves. */
static inline void g_transpose_block(const float *const *row, int64_t k, float *dst, int64_t dst_ld)
{
    for (int j = 0; j < VL; j += 4) {
        vf x[4];
        for (int i = 0; i < 4; i++)
            x[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i] + k + j)),
                                        _mm_loadu_ps(row[i + 4] + k + j), 1);
        vf a = _mm256_unpacklo_ps(x[0], x[1]), b = _mm256_unpackhi_ps(x[0], x[1]);
        vf c = _mm256_unpacklo_ps(x[2], x[3]), d = _mm256_unpackhi_ps(x[2], x[3]);
        v_store(dst + (j + 0) * dst_ld, _mm256_shuffle_ps(a, c, 0x44));
        v_store(dst + (j + 1) * dst_ld, _mm256_shuffle_ps(a, c, 0xee));
        v_store(dst + (j + 2) * dst_ld, _mm256_shuffle_ps(b, d, 0x44));
        v_store(dst + (j + 3) * dst_ld, _mm256_shuffle_ps(b, d, 0xee));
    }
}

#endif
