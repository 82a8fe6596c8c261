/* The vector vocabulary on NEON of 64-bit Arm: four lanes.  The words are explained in simd_scalar.h. */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include <arm_neon.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VL 4
#define V_REGS 32
#define V_NEON 1

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;          /* all bits of a lane set, or none */
typedef float64x2_t vd;

static inline vf v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vf x) { vst1q_f32(p, x); }
static inline void v_stream(float *p, vf x) { v_store(p, x); }
static inline void v_stream_end(void) {}
static inline vi vi_load(const int32_t *p) { return vld1q_s32(p); }
static inline void vi_store(int32_t *p, vi x) { vst1q_s32(p, x); }

static inline void vi_store_high(uint16_t *p, vi x)
{
    vst1_u16(p, vshrn_n_u32(vreinterpretq_u32_s32(x), 16));
}

static inline vf v_load_n(const float *p, size_t n)
{
    float lane[VL] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i] = p[i];
    return v_load(lane);
}

static inline void v_store_n(float *p, vf x, size_t n)
{
    float lane[VL];
    v_store(lane, x);
    for (size_t i = 0; i < n; i++)
        p[i] = lane[i];
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    int32_t lane[VL] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i] = p[i];
    return vi_load(lane);
}

static inline void vi_store_n(int32_t *p, vi x, size_t n)
{
    int32_t lane[VL];
    vi_store(lane, x);
    for (size_t i = 0; i < n; i++)
        p[i] = lane[i];
}

static inline vf v_load_stride(const float *p, ptrdiff_t stride)
{
    vf x = vdupq_n_f32(p[0]);
    x = vld1q_lane_f32(p + stride, x, 1);
    x = vld1q_lane_f32(p + 2 * stride, x, 2);
    return vld1q_lane_f32(p + 3 * stride, x, 3);
}

static inline void v_store_stride(float *p, ptrdiff_t stride, vf x)
{
    vst1q_lane_f32(p, x, 0);
    vst1q_lane_f32(p + stride, x, 1);
    vst1q_lane_f32(p + 2 * stride, x, 2);
    vst1q_lane_f32(p + 3 * stride, x, 3);
}

static inline vf v_set1(float s) { return vdupq_n_f32(s); }
static inline vf v_zero(void) { return v_set1(0); }
static inline vi vi_set1(int32_t s) { return vdupq_n_s32(s); }

static inline vi vi_iota(void)
{
    static const int32_t lane[VL] = { 0, 1, 2, 3 };
    return vi_load(lane);
}

static inline vi v_bits(vf a) { return vreinterpretq_s32_f32(a); }
static inline vf v_from_bits(vi a) { return vreinterpretq_f32_s32(a); }
static inline vf v_and(vf a, vf b) { return v_from_bits(vandq_s32(v_bits(a), v_bits(b))); }
static inline vf v_or(vf a, vf b) { return v_from_bits(vorrq_s32(v_bits(a), v_bits(b))); }
static inline vf v_xor(vf a, vf b) { return v_from_bits(veorq_s32(v_bits(a), v_bits(b))); }
static inline vf v_andnot(vf a, vf b) { return v_from_bits(vbicq_s32(v_bits(b), v_bits(a))); }

static inline vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
static inline vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
static inline vi vi_mul(vi a, vi b) { return vmulq_s32(a, b); }
static inline vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
static inline vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
static inline vi vi_xor(vi a, vi b) { return veorq_s32(a, b); }
static inline vi vi_shl(vi a, int k) { return vshlq_s32(a, vdupq_n_s32(k)); }
static inline vi vi_shr(vi a, int k) { return vshlq_s32(a, vdupq_n_s32(-k)); }

/* As bytes: four for each lane. */
static inline vi vi_of16(const int32_t table[16], vi i)
{
    const uint8_t *bytes = (const uint8_t *)table;
    const uint8x16x4_t all = { { vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48) } };
    const int32x4_t first = vmulq_s32(vi_and(i, vi_set1(15)), vi_set1(0x04040404));
    const uint8x16_t at = vreinterpretq_u8_s32(vaddq_s32(first, vi_set1(0x03020100)));
    return vreinterpretq_s32_u8(vqtbl4q_u8(all, at));
}

static inline vi vi_shr_u(vi a, int k)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-k)));
}

static inline vm vi_lt(vi a, vi b) { return vcltq_s32(a, b); }
static inline vm vi_gt(vi a, vi b) { return vcgtq_s32(a, b); }
static inline vm vi_eq(vi a, vi b) { return vceqq_s32(a, b); }

