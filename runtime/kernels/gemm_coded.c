/* Coding a matrix, and single elements of one that is coded. */
#include "runtime/kernels/gemm_coded_cell.h"

#include "base/check.h"
#include "base/half.h"
#include "runtime/kernels/row.h"

#include <string.h>

enum { VECTOR = 64, EXPONENTS = 256, SAMPLED = 16, CODED_SIGN = 0x8000 };

static size_t round_to_vector(size_t n)
{
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

Coded coded_matrix(DType type, int64_t rows, int64_t columns, void *data)
{
    Coded c = { .halves = type == DTYPE_bf16, .rows = rows, .columns = columns, .data = data };
    c.cell_rows = c.halves ? 4 : 8;
    c.cell_columns = CODED_CELL / c.cell_rows;
    c.cell_bytes = (c.halves ? 3 : 7) * VECTOR;
    c.plain_bytes = CODED_CELL * (c.halves ? 2 : 4);
    c.down = ceil_div(rows, c.cell_rows);
    c.across = ceil_div(columns, c.cell_columns);
    if (!data)
        return c;
    c.cells = c.data + sizeof(CodedHead);
    c.is_plain = c.cells + c.down * c.across * c.cell_bytes;
    c.plain = c.is_plain + round_to_vector((size_t)(c.down * c.across));
    return c;
}

bool coded_bytes(const Coded *c, int64_t n_plain, size_t *out)
{
    int64_t cells, plain;
    size_t n, bytes;
    if (!i64_mul(c->down, c->across, &cells) || !i64_mul(cells, c->cell_bytes, &plain) || plain > INT64_MAX / 4)
        return false;
    n = round_to_vector((size_t)cells);
    bytes = (size_t)plain;
    return size_mul((size_t)n_plain, (size_t)c->plain_bytes, out) && size_add(*out, n, out)
        && size_add(*out, bytes, out) && size_add(*out, sizeof(CodedHead), out);
}

bool coded_pays(const Coded *c, int64_t n_plain)
{
    size_t bytes;
    const size_t was = (size_t)(c->rows * c->columns) * (c->halves ? 2 : 4);
    return coded_bytes(c, n_plain, &bytes) && bytes <= was - was / 12;
}

/* ---- the table --------------------------------------------------------------------------------- */

static int exponent_at(const Coded *c, const void *from, int64_t i)
{
    return c->halves ? ((const uint16_t *)from)[i] >> 7 & 0xff
                     : (int)(((const uint32_t *)from)[i] >> 23 & 0xff);
}

/* The first of n neighbours of which most are met, among `all` without the last.  Where there are several choices,
 * because a sample is small, `above` more than all that are in it: the largest numbers of a matrix are the rare
 * ones. */
static int lowest_of(const int64_t *met, int from, int all, int n, int above)
{
    int64_t most = -1;
    int first = 0, low = 0;
    for (int i = from; i + n < all; i++) {
        int64_t sum = 0;
        for (int e = i; e < i + n; e++)
            sum += met[e];
        if (sum > most)
            first = i;
        if (sum > most || (sum == most && i <= first + above))
            low = i;
        most = sum > most ? sum : most;
    }
    return low;
}

/* Neighbouring exponents, or pairs of them, those that are met most; and zero's with them, where there are zeros.
 * Infinity's is none of them. */
void coded_begin(const Coded *c, const void *from, CodedForm form)
{
    CodedHead head = { .form = form };
    const int each = c->halves && form != CODED_EXPONENTS ? 2 : 1, codes = CODED_CODES / each;
    int64_t met[EXPONENTS] = { 0 };
    for (int64_t r = 0; r < c->rows; r += SAMPLED)
        for (int64_t i = r * c->columns; i < (r + 1) * c->columns; i++)
            met[exponent_at(c, from, i) / each]++;
    const int zero = met[0] > 0, low = lowest_of(met, zero, EXPONENTS / each, codes - zero, 2 / each);
    for (int i = 0; i < CODED_CODES; i++) {
        const int e = i % codes < zero ? 0 : (low + i % codes - zero) * each;
        if (c->halves)
            head.table.halves[i] = head.table.halves[i + CODED_CODES]
                                 = (uint16_t)(e << 7 | (i < codes ? 0 : CODED_SIGN));
        else
            head.table.floats[i] = (uint32_t)e << 23;
    }
    memcpy(c->data, &head, sizeof head);
}

/* ---- plain cells ------------------------------------------------------------------------------- */

bool coded_end(const Coded *c, const void *from)
{
    CodedHead *head = (void *)c->data;
    for (int64_t at = 0; at < c->down * c->across; at++)
        head->n_plain += c->is_plain[at];
    if (head->n_plain > UINT32_MAX || !coded_pays(c, head->n_plain))
        return false;
    uint32_t n = 0;
    for (int64_t at = 0; at < c->down * c->across; at++)
        if (c->is_plain[at]) {
            take_cell(c, from, at, c->plain + n * c->plain_bytes);
            memcpy(c->cells + at * c->cell_bytes, &n, sizeof n);
            n++;
        }
    return true;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static float element_of_halves(const CodedHead *head, const uint16_t *cell, int64_t r, int64_t i)
{
    const uint16_t w = cell[r / 2 * 32 + i], turned = (uint16_t)(w << 8 | w >> 8);
    return f32_of_bf16((uint16_t)(((r % 2 ? turned : w) & CODED_FRACTION)
                                  | head->table.halves[cell[64 + i] >> 4 * r & 15]));
}

static float element_of_bytes(const CodedHead *head, const uint8_t *cell, int64_t r, int64_t i)
{
    const int64_t at = i / 8 * 16 + r % 2 * 8 + i % 8;
    return f32_of_bf16((uint16_t)(head->table.halves[cell[128 + at] >> r / 2 * 4 & 15] | cell[r / 2 * 64 + at]));
}

static float element_of_floats(const CodedHead *head, const uint32_t *cell, int64_t r, int64_t i)
{
    const uint32_t w = cell[16 * (1 + r / 4) + i], by = (uint32_t)(8 * (r % 4)), low = cell[16 * (3 + r / 2) + i];
    const uint32_t bits = ((by ? w << by | w >> (32 - by) : w) & (uint32_t)CODED_FRACTION << 16)
                        | (r % 2 ? low >> 16 : low & 0xffff) | head->table.floats[cell[i] >> 4 * r & 15];
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Columns [0, n) of row r of a cell. */
static void cell_row(const Coded *c, int64_t at, int64_t r, int64_t n, float *to)
{
    const void *cell = c->cells + at * c->cell_bytes;
    uint32_t index;
    memcpy(&index, cell, sizeof index);
    const void *plain = c->plain + (c->is_plain[at] ? index : 0) * c->plain_bytes;
    if (c->is_plain[at] && !c->halves)
        memcpy(to, (const float *)plain + r * 16, (size_t)n * sizeof *to);
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = c->is_plain[at] ? f32_of_bf16(((const uint16_t *)plain)[r * 32 + i])
                  : coded_in_bytes(c) ? element_of_bytes((const void *)c->data, cell, r, i)
                  : c->halves ? element_of_halves((const void *)c->data, cell, r, i)
                  : element_of_floats((const void *)c->data, cell, r, i);
}

float coded_element(const Coded *c, int64_t row, int64_t column)
{
    float x[32];
    cell_row(c, coded_at(c, row / c->cell_rows, column / c->cell_columns), row % c->cell_rows,
             column % c->cell_columns + 1, x);
    return x[column % c->cell_columns];
}

void coded_row(const Coded *c, int64_t row, float *to)
{
    for (int64_t j = 0; j < c->columns; j += c->cell_columns)
        cell_row(c, coded_at(c, row / c->cell_rows, j / c->cell_columns), row % c->cell_rows,
                 min_i64(c->cell_columns, c->columns - j), to + j);
}

/* ---- who reads it ------------------------------------------------------------------------------ */

static CodedUse use_as_b(const Call *call, int32_t i, int64_t rows, int64_t columns)
{
    const int32_t results = kernel_results(call->kernel, call->n_operands);
    const Operand *b = &call->operand[i];
    const int64_t *dim = b->dim + b->rank - 2, *stride = b->stride + b->rank - 2;
    if (i <= results || (call->kernel == KERNEL_gemm && i != results + 1))
        return CODED_NOT;
    for (int32_t axis = 0; axis < b->rank - 2; axis++)
        if (b->stride[axis] != 0 && b->dim[axis] != 1)
            return CODED_NOT;
    if (b->dtype == DTYPE_f32 && (call->i[4] != 0 || call->operand[results].dtype != DTYPE_f32))
        return CODED_NOT;
    if (dim[0] == columns && dim[1] == rows && stride[0] == 1 && stride[1] == columns)
        return CODED_TURNED;
    return dim[0] == rows && dim[1] == columns && stride[0] == columns && stride[1] == 1 ? CODED_STRAIGHT : CODED_NOT;
}

CodedUse coded_use(const Call *call, int32_t i, int64_t rows, int64_t columns)
{
    const Operand *o = &call->operand[i];
    const bool table = call->kernel == KERNEL_row ? row_is_table(call->row, i)
                                                  : call->kernel == KERNEL_embedding && i == 1;
    if ((o->dtype != DTYPE_bf16 && o->dtype != DTYPE_f32) || rows < 2 || columns < 2)
        return CODED_NOT;
    if (call->kernel == KERNEL_gemm || call->kernel == KERNEL_gemm_shared)
        return use_as_b(call, i, rows, columns);
    return table && o->rank == 2 && o->dim[0] == rows && o->dim[1] == columns && o->stride[0] == columns
           && o->stride[1] == 1 ? CODED_ROWS : CODED_NOT;
}
