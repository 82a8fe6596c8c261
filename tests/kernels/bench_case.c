/* Cases of the benchmark of kernels. */
#include "bench_case.h"

#include "base/blocks.h"
#include "base/check.h"
#include "base/half.h"
#include "runtime/kernels/gemm_coded.h"
#include "runtime/kernels/gemm_packed.h"
#include "runtime/kernels/panel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The words behind the family's name. */
typedef struct Words {
    int n;
    char word[BENCH_WORDS][24];
} Words;

static int64_t size_at(const Words *w, int i)
{
    const long long x = i < w->n ? atoll(w->word[i]) : 0;
    return x > 0 && x < (1 << 30) ? x : 1;
}

static bool word_is(const Words *w, int i, const char *word)
{
    return i < w->n && strcmp(w->word[i], word) == 0;
}

/* ---- operands --------------------------------------------------------------------------------- */

/* In large pages, as a session's block is. */
static void *memory(size_t bytes)
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

/* Row-major, of sizes a, b, c with leading ones left out. */
static Operand *add(BenchCase *b, DType t, int64_t x, int64_t y, int64_t z, int rank)
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
    o->data = memory((size_t)n * dtype_size(t));
    fill(o, n);
    return o;
}

static void floats(BenchCase *b, int64_t rows, int64_t columns)
{
    add(b, DTYPE_f32, 0, rows, columns, 2);
}

/* [1, heads, rows, columns] */
static void heads(BenchCase *b, int64_t h, int64_t rows, int64_t columns)
{
    Operand *o = add(b, DTYPE_f32, h, rows, columns, 3);
    memmove(o->dim + 1, o->dim, 3 * sizeof *o->dim);
    memmove(o->stride + 1, o->stride, 3 * sizeof *o->stride);
    o->dim[0] = 1;
    o->stride[0] = h * rows * columns;
    o->rank = 4;
}

static void ids(BenchCase *b, int64_t n)
{
    add(b, DTYPE_i32, 0, 0, n, 1);
}

static void turn(Operand *o)
{
    o->stride[o->rank - 1] = o->dim[o->rank - 2];
    o->stride[o->rank - 2] = 1;
}

/* ---- row programs ----------------------------------------------------------------------------- */

static int in(BenchCase *b, RowOp op, int dst, int x, int y)
{
    b->instrs[b->row.n_instrs++] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)dst,
                                               .a = (uint16_t)x, .b = (uint16_t)y };
    return dst;
}

static int constant(BenchCase *b, float value)
{
    memcpy(&b->consts[b->row.n_consts], &value, sizeof value);
    return b->call.n_operands + b->row.n_consts++;
}

/* Parameters, gradient, two moments: three of them in place. */
static void build_adamw(BenchCase *b)
{
    enum { P, G, M, V };
    b->row.outputs = 1 << P | 1 << M | 1 << V;
    int beta1 = constant(b, 0.9f), rest1 = constant(b, 0.1f), beta2 = constant(b, 0.999f);
    int rest2 = constant(b, 0.001f), eps = constant(b, 1e-8f), rate = constant(b, 1e-3f);
    int decay = constant(b, 0.9999f), unbias = constant(b, 1.1f), factor = constant(b, 0.5f);
    int t = b->call.n_operands + b->row.n_consts, u = t + 1;
    b->row.n_temps = 3;
    in(b, ROW_mul, t, G, factor);
    in(b, ROW_mul, u, t, rest1);
    in(b, ROW_mul, t, t, t);
    in(b, ROW_mul, t, t, rest2);
    in(b, ROW_mul, t + 2, M, beta1);
    in(b, ROW_add, M, t + 2, u);
    in(b, ROW_mul, u, V, beta2);
    in(b, ROW_add, V, u, t);
    in(b, ROW_sqrt, t, V, 0);
    in(b, ROW_mul, t, t, unbias);
    in(b, ROW_add, t, t, eps);
    in(b, ROW_div, t, M, t);
    in(b, ROW_mul, t, rate, t);
    in(b, ROW_mul, u, P, decay);
    in(b, ROW_sub, P, u, t);
}

