/* What the benchmark has beside products and row programs: attention, embeddings, losses, reductions, copies. */
#include "tests/kernels/bench_build.h"

#include "base/blocks.h"
#include "runtime/kernels/operand.h"

#include <stdlib.h>
#include <string.h>

/* The tensor as a cache of that type keeps it. */
static bool store(Operand *o, DType t)
{
    int64_t bytes;
    if (!dtype_offset(t, o->stride[0], &bytes))
        return false;
    void *stored = bench_memory((size_t)bytes);
    const bool fits = blocks_encode(t, (size_t)o->stride[0], o->data, stored, NULL);
    free(o->data);
    o->data = stored;
    o->dtype = t;
    return fits;
}

bool build_attention(BenchCase *b, const Words *w)
{
    const int64_t h = size_at(w, 0), t = size_at(w, 1), d = size_at(w, 2);
    const bool rounded = w->n == 4 && strcmp(w->word[3], "rounded") == 0;
    const int64_t groups = w->n > 3 && !rounded ? size_at(w, 3) : h, past = w->n > 4 ? size_at(w, 4) : 0;
    bench_heads(b, h, t, d);
    Operand *lse = bench_add(b, DTYPE_f32, 1, h, t, 3);
    lse->stride[0] = h * t;
    bench_heads(b, h, t, d);
    DType stored = DTYPE_f32;
    const bool known = w->n < 6 || dtype_from_name(w->word[5], &stored);
    for (int i = 0; i < 2; i++) {
        bench_heads(b, groups, t + past, d);
        if (stored != DTYPE_f32 && !store(&b->operand[b->call.n_operands - 1], stored))
            return false;
    }
    if (past) {
        *(int32_t *)bench_add(b, DTYPE_i32, 0, 0, 0, 0)->data = (int32_t)past;
        b->call.i[2] = 1;
    }
    b->call.i[0] = 1;
    b->call.i[5] = rounded;
    b->call.f[0] = 0.125;
    return known && w->n >= 3 && w->n <= 6;
}

bool build_attention_grad(BenchCase *b, const Words *w)
{
    const int64_t h = size_at(w, 0), t = size_at(w, 1), d = size_at(w, 2);
    for (int i = 0; i < 7; i++)
        bench_heads(b, h, t, d);
    Operand *lse = bench_add(b, DTYPE_f32, 1, h, t, 3);
    for (int64_t i = 0; i < h * t; i++)
        ((float *)lse->data)[i] = 8;    /* of many scores: weights are below 1 */
    bench_heads(b, h, t, d);
    b->call.i[0] = 1;
    b->call.i[5] = w->n == 4 && strcmp(w->word[3], "rounded") == 0;
    b->call.f[0] = 0.125;
    return w->n == 3 || b->call.i[5];
}

bool build_embedding(BenchCase *b, const Words *w)
{
    bench_floats(b, size_at(w, 2), size_at(w, 1));
    bench_floats(b, size_at(w, 0), size_at(w, 1));
    bench_ids(b, size_at(w, 2));
    return w->n == 3;
}

bool build_embedding_grad(BenchCase *b, const Words *w)
{
    bench_floats(b, size_at(w, 0), size_at(w, 1));
    bench_ids(b, size_at(w, 2));
    bench_floats(b, size_at(w, 2), size_at(w, 1));
    return w->n == 3;
}

bool build_decode(BenchCase *b, const Words *w)
{
    bench_floats(b, size_at(w, 0), size_at(w, 1));
    bench_add(b, DTYPE_bf16, 0, size_at(w, 0), size_at(w, 1), 2);
    return w->n == 2;
}

bool build_rope(BenchCase *b, const Words *w)
{
    bench_heads(b, size_at(w, 0), size_at(w, 1), size_at(w, 2));
    bench_heads(b, size_at(w, 0), size_at(w, 1), size_at(w, 2));
    bench_ids(b, size_at(w, 1));
    b->call.f[0] = 10000;
    return w->n == 3;
}

bool build_cache_write(BenchCase *b, const Words *w)
{
    bench_heads(b, size_at(w, 0), 4 * size_at(w, 1), size_at(w, 2));
    bench_heads(b, size_at(w, 0), size_at(w, 1), size_at(w, 2));
    bench_add(b, DTYPE_i32, 0, 0, 0, 0);
    return w->n == 3;
}

bool build_cross_entropy(BenchCase *b, const Words *w)
{
    const int64_t n = size_at(w, 0), v = size_at(w, 1);
    bench_add(b, DTYPE_f32, 0, 0, n, 1);
    bench_add(b, DTYPE_f32, 0, 0, n, 1);
    bench_floats(b, n, v);
    bench_ids(b, n);
    b->call.i[0] = -1;
    return w->n == 2;
}

bool build_cross_entropy_grad(BenchCase *b, const Words *w)
{
    const int64_t n = size_at(w, 0), v = size_at(w, 1);
    bench_floats(b, n, v);
    bench_floats(b, n, v);
    bench_add(b, DTYPE_f32, 0, 0, n, 1);
    bench_ids(b, n);
    bench_add(b, DTYPE_f32, 0, 0, n, 1);
    b->call.i[0] = -1;
    b->call.f[0] = 1;
    return w->n == 2;
}

static bool reduction(BenchCase *b, const Words *w)
{
    bench_add(b, DTYPE_f32, 0, size_at(w, 0), 1, 2);
    bench_floats(b, size_at(w, 0), size_at(w, 1));
    return w->n == 2;
}

bool build_reduce_sum(BenchCase *b, const Words *w) { return reduction(b, w); }
bool build_reduce_max(BenchCase *b, const Words *w) { return reduction(b, w); }
bool build_reduce_min(BenchCase *b, const Words *w) { return reduction(b, w); }

bool build_partial_sum(BenchCase *b, const Words *w)
{
    bench_add(b, DTYPE_f32, 0, 0, N_PARTIALS, 1);
    bench_add(b, DTYPE_f32, 0, 0, size_at(w, 0), 1);
    return w->n == 1;
}

bool build_copy(BenchCase *b, const Words *w)
{
    bench_floats(b, size_at(w, 0), size_at(w, 1));
    bench_floats(b, size_at(w, 0), size_at(w, 1));
    bench_transpose(&b->operand[1]);
    return w->n == 2;
}

bool build_positions(BenchCase *b, const Words *w)
{
    bench_ids(b, size_at(w, 0));
    return w->n == 1;
}
