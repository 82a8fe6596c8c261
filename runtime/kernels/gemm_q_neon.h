/* Words of products with blocks on NEON, with its dot product of bytes (SDOT) where the file is built
 * for it; explained in gemm_q_scalar.h. */
#ifndef KERNELS_GEMM_Q_ISA_H
#define KERNELS_GEMM_Q_ISA_H

#define GEMM_Q_GROUPS(X) X(1) X(2) X(4)
enum { Q_BIAS_8 = 0, GEMM_Q_RUNS = 1, GEMM_Q_AHEAD = 2048 };

typedef uint8x16_t qv;

static inline qv q_load(const uint8_t *p) { return vld1q_u8(p); }
static inline qv q_low(qv x) { return vandq_u8(x, vdupq_n_u8(15)); }
static inline qv q_high(qv x) { return vshrq_n_u8(x, 4); }

static inline qv q_join6(qv w, qv h, int s)
{
    const qv top = vandq_u8(vshlq_u8(h, vdupq_n_s8((int8_t)-s)), vdupq_n_u8(3));
    return vorrq_u8(w, vshlq_n_u8(top, 4));
}

static inline qv q_fifth(qv w, const uint8_t *p)
{
    static const uint8_t bit[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    const qv bytes = vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1]));
    return vorrq_u8(w, vandq_u8(vtstq_u8(bytes, vld1q_u8(bit)), vdupq_n_u8(16)));
}

static inline int8x16_t q_four(const int8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Weights as signed bytes: below 64, or with 128 taken off. */
static inline vi q_dot_signed(vi sum, int8x16_t w, int8x16_t a)
{
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sum, w, a);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(a)));
    const int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(w), vget_high_s8(a)));
    return vaddq_s32(sum, vpaddq_s32(low, high));
#endif
}

static inline vi q_dot(vi sum, qv w, const int8_t *a)
{
    return q_dot_signed(sum, vreinterpretq_s8_u8(w), q_four(a));
}

static inline vi q_dot_8(vi sum, qv w, const int8_t *a)
{
    return q_dot_signed(sum, vreinterpretq_s8_u8(veorq_u8(w, vdupq_n_u8(128))), q_four(a));
}

static inline vf q_from_f16(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

static inline vf q_scale(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
}

static inline vi q_from_u8(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
}

static inline vi q_from_i8(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
    return vmovl_s16(vget_low_s16(wide));
}

static inline void q_store_bytes(int8_t *p, vi x)
{
    const int16x4_t pairs = vmovn_s32(x);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(pairs, pairs));
    const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    memcpy(p, &four, sizeof four);
}

static inline int32_t q_sum(vi x) { return vaddvq_s32(x); }

#endif
