/* Products of the benchmark. */
#include "tests/kernels/bench_build.h"

#include "base/check.h"
#include "runtime/kernels/gemm_coded.h"
#include "runtime/kernels/gemm_packed.h"
#include "runtime/kernels/panel.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *name; DType a, b; bool in_bf16; } gemm_types[] = {
    { "f32", DTYPE_f32, DTYPE_f32, false },     { "bf16", DTYPE_bf16, DTYPE_bf16, true },
    { "weights", DTYPE_f32, DTYPE_bf16, true }, { "wide", DTYPE_f32, DTYPE_bf16, false },
    { "rounded", DTYPE_f32, DTYPE_f32, true },
};

/* B, of bf16, as the set would have it; *bytes: of that. */
static bool pack_b(BenchCase *b, int64_t *bytes)
{
    Operand *o = &b->operand[2];
    bool split;
    size_t packed;
    b->call.kernel = KERNEL_gemm;
    if (b->batch > 1 || !gemm_reads_as_b(&b->call, 2, &split) || !gemm_packed_bytes(b->k, b->n, &packed))
        return false;
    const GemmUnpacked from = { o->data, b->k, b->n };
    o->layout = split ? b->packs.split : b->packs.whole;
    if (o->layout == LAYOUT_STRIDES)
        return false;
    o->data = bench_memory(packed);
    gemm_packed_fill(&from, o->layout, 0, ceil_div(b->n, GEMM16_NR), o->data);
    free((void *)(uintptr_t)from.data);
    *bytes = (int64_t)packed;
    return true;
}

/* B coded, where the set reads that and it pays; *bytes: at most. */
static bool code_b(BenchCase *b, DType type, int64_t *bytes)
{
    Operand *o = &b->operand[2];
    const int64_t rows = b->transposed[1] ? b->n : b->k, columns = b->transposed[1] ? b->k : b->n;
    b->call.kernel = KERNEL_gemm;
    const bool reads = type == DTYPE_f32 ? b->packs.codes_near : b->packs.codes;
    if (b->batch > 1 || !reads || coded_use(&b->call, 2, rows, columns) == CODED_NOT)
        return false;
    const Coded c = coded_matrix(type, rows, columns, bench_memory((size_t)*bytes));
    if (!coded_pays(&c, 0))
        return false;
    const bool down = b->packs.form == CODED_BYTES && !b->transposed[1];
    coded_begin(&c, o->data, down ? CODED_BYTES_DOWN : b->packs.form);
    b->packs.fill(&c, o->data, 0, c.down);
    if (!coded_end(&c, o->data))
        return false;
    free(o->data);
    o->data = c.data;
    o->layout = LAYOUT_CODED;
    return true;
}

bool build_gemm(BenchCase *b, const Words *w)
{
    const bool cold = word_is(w, w->n - 1, "cold"), packed = word_is(w, w->n - 1 - cold, "packed");
    const bool coded = word_is(w, w->n - 1 - cold, "coded");
    const int n_sizes = w->n - cold - packed - coded;
    size_t t = 0;
    while (t < COUNT_OF(gemm_types) && !word_is(w, 3, gemm_types[t].name))
        t++;
    if (n_sizes < 5 || n_sizes > 6 || t == COUNT_OF(gemm_types) || strlen(w->word[4]) != 2)
        return false;
    b->m = size_at(w, 0);
    b->k = size_at(w, 1);
    b->n = size_at(w, 2);
    b->batch = n_sizes == 6 ? size_at(w, 5) : 1;
    bench_add(b, DTYPE_f32, b->batch, b->m, b->n, 3);
    bench_add(b, gemm_types[t].a, b->batch, b->m, b->k, 3);
    bench_add(b, gemm_types[t].b, b->batch, b->k, b->n, 3);
    for (int i = 0; i < 2; i++) {
        b->transposed[i] = w->word[4][i] == 't';
        if (b->transposed[i])
            bench_transpose(&b->operand[1 + i]);
    }
    b->call.f[0] = 1;
    b->call.i[4] = gemm_types[t].in_bf16;
    int64_t bytes = b->batch * b->k * b->n * (int64_t)dtype_size(gemm_types[t].b);
    if ((packed && !pack_b(b, &bytes)) || (coded && !code_b(b, gemm_types[t].b, &bytes)))
        return false;
    if (cold)
        bench_make_cold(b, 2, bytes);
    return true;
}

