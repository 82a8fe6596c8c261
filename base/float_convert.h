/* Arrays of floating-point numbers from one type to another. */
#ifndef BASE_FLOAT_CONVERT_H
#define BASE_FLOAT_CONVERT_H

#include "base/dtype.h"

/* n numbers of `from` at `src` (any alignment) as numbers of `to` at `dst` (aligned); each is f32,
 * bf16 or f16.  Exact where `to` holds the number, else rounded as in half.h. */
void float_convert(DType from, const void *src, DType to, void *dst, int64_t n);

#endif
