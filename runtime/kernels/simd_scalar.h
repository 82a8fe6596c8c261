/* The vector vocabulary, in C alone.  Kernel bodies (*.inc) are written once against these names;
 * simd_avx2.h and simd_avx512.h define the same names with the same meanings.
 *
 * Here a vector is four lanes that the compiler maps to what the machine has (vector types are an
 * extension that gcc and clang share); no instruction set is named.
 *
 *  VL, V_REGS     lanes of vf and vi; registers to plan a micro-kernel's accumulators for
 *  vf vi vm vd    VL floats; VL int32 (wrapping); a mask of VL lanes; VL / 2 doubles
 *
 *  memory         p needs the alignment of its element only.  n: 0 <= n <= VL lanes are touched,
 *                 the others load as zero.
 *      v_load(p) v_store(p, x) v_load_n(p, n) v_store_n(p, x, n)     also vi_
 *      v_stream(p, x)                      past the caches; p aligned to the vector; v_stream_end()
 *                                          before other threads look.  Stores as any where there is no such
 *      vi_store_high(p, x)                 the upper 16 bits of each lane, to uint16_t
 *      vi_high_pair(a, b) -> vi            those of a and then of b as they would lie in memory
 *      v_load_stride(p, stride)            lane i from p[i * stride]
 *      v_store_stride(p, stride, x)        lane i to p[i * stride]
 *  make           v_set1(s) v_zero() vi_set1(s) vi_iota() = 0, 1, 2 ..
 *  arithmetic     v_add v_sub v_mul v_div v_sqrt (all correctly rounded) v_neg v_abs
 *      v_fma(a, b, c) = a b + c, v_fms = a b - c, v_fnma = c - a b; rounded once.  (Here, where the
 *                 machine has no such instruction: by way of double, which rounds twice, so that
 *                 one result in 2^29 is off by a unit in the last place.)
 *      v_max(a, b) = a > b ? a : b, v_min(a, b) = a < b ? a : b      (b where either is a NaN)
 *      v_max_nan(a, b), v_min_nan(a, b)    a NaN where either is one
 *      v_round(a)                          to the nearest integer, ties to even; |a| < 2^22
 *      v_scale2(a, n)                      a 2^n, n a vf of integers, |n| <= 250; rounded once, given
 *                                          that n is 0 or a 2^(n/2) is not subnormal
 *  compare        v_lt v_le v_gt v_ge v_eq (false on NaN) v_ne (true on NaN) -> vm
 *                 vi_lt vi_gt vi_eq -> vm
 *  masks          vm_and vm_or vm_not vm_any(m) -> bool, vm_tail(n): the first n lanes
 *      v_select(m, a, b) = m ? a : b       bitwise: any bits pass through; also vi_select
 *  bits           v_and v_or v_xor v_andnot(a, b) = ~a & b, on vf
 *      v_bits(vf) -> vi, v_from_bits(vi) -> vf
 *  integers       vi_add vi_sub vi_mul vi_and vi_or vi_xor vi_shl(a, k) vi_shr(a, k) (arithmetic)
 *                 vi_shr_u(a, k) (logical), k a constant
 *      vi_of16(table, i)                   table[i % 16], i of any sign; with 8 lanes vi_of8 in its place
 *      v_trunc_i32(vf) -> vi, v_round_i32  |a| < 2^31, else the lane is unspecified
 *      v_from_i32(vi) -> vf                rounded to nearest
 *  reduce         v_reduce_add(a) v_reduce_max(a) v_reduce_min(a) -> float; lanes i and i + VL/2 are
 *                 joined, then i and i + VL/4, and so on; max and min propagate NaN
 *      v_add_each(x) v_max_each(x) -> vf   VL vectors, lane i the reduction of x[i] (simd_each.h)
 *  doubles        v_lower(vf) v_upper(vf) -> vd: the first and the last VL / 2 lanes
 *                 v_join(lo, hi) -> vf, rounded to nearest
 *                 vd_set1 vd_add vd_sub vd_mul vd_div vd_fma (not fused here), vd_round: |a| < 2^51,
 *                 vd_pow2(n): 2^n, n integers in -1022..1023 */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VL 4
#define V_REGS 16

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));
typedef vi vm;
typedef double vd __attribute__((vector_size(16)));
typedef float vh __attribute__((vector_size(8)));
typedef uint64_t vd_bits __attribute__((vector_size(16)));

static inline vf v_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void v_store(float *p, vf x)
{
    memcpy(p, &x, sizeof x);
}