bool build_gemm_shared(BenchCase *b, const Words *w)
{
    const int64_t products = size_at(w, 0), m = size_at(w, 1), k = size_at(w, 2), n = size_at(w, 3);
    const bool half = word_is(w, 4, "bf16");
    const DType t = half ? DTYPE_bf16 : DTYPE_f32;
    if (w->n != 6 || (!half && !word_is(w, 4, "f32")) || strlen(w->word[5]) != 2 || products < 2
        || products > 8)
        return false;
    for (int64_t i = 0; i < products; i++)
        bench_floats(b, m, n);
    bench_add(b, t, 0, m, k, 2);
    for (int64_t i = 0; i < products; i++)
        bench_add(b, t, 0, k, n, 2);
    for (int32_t i = (int32_t)products; i < b->call.n_operands; i++)
        if (w->word[5][i > products] == 't')
            bench_transpose(&b->operand[i]);
    b->call.f[0] = 1;
    b->call.i[4] = half;
    return true;
}

/* A matrix [n, k] of blocks, of which `bytes` are in panels. */
static void blocks(BenchCase *b, DType t, int64_t n, int64_t k, int64_t bytes)
{
    Operand *o = &b->operand[b->call.n_operands++];
    *o = (Operand){ .rank = 2, .dtype = t, .dim = { n, k }, .stride = { k, 1 } };
    o->data = bench_memory((size_t)bytes);
    for (int64_t i = 0; i < bytes; i++)
        ((uint8_t *)o->data)[i] = (uint8_t)((uint64_t)i * 2654435761u >> 13) & 0xbf;
    b->call.f[0] = 1;
}

static bool build_products_q(BenchCase *b, int64_t products, int64_t m, int64_t k, int64_t n,
                             const char *type)
{
    int64_t bytes;
    DType t;
    if (!dtype_from_name(type, &t) || !panel_bytes(t, n, k, &bytes) || products < 1 || products > 8)
        return false;
    for (int64_t i = 0; i < products; i++)
        bench_floats(b, m, n);
    bench_floats(b, m, k);
    for (int64_t i = 0; i < products; i++)
        blocks(b, t, n, k, bytes);
    return true;
}

bool build_gemm_q(BenchCase *b, const Words *w)
{
    const int64_t k = size_at(w, 1), n = size_at(w, 2);
    const bool cold = word_is(w, 4, "cold");
    int64_t bytes;
    if (w->n != 4 + cold || !build_products_q(b, 1, size_at(w, 0), k, n, w->word[3]))
        return false;
    if (cold && panel_bytes(b->operand[2].dtype, n, k, &bytes))
        bench_make_cold(b, 2, bytes);
    return true;
}

bool build_gemm_q_shared(BenchCase *b, const Words *w)
{
    return w->n == 5
        && build_products_q(b, size_at(w, 0), size_at(w, 1), size_at(w, 2), size_at(w, 3), w->word[4]);
}

bool build_masked_matmul(BenchCase *b, const Words *w)
{
    const int64_t m = size_at(w, 0), k = size_at(w, 1), n = size_at(w, 2);
    bench_floats(b, m, n);
    bench_floats(b, m, k);
    bench_floats(b, n, k);
    bench_floats(b, m, 1);
    for (int64_t i = 0; i < m; i++)
        ((float *)b->operand[3].data)[i] = (float)(i % 4 == 0);
    return w->n == 3;
}
