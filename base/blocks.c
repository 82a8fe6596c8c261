/* Taking blocks apart. */
#include "base/blocks.h"

#include "base/check.h"
#include "base/half.h"

#include <string.h>

static float f16_at(const uint8_t *p)
{
    return f32_of_f16((uint16_t)(p[0] | p[1] << 8));
}

/* { f16 d; i8 q[32] } */
static void split_q8_0(const uint8_t *p, BlockParts *b)
{
    b->scale[0] = f16_at(p);
    b->least[0] = 0;
    memcpy(b->q, p + 2, 32);
}

/* Numbers 0..15 in the low halves of 16 bytes, 16..31 in the high ones. */
static void split_nibbles(const uint8_t *p, int offset, int8_t q[32])
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((p[i] & 15) - offset);
        q[i + 16] = (int8_t)((p[i] >> 4) - offset);
    }
}

/* Bit i of four bytes is the fifth bit of number i. */
static void add_fifth_bits(const uint8_t *p, int8_t q[32])
{
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)(q[i] + (p[i / 8] >> i % 8 & 1) * 16);
}

/* { f16 d; u8 low[16] } */
static void split_q4_0(const uint8_t *p, BlockParts *b)
{
    b->scale[0] = f16_at(p);
    b->least[0] = 0;
    split_nibbles(p + 2, 8, b->q);
}

/* { f16 d, m; u8 low[16] } */
static void split_q4_1(const uint8_t *p, BlockParts *b)
{
    b->scale[0] = f16_at(p);
    b->least[0] = -f16_at(p + 2);
    split_nibbles(p + 4, 0, b->q);
}

/* { f16 d; u8 high[4], low[16] } */
static void split_q5_0(const uint8_t *p, BlockParts *b)
{
    b->scale[0] = f16_at(p);
    b->least[0] = 0;
    split_nibbles(p + 6, 16, b->q);
    add_fifth_bits(p + 2, b->q);
}

/* { f16 d, m; u8 high[4], low[16] } */
static void split_q5_1(const uint8_t *p, BlockParts *b)
{
    b->scale[0] = f16_at(p);
    b->least[0] = -f16_at(p + 2);
    split_nibbles(p + 8, 0, b->q);
    add_fifth_bits(p + 4, b->q);
}

/* { f16 d, dmin; u8 six[12] }.  Groups 0..3: s in the low six bits of six[g], m in those of six[g + 4];
 * groups 4..7: the low four bits of s and m in six[g + 4], the upper two on top of six[g - 4], six[g]. */
static void split_scales_k(const uint8_t *p, BlockParts *b)
{
    float d = f16_at(p), dmin = f16_at(p + 2);
    const uint8_t *six = p + 4;
    for (int g = 0; g < 8; g++) {
        int s = g < 4 ? six[g] & 63 : (six[g + 4] & 15) | six[g - 4] >> 6 << 4;
        int m = g < 4 ? six[g + 4] & 63 : six[g + 4] >> 4 | six[g] >> 6 << 4;
        b->scale[g] = d * (float)s;
        b->least[g] = dmin * (float)m;
    }
}

/* Groups 2i and 2i + 1 are the low and the high halves of 32 bytes. */
static void split_nibbles_k(const uint8_t *p, int8_t q[BLOCK_MOST])
{
    for (int i = 0; i < 128; i++) {
        int at = i / 32 * 64 + i % 32;
        q[at] = (int8_t)(p[i] & 15);
        q[at + 32] = (int8_t)(p[i] >> 4);
    }
}

/* { scales; u8 low[128] } */
static void split_q4_k(const uint8_t *p, BlockParts *b)
{
    split_scales_k(p, b);
    split_nibbles_k(p + 16, b->q);
}

/* { scales; u8 high[32], low[128] }: bit g of high[i] is the fifth bit of number i of group g. */
static void split_q5_k(const uint8_t *p, BlockParts *b)
{
    split_scales_k(p, b);
    split_nibbles_k(p + 48, b->q);
    for (int i = 0; i < BLOCK_MOST; i++)
        b->q[i] = (int8_t)(b->q[i] + (p[16 + i % 32] >> i / 32 & 1) * 16);
}

/* { u8 low[128], high[64]; i8 s[16]; f16 d }, in two halves of 128 numbers: number 32 j + i of a half has
 * its low four bits in half j / 2 of low[32 (j % 2) + i], its upper two in bits 2j of high[i]. */
static void split_q6_k(const uint8_t *p, BlockParts *b)
{
    float d = f16_at(p + 208);
    for (int g = 0; g < 16; g++) {
        b->scale[g] = d * (float)(int8_t)p[192 + g];
        b->least[g] = 0;
    }
    for (int i = 0; i < BLOCK_MOST; i++) {
        int half = i / 128, j = i % 128 / 32, at = i % 32;
        int low = p[64 * half + 32 * (j % 2) + at] >> 4 * (j / 2) & 15;
        int high = p[128 + 32 * half + at] >> 2 * j & 3;
        b->q[i] = (int8_t)((low | high << 4) - 32);
    }
}

int64_t blocks_group(DType t)
{
    return t == DTYPE_q6_k ? 16 : 32;
}

void block_split(DType t, const void *block, BlockParts *out)
{
    switch (t) {
    case DTYPE_q8_0: split_q8_0(block, out); return;
    case DTYPE_q4_0: split_q4_0(block, out); return;
    case DTYPE_q4_1: split_q4_1(block, out); return;
    case DTYPE_q5_0: split_q5_0(block, out); return;
    case DTYPE_q5_1: split_q5_1(block, out); return;
    case DTYPE_q4_k: split_q4_k(block, out); return;
    case DTYPE_q5_k: split_q5_k(block, out); return;
    case DTYPE_q6_k: split_q6_k(block, out); return;
    case DTYPE_f32: case DTYPE_i32: case DTYPE_bool: case DTYPE_bf16: case DTYPE_f16: case N_DTYPES:
        break;
    }
    CHECK(false, "%s has no blocks", dtype_name(t));
}

static void decode_blocks(DType t, size_t n, const uint8_t *src, float *dst)
{
    size_t block = (size_t)dtype_block(t), group = (size_t)blocks_group(t);
    CHECK(n % block == 0, "%zu numbers of %s are no whole blocks", n, dtype_name(t));
    BlockParts b;
    for (; n > 0; n -= block, src += dtype_block_bytes(t), dst += block) {
        block_split(t, src, &b);
        for (size_t i = 0; i < block; i++)
            dst[i] = b.scale[i / group] * (float)b.q[i] - b.least[i / group];
    }
}

void blocks_decode(DType t, size_t n, const void *src, float *dst)
{
    const uint8_t *p = src;
    switch (t) {
    case DTYPE_f32:
        memcpy(dst, p, n * sizeof *dst);
        return;
    case DTYPE_bf16:
        for (size_t i = 0; i < n; i++)
            dst[i] = f32_of_bf16((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
        return;
    case DTYPE_f16:
        for (size_t i = 0; i < n; i++)
            dst[i] = f16_at(p + 2 * i);
        return;
    case DTYPE_q8_0: case DTYPE_q4_0: case DTYPE_q4_1: case DTYPE_q5_0: case DTYPE_q5_1:
    case DTYPE_q4_k: case DTYPE_q5_k: case DTYPE_q6_k:
        decode_blocks(t, n, p, dst);
        return;
    case DTYPE_i32: case DTYPE_bool: case N_DTYPES:
        break;
    }
    CHECK(false, "%s holds no numbers to decode", dtype_name(t));
}