static inline vm v_lt(vf a, vf b) { return vcltq_f32(a, b); }
static inline vm v_le(vf a, vf b) { return vcleq_f32(a, b); }
static inline vm v_gt(vf a, vf b) { return vcgtq_f32(a, b); }
static inline vm v_ge(vf a, vf b) { return vcgeq_f32(a, b); }
static inline vm v_eq(vf a, vf b) { return vceqq_f32(a, b); }
static inline vm v_ne(vf a, vf b) { return vmvnq_u32(vceqq_f32(a, b)); }

static inline vm vm_and(vm a, vm b) { return vandq_u32(a, b); }
static inline vm vm_or(vm a, vm b) { return vorrq_u32(a, b); }
static inline vm vm_not(vm a) { return vmvnq_u32(a); }
static inline bool vm_any(vm m) { return vmaxvq_u32(m) != 0; }
static inline vm vm_tail(size_t n) { return vi_lt(vi_iota(), vi_set1((int32_t)n)); }
static inline vf v_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
static inline vi vi_select(vm m, vi a, vi b) { return vbslq_s32(m, a, b); }

static inline vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf v_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vf v_neg(vf a) { return vnegq_f32(a); }
static inline vf v_abs(vf a) { return vabsq_f32(a); }
static inline vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf v_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
static inline vf v_fms(vf a, vf b, vf c) { return v_fma(a, b, v_neg(c)); }

/* Of the machine's own, a NaN wins from either side. */
static inline vf v_max(vf a, vf b) { return v_select(v_gt(a, b), a, b); }
static inline vf v_min(vf a, vf b) { return v_select(v_lt(a, b), a, b); }

static inline vf v_round(vf a) { return vrndnq_f32(a); }
static inline vi v_trunc_i32(vf a) { return vcvtq_s32_f32(a); }
static inline vi v_round_i32(vf a) { return vcvtnq_s32_f32(a); }
static inline vf v_from_i32(vi a) { return vcvtq_f32_s32(a); }

/* In two steps, since 2^n alone may lie outside the normal range. */
static inline vf v_scale2(vf a, vf n)
{
    vi k = v_trunc_i32(n), first = vi_shr(k, 1), second = vi_sub(k, first);
    vi bias = vi_set1(127);
    a = v_mul(a, v_from_bits(vi_shl(vi_add(first, bias), 23)));
    return v_mul(a, v_from_bits(vi_shl(vi_add(second, bias), 23)));
}

static inline vd v_lower(vf a) { return vcvt_f64_f32(vget_low_f32(a)); }
static inline vd v_upper(vf a) { return vcvt_f64_f32(vget_high_f32(a)); }
static inline vf v_join(vd lo, vd hi) { return vcombine_f32(vcvt_f32_f64(lo), vcvt_f32_f64(hi)); }

static inline vd vd_set1(double s) { return vdupq_n_f64(s); }
static inline vd vd_add(vd a, vd b) { return vaddq_f64(a, b); }
static inline vd vd_sub(vd a, vd b) { return vsubq_f64(a, b); }
static inline vd vd_mul(vd a, vd b) { return vmulq_f64(a, b); }
static inline vd vd_div(vd a, vd b) { return vdivq_f64(a, b); }
static inline vd vd_fma(vd a, vd b, vd c) { return vfmaq_f64(c, a, b); }
static inline vd vd_round(vd a) { return vrndnq_f64(a); }

/* The sum's low bits are n + 1023; the shift drops the rest. */
static inline vd vd_pow2(vd n)
{
    uint64x2_t biased = vreinterpretq_u64_f64(vd_add(n, vd_set1(0x1.8p52 + 1023)));
    return vreinterpretq_f64_u64(vshlq_n_u64(biased, 52));
}

#include "runtime/kernels/simd_common.h"

static inline vf v_swap2(vf a) { return vextq_f32(a, a, 2); }
static inline vf v_swap1(vf a) { return vrev64q_f32(a); }

static inline vf v_mix2(vf a, vf b) { return vcombine_f32(vget_low_f32(a), vget_high_f32(b)); }
static inline vf v_mix1(vf a, vf b) { return vtrn1q_f32(a, vrev64q_f32(b)); }

#include "runtime/kernels/simd_each.h"

static inline float v_reduce_add(vf a)
{
    a = v_add(a, v_swap2(a));
    return vgetq_lane_f32(v_add(a, v_swap1(a)), 0);
}

static inline float v_reduce_max(vf a)
{
    a = v_max_nan(a, v_swap2(a));
    return vgetq_lane_f32(v_max_nan(a, v_swap1(a)), 0);
}

static inline float v_reduce_min(vf a)
{
    a = v_min_nan(a, v_swap2(a));
    return vgetq_lane_f32(v_min_nan(a, v_swap1(a)), 0);
}

#endif
