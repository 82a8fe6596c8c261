/* The vector vocabulary on AVX-512 (F, BW, DQ, VL): sixteen lanes, masks in registers of their own.
 * The words are explained in simd_scalar.h. */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VL 16
#define V_REGS 32

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef __m512d vd;

static inline vm vm_tail(size_t n) { return (vm)((1u << n) - 1); }

static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline void v_stream(float *p, vf x) { _mm512_stream_ps(p, x); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline vf v_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vm_tail(n), p); }
static inline void v_store_n(float *p, vf x, size_t n) { _mm512_mask_storeu_ps(p, vm_tail(n), x); }
static inline vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline void vi_store(int32_t *p, vi x) { _mm512_storeu_si512(p, x); }

static inline void vi_store_high(uint16_t *p, vi x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    return _mm512_maskz_loadu_epi32(vm_tail(n), p);
}

static inline void vi_store_n(int32_t *p, vi x, size_t n)
{
    _mm512_mask_storeu_epi32(p, vm_tail(n), x);
}

static inline vf v_load_stride(const float *p, ptrdiff_t stride)
{
    const float *q = p + 4 * stride, *r = q + 4 * stride, *s = r + 4 * stride;
    return _mm512_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride],
                          q[0], q[stride], q[2 * stride], q[3 * stride],
                          r[0], r[stride], r[2 * stride], r[3 * stride],
                          s[0], s[stride], s[2 * stride], s[3 * stride]);
}

static inline void v_store_stride(float *p, ptrdiff_t stride, vf x)
{
    float lane[VL];
    v_store(lane, x);
    for (int i = 0; i < VL; i++)
        p[i * stride] = lane[i];
}

static inline vf v_set1(float s) { return _mm512_set1_ps(s); }
static inline vf v_zero(void) { return _mm512_setzero_ps(); }
static inline vi vi_set1(int32_t s) { return _mm512_set1_epi32(s); }

static inline vi vi_iota(void)
{
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

static inline vi v_bits(vf a) { return _mm512_castps_si512(a); }
static inline vf v_from_bits(vi a) { return _mm512_castsi512_ps(a); }
static inline vf v_and(vf a, vf b) { return _mm512_and_ps(a, b); }
static inline vf v_or(vf a, vf b) { return _mm512_or_ps(a, b); }
static inline vf v_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }
static inline vf v_andnot(vf a, vf b) { return _mm512_andnot_ps(a, b); }

static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
static inline vi vi_shl(vi a, int k) { return _mm512_slli_epi32(a, (unsigned)k); }
static inline vi vi_shr(vi a, int k) { return _mm512_srai_epi32(a, (unsigned)k); }
static inline vi vi_shr_u(vi a, int k) { return _mm512_srli_epi32(a, (unsigned)k); }
static inline vi vi_of16(const int32_t table[16], vi i) { return _mm512_permutexvar_epi32(i, vi_load(table)); }
static inline vm vi_lt(vi a, vi b) { return _mm512_cmplt_epi32_mask(a, b); }
static inline vm vi_gt(vi a, vi b) { return _mm512_cmpgt_epi32_mask(a, b); }
static inline vm vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }

static inline vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm v_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline vm v_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline vm v_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vm v_ne(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }

static inline vm vm_and(vm a, vm b) { return (vm)(a & b); }
static inline vm vm_or(vm a, vm b) { return (vm)(a | b); }
static inline vm vm_not(vm a) { return (vm)~a; }
static inline bool vm_any(vm m) { return m != 0; }
static inline vf v_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
static inline vi vi_select(vm m, vi a, vi b) { return _mm512_mask_blend_epi32(m, b, a); }

static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf v_neg(vf a) { return v_xor(a, v_set1(-0.0f)); }
static inline vf v_abs(vf a) { return v_andnot(v_set1(-0.0f), a); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_fms(vf a, vf b, vf c) { return _mm512_fmsub_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }

static inline vf v_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vi v_trunc_i32(vf a) { return _mm512_cvttps_epi32(a); }
static inline vi v_round_i32(vf a) { return _mm512_cvtps_epi32(a); }
static inline vf v_from_i32(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vf v_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); }

static inline vd v_lower(vf a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
static inline vd v_upper(vf a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }

static inline vf v_join(vd lo, vd hi)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi), 1);
}

static inline vd vd_set1(double s) { return _mm512_set1_pd(s); }
static inline vd vd_add(vd a, vd b) { return _mm512_add_pd(a, b); }
static inline vd vd_sub(vd a, vd b) { return _mm512_sub_pd(a, b); }
static inline vd vd_mul(vd a, vd b) { return _mm512_mul_pd(a, b); }
static inline vd vd_div(vd a, vd b) { return _mm512_div_pd(a, b); }
static inline vd vd_fma(vd a, vd b, vd c) { return _mm512_fmadd_pd(a, b, c); }

static inline vd vd_round(vd a)
{
    return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The sum's low bits are n + 1023; the shift drops the rest. */
static inline vd vd_pow2(vd n)
{
    __m512i biased = _mm512_castpd_si512(vd_add(n, vd_set1(0x1.8p52 + 1023)));
    return _mm512_castsi512_pd(_mm512_slli_epi64(biased, 52));
}

#include "runtime/kernels/simd_common.h"

/* Halves, quarters, eighths and sixteenths of the vector, exchanged. */
static inline vf v_swap8(vf a) { return _mm512_shuffle_f32x4(a, a, 0x4e); }
static inline vf v_swap4(vf a) { return _mm512_shuffle_f32x4(a, a, 0xb1); }
static inline vf v_swap2(vf a) { return _mm512_permute_ps(a, 0x4e); }
static inline vf v_swap1(vf a) { return _mm512_permute_ps(a, 0xb1); }

static inline vf v_mix8(vf a, vf b) { return _mm512_mask_blend_ps(0xff00, a, b); }
static inline vf v_mix4(vf a, vf b) { return _mm512_mask_blend_ps(0xf0f0, a, b); }
static inline vf v_mix2(vf a, vf b) { return _mm512_mask_blend_ps(0xcccc, a, b); }
static inline vf v_mix1(vf a, vf b) { return _mm512_mask_blend_ps(0xaaaa, a, b); }

#include "runtime/kernels/simd_each.h"

static inline float v_reduce_add(vf a)
{
    a = v_add(a, v_swap8(a));
    a = v_add(a, v_swap4(a));
    a = v_add(a, v_swap2(a));
    return _mm512_cvtss_f32(v_add(a, v_swap1(a)));
}

static inline float v_reduce_max(vf a)
{
    a = v_max_nan(a, v_swap8(a));
    a = v_max_nan(a, v_swap4(a));
    a = v_max_nan(a, v_swap2(a));
    return _mm512_cvtss_f32(v_max_nan(a, v_swap1(a)));
}

static inline float v_reduce_min(vf a)
{
    a = v_min_nan(a, v_swap8(a));
    a = v_min_nan(a, v_swap4(a));
    a = v_min_nan(a, v_swap2(a));
    return _mm512_cvtss_f32(v_min_nan(a, v_swap1(a)));
}

#endif