static void build_softmax(BenchCase *b)
{
    enum { X, Y, MAX, E, SUM };
    b->row.outputs = 1 << Y;
    b->row.n_temps = 3;
    b->per_row[0] = b->per_row[2] = 1;
    in(b, ROW_max, MAX, X, 0);
    in(b, ROW_sub, E, X, MAX);
    in(b, ROW_exp, E, E, 0);
    in(b, ROW_sum, SUM, E, 0);
    in(b, ROW_recip, SUM, SUM, 0);
    in(b, ROW_mul, Y, E, SUM);
}

static void build_norm(BenchCase *b, int64_t n)
{
    enum { X, Y, WEIGHT, BIAS };
    b->row.outputs = 1 << Y;
    int scale = constant(b, 1.0f / (float)n), eps = constant(b, 1e-5f);
    int mean = b->call.n_operands + b->row.n_consts, d = mean + 1, square = d + 1, rstd = square + 1;
    b->row.n_temps = 4;
    b->per_row[0] = b->per_row[3] = 1;
    in(b, ROW_sum, mean, X, 0);
    in(b, ROW_mul, mean, mean, scale);
    in(b, ROW_sub, d, X, mean);
    in(b, ROW_mul, square, d, d);
    in(b, ROW_sum, rstd, square, 0);
    in(b, ROW_mul, rstd, rstd, scale);
    in(b, ROW_add, rstd, rstd, eps);
    in(b, ROW_rsqrt, rstd, rstd, 0);
    in(b, ROW_mul, d, d, rstd);
    in(b, ROW_mul, d, d, WEIGHT);
    in(b, ROW_add, Y, d, BIAS);
}

/* The gradient of a norm without bias that stands before a residual: of its input, beside the sums for its weight's.
 * What the norm makes itself is made again. */
static void build_norm_grad(BenchCase *b, int64_t rows, int64_t n)
{
    enum { Z, G, RESIDUAL, NORMED, OUT, RSTD, WEIGHT, SUMS, HALF, SCALE, T, U, MEAN, SLOPE };
    add(b, DTYPE_f32, 0, rows, 1, 2)->stride[1] = 0;
    add(b, DTYPE_f32, 0, rows, n, 2)->stride[0] = 0;
    floats(b, 48, n);
    b->row.outputs = 1 << NORMED | 1 << OUT | 1 << SUMS;
    constant(b, -0.5f);
    constant(b, 1.0f / (float)n);
    b->row.n_temps = 4;
    b->per_row[2] = b->per_row[3] = 1;
#define INSTR(op, dst, x, y) in(b, ROW_##op, dst, x, y);
#define BESIDE INSTR
#include "norm_gradient.def"
}

static bool build_op(BenchCase *b, RowOp op)
{
    const int n = row_op_inputs(op), out = n;
    const bool reduces = row_op_kind(op) == ROW_REDUCE;
    if (op == ROW_dropout || op == ROW_gather)
        return false;
    b->instrs[0] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)out, .b = n > 1, .c = n > 2 ? 2 : 0 };
    b->row.n_instrs = 1;
    b->row.outputs = 1u << out;
    if (reduces) {
        b->operand[out].dim[1] = 1;
        b->operand[out].stride[1] = 0;
    }
    return true;
}

static bool build_row(BenchCase *b, const Words *w)
{
    const int64_t rows = size_at(w, 1), n = size_at(w, 2);
    RowOp op = ROW_copy;
    const bool adamw = word_is(w, 0, "adamw"), softmax = word_is(w, 0, "softmax");
    const bool norm = word_is(w, 0, "norm"), norm_grad = word_is(w, 0, "norm_grad");
    if (w->n != 3 || (!adamw && !softmax && !norm && !norm_grad && !row_op_from_name(w->word[0], &op)))
        return false;
    const int operands = norm_grad ? 5 : adamw ? 4 : softmax || norm ? 2 : row_op_inputs(op) + 1;
    for (int i = 0; i < operands; i++)
        floats(b, rows, n);
    for (int i = 0; norm && i < 2; i++)
        add(b, DTYPE_f32, 0, rows, n, 2)->stride[0] = 0;
    b->row.rank = 2;
    b->row.dim[0] = rows;
    b->row.dim[1] = n;
    b->row.consts = b->consts;
    b->row.temp_per_row = b->per_row;
    b->row.instrs = b->instrs;
    b->call.row = &b->row;
    if (adamw)
        build_adamw(b);
    else if (softmax)
        build_softmax(b);
    else if (norm)
        build_norm(b, n);
    else if (norm_grad)
        build_norm_grad(b, rows, n);
    else
        return build_op(b, op);
    return true;
}

