/* The matrix product's own words for C alone; explained here, defined again by gemm_<isa>.h.
 *
 *  GEMM_ROWS(X), GEMM_NV   the register tile: rows of A (X once for each number of rows up to the
 *                          most), vectors of a row of B
 *  GEMM_KEEPS_B            a panel of B stays in the first-level cache while panels of A pass by; else the other
 *                          way round
 *  GEMM_WIDE(X)            X(rows, nv): tiles for few rows, where B is streamed from memory
 *  GEMM_DOT(X)             X(rows, columns): tiles of dot products, likewise
 *  GEMM_DOT_APART          columns of such a tile are far apart, each in a run of memory of its own; else neighbours
 *  g_fma(a, b, c)          a b + c as fast as the machine has it; here rounded twice
 *  g_load_bf16(p)          VL numbers of bf16 as floats; g_load_bf16_n(p, n): n, the rest zero
 *  g_transpose       dst[j * dst_ld + i] = row[i][k + j] for i and j below VL; rows of floats,
 *                          or of bf16 */
#ifndef KERNELS_GEMM_ISA_H
#define KERNELS_GEMM_ISA_H

enum { GEMM_MR = 4, GEMM_NV = 2, GEMM_KEEPS_B = 0, GEMM_DOT_APART = 0 };
#define GEMM_ROWS(X) X(1) X(2) X(3) X(4)
#define GEMM_WIDE(X) X(1, 4) X(2, 4)
#define GEMM_DOT(X)  X(1, 4) X(2, 4)

static inline vf g_fma(vf a, vf b, vf c)
{
    return v_add(v_mul(a, b), c);
}

static inline vf g_load_bf16_n(const uint16_t *p, size_t n)
{
    float x[VL] = { 0 };
    for (size_t i = 0; i < n; i++)
        x[i] = f32_of_bf16(p[i]);
    return v_load(x);
}

static inline vf g_load_bf16(const uint16_t *p)
{
    return g_load_bf16_n(p, VL);
}

static inline void g_transpose(bool bf16, const void *const *row, int64_t k, float *dst,
                                     int64_t dst_ld)
{
    for (int64_t i = 0; i < VL; i++)
        for (int64_t j = 0; j < VL; j++)
            dst[j * dst_ld + i] = bf16 ? f32_of_bf16(((const uint16_t *)row[i])[k + j])
                                       : ((const float *)row[i])[k + j];
}

#endif
