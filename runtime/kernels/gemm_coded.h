/* A matrix of bf16 or f32 in fewer bits, without loss: every bit pattern comes back, so a product has the bits
 * that it has with the matrix as it was.
 *
 * The exponents of a trained matrix, or of a random one, take few of their 256 values (DFloat11: Zhang et al.,
 * "70% Size, 100% Accuracy", 2025; ZipNN: Hershcovitch et al., 2024, both with codes of various lengths).  Here
 * a number has a code of four bits for its exponent, so that vectors decode it in registers:
 *
 *     bf16, 12 bits      sign and mantissa 8, code 4
 *                        or, CODED_BYTES, the low byte 8, a code of the high byte 4: two signs, eight pairs of
 *                        exponents.  Bytes join without masks, which takes eight lanes half the time
 *     f32, 28 bits       sign and mantissa 24, code 4
 *
 * The matrix is cut into cells of 128 numbers, 4 rows of 32 (bf16) or 8 rows of 16 (f32), one row of cells after
 * the other (or one column, CODED_BYTES_DOWN).  Vectors of 64 bytes; word, dword: of column i of the cell.
 *
 *     bf16, 3 vectors    word of rows 0 and 1: bits 0x807f of the one, those of the other turned by a byte
 *                        the same of rows 2 and 3
 *                        word of codes: row r's in bits 4 r ..
 *     CODED_BYTES        16 bytes for 8 columns: low bytes of row 0, of row 1
 *                        the same of rows 2 and 3
 *                        bytes of codes: those of the first vector's bytes in bits 0 .., of the second's in bits 4 ..
 *     f32, 7 vectors     dword of codes: row r's in bits 4 r ..
 *                        dwords of rows 0 to 3 and of rows 4 to 7: bits 0x807f0000 of row r, turned right by r % 4
 *                        bytes
 *                        four dwords of rows 2 i and 2 i + 1: their low 16 bits, below and above
 *
 * A cell that has an exponent without a code lies elsewhere as it was; its place holds where.  In memory:
 *
 *     CodedHead | cells | a byte for each: is it plain? | plain cells, in their order
 *
 * each from a multiple of 64 bytes on.  Past the ends of the matrix a cell holds finite positive numbers. */
#ifndef KERNELS_GEMM_CODED_H
#define KERNELS_GEMM_CODED_H

#include "runtime/kernels/kernel.h"

enum { CODED_CODES = 16, CODED_CELL = 128 };

/* Sign and high mantissa of a number: bits of its high word. */
enum { CODED_FRACTION = 0x807f };

/* How cells of bf16 are coded, which each instruction set has its own wish for (KernelTable.packs); and whether they
 * lie one column of cells after the other, for B of products that is not turned and nothing else: columns that a
 * thread multiplies are one run of memory then. */
typedef enum CodedForm { CODED_EXPONENTS, CODED_BYTES, CODED_BYTES_DOWN } CodedForm;

typedef struct CodedHead {
    union {
        uint16_t halves[2 * CODED_CODES];       /* twice, for an index of five bits of which four count */
        uint32_t floats[CODED_CODES];
    } table;                                    /* what codes stand for, where numbers have it */
    int64_t n_plain;                            /* cells */
    int64_t form;                               /* CodedForm, of bf16 */
    int64_t unused[6];
} CodedHead;

/* A coded matrix; borrows it. */
typedef struct Coded {
    bool halves;                                /* bf16, else f32 */
    int64_t rows, columns;
    int64_t down, across;                       /* cells */
    int64_t cell_rows, cell_columns, cell_bytes, plain_bytes;
    uint8_t *data, *cells, *is_plain, *plain;
} Coded;

/* bf16 or f32. */
Coded coded_matrix(DType type, int64_t rows, int64_t columns, void *data);

static inline CodedForm coded_form(const Coded *c)
{
    return c->halves ? (CodedForm)((const CodedHead *)(const void *)c->data)->form : CODED_EXPONENTS;
}

/* The place of a cell among them. */
static inline int64_t coded_at(const Coded *c, int64_t row, int64_t column)
{
    return coded_form(c) == CODED_BYTES_DOWN ? column * c->down + row : row * c->across + column;
}

/* Bytes with n cells that are plain; false when they do not fit. */
bool coded_bytes(const Coded *c, int64_t n_plain, size_t *out);

/* Does a matrix of these sizes save a twelfth of its bytes with n cells that are plain? */
bool coded_pays(const Coded *c, int64_t n_plain);

/* Coding, of a matrix as it was that shares no memory with the other: first the table, from every 16th row; then
 * rows of cells [first, last), by any threads and any instruction set's function; then the plain cells.  False
 * when it does not pay; then nothing holds. */
typedef void CodedFill(const Coded *c, const void *from, int64_t first, int64_t last);
void coded_begin(const Coded *c, const void *from, CodedForm form);
bool coded_end(const Coded *c, const void *from);

/* Element (row, column), and a whole row, as floats. */
float coded_element(const Coded *c, int64_t row, int64_t column);
void coded_row(const Coded *c, int64_t row, float *to);

/* How a call reads operand i, a stored matrix [rows, columns] of bf16 or f32, dense and whole. */
typedef enum CodedUse {
    CODED_NOT,                                  /* in a way in which no kernel reads a coded one */
    CODED_ROWS,                                 /* rows of it are picked */
    CODED_TURNED,                               /* B of products, its rows are columns of B */
    CODED_STRAIGHT,                             /* B of products, its rows are rows of B */
} CodedUse;
CodedUse coded_use(const Call *call, int32_t i, int64_t rows, int64_t columns);

#endif
