/* Operands of the benchmark, and the words that they are made from. */
#include "tests/kernels/bench_build.h"

#include "base/half.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int64_t size_at(const Words *w, int i)
{
    const long long x = i < w->n ? atoll(w->word[i]) : 0;
    return x > 0 && x < (1 << 30) ? x : 1;
}

bool word_is(const Words *w, int i, const char *word)
{
    return i < w->n && strcmp(w->word[i], word) == 0;
}

void *bench_memory(size_t bytes)
{
    const size_t page = bytes < (size_t)2 << 20 ? 4096 : (size_t)2 << 20;
    void *p = aligned_alloc(page, (bytes + page - 1) / page * page + page);
    if (!p)
        abort();
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    return p;
}

/* Bits of i that look random. */
static uint32_t scramble(uint32_t i)
{
    uint32_t x = i * 2654435761u;
    return (x ^ x >> 15) * 2246822519u;
}

/* Floats from -1 to 1 with all their bits, for short ones take less power and tiles run faster on them; small
 * ids; bytes of blocks whose scales are finite. */
static void fill(Operand *o, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = scramble((uint32_t)i);
        const float x = (float)(bits >> 8) / (1 << 23) - 1;
        if (o->dtype == DTYPE_f32)
            ((float *)o->data)[i] = x;
        else if (o->dtype == DTYPE_bf16)
            ((uint16_t *)o->data)[i] = bf16_of_f32(x);
        else
            ((int32_t *)o->data)[i] = (int32_t)(bits >> 8) & 31;
    }
}

Operand *bench_add(BenchCase *b, DType t, int64_t x, int64_t y, int64_t z, int rank)
{
    Operand *o = &b->operand[b->call.n_operands++];
    const int64_t dims[3] = { x, y, z };
    int64_t n = 1;
    *o = (Operand){ .rank = rank, .dtype = t };
    for (int i = rank - 1; i >= 0; i--) {
        o->dim[i] = dims[3 - rank + i];
        o->stride[i] = n;
        n *= o->dim[i];
    }
    o->data = bench_memory((size_t)n * dtype_size(t));
    fill(o, n);
    return o;
}

void bench_floats(BenchCase *b, int64_t rows, int64_t columns)
{
    bench_add(b, DTYPE_f32, 0, rows, columns, 2);
}

void bench_heads(BenchCase *b, int64_t h, int64_t rows, int64_t columns)
{
    Operand *o = bench_add(b, DTYPE_f32, h, rows, columns, 3);
    memmove(o->dim + 1, o->dim, 3 * sizeof *o->dim);
    memmove(o->stride + 1, o->stride, 3 * sizeof *o->stride);
    o->dim[0] = 1;
    o->stride[0] = h * rows * columns;
    o->rank = 4;
}

void bench_ids(BenchCase *b, int64_t n)
{
    bench_add(b, DTYPE_i32, 0, 0, n, 1);
}

void bench_transpose(Operand *o)
{
    o->stride[o->rank - 1] = o->dim[o->rank - 2];
    o->stride[o->rank - 2] = 1;
}

void bench_make_cold(BenchCase *b, int i, int64_t bytes)
{
    const size_t wanted = 2 * cpu_caches().l3, least = (size_t)256 << 20, most = (size_t)1 << 30;
    const size_t total = wanted < least ? least : wanted > most ? most : wanted;
    b->cold = i;
    b->copy_bytes = (bytes + 4095) / 4096 * 4096;
    b->n_copies = (int64_t)total / b->copy_bytes + 1;
    b->ring = bench_memory((size_t)(b->n_copies * b->copy_bytes));
    for (int64_t k = 0; k < b->n_copies; k++)
        memcpy(b->ring + k * b->copy_bytes, b->operand[i].data, (size_t)bytes);
    free(b->operand[i].data);
    b->operand[i].data = b->ring;
}
