/* Rows of numbers in storage types: floats of two bytes, and the blocks in which quantised weights
 * are kept (dtypes.def).  A block holds 32 or 256 numbers as few bits each and what they share:
 *
 *   q8_0        x = d q             q signed, 8 bits
 *   q4_0, q5_0  x = d (q - 8), d (q - 16)
 *   q4_1, q5_1  x = d q + m
 *   q4_k, q5_k  x = (d s) q - (dmin m)      s, m: 6 bits for each 32 numbers
 *   q6_k        x = (d s) (q - 32)          s: signed, 8 bits for each 16 numbers
 *
 * d, dmin and m are f16.  The layouts are ggml's, byte for byte; sources need no alignment.  Where the
 * bits lie is written down in the functions that read and write them, and nowhere else. */
#ifndef BASE_BLOCKS_H
#define BASE_BLOCKS_H

#include "base/dtype.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* One block taken apart: what every reader of blocks works with.  Number i is
 * scale[i / group] * q[i] - least[i / group], computed in float: the product is exact. */
enum { BLOCK_MOST = 256, BLOCK_GROUPS = 16 };
typedef struct BlockParts {
    float scale[BLOCK_GROUPS], least[BLOCK_GROUPS];
    int8_t q[BLOCK_MOST];               /* without the offset of q4_0, q5_0 and q6_k: signed */
} BlockParts;

/* Numbers that share a scale: 16 for q6_k, else 32. */
int64_t blocks_group(DType t);
void block_split(DType t, const void *block, BlockParts *out);

/* n numbers, whole blocks, of any storage type that holds numbers (not i32, not bool). */
void blocks_decode(DType t, size_t n, const void *src, float *dst);

/* n finite numbers into f32, f16, bf16 or whole blocks.  q8_0, q4_0, q4_1, q5_0 and q5_1 are the
 * bytes of ggml's reference; q4_k, q5_k and q6_k search for the scales of least squared error.  False, with
 * the element in the message, when a number is no number, infinite, or too large for the type. */
bool blocks_encode(DType t, size_t n, const float *src, void *dst, Error *err);

/* The search, for blocks_encode: one block of 256 finite numbers.  False when they are too large. */
bool block_encode_q4_k(const float x[BLOCK_MOST], uint8_t *dst);
bool block_encode_q5_k(const float x[BLOCK_MOST], uint8_t *dst);
bool block_encode_q6_k(const float x[BLOCK_MOST], uint8_t *dst);

#endif
