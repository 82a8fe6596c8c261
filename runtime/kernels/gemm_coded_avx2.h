/* Opening half a cell of a coded matrix of bf16 (gemm_coded.h, CODED_BYTES) in registers, on AVX2: a shuffle of bytes
 * looks up 32 codes in a table of 16 bytes, and what it finds meets the low bytes.  With the multiplications of one
 * row 64 numbers take 10 cycles: less than memory takes to bring them, more than a cache does.  So only what comes
 * from memory is coded for this set, and floats never are. */
#ifndef KERNELS_GEMM_CODED_AVX2_H
#define KERNELS_GEMM_CODED_AVX2_H

enum { G_CODED_IN_BYTES = 1 };

/* The codes' high bytes, in both lanes. */
static inline vi g_code_table(const CodedHead *head)
{
    const vi words = _mm256_srli_epi16(vi_load((const void *)head), 8);
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0x88);
}

/* Rows of half a cell, 16 words each. */
static inline __attribute__((always_inline)) void g_open_halves(const uint8_t *cell, vi table, vi row[4])
{
    const vi four = _mm256_set1_epi8(15);
    const vi above = vi_load((const void *)cell), below = vi_load((const void *)(cell + 64));
    const vi codes = vi_load((const void *)(cell + 128));
    const vi first = _mm256_shuffle_epi8(table, vi_and(codes, four));
    const vi second = _mm256_shuffle_epi8(table, vi_and(_mm256_srli_epi16(codes, 4), four));
    row[0] = _mm256_unpacklo_epi8(above, first);
    row[1] = _mm256_unpackhi_epi8(above, first);
    row[2] = _mm256_unpacklo_epi8(below, second);
    row[3] = _mm256_unpackhi_epi8(below, second);
}

/* No session codes floats for this set. */
static inline void g_open_floats(const uint8_t *cell, vi table, vi row[8])
{
    (void)cell, (void)table, (void)row;
    CHECK(false, "coded for another instruction set");
}

#endif