/* ---- the other families ----------------------------------------------------------------------- */

static const struct { const char *name; DType a, b; bool in_bf16; } gemm_types[] = {
    { "f32", DTYPE_f32, DTYPE_f32, false },     { "bf16", DTYPE_bf16, DTYPE_bf16, true },
    { "weights", DTYPE_f32, DTYPE_bf16, true }, { "wide", DTYPE_f32, DTYPE_bf16, false },
    { "rounded", DTYPE_f32, DTYPE_f32, true },
};

/* Operand `i` comes from a ring of copies of what it has. */
static void make_cold(BenchCase *b, int i, int64_t bytes)
{
    const size_t wanted = 2 * cpu_caches().l3, least = (size_t)256 << 20, most = (size_t)1 << 30;
    const size_t total = wanted < least ? least : wanted > most ? most : wanted;
    b->cold = i;
    b->copy_bytes = (bytes + 4095) / 4096 * 4096;
    b->n_copies = (int64_t)total / b->copy_bytes + 1;
    b->ring = memory((size_t)(b->n_copies * b->copy_bytes));
    for (int64_t k = 0; k < b->n_copies; k++)
        memcpy(b->ring + k * b->copy_bytes, b->operand[i].data, (size_t)bytes);
    free(b->operand[i].data);
    b->operand[i].data = b->ring;
}

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
    o->data = memory(packed);
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
    if (b->batch > 1 || !b->packs.codes || coded_use(&b->call, 2, rows, columns) == CODED_NOT)
        return false;
    const Coded c = coded_matrix(type, rows, columns, memory((size_t)*bytes));
    if (!coded_pays(&c, 0))
        return false;
    coded_begin(&c, o->data);
    b->packs.fill(&c, o->data, 0, c.down);
    if (!coded_end(&c, o->data))
        return false;
    free(o->data);
    o->data = c.data;
    o->layout = LAYOUT_CODED;
    return true;
}

static bool build_gemm(BenchCase *b, const Words *w)
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
    add(b, DTYPE_f32, b->batch, b->m, b->n, 3);
    add(b, gemm_types[t].a, b->batch, b->m, b->k, 3);
    add(b, gemm_types[t].b, b->batch, b->k, b->n, 3);
    for (int i = 0; i < 2; i++) {
        b->transposed[i] = w->word[4][i] == 't';
        if (b->transposed[i])
            turn(&b->operand[1 + i]);
    }
    b->call.f[0] = 1;
    b->call.i[4] = gemm_types[t].in_bf16;
    int64_t bytes = b->batch * b->k * b->n * (int64_t)dtype_size(gemm_types[t].b);
    if ((packed && !pack_b(b, &bytes)) || (coded && !code_b(b, gemm_types[t].b, &bytes)))
        return false;
    if (cold)
        make_cold(b, 2, bytes);
    return true;
}

static bool build_gemm_shared(BenchCase *b, const Words *w)
{
    const int64_t products = size_at(w, 0), m = size_at(w, 1), k = size_at(w, 2), n = size_at(w, 3);
    const bool half = word_is(w, 4, "bf16");
    const DType t = half ? DTYPE_bf16 : DTYPE_f32;
    if (w->n != 6 || (!half && !word_is(w, 4, "f32")) || strlen(w->word[5]) != 2 || products < 2
        || products > 8)
        return false;
    for (int64_t i = 0; i < products; i++)
        floats(b, m, n);
    add(b, t, 0, m, k, 2);
    for (int64_t i = 0; i < products; i++)
        add(b, t, 0, k, n, 2);
    for (int32_t i = (int32_t)products; i < b->call.n_operands; i++)
        if (w->word[5][i > products] == 't')
            turn(&b->operand[i]);
    b->call.f[0] = 1;
    b->call.i[4] = half;
    return true;
}

