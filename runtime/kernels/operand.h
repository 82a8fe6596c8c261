/* Small questions about operands that every family asks: checks on a Call and walks over axes. */
#ifndef KERNELS_OPERAND_H
#define KERNELS_OPERAND_H

#include "base/check.h"
#include "runtime/kernels/kernel.h"

/* Any rank. */
enum { RANK_ANY = -1 };

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a / b rounded up; a >= 0, b > 0. */
static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* Product of the sizes of the first `n` axes.  Within kernel_check's bounds it cannot overflow. */
static inline int64_t count_leading(const Operand *o, int32_t n)
{
    int64_t count = 1;
    for (int32_t i = 0; i < n; i++)
        count *= o->dim[i];
    return count;
}

static inline int64_t count_elements(const Operand *o)
{
    return count_leading(o, o->rank);
}

/* Of its elements, whatever lies between them. */
static inline double operand_bytes(const Operand *o)
{
    return (double)count_elements(o) / (double)dtype_block(o->dtype) * (double)dtype_block_bytes(o->dtype);
}

/* Where element `index`, in row-major order over the first `n` axes of `shape`, begins in `o`. */
static inline int64_t leading_offset(const Operand *shape, const Operand *o, int32_t n,
                                     int64_t index)
{
    int64_t offset = 0;
    for (int32_t i = n - 1; i > 0; i--) {
        offset += index % shape->dim[i] * o->stride[i];
        index /= shape->dim[i];
    }
    return n > 0 ? offset + index * o->stride[0] : 0;
}

/* Where rows [first, last) of the first `n` axes of `shape` lie in operand i, whose other axes they hold
 * whole; all of it where memory has the rows in another order. */
static inline KernelReach reach_rows(const Call *call, int32_t i, const Operand *shape, int32_t n,
                                     int64_t first, int64_t last)
{
    const Operand *o = &call->operand[i];
    int64_t below = 0, inside = 1;
    for (int32_t a = n - 1; a >= 0; a--) {
        if (shape->dim[a] > 1 && o->stride[a] < below)
            return kernel_extent(call, i);
        below += (shape->dim[a] - 1) * o->stride[a];
    }
    for (int32_t a = n; a < o->rank; a++)
        inside += (o->dim[a] - 1) * o->stride[a];
    return (KernelReach){ leading_offset(shape, o, n, first),
                          leading_offset(shape, o, n, last - 1) + inside };
}

/* Rank, dtype, and sizes and strides whose products stay so far from the end of int64 that sums of
 * them need no care. */
static inline bool operand_check(const Call *call, int32_t i, DType dtype, int32_t rank, Error *err)
{
    const Operand *o = &call->operand[i];
    if (o->rank < 0 || o->rank > MAX_RANK || (rank != RANK_ANY && o->rank != rank))
        return error_set(err, "operand %d: rank %d, expected %d", i, o->rank, rank);
    if (o->dtype != dtype)
        return error_set(err, "operand %d: type %s, expected %s", i, dtype_name(o->dtype),
                         dtype_name(dtype));
    int64_t count = 1;
    for (int32_t a = 0; a < o->rank; a++) {
        if (o->dim[a] < 0 || o->stride[a] < 0)
            return error_set(err, "operand %d, axis %d: negative size or stride", i, a);
        if (!i64_mul(count, max_i64(o->dim[a], 1), &count) || count > INT64_MAX >> 16)
            return error_set(err, "operand %d: too many elements", i);
        int64_t span;
        if (!i64_mul(o->stride[a], max_i64(o->dim[a], 1), &span) || span > INT64_MAX >> 16)
            return error_set(err, "operand %d, axis %d: stride too large", i, a);
    }
    return true;
}

/* As operand_check; and the last axis is one run of memory. */
static inline bool operand_check_rows(const Call *call, int32_t i, DType dtype, int32_t rank,
                                      Error *err)
{
    if (!operand_check(call, i, dtype, rank, err))
        return false;
    const Operand *o = &call->operand[i];
    if (o->rank < 1)
        return error_set(err, "operand %d: rank 0 where rows are expected", i);
    if (o->dim[o->rank - 1] > 1 && o->stride[o->rank - 1] != 1)
        return error_set(err, "operand %d: rows are not contiguous", i);
    const int64_t block = dtype_block(dtype), row = o->dim[o->rank - 1];
    for (int32_t a = 0; block > 1 && a < o->rank; a++)
        if (a + 1 == o->rank ? row % block : row > 0 && o->stride[a] % row)
            return error_set(err, "operand %d: rows are no whole blocks of %s, or not side by side", i,
                             dtype_name(dtype));
    return true;
}

/* An output's elements must be distinct: two tasks may not write one. */
static inline bool operand_check_output(const Call *call, int32_t i, Error *err)
{
    const Operand *o = &call->operand[i];
    for (int32_t a = 0; a < o->rank; a++)
        if (o->dim[a] > 1 && o->stride[a] == 0)
            return error_set(err, "operand %d, axis %d: an output with stride 0", i, a);
    return true;
}

/* Do the first `n` axes of operands i and j have the same sizes? */
static inline bool operand_check_leading(const Call *call, int32_t i, int32_t j, int32_t n,
                                         Error *err)
{
    const Operand *a = &call->operand[i], *b = &call->operand[j];
    if (a->rank < n || b->rank < n)
        return error_set(err, "operands %d and %d: fewer than %d axes", i, j, n);
    for (int32_t k = 0; k < n; k++)
        if (a->dim[k] != b->dim[k])
            return error_set(err, "operands %d and %d, axis %d: sizes %lld and %lld", i, j, k,
                             (long long)a->dim[k], (long long)b->dim[k]);
    return true;
}

static inline bool operand_check_same(const Call *call, int32_t i, int32_t j, Error *err)
{
    if (call->operand[i].rank != call->operand[j].rank)
        return error_set(err, "operands %d and %d: ranks differ", i, j);
    return operand_check_leading(call, i, j, call->operand[i].rank, err);
}

static inline bool operand_check_count(const Call *call, int32_t n, Error *err)
{
    if (call->n_operands != n)
        return error_set(err, "%d operands, expected %d", call->n_operands, n);
    return true;
}

/* Splits `n` items of `weight` elements each into tasks of about `grain` elements: items a task. */
static inline int64_t items_per_task(int64_t weight, int64_t grain)
{
    return max_i64(1, grain / max_i64(weight, 1));
}

#endif
