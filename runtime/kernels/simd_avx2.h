/* The vector vocabulary on AVX2 with FMA: eight lanes.  The words are explained in simd_scalar.h. */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VL 8
#define V_REGS 16

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;              /* all bits of a lane set, or none */
typedef __m256d vd;

static inline __m256i vi_tail(size_t n)
{
    static const int32_t window[2 * VL] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + VL - n));
}

static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline void v_stream(float *p, vf x) { _mm256_stream_ps(p, x); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline vf v_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, vi_tail(n)); }

/* In pieces, for a store with a mask takes AMD's processors 18 cycles, and branches on a row's end are foreseen. */
static inline void v_store_n(float *p, vf x, size_t n)
{
    __m128 rest = _mm256_castps256_ps128(x);
    if (n == VL) {
        v_store(p, x);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, rest);
}

static inline vi vi_load(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline void vi_store(int32_t *p, vi x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, x);
}

static inline void vi_store_high(uint16_t *p, vi x)
{
    const __m256i high = _mm256_srli_epi32(x, 16), pairs = _mm256_packus_epi32(high, high);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(pairs, 8)));
}

/* In registers: a vector stored in two halves is not forwarded to who loads it as a whole. */
#define VI_HIGH_PAIR
static inline vi vi_high_pair(vi a, vi b)
{
    const __m256i pairs = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
    return _mm256_permute4x64_epi64(pairs, 0xd8);
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    return _mm256_maskload_epi32(p, vi_tail(n));
}

static inline void vi_store_n(int32_t *p, vi x, size_t n)
{
    _mm256_maskstore_epi32(p, vi_tail(n), x);
}

static inline vf v_load_stride(const float *p, ptrdiff_t stride)
{
    const float *q = p + 4 * stride;
    return _mm256_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride],
                          q[0], q[stride], q[2 * stride], q[3 * stride]);
}

static inline void v_store_stride(float *p, ptrdiff_t stride, vf x)
{
    float lane[VL];
    v_store(lane, x);
    for (int i = 0; i < VL; i++)
        p[i * stride] = lane[i];
}

static inline vf v_set1(float s) { return _mm256_set1_ps(s); }
static inline vf v_zero(void) { return _mm256_setzero_ps(); }
static inline vi vi_set1(int32_t s) { return _mm256_set1_epi32(s); }
static inline vi vi_iota(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

static inline vi v_bits(vf a) { return _mm256_castps_si256(a); }
static inline vf v_from_bits(vi a) { return _mm256_castsi256_ps(a); }
static inline vf v_and(vf a, vf b) { return _mm256_and_ps(a, b); }
static inline vf v_or(vf a, vf b) { return _mm256_or_ps(a, b); }
static inline vf v_xor(vf a, vf b) { return _mm256_xor_ps(a, b); }
static inline vf v_andnot(vf a, vf b) { return _mm256_andnot_ps(a, b); }

static inline vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi vi_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
static inline vi vi_shl(vi a, int k) { return _mm256_slli_epi32(a, k); }
static inline vi vi_shr(vi a, int k) { return _mm256_srai_epi32(a, k); }
static inline vi vi_shr_u(vi a, int k) { return _mm256_srli_epi32(a, k); }

static inline vi vi_of8(const int32_t table[8], vi i) { return _mm256_permutevar8x32_epi32(vi_load(table), i); }

static inline vm vi_gt(vi a, vi b) { return v_from_bits(_mm256_cmpgt_epi32(a, b)); }
static inline vm vi_lt(vi a, vi b) { return vi_gt(b, a); }
static inline vm vi_eq(vi a, vi b) { return v_from_bits(_mm256_cmpeq_epi32(a, b)); }

static inline vm v_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm v_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline vm v_gt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline vm v_ge(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
static inline vm v_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vm v_ne(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }

static inline vm vm_and(vm a, vm b) { return _mm256_and_ps(a, b); }
static inline vm vm_or(vm a, vm b) { return _mm256_or_ps(a, b); }
static inline vm vm_not(vm a) { return _mm256_xor_ps(a, v_from_bits(vi_set1(-1))); }
static inline bool vm_any(vm m) { return _mm256_movemask_ps(m) != 0; }
static inline vm vm_tail(size_t n) { return v_from_bits(vi_tail(n)); }
static inline vf v_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }

static inline vi vi_select(vm m, vi a, vi b)
{
    return v_bits(v_select(m, v_from_bits(a), v_from_bits(b)));
}

static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf v_neg(vf a) { return v_xor(a, v_set1(-0.0f)); }
static inline vf v_abs(vf a) { return v_andnot(v_set1(-0.0f), a); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_fms(vf a, vf b, vf c) { return _mm256_fmsub_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }

static inline vf v_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vi v_trunc_i32(vf a) { return _mm256_cvttps_epi32(a); }
static inline vi v_round_i32(vf a) { return _mm256_cvtps_epi32(a); }
static inline vf v_from_i32(vi a) { return _mm256_cvtepi32_ps(a); }

/* In two steps, since 2^n alone may lie outside the normal range. */
static inline vf v_scale2(vf a, vf n)
{
    vi k = v_trunc_i32(n), first = vi_shr(k, 1), second = vi_sub(k, first);
    vi bias = vi_set1(127);
    a = v_mul(a, v_from_bits(vi_shl(vi_add(first, bias), 23)));
    return v_mul(a, v_from_bits(vi_shl(vi_add(second, bias), 23)));
}

static inline vd v_lower(vf a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
static inline vd v_upper(vf a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }

static inline vf v_join(vd lo, vd hi)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(lo)),
                                _mm256_cvtpd_ps(hi), 1);
}