/* A matrix [n, k] of blocks, of which `bytes` are in panels. */
static void blocks(BenchCase *b, DType t, int64_t n, int64_t k, int64_t bytes)
{
    Operand *o = &b->operand[b->call.n_operands++];
    *o = (Operand){ .rank = 2, .dtype = t, .dim = { n, k }, .stride = { k, 1 } };
    o->data = memory((size_t)bytes);
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
        floats(b, m, n);
    floats(b, m, k);
    for (int64_t i = 0; i < products; i++)
        blocks(b, t, n, k, bytes);
    return true;
}

static bool build_gemm_q(BenchCase *b, const Words *w)
{
    const int64_t k = size_at(w, 1), n = size_at(w, 2);
    const bool cold = word_is(w, 4, "cold");
    int64_t bytes;
    if (w->n != 4 + cold || !build_products_q(b, 1, size_at(w, 0), k, n, w->word[3]))
        return false;
    if (cold && panel_bytes(b->operand[2].dtype, n, k, &bytes))
        make_cold(b, 2, bytes);
    return true;
}

static bool build_gemm_q_shared(BenchCase *b, const Words *w)
{
    return w->n == 5
        && build_products_q(b, size_at(w, 0), size_at(w, 1), size_at(w, 2), size_at(w, 3), w->word[4]);
}

static bool build_masked_matmul(BenchCase *b, const Words *w)
{
    const int64_t m = size_at(w, 0), k = size_at(w, 1), n = size_at(w, 2);
    floats(b, m, n);
    floats(b, m, k);
    floats(b, n, k);
    floats(b, m, 1);
    for (int64_t i = 0; i < m; i++)
        ((float *)b->operand[3].data)[i] = (float)(i % 4 == 0);
    return w->n == 3;
}

/* The tensor as a cache of that type keeps it. */
static bool store(Operand *o, DType t)
{
    int64_t bytes;
    if (!dtype_offset(t, o->stride[0], &bytes))
        return false;
    void *stored = memory((size_t)bytes);
    const bool fits = blocks_encode(t, (size_t)o->stride[0], o->data, stored, NULL);
    free(o->data);
    o->data = stored;
    o->dtype = t;
    return fits;
}

static bool build_attention(BenchCase *b, const Words *w)
{
    const int64_t h = size_at(w, 0), t = size_at(w, 1), d = size_at(w, 2);
    const bool rounded = w->n == 4 && strcmp(w->word[3], "rounded") == 0;
    const int64_t groups = w->n > 3 && !rounded ? size_at(w, 3) : h, past = w->n > 4 ? size_at(w, 4) : 0;
    heads(b, h, t, d);
    Operand *lse = add(b, DTYPE_f32, 1, h, t, 3);
    lse->stride[0] = h * t;
    heads(b, h, t, d);
    DType stored = DTYPE_f32;
    const bool known = w->n < 6 || dtype_from_name(w->word[5], &stored);
    for (int i = 0; i < 2; i++) {
        heads(b, groups, t + past, d);
        if (stored != DTYPE_f32 && !store(&b->operand[b->call.n_operands - 1], stored))
            return false;
    }
    if (past) {
        *(int32_t *)add(b, DTYPE_i32, 0, 0, 0, 0)->data = (int32_t)past;
        b->call.i[2] = 1;
    }
    b->call.i[0] = 1;
    b->call.i[5] = rounded;
    b->call.f[0] = 0.125;
    return known && w->n >= 3 && w->n <= 6;
}

static bool build_attention_grad(BenchCase *b, const Words *w)
{
    const int64_t h = size_at(w, 0), t = size_at(w, 1), d = size_at(w, 2);
    for (int i = 0; i < 7; i++)
        heads(b, h, t, d);
    Operand *lse = add(b, DTYPE_f32, 1, h, t, 3);
    for (int64_t i = 0; i < h * t; i++)
        ((float *)lse->data)[i] = 8;    /* of many scores: weights are below 1 */
    heads(b, h, t, d);
    b->call.i[0] = 1;
    b->call.i[5] = w->n == 4 && strcmp(w->word[3], "rounded") == 0;
    b->call.f[0] = 0.125;
    return w->n == 3 || b->call.i[5];
}

