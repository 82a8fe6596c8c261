/* Facts about element types, expanded from dtypes.def. */
#include "base/dtype.h"

#include "base/check.h"

#include <string.h>

static const struct {
    const char *name, *safetensors;
    int64_t elements, bytes;
    int ggml;
} dtypes[] = {
#define DTYPE(name, elements, bytes, safetensors, ggml) \
    { #name, safetensors, elements, bytes, ggml },
#include "base/dtypes.def"
};

static void check_dtype(DType t)
{
    CHECK((size_t)t < N_DTYPES, "dtype %d", (int)t);
}

const char *dtype_name(DType t)
{
    check_dtype(t);
    return dtypes[t].name;
}

bool dtype_from_name(const char *name, DType *out)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (DType)i;
            return true;
        }
    return false;
}

bool dtype_is_lane(DType t)
{
    check_dtype(t);
    return dtypes[t].elements == 1 && dtypes[t].bytes == 4;
}

bool dtype_is_cache(DType t)
{
    return t == DTYPE_f32 || t == DTYPE_bf16 || t == DTYPE_q8_0;
}

int64_t dtype_block(DType t)
{
    check_dtype(t);
    return dtypes[t].elements;
}

size_t dtype_block_bytes(DType t)
{
    check_dtype(t);
    return (size_t)dtypes[t].bytes;
}

size_t dtype_size(DType t)
{
    CHECK(dtype_block(t) == 1, "an element of %s has no address", dtype_name(t));
    return (size_t)dtypes[t].bytes;
}

bool dtype_bytes(DType t, int64_t rows, int64_t row, int64_t *out)
{
    check_dtype(t);
    int64_t bytes;
    if (rows < 0 || row < 0 || row % dtypes[t].elements
        || !i64_mul(row / dtypes[t].elements, dtypes[t].bytes, &bytes)
        || !i64_mul(bytes, rows, &bytes))
        return false;
    *out = bytes;
    return true;
}

const char *dtype_safetensors(DType t)
{
    check_dtype(t);
    return dtypes[t].safetensors;
}

int dtype_ggml(DType t)
{
    check_dtype(t);
    return dtypes[t].ggml;
}

bool dtype_from_ggml(int number, DType *out)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (dtypes[i].ggml == number && number >= 0) {
            *out = (DType)i;
            return true;
        }
    return false;
}
