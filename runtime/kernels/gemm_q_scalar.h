/* Words of products with blocks, for C alone; explained here, defined again by gemm_q_<isa>.h.
 *
 *  GEMM_Q_GROUPS(X)     X(rows): groups of rows of A that one tile takes, the smallest first
 *  GEMM_Q_RUNS          runs of panels that a single row walks at once
 *  GEMM_Q_AHEAD         bytes ahead of their use from which it fetches each
 *  qv                   four bytes of each of VL rows
 *  q_load(p)            any alignment
 *  q_low(x) q_high(x)   the low and the high four bits of each byte
 *  q_fifth(w, p)        w with 16 more in byte i where bit i of the 4 VL bits at p is set
 *  q_join6(w, h, s)     w with bits s and s + 1 of h's bytes (s even, constant) as bits 4 and 5
 *  q_dot(sum, w, a)     sum[r] + w[4r] a[0] + .. + w[4r + 3] a[3]; w below 64, unsigned; a -127 .. 127
 *  q_dot_bits(sum, bits, w, n, a)   the same of w[0 .. n - 1], n 4 or 8, of 4, 5 or 6 bits; only where joining
 *                       several at once is faster, which Q_DOT_BITS says
 *  q_dot_8              the same as q_dot with any w, from which Q_BIAS_8 remains to be taken (and 128 - Q_BIAS_8
 *                       is taken already)
 *  q_from_f16(p) -> vf, q_from_u8(p), q_from_i8(p) -> vi    VL numbers, any alignment
 *  q_scale(p) -> vf     the f16 at p in every lane
 *  q_store_bytes(p, x)  VL whole numbers, -127 .. 127, as bytes
 *  q_sum(x)             of VL whole numbers */
#ifndef KERNELS_GEMM_Q_ISA_H
#define KERNELS_GEMM_Q_ISA_H

#define GEMM_Q_GROUPS(X) X(1) X(2)
enum { Q_BIAS_8 = 0, GEMM_Q_RUNS = 1, GEMM_Q_AHEAD = 2048 };

typedef uint8_t qv __attribute__((vector_size(16)));

static inline qv q_load(const uint8_t *p)
{
    qv x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline qv q_low(qv x) { return x & 15; }
static inline qv q_high(qv x) { return x >> 4; }
static inline qv q_join6(qv w, qv h, int s) { return w | (h >> (uint8_t)s & 3) << 4; }

static inline qv q_fifth(qv w, const uint8_t *p)
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint8_t)(w[i] + (p[i / 8] >> i % 8 & 1) * 16);
    return w;
}

static inline vi q_dot(vi sum, qv w, const int8_t *a)
{
    for (int i = 0; i < 16; i++)
        sum[i / 4] += w[i] * a[i % 4];
    return sum;
}

static inline vi q_dot_8(vi sum, qv w, const int8_t *a)
{
    for (int i = 0; i < 16; i++)
        sum[i / 4] += (w[i] - 128) * a[i % 4];
    return sum;
}

static inline vf q_from_f16(const uint8_t *p)
{
    vf x;
    for (int i = 0; i < VL; i++)
        x[i] = f32_of_f16((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
    return x;
}

static inline vf q_scale(const uint8_t *p)
{
    return v_set1(f32_of_f16((uint16_t)(p[0] | p[1] << 8)));
}

static inline vi q_from_u8(const uint8_t *p) { return (vi){ p[0], p[1], p[2], p[3] }; }

static inline vi q_from_i8(const uint8_t *p)
{
    return (vi){ (int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3] };
}

static inline void q_store_bytes(int8_t *p, vi x)
{
    for (int i = 0; i < VL; i++)
        p[i] = (int8_t)x[i];
}

static inline int32_t q_sum(vi x) { return x[0] + x[1] + x[2] + x[3]; }

#endif
