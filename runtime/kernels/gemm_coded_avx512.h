/* Opening a cell of a coded matrix (gemm_coded.h) in registers, on AVX-512. */
#ifndef KERNELS_GEMM_CODED_AVX512_H
#define KERNELS_GEMM_CODED_AVX512_H

enum { G_CODED_IN_BYTES = 0 };

static inline vi g_code_table(const CodedHead *head)
{
    return vi_load((const void *)head);
}

enum { G_MASKED_OR = 0xea };            /* of three: the first where the second says, or the third */

/* Rows of a cell of bf16, 32 words each. */
static inline __attribute__((always_inline)) void g_open_halves(const uint8_t *cell, vi table, vi row[4])
{
    const vi swap = _mm512_broadcast_i32x4(_mm_set_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1));
    const vi fraction = _mm512_set1_epi16((short)0x807f);
    const vi low = _mm512_loadu_si512(cell), high = _mm512_loadu_si512(cell + 64);
    const vi codes = _mm512_loadu_si512(cell + 128);
    row[0] = _mm512_ternarylogic_epi32(low, fraction, _mm512_permutexvar_epi16(codes, table), G_MASKED_OR);
    row[1] = _mm512_ternarylogic_epi32(_mm512_shuffle_epi8(low, swap), fraction,
                                       _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 4), table), G_MASKED_OR);
    row[2] = _mm512_ternarylogic_epi32(high, fraction,
                                       _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 8), table), G_MASKED_OR);
    row[3] = _mm512_ternarylogic_epi32(_mm512_shuffle_epi8(high, swap), fraction,
                                       _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 12), table), G_MASKED_OR);
}

/* Two rows of a cell of f32: their low halves share `low`. */
static inline __attribute__((always_inline)) void
g_open_two_floats(vi fraction0, vi fraction1, vi exponent0, vi exponent1, const uint8_t *low, vi row[2])
{
    const vi fraction = _mm512_set1_epi32((int32_t)0x807f0000), bottom = _mm512_set1_epi32(0xffff);
    const vi halves = _mm512_loadu_si512(low);
    row[0] = _mm512_ternarylogic_epi32(fraction0, fraction, exponent0, G_MASKED_OR);
    row[1] = _mm512_ternarylogic_epi32(fraction1, fraction, exponent1, G_MASKED_OR);
    row[0] = _mm512_ternarylogic_epi32(halves, bottom, row[0], G_MASKED_OR);
    row[1] = _mm512_or_si512(row[1], _mm512_srli_epi32(halves, 16));
}

/* Rows of a cell of f32, 16 numbers each. */
static inline __attribute__((always_inline)) void g_open_floats(const uint8_t *cell, vi table, vi row[8])
{
    const vi codes = _mm512_loadu_si512(cell), low = _mm512_loadu_si512(cell + 64),
             high = _mm512_loadu_si512(cell + 128);
#define EXPONENT(r) _mm512_permutexvar_epi32(_mm512_srli_epi32(codes, 4 * r), table)
    g_open_two_floats(low, _mm512_rol_epi32(low, 8), _mm512_permutexvar_epi32(codes, table), EXPONENT(1),
                      cell + 192, row);
    g_open_two_floats(_mm512_rol_epi32(low, 16), _mm512_rol_epi32(low, 24), EXPONENT(2), EXPONENT(3),
                      cell + 256, row + 2);
    g_open_two_floats(high, _mm512_rol_epi32(high, 8), EXPONENT(4), EXPONENT(5), cell + 320, row + 4);
    g_open_two_floats(_mm512_rol_epi32(high, 16), _mm512_rol_epi32(high, 24), EXPONENT(6), EXPONENT(7),
                      cell + 384, row + 6);
#undef EXPONENT
}

#endif
