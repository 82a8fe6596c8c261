/* What coding takes from a matrix: its table's codes, and its cells (gemm_coded.h). */
#ifndef KERNELS_GEMM_CODED_CELL_H
#define KERNELS_GEMM_CODED_CELL_H

#include "runtime/kernels/gemm_coded.h"
#include "runtime/kernels/operand.h"

#include <string.h>

static inline bool coded_in_bytes(const Coded *c)
{
    return coded_form(c) != CODED_EXPONENTS;
}

/* Exponents with a code, or pairs of them: zero's where the table has it first, and `n` from `low` on. */
typedef struct Codes { uint32_t zero, low, n; } Codes;

static inline Codes codes_of(const Coded *c)
{
    const CodedHead *head = (const void *)c->data;
    const bool bytes = coded_in_bytes(c);
    uint32_t code[2];
    for (int i = 0; i < 2; i++)
        code[i] = c->halves ? (uint32_t)head->table.halves[i] >> (bytes ? 8 : 7) : head->table.floats[i] >> 23;
    const uint32_t zero = code[0] == 0;
    return (Codes){ zero, code[zero], (bytes ? CODED_CODES / 2 : CODED_CODES) - zero };
}

/* The numbers of cell `at`, row after row; those past the ends are of code 0. */
static inline void take_cell(const Coded *c, const void *from, int64_t at, void *cell)
{
    const bool down = coded_form(c) == CODED_BYTES_DOWN;
    const int64_t row = (down ? at % c->down : at / c->across) * c->cell_rows;
    const int64_t column = (down ? at / c->down : at % c->across) * c->cell_columns;
    const CodedHead *head = (const void *)c->data;
    const size_t size = c->halves ? 2 : 4, row_bytes = (size_t)c->cell_columns * size;
    const int64_t rows = min_i64(c->cell_rows, c->rows - row), columns = min_i64(c->cell_columns, c->columns - column);
    if (rows < c->cell_rows || columns < c->cell_columns)
        for (int64_t i = 0; i < CODED_CELL; i++)
            memcpy((char *)cell + (size_t)i * size, &head->table, size);
    for (int64_t r = 0; r < rows; r++)
        memcpy((char *)cell + (size_t)r * row_bytes,
               (const char *)from + (size_t)((row + r) * c->columns + column) * size, (size_t)columns * size);
}

#endif