static inline void v_stream(float *p, vf x) { v_store(p, x); }
static inline void v_stream_end(void) {}

static inline vi vi_load(const int32_t *p)
{
    vi x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void vi_store(int32_t *p, vi x)
{
    memcpy(p, &x, sizeof x);
}

static inline vf v_load_n(const float *p, size_t n)
{
    vf x = { 0 };
    for (size_t i = 0; i < n; i++)
        x[i] = p[i];
    return x;
}

static inline void v_store_n(float *p, vf x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = x[i];
}

static inline void vi_store_high(uint16_t *p, vi x)
{
    for (int i = 0; i < VL; i++)
        p[i] = (uint16_t)((uint32_t)x[i] >> 16);
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    vi x = { 0 };
    for (size_t i = 0; i < n; i++)
        x[i] = p[i];
    return x;
}

static inline void vi_store_n(int32_t *p, vi x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = x[i];
}

static inline vf v_load_stride(const float *p, ptrdiff_t stride)
{
    return (vf){ p[0], p[stride], p[2 * stride], p[3 * stride] };
}

static inline void v_store_stride(float *p, ptrdiff_t stride, vf x)
{
    for (int i = 0; i < VL; i++)
        p[i * stride] = x[i];
}

static inline vf v_set1(float s) { return (vf){ s, s, s, s }; }
static inline vf v_zero(void) { return v_set1(0); }
static inline vi vi_set1(int32_t s) { return (vi){ s, s, s, s }; }
static inline vi vi_iota(void) { return (vi){ 0, 1, 2, 3 }; }

static inline vi v_bits(vf a) { return (vi)a; }
static inline vf v_from_bits(vi a) { return (vf)a; }
static inline vf v_and(vf a, vf b) { return (vf)((vi)a & (vi)b); }
static inline vf v_or(vf a, vf b) { return (vf)((vi)a | (vi)b); }
static inline vf v_xor(vf a, vf b) { return (vf)((vi)a ^ (vi)b); }
static inline vf v_andnot(vf a, vf b) { return (vf)(~(vi)a & (vi)b); }

/* Integer lanes wrap, so they are added as unsigned. */
static inline vi vi_add(vi a, vi b) { return (vi)((vu)a + (vu)b); }
static inline vi vi_sub(vi a, vi b) { return (vi)((vu)a - (vu)b); }
static inline vi vi_mul(vi a, vi b) { return (vi)((vu)a * (vu)b); }
static inline vi vi_and(vi a, vi b) { return a & b; }
static inline vi vi_or(vi a, vi b) { return a | b; }
static inline vi vi_xor(vi a, vi b) { return a ^ b; }
static inline vi vi_shl(vi a, int k) { return (vi)((vu)a << (unsigned)k); }
static inline vi vi_shr(vi a, int k) { return a >> k; }
static inline vi vi_shr_u(vi a, int k) { return (vi)((vu)a >> (unsigned)k); }
static inline vi vi_of16(const int32_t table[16], vi i)
{
    return (vi){ table[i[0] & 15], table[i[1] & 15], table[i[2] & 15], table[i[3] & 15] };
}

static inline vm vi_lt(vi a, vi b) { return a < b; }
static inline vm vi_gt(vi a, vi b) { return a > b; }
static inline vm vi_eq(vi a, vi b) { return a == b; }

static inline vm v_lt(vf a, vf b) { return a < b; }
static inline vm v_le(vf a, vf b) { return a <= b; }
static inline vm v_gt(vf a, vf b) { return a > b; }
static inline vm v_ge(vf a, vf b) { return a >= b; }
static inline vm v_eq(vf a, vf b) { return a == b; }
static inline vm v_ne(vf a, vf b) { return a != b; }

static inline vm vm_and(vm a, vm b) { return a & b; }
static inline vm vm_or(vm a, vm b) { return a | b; }
static inline vm vm_not(vm a) { return ~a; }
static inline bool vm_any(vm m) { return (m[0] | m[1] | m[2] | m[3]) != 0; }
static inline vm vm_tail(size_t n) { return vi_lt(vi_iota(), vi_set1((int32_t)n)); }
static inline vi vi_select(vm m, vi a, vi b) { return (m & a) | (~m & b); }
static inline vf v_select(vm m, vf a, vf b) { return (vf)vi_select(m, (vi)a, (vi)b); }

static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_neg(vf a) { return v_xor(a, v_set1(-0.0f)); }
static inline vf v_abs(vf a) { return v_andnot(v_set1(-0.0f), a); }
static inline vf v_max(vf a, vf b) { return v_select(a > b, a, b); }
static inline vf v_min(vf a, vf b) { return v_select(a < b, a, b); }

static inline vf v_sqrt(vf a)
{
    return (vf){ __builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]),
                 __builtin_sqrtf(a[2]), __builtin_sqrtf(a[3]) };
}

