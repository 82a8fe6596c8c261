/* Opening half a cell of a coded matrix of bf16 (gemm_coded.h) in registers, on AVX2: a shuffle of bytes looks up
 * 32 codes in a table of 16 bytes.  It takes 12 cycles for 64 numbers: less than memory takes to bring them, more
 * than a cache does.  So only what comes from memory is coded for this set, and floats never are. */
#ifndef KERNELS_GEMM_CODED_AVX2_H
#define KERNELS_GEMM_CODED_AVX2_H

/* The codes' exponents, a byte each, in both lanes. */
static inline vi g_code_table(const CodedHead *head)
{
    const vi words = _mm256_srli_epi16(vi_load((const void *)head), 7);
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0x88);
}

/* A row's words, from bits of `fraction` and, where those have none, of `exponent`. */
static inline __attribute__((always_inline)) vi g_join_half(vi fraction, vi exponent)
{
    const vi mask = _mm256_set1_epi16((short)CODED_FRACTION);
    return vi_or(vi_and(fraction, mask), _mm256_andnot_si256(mask, exponent));
}

/* Rows of half a cell, 16 words each. */
static inline __attribute__((always_inline)) void g_open_halves(const uint8_t *cell, vi table, vi row[4])
{
    const vi swap = _mm256_broadcastsi128_si256(_mm_set_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1));
    const vi four = _mm256_set1_epi8(15);
    const vi low = vi_load((const void *)cell), high = vi_load((const void *)(cell + 64));
    const vi codes = vi_load((const void *)(cell + 128));
    const vi even = _mm256_shuffle_epi8(table, vi_and(codes, four));                            /* rows 0 and 2 */
    const vi odd = _mm256_shuffle_epi8(table, vi_and(_mm256_srli_epi16(codes, 4), four));       /* 1 and 3 */
    row[0] = g_join_half(low, _mm256_slli_epi16(even, 7));
    row[1] = g_join_half(_mm256_shuffle_epi8(low, swap), _mm256_slli_epi16(odd, 7));
    row[2] = g_join_half(high, _mm256_srli_epi16(even, 1));
    row[3] = g_join_half(_mm256_shuffle_epi8(high, swap), _mm256_srli_epi16(odd, 1));
}

/* No session codes floats for this set. */
static inline void g_open_floats(const uint8_t *cell, vi table, vi row[8])
{
    (void)cell, (void)table, (void)row;
    CHECK(false, "coded for another instruction set");
}

#endif
