/* How a session keeps matrices of blocks: in panels of 16 rows, interleaved for vectors that hold four
 * bytes of each of several rows.
 *
 * A file has each row's blocks in turn.  A panel has the same bits in other places, in exactly as many
 * bytes; so packing is done in place, once, when weights are loaded, on every processor alike.  The rows of
 * the last panel that are not there are zeros: a matrix takes whole panels of memory.
 *
 * A panel of [16, K] consists of three regions, each with a part for every block of the 16 rows
 * (PanelShape: its bytes).  Numbers in fours: byte i of row r in vector v is number 4v + i.
 *
 *   head   q8_0, q4_0, q5_0    d[16], f16
 *          q4_1, q5_1          d[16], m[16]
 *          q4_k, q5_k          d[16], dmin[16], then ggml's 12 bytes of six-bit scales as six[12][16]
 *          q6_k                d[16], then s[16 groups][16], signed bytes
 *   high   the bits above the low four: q5_0, q5_1, q5_k a word of 64 bits for each vector, bit 4r + i;
 *          q6_k as ggml's bytes, vectors of 16 rows times four
 *   low    vectors of 16 rows times four of ggml's bytes: numbers (q8_0, 128 added) or pairs of low halves
 *
 * The bytes of a row's block follow ggml's order: vector v of `low` holds bytes 4v .. 4v + 3. */
#ifndef KERNELS_PANEL_H
#define KERNELS_PANEL_H

#include "base/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum { PANEL_ROWS = 16 };

/* Bytes of one block of 16 rows in each region. */
typedef struct PanelShape { size_t head, high, low; } PanelShape;
PanelShape panel_shape(DType t);

/* Bytes of a matrix of `rows` rows of k numbers in panels; false when it does not fit, or k is no whole
 * number of blocks. */
bool panel_bytes(DType t, int64_t rows, int64_t k, int64_t *out);

/* From rows of blocks to panels and back, in place; data: panel_bytes.  temp: one panel. */
void panel_pack(DType t, int64_t rows, int64_t k, void *data, void *temp);
void panel_unpack(DType t, int64_t rows, int64_t k, void *data, void *temp);

/* Row r of a packed matrix, as floats. */
void panel_decode_row(DType t, int64_t k, const void *data, int64_t r, float *dst);

#endif