/* Two lanes at a time: of vectors put together from single conversions gcc 12 merges a narrowing with
 * the widening that follows it, and so loses a rounding. */
static inline vd v_lower(vf a) { return __builtin_convertvector(((vh){ a[0], a[1] }), vd); }
static inline vd v_upper(vf a) { return __builtin_convertvector(((vh){ a[2], a[3] }), vd); }

static inline vf v_join(vd lo, vd hi)
{
    vh l = __builtin_convertvector(lo, vh), h = __builtin_convertvector(hi, vh);
    return (vf){ l[0], l[1], h[0], h[1] };
}

static inline vf v_fma(vf a, vf b, vf c)
{
#ifdef __FP_FAST_FMAF
    return (vf){ __builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1]),
                 __builtin_fmaf(a[2], b[2], c[2]), __builtin_fmaf(a[3], b[3], c[3]) };
#else
    return v_join(v_lower(a) * v_lower(b) + v_lower(c), v_upper(a) * v_upper(b) + v_upper(c));
#endif
}

static inline vf v_fms(vf a, vf b, vf c) { return v_fma(a, b, v_neg(c)); }
static inline vf v_fnma(vf a, vf b, vf c) { return v_fma(v_neg(a), b, c); }

/* Adding 1.5 * 2^23 leaves no bits for a fraction; the sign keeps -0. */
static inline vf v_round(vf a)
{
    vf magic = v_set1(0x1.8p23f);
    return v_or((a + magic) - magic, v_and(a, v_set1(-0.0f)));
}

static inline vi v_trunc_i32(vf a) { return __builtin_convertvector(a, vi); }
static inline vf v_from_i32(vi a) { return __builtin_convertvector(a, vf); }

static inline vi v_round_i32(vf a)
{
    vf half = v_or(v_and(a, v_set1(-0.0f)), v_set1(0x1p23f));
    vf near = (a + half) - half;
    return v_trunc_i32(v_select(v_lt(v_abs(a), v_set1(0x1p23f)), near, a));
}

/* In two steps, since 2^n alone may lie outside the normal range. */
static inline vf v_scale2(vf a, vf n)
{
    vi k = v_trunc_i32(n), first = k >> 1, second = k - first;
    vi bias = vi_set1(127);
    return a * (vf)vi_shl(first + bias, 23) * (vf)vi_shl(second + bias, 23);
}

static inline float v_reduce_add(vf a) { return (a[0] + a[2]) + (a[1] + a[3]); }

static inline vd vd_set1(double s) { return (vd){ s, s }; }
static inline vd vd_add(vd a, vd b) { return a + b; }
static inline vd vd_sub(vd a, vd b) { return a - b; }
static inline vd vd_mul(vd a, vd b) { return a * b; }
static inline vd vd_div(vd a, vd b) { return a / b; }
static inline vd vd_fma(vd a, vd b, vd c) { return a * b + c; }

static inline vd vd_round(vd a)
{
    vd magic = vd_set1(0x1.8p52);
    return (a + magic) - magic;
}

/* The sum's low bits are n + 1023; the shift drops the rest. */
static inline vd vd_pow2(vd n)
{
    return (vd)((vd_bits)(n + vd_set1(0x1.8p52 + 1023)) << 52);
}

#include "runtime/kernels/simd_common.h"

static inline vf v_swap2(vf a) { return (vf){ a[2], a[3], a[0], a[1] }; }
static inline vf v_swap1(vf a) { return (vf){ a[1], a[0], a[3], a[2] }; }
static inline vf v_mix2(vf a, vf b) { return (vf){ a[0], a[1], b[2], b[3] }; }
static inline vf v_mix1(vf a, vf b) { return (vf){ a[0], b[1], a[2], b[3] }; }

#include "runtime/kernels/simd_each.h"

static inline float v_reduce_max(vf a)
{
    vf b = v_max_nan(a, v_swap2(a));
    return v_max_nan(b, v_swap1(b))[0];
}

static inline float v_reduce_min(vf a)
{
    vf b = v_min_nan(a, v_swap2(a));
    return v_min_nan(b, v_swap1(b))[0];
}

#endif
