/* Element types, one row each in dtypes.def. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum DType {
#define DTYPE(name, bytes, st) DTYPE_##name,
#include "base/dtypes.def"
    N_DTYPES
} DType;

size_t dtype_size(DType t);
const char *dtype_name(DType t);                        /* "f32" */
bool dtype_from_name(const char *name, DType *out);

#endif