static bool build_embedding(BenchCase *b, const Words *w)
{
    floats(b, size_at(w, 2), size_at(w, 1));
    floats(b, size_at(w, 0), size_at(w, 1));
    ids(b, size_at(w, 2));
    return w->n == 3;
}

static bool build_embedding_grad(BenchCase *b, const Words *w)
{
    floats(b, size_at(w, 0), size_at(w, 1));
    ids(b, size_at(w, 2));
    floats(b, size_at(w, 2), size_at(w, 1));
    return w->n == 3;
}

static bool build_decode(BenchCase *b, const Words *w)
{
    floats(b, size_at(w, 0), size_at(w, 1));
    add(b, DTYPE_bf16, 0, size_at(w, 0), size_at(w, 1), 2);
    return w->n == 2;
}

static bool build_rope(BenchCase *b, const Words *w)
{
    heads(b, size_at(w, 0), size_at(w, 1), size_at(w, 2));
    heads(b, size_at(w, 0), size_at(w, 1), size_at(w, 2));
    ids(b, size_at(w, 1));
    b->call.f[0] = 10000;
    return w->n == 3;
}

static bool build_cache_write(BenchCase *b, const Words *w)
{
    heads(b, size_at(w, 0), 4 * size_at(w, 1), size_at(w, 2));
    heads(b, size_at(w, 0), size_at(w, 1), size_at(w, 2));
    add(b, DTYPE_i32, 0, 0, 0, 0);
    return w->n == 3;
}

static bool build_cross_entropy(BenchCase *b, const Words *w)
{
    const int64_t n = size_at(w, 0), v = size_at(w, 1);
    add(b, DTYPE_f32, 0, 0, n, 1);
    add(b, DTYPE_f32, 0, 0, n, 1);
    floats(b, n, v);
    ids(b, n);
    b->call.i[0] = -1;
    return w->n == 2;
}

static bool build_cross_entropy_grad(BenchCase *b, const Words *w)
{
    const int64_t n = size_at(w, 0), v = size_at(w, 1);
    floats(b, n, v);
    floats(b, n, v);
    add(b, DTYPE_f32, 0, 0, n, 1);
    ids(b, n);
    add(b, DTYPE_f32, 0, 0, n, 1);
    b->call.i[0] = -1;
    b->call.f[0] = 1;
    return w->n == 2;
}

static bool build_reduce(BenchCase *b, const Words *w)
{
    add(b, DTYPE_f32, 0, size_at(w, 0), 1, 2);
    floats(b, size_at(w, 0), size_at(w, 1));
    return w->n == 2;
}
#define build_reduce_sum build_reduce
#define build_reduce_max build_reduce
#define build_reduce_min build_reduce

static bool build_partial_sum(BenchCase *b, const Words *w)
{
    add(b, DTYPE_f32, 0, 0, N_PARTIALS, 1);
    add(b, DTYPE_f32, 0, 0, size_at(w, 0), 1);
    return w->n == 1;
}

static bool build_copy(BenchCase *b, const Words *w)
{
    floats(b, size_at(w, 0), size_at(w, 1));
    floats(b, size_at(w, 0), size_at(w, 1));
    turn(&b->operand[1]);
    return w->n == 2;
}

static bool build_positions(BenchCase *b, const Words *w)
{
    ids(b, size_at(w, 0));
    return w->n == 1;
}

/* ---- the table -------------------------------------------------------------------------------- */

static const struct {
    bool (*build)(BenchCase *b, const Words *w);
} families[N_KERNELS] = {
#define KERNEL(name, min, max) [KERNEL_##name] = { build_##name },
#include "runtime/kernels/kernels.def"
};

