/* The matrix product's own words on NEON; explained in gemm_scalar.h. */
#ifndef KERNELS_GEMM_ISA_H
#define KERNELS_GEMM_ISA_H

enum { GEMM_MR = 4, GEMM_NV = 2, GEMM_KEEPS_B = 0, GEMM_DOT_APART = 0 };
#define GEMM_ROWS(X) X(1) X(2) X(3) X(4)
#define GEMM_WIDE(X) X(1, 8) X(2, 6) X(3, 4) X(4, 4)
#define GEMM_DOT(X)  X(1, 8) X(2, 6) X(3, 4)

static inline vf g_fma(vf a, vf b, vf c)
{
    return v_fma(a, b, c);
}

static inline vf g_load_bf16(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

static inline vf g_load_bf16_n(const uint16_t *p, size_t n)
{
    uint16_t x[VL] = { 0 };
    memcpy(x, p, n * sizeof *x);
    return g_load_bf16(x);
}

static inline vf g_load4(bool bf16, const void *row, int64_t k)
{
    return bf16 ? g_load_bf16((const uint16_t *)row + k) : v_load((const float *)row + k);
}

/* Four rows as columns: pairs of lanes exchanged, then halves. */
static inline void g_transpose(bool bf16, const void *const *row, int64_t k, float *dst,
                               int64_t dst_ld)
{
    const vf a = g_load4(bf16, row[0], k), b = g_load4(bf16, row[1], k);
    const vf c = g_load4(bf16, row[2], k), d = g_load4(bf16, row[3], k);
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    v_store(dst, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
    v_store(dst + dst_ld, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
    v_store(dst + 2 * dst_ld, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
    v_store(dst + 3 * dst_ld, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
}

#endif
