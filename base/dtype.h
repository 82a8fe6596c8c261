/* Element types, one row each in dtypes.def. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DType {
#define DTYPE(name, elements, bytes, safetensors, ggml) DTYPE_##name,
#include "base/dtypes.def"
    N_DTYPES
} DType;

const char *dtype_name(DType t);                        /* "f32" */
bool dtype_from_name(const char *name, DType *out);

/* Can programs compute with it?  Of the others there are only parameters and caches. */
bool dtype_is_lane(DType t);

/* Can keys and values be kept in it? */
bool dtype_is_cache(DType t);

int64_t dtype_block(DType t);                           /* elements of a block; 1: no blocks */
size_t dtype_block_bytes(DType t);
size_t dtype_size(DType t);                             /* bytes of an element, where a block is one */

/* Bytes of `rows` rows of `row` elements.  False when a row is no whole number of blocks, when a
 * number is negative, or when the result does not fit. */
bool dtype_bytes(DType t, int64_t rows, int64_t row, int64_t *out);
/* Bytes from the first element to element `index`; the same refusals. */
static inline bool dtype_offset(DType t, int64_t index, int64_t *out)
{
    return dtype_bytes(t, 1, index, out);
}

/* Its name in safetensors files, or NULL; its number in GGUF files, or -1. */
const char *dtype_safetensors(DType t);
int dtype_ggml(DType t);
bool dtype_from_ggml(int number, DType *out);

#endif
