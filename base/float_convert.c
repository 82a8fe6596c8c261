/* Conversion by way of f32, which holds every number of the other two. */
#include "base/float_convert.h"

#include "base/check.h"
#include "base/half.h"

static float load(DType t, const uint8_t *at)
{
    uint16_t h;
    float x;
    if (t == DTYPE_f32) {
        memcpy(&x, at, sizeof x);
        return x;
    }
    memcpy(&h, at, sizeof h);
    return t == DTYPE_bf16 ? f32_of_bf16(h) : f32_of_f16(h);
}

static bool is_float(DType t)
{
    return t == DTYPE_f32 || t == DTYPE_bf16 || t == DTYPE_f16;
}

void float_convert(DType from, const void *src, DType to, void *dst, int64_t n)
{
    CHECK(is_float(from) && is_float(to) && n >= 0, "%s to %s", dtype_name(from), dtype_name(to));
    const uint8_t *at = src;
    const int64_t step = (int64_t)dtype_size(from);
    uint16_t *halves = dst;
    float *floats = dst;
    if (from == to) {
        if (n)
            memcpy(dst, src, (size_t)(n * step));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const float x = load(from, at + i * step);
        if (to == DTYPE_f32)
            floats[i] = x;
        else
            halves[i] = to == DTYPE_bf16 ? bf16_of_f32(x) : f16_of_f32(x);
    }
}