static inline vd vd_set1(double s) { return _mm256_set1_pd(s); }
static inline vd vd_add(vd a, vd b) { return _mm256_add_pd(a, b); }
static inline vd vd_sub(vd a, vd b) { return _mm256_sub_pd(a, b); }
static inline vd vd_mul(vd a, vd b) { return _mm256_mul_pd(a, b); }
static inline vd vd_div(vd a, vd b) { return _mm256_div_pd(a, b); }
static inline vd vd_fma(vd a, vd b, vd c) { return _mm256_fmadd_pd(a, b, c); }

static inline vd vd_round(vd a)
{
    return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The sum's low bits are n + 1023; the shift drops the rest. */
static inline vd vd_pow2(vd n)
{
    __m256i biased = _mm256_castpd_si256(vd_add(n, vd_set1(0x1.8p52 + 1023)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(biased, 52));
}

#include "runtime/kernels/simd_common.h"

/* The halves of a vector, then of a half, brought to the front. */
static inline vf v_swap4(vf a) { return _mm256_permute2f128_ps(a, a, 1); }
static inline vf v_swap2(vf a) { return _mm256_permute_ps(a, 0x4e); }
static inline vf v_swap1(vf a) { return _mm256_permute_ps(a, 0xb1); }

static inline vf v_mix4(vf a, vf b) { return _mm256_blend_ps(a, b, 0xf0); }
static inline vf v_mix2(vf a, vf b) { return _mm256_blend_ps(a, b, 0xcc); }
static inline vf v_mix1(vf a, vf b) { return _mm256_blend_ps(a, b, 0xaa); }

#include "runtime/kernels/simd_each.h"

static inline float v_reduce_add(vf a)
{
    a = v_add(a, v_swap4(a));
    a = v_add(a, v_swap2(a));
    return _mm256_cvtss_f32(v_add(a, v_swap1(a)));
}

static inline float v_reduce_max(vf a)
{
    a = v_max_nan(a, v_swap4(a));
    a = v_max_nan(a, v_swap2(a));
    return _mm256_cvtss_f32(v_max_nan(a, v_swap1(a)));
}

static inline float v_reduce_min(vf a)
{
    a = v_min_nan(a, v_swap4(a));
    a = v_min_nan(a, v_swap2(a));
    return _mm256_cvtss_f32(v_min_nan(a, v_swap1(a)));
}

#endif