/* The sizes that a training step of GPT-2 has at 256 positions, or a token of it. */
static const char *const usual[N_KERNELS] = {
    [KERNEL_row] = "softmax 12288 1024",
    [KERNEL_gemm] = "256 768 3072 f32 nn",
    [KERNEL_gemm_shared] = "3 256 768 768 f32 nn",
    [KERNEL_gemm_q] = "1 2048 5632 q8_0",
    [KERNEL_gemm_q_shared] = "2 1 2048 5632 q8_0",
    [KERNEL_masked_matmul] = "16 768 3072",
    [KERNEL_attention] = "12 256 64",
    [KERNEL_attention_grad] = "12 256 64",
    [KERNEL_embedding] = "50257 768 256",
    [KERNEL_decode] = "1024 768",
    [KERNEL_embedding_grad] = "50257 768 256",
    [KERNEL_rope] = "12 256 64",
    [KERNEL_cross_entropy] = "256 50257",
    [KERNEL_cross_entropy_grad] = "256 50257",
    [KERNEL_reduce_sum] = "256 3072",
    [KERNEL_reduce_max] = "256 3072",
    [KERNEL_reduce_min] = "256 3072",
    [KERNEL_partial_sum] = "2359296",
    [KERNEL_copy] = "768 3072",
    [KERNEL_cache_write] = "12 64 64",
    [KERNEL_positions] = "1024",
};

const char *bench_case_default(int index, char buffer[128])
{
    enum { SIZES = 2, CACHED = 4096, FROM_MEMORY = 1 << 22 };
    if (index < N_KERNELS) {
        const char *sizes = usual[index];
        snprintf(buffer, 128, "%s %s", kernel_name((KernelId)index), sizes ? sizes : "");
        return buffer;
    }
    const int op = (index - N_KERNELS) / SIZES;
    if (op >= ROW_dropout)
        return NULL;
    snprintf(buffer, 128, "row %s 1 %d", row_op_name((RowOp)op), index % SIZES ? FROM_MEMORY : CACHED);
    return buffer;
}

/* GPT-2's training step at 256 positions and nanoGPT's, products inside attention, tokens; then blocks,
 * attention, programs of rows. */
