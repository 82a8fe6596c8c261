/* Rounding rows to storage types.  The types with one scale for 32 numbers are rounded exactly as ggml's
 * reference does, operation by operation in float, so that files agree byte for byte. */
#include "base/blocks.h"

#include "base/check.h"
#include "base/half.h"

#include <math.h>
#include <string.h>

/* False when x is beyond what f16 holds: the block could not be read back. */
static bool put_f16(uint8_t *p, float x)
{
    uint16_t h = f16_of_f32(x);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
    return (h & 0x7c00) != 0x7c00;
}

/* Toward zero.  Where a scale is so small that its inverse is infinite, products are infinities and
 * NaNs, and become 0 as on the reference's machines; the scale itself is stored as 0. */
static int truncate(float x)
{
    return isfinite(x) ? (int)x : 0;
}

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0;
}

/* The number of largest magnitude, with its sign; of equals the first. */
static float largest(const float x[32])
{
    float most = 0, at = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > most) {
            most = fabsf(x[i]);
            at = x[i];
        }
    return at;
}

static void least_and_most(const float x[32], float *least, float *most)
{
    *least = *most = x[0];
    for (int i = 1; i < 32; i++) {
        *least = x[i] < *least ? x[i] : *least;
        *most = x[i] > *most ? x[i] : *most;
    }
}

static bool encode_q8_0(const float x[32], uint8_t *p)
{
    float d = fabsf(largest(x)) / 127, inv = inverse(d);
    for (int i = 0; i < 32; i++)
        p[2 + i] = (uint8_t)(int8_t)truncate(roundf(x[i] * inv));
    return put_f16(p, d);
}

static void put_nibbles(const int q[32], uint8_t *p)
{
    for (int i = 0; i < 16; i++)
        p[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void put_fifth_bits(const int q[32], uint8_t *p)
{
    memset(p, 0, 4);
    for (int i = 0; i < 32; i++)
        p[i / 8] = (uint8_t)(p[i / 8] | (q[i] >> 4 & 1) << i % 8);
}

/* q = trunc(x / d + half + 0.5), at most `most`, where the number of largest magnitude is -half. */
static float round_signed(const float x[32], int half, int most, int q[32])
{
    float d = largest(x) / (float)-half, inv = inverse(d), shift = (float)half + 0.5f;
    for (int i = 0; i < 32; i++) {
        int v = truncate(x[i] * inv + shift);
        q[i] = v < most ? v : most;
    }
    return d;
}

/* q = trunc((x - least) / d + 0.5), at most `most`. */
static float round_above(const float x[32], int most, int q[32], float *least)
{
    float top;
    least_and_most(x, least, &top);
    float d = (top - *least) / (float)most, inv = inverse(d);
    for (int i = 0; i < 32; i++) {
        int v = truncate((x[i] - *least) * inv + 0.5f);
        q[i] = v < most ? v : most;
    }
    return d;
}

static bool encode_q4_0(const float x[32], uint8_t *p)
{
    int q[32];
    float d = round_signed(x, 8, 15, q);
    put_nibbles(q, p + 2);
    return put_f16(p, d);
}

static bool encode_q5_0(const float x[32], uint8_t *p)
{
    int q[32];
    float d = round_signed(x, 16, 31, q);
    put_fifth_bits(q, p + 2);
    put_nibbles(q, p + 6);
    return put_f16(p, d);
}

static bool encode_q4_1(const float x[32], uint8_t *p)
{
    int q[32];
    float least, d = round_above(x, 15, q, &least);
    put_nibbles(q, p + 4);
    return put_f16(p, d) && put_f16(p + 2, least);
}

static bool encode_q5_1(const float x[32], uint8_t *p)
{
    int q[32];
    float least, d = round_above(x, 31, q, &least);
    put_fifth_bits(q, p + 4);
    put_nibbles(q, p + 8);
    return put_f16(p, d) && put_f16(p + 2, least);
}

static bool encode_block(DType t, const float *x, uint8_t *p)
{
    switch (t) {
    case DTYPE_q8_0: return encode_q8_0(x, p);
    case DTYPE_q4_0: return encode_q4_0(x, p);
    case DTYPE_q4_1: return encode_q4_1(x, p);
    case DTYPE_q5_0: return encode_q5_0(x, p);
    case DTYPE_q5_1: return encode_q5_1(x, p);
    case DTYPE_q4_k: return block_encode_q4_k(x, p);
    case DTYPE_q5_k: return block_encode_q5_k(x, p);
    case DTYPE_q6_k: return block_encode_q6_k(x, p);
    case DTYPE_f16: return put_f16(p, *x);
    case DTYPE_f32:
        memcpy(p, x, sizeof *x);
        return true;
    case DTYPE_bf16: {
        uint16_t h = bf16_of_f32(*x);
        p[0] = (uint8_t)h;
        p[1] = (uint8_t)(h >> 8);
        return (h & 0x7f80) != 0x7f80;
    }
    case DTYPE_i32: case DTYPE_bool: case N_DTYPES:
        break;
    }
    CHECK(false, "%s holds no numbers to encode", dtype_name(t));
    return false;
}

bool blocks_encode(DType t, size_t n, const float *src, void *dst, Error *err)
{
    size_t block = (size_t)dtype_block(t);
    CHECK(n % block == 0, "%zu numbers of %s are no whole blocks", n, dtype_name(t));
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i += block, p += dtype_block_bytes(t)) {
        for (size_t k = i; k < i + block; k++)
            if (!isfinite(src[k]))
                return error_set(err, "element %zu is %s", k, isnan(src[k]) ? "not a number" : "infinite");
        if (!encode_block(t, src + i, p))
            return error_set(err, "elements %zu to %zu are too large for %s", i, i + block - 1,
                             dtype_name(t));
    }
    return true;
}
