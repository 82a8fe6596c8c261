/* Words of products with blocks on AVX-512, with VNNI where the file is built for it; explained in
 * gemm_q_scalar.h. */
#ifndef KERNELS_GEMM_Q_ISA_H
#define KERNELS_GEMM_Q_ISA_H

/* 12 sums and 8 vectors of bytes, and room for two rows' whole numbers and what they meet. */
#ifdef GEMM_Q_TILES
#define GEMM_Q_GROUPS(X) X(1) X(4)
#else
#define GEMM_Q_GROUPS(X) X(1) X(4) X(12)
#endif
enum { Q_BIAS_8 = 128, GEMM_Q_RUNS = 1, GEMM_Q_AHEAD = 2048 };

typedef __m512i qv;

static inline qv q_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
static inline qv q_low(qv x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
static inline qv q_high(qv x) { return q_low(_mm512_srli_epi16(x, 4)); }

static inline qv q_join6(qv w, qv h, int s)
{
    qv top = _mm512_and_si512(_mm512_srli_epi16(h, (uint8_t)s), _mm512_set1_epi8(3));
    return _mm512_or_si512(w, _mm512_slli_epi16(top, 4));
}

static inline qv q_fifth(qv w, const uint8_t *p)
{
    uint64_t bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_or_si512(w, _mm512_maskz_set1_epi8((__mmask64)bits, 16));
}

static inline qv q_four(const int8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

#ifdef __AVX512VNNI__

static inline vi q_dot(vi sum, qv w, const int8_t *a)
{
    return _mm512_dpbusd_epi32(sum, w, q_four(a));
}

static inline vi q_dot_8(vi sum, qv w, const int8_t *a)
{
    return q_dot(sum, w, a);
}

#else

/* Pairs stay below 2^15 when w is below 128. */
static inline vi q_dot(vi sum, qv w, const int8_t *a)
{
    qv pairs = _mm512_maddubs_epi16(w, q_four(a));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

static inline vi q_dot_8(vi sum, qv w, const int8_t *a)
{
    qv top = _mm512_and_si512(_mm512_srli_epi16(w, 7), _mm512_set1_epi8(1));
    qv pairs = _mm512_maddubs_epi16(top, q_four(a));
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(128)));
    return q_dot(sum, _mm512_and_si512(w, _mm512_set1_epi8(127)), a);
}

#endif

static inline vf q_from_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline vf q_scale(const uint8_t *p)
{
    int16_t h;
    memcpy(&h, p, sizeof h);
    return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}

static inline vi q_from_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline vi q_from_i8(const uint8_t *p)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline void q_store_bytes(int8_t *p, vi x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(x));
}

static inline int32_t q_sum(vi x) { return _mm512_reduce_add_epi32(x); }

#endif