static const char *const further[] = {
    "gemm 512 512 512 f32 nn", "gemm 1024 1024 1024 f32 nn", "gemm 256 768 2304 f32 nn",
    "gemm 256 2304 768 f32 nt", "gemm 768 256 2304 f32 tn", "gemm 256 3072 768 f32 nn",
    "gemm 256 3072 768 f32 nt", "gemm 768 256 3072 f32 tn", "gemm 768 1024 3072 f32 tn",
    "gemm 3072 256 768 f32 tn", "gemm 256 768 50257 f32 nt", "gemm 256 50257 768 f32 nn",
    "gemm 50257 256 768 f32 tn", "gemm 768 128 384 f32 nn", "gemm 768 128 128 f32 nn",
    "gemm 768 128 512 f32 nn", "gemm 768 512 128 f32 nn", "gemm 768 512 128 f32 nt",
    "gemm 128 768 512 f32 tn", "gemm 64 32 64 f32 nt 48", "gemm 64 64 32 f32 nn 48",
    "gemm 256 64 256 f32 nt 12", "gemm 128 128 128 f32 nn", "gemm 64 64 64 f32 nn",
    "gemm 32 768 3072 f32 nn", "gemm 16 768 3072 f32 nn", "gemm 8 768 3072 f32 nn",
    "gemm 4 768 3072 f32 nn", "gemm 1 768 3072 f32 nn cold", "gemm 1 768 3072 f32 nt cold",
    "gemm 1 768 50257 f32 nt cold", "gemm 1 288 768 f32 nn", "gemm 1 288 768 f32 nt",
    "gemm 1 768 3072 wide nt cold", "gemm 1 768 50257 wide nt cold", "gemm 4 768 50257 wide nt cold",
    "gemm 1 768 3072 wide nn cold", "gemm 1 768 3072 wide nn packed cold",
    "gemm 1 576 1536 wide nt cold", "gemm 1 576 1536 wide nt coded cold",
    "gemm 1 288 768 f32 nt", "gemm 1 288 768 f32 nt coded", "gemm 1 288 32000 f32 nt", "gemm 1 288 32000 f32 nt coded",
    "gemm 4 768 3072 wide nn cold", "gemm 4 768 3072 wide nn packed cold", "gemm 512 768 3072 wide nn",
    "gemm 512 768 3072 wide nn packed",
    "gemm 1024 1024 1024 bf16 nn", "gemm 256 768 3072 bf16 nn", "gemm 768 256 3072 bf16 tn",
    "gemm 1024 1024 1024 bf16 nn packed", "gemm 256 768 3072 bf16 nn packed",
    "gemm 256 768 3072 weights nn", "gemm 256 768 3072 rounded nn",
    "gemm_q 1 576 1536 q8_0 cold", "gemm_q 1 576 1536 q4_0 cold", "gemm_q 1 2048 5632 q8_0 cold",
    "gemm_q 1 2048 5632 q4_0 cold", "gemm_q 1 2048 5632 q4_1 cold", "gemm_q 1 2048 5632 q5_0 cold",
    "gemm_q 1 2048 5632 q5_1 cold", "gemm_q 1 2048 5632 q4_k cold", "gemm_q 1 2048 5632 q5_k cold",
    "gemm_q 1 2048 5632 q6_k cold", "gemm_q 512 576 1536 q8_0", "gemm_q 512 576 1536 q4_0",
    "gemm_q 512 2048 5632 q8_0", "gemm_q 512 2048 5632 q4_0", "gemm_q 512 2048 5632 q4_1",
    "gemm_q 512 2048 5632 q5_0", "gemm_q 512 2048 5632 q5_1", "gemm_q 512 2048 5632 q4_k",
    "gemm_q 512 2048 5632 q5_k", "gemm_q 512 2048 5632 q6_k",
    "attention 12 64 64", "attention 12 1024 64", "attention 12 1 64 12 63", "attention 12 1 64 12 511",
    "attention 12 1 64 12 4095", "attention 12 1 64 12 32767", "attention 12 1 64 12 4095 bf16",
    "attention 12 1 64 12 32767 bf16", "attention 12 1 64 12 4095 q8_0", "attention 12 1 64 12 32767 q8_0",
    "attention 12 8 64 12 248", "attention 12 256 64 12 768", "attention 12 256 64 12 768 bf16", "attention 9 256 64 3",
    "attention_grad 12 64 64", "attention_grad 12 1024 64",
    "row adamw 1 4096", "row adamw 1 2359296", "row softmax 65536 16", "row softmax 4096 256",
    "row norm 256 768", "row norm 4096 768",
    "row norm 768 128", "row norm_grad 768 128", "row norm_grad 256 768",
};

const char *bench_case_further(int index, char buffer[128])
{
    if (index >= (int)COUNT_OF(further))
        return NULL;
    snprintf(buffer, 128, "%s", further[index]);
    return buffer;
}

bool bench_case_open(BenchCase *b, const char *line, const KernelTable *table, Error *err)
{
    char family[24] = "";
    Words w = { 0 };
    *b = (BenchCase){ .packs = table->packs };
    b->call.operand = b->operand;
    const int n = sscanf(line, "%23s %23s %23s %23s %23s %23s %23s %23s", family, w.word[0], w.word[1],
                         w.word[2], w.word[3], w.word[4], w.word[5], w.word[6]);
    w.n = n > 0 ? n - 1 : 0;
    if (!kernel_from_name(family, &b->call.kernel) || !families[b->call.kernel].build(b, &w))
        return error_set(err, "\"%.80s\" is no case of kernels.def, or not one of %s", line,
                         isa_name(table->isa));
    if (!kernel_check(&b->call, err))
        return false;
    kernel_prepare(&b->call);
    return true;
}

void bench_case_close(BenchCase *b)
{
    for (int i = 0; i < b->call.n_operands; i++)
        if (!b->cold || i != b->cold)
            free(b->operand[i].data);
    free(b->ring);
    b->ring = NULL;
    b->call.n_operands = 0;
}

void bench_case_turn(BenchCase *b)
{
    if (b->cold)
        b->operand[b->cold].data = b->ring + b->turn++ % b->n_copies * b->copy_bytes;
}
