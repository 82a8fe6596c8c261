/* Words of products with blocks on AVX2; explained in gemm_q_scalar.h. */
#ifndef KERNELS_GEMM_Q_ISA_H
#define KERNELS_GEMM_Q_ISA_H

#define GEMM_Q_GROUPS(X) X(1) X(2) X(4)
/* Four runs of memory at once come faster than one. */
enum { Q_BIAS_8 = 0, GEMM_Q_RUNS = 4, GEMM_Q_AHEAD = 512 };

typedef __m256i qv;

static inline qv q_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline void q_store(uint8_t *p, qv x) { _mm256_storeu_si256((__m256i *)(void *)p, x); }
static inline qv q_low(qv x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
static inline qv q_high(qv x) { return q_low(_mm256_srli_epi16(x, 4)); }

static inline qv q_join6(qv w, qv h, int s)
{
    const qv at = s < 4 ? _mm256_slli_epi16(h, 4 - s) : _mm256_srli_epi16(h, s - 4);
    return _mm256_or_si256(w, _mm256_and_si256(at, _mm256_set1_epi8(0x30)));
}

static inline qv q_fifth(qv w, const uint8_t *p)
{
    const qv byte = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                     2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const qv bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    qv x = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    return _mm256_or_si256(w, _mm256_and_si256(_mm256_cmpeq_epi8(x, bit), _mm256_set1_epi8(16)));
}

static inline qv q_four(const int8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Pairs stay below 2^15: 63 * 127 * 2, and below 128 * 127 * 2. */
static inline vi q_pairs(vi sum, qv w, qv a)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)));
}

static inline vi q_dot(vi sum, qv w, const int8_t *a)
{
    return q_pairs(sum, w, q_four(a));
}

/* Sums of pairs stay below 2^15: 8 * 2 * 15 * 127, 4 * 2 * 31 * 127, 2 * 2 * 63 * 127. */
#define Q_DOT_BITS
static inline __attribute__((always_inline)) vi q_dot_bits(vi sum, int bits, const qv *w, int n, const int8_t *a)
{
    const int most = bits == 4 ? 8 : bits == 5 ? 4 : 2;
    for (int v = 0; v < n; v += most) {
        qv pairs = _mm256_maddubs_epi16(w[v], q_four(a + 4 * v));
        for (int i = v + 1; i < v + most; i++)
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[i], q_four(a + 4 * i)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;
}

/* p and q with the products of x and of y with four bytes, in pairs.  That each sum is one register from step to
 * step has to be said: the compiler would add them up in another order, and run out of registers. */
static inline __attribute__((always_inline)) void q_add_pairs(qv *p, qv *q, qv x, qv y, const int8_t *a)
{
    const qv four = q_four(a);
    *p = _mm256_add_epi16(*p, _mm256_maddubs_epi16(x, four));
    *q = _mm256_add_epi16(*q, _mm256_maddubs_epi16(y, four));
    __asm__("" : "+x"(*p), "+x"(*q));
}

static inline __attribute__((always_inline)) vi q_join(qv pairs, int16_t times)
{
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(times));
}

static inline vi q_dot_8(vi sum, qv w, const int8_t *a)
{
    qv x = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    return q_pairs(sum, _mm256_abs_epi8(x), _mm256_sign_epi8(q_four(a), x));
}

static inline vf q_from_f16(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline vf q_scale(const uint8_t *p)
{
    int16_t h;
    memcpy(&h, p, sizeof h);
    return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

static inline vi q_from_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

static inline vi q_from_i8(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

static inline void q_store_bytes(int8_t *p, vi x)
{
    __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packs_epi16(pairs, pairs));
}

static inline int32_t q_sum(vi x)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

#endif
