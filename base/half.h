/* Numbers of two bytes: bf16 (8 bits of exponent, 8 of significand) and f16 (IEEE binary16: 5 and
 * 11).  Widening is exact; narrowing rounds to nearest, ties to even, and keeps NaN a NaN. */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float f32_of_bf16(uint16_t h)
{
    return f32_of_bits((uint32_t)h << 16);
}

static inline uint16_t bf16_of_f32(float x)
{
    uint32_t bits = bits_of_f32(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);           /* quiet: its payload may round away */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, rest = h & 0x3ff;
    if (exponent == 0) {                                /* zero and subnormals: rest * 2^-24 */
        float x = (float)rest * 0x1p-24f;
        return f32_of_bits(sign | bits_of_f32(x));
    }
    return f32_of_bits(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | rest << 13);
}

static inline uint16_t f16_of_f32(float x)
{
    uint32_t bits = bits_of_f32(x), magnitude = bits & 0x7fffffff;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000)                        /* rounds to 65536 and more */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) {                       /* below 2^-14: units of 2^-24 */
        /* Adding 0.5 leaves the float's last place at 2^-24, so the sum is rounded there. */
        float units = f32_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of_f32(units) - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}

#endif
