/* Reuse distances of operands, and from them the roof over each instruction. */
#include "runtime/roofline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An operand in memory: addresses from..to, of which `bytes` are its elements. */
typedef struct Range {
    uintptr_t from, to;
    double bytes;
} Range;

/* All operands of a program, in the order of its instructions. */
typedef struct Ranges {
    Range *range;
    uint32_t *first;                    /* of each instruction; n + 1 of them */
    uint32_t n;                         /* instructions */
    double footprint;                   /* bytes that the program touches at all */
} Ranges;

static Range range_of(const Operand *o)
{
    const uintptr_t block = (uintptr_t)dtype_block(o->dtype);
    const size_t block_bytes = dtype_block_bytes(o->dtype);
    uintptr_t last = 0;
    Range r = { .from = (uintptr_t)o->data, .bytes = (double)block_bytes / (double)block };
    for (int32_t a = 0; a < o->rank; a++) {
        if (o->dim[a] <= 0)
            return (Range){ .from = r.from, .to = r.from };
        last += (uintptr_t)(o->dim[a] - 1) * (uintptr_t)o->stride[a];
        if (o->stride[a] != 0)
            r.bytes *= (double)o->dim[a];
    }
    r.to = r.from + (last / block + 1) * block_bytes;
    return r;
}

static int by_start(const void *a, const void *b)
{
    const Range *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* Bytes of the union; `sorted` is put in order. */
static double union_bytes(Range *sorted, size_t n)
{
    uintptr_t end = 0;
    double sum = 0;
    qsort(sorted, n, sizeof *sorted, by_start);
    for (size_t i = 0; i < n; i++) {
        const uintptr_t from = sorted[i].from > end ? sorted[i].from : end;
        if (sorted[i].to > from)
            sum += (double)(sorted[i].to - from);
        end = sorted[i].to > end ? sorted[i].to : end;
    }
    return sum;
}

static bool collect(const Session *s, PlanProgramKind program, uint32_t n, Ranges *out)
{
    uint32_t total = 0;
    out->n = n;
    out->first = malloc((n + 1) * sizeof *out->first);
    for (uint32_t k = 0; out->first && k <= n; k++) {
        out->first[k] = total;
        total += k < n ? (uint32_t)session_call(s, program, k)->n_operands : 0;
    }
    Range *sorted = malloc((total + 1) * sizeof *sorted);
    out->range = malloc((total + 1) * sizeof *out->range);
    const bool ok = out->first && sorted && out->range;
    for (uint32_t k = 0; ok && k < n; k++) {
        const Call *call = session_call(s, program, k);
        for (int32_t i = 0; i < call->n_operands; i++)
            out->range[out->first[k] + (uint32_t)i] = range_of(&call->operand[i]);
    }
    if (ok) {
        memcpy(sorted, out->range, total * sizeof *sorted);
        out->footprint = union_bytes(sorted, total);
    }
    free(sorted);
    return ok;
}

/* Bytes touched by the instructions from the last one that touched the range, up to k. */
static double distance(const Ranges *all, uint32_t k, const Range *r, double enough)
{
    double sum = 0;
    for (uint32_t back = 1; back <= all->n && sum <= enough; back++) {
        const uint32_t j = (k + all->n - back) % all->n;
        bool touched = false;
        for (uint32_t i = all->first[j]; i < all->first[j + 1]; i++) {
            const Range *x = &all->range[i];
            touched |= x->from < r->to && r->from < x->to;
            sum += x->bytes;
        }
        if (touched)
            break;
    }
    return sum < all->footprint ? sum : all->footprint;
}

static LimitLevel level_of(const Limits *l, double bytes)
{
    int level = 0;
    while (level < LIMIT_memory && (double)l->cache[level] < bytes)
        level++;
    return (LimitLevel)level;
}

static double seconds_to_move(const Limits *l, LimitLevel level, double read, double written)
{
    return fmax(read / l->read[level], (read + written) / limits_both_ways(l, level));
}

static Roof roof(const Ranges *all, uint32_t k, const Call *call, const Limits *l)
{
    Roof out = { .cost = kernel_cost(call) };
    double bytes = 0, read[N_LIMIT_LEVELS] = { 0 }, written[N_LIMIT_LEVELS] = { 0 }, moving = 0, longest = 0;
    for (uint32_t i = all->first[k]; i < all->first[k + 1]; i++) {
        const Range *r = &all->range[i];
        const LimitLevel level = level_of(l, distance(all, k, r, (double)l->cache[LIMIT_L3]));
        *(kernel_writes(call, (int32_t)(i - all->first[k])) ? &written[level] : &read[level]) += r->bytes;
        bytes += r->bytes;
    }
    const double scale = bytes > 0 ? out.cost.bytes / bytes : 0;
    for (LimitLevel level = LIMIT_L1; level < N_LIMIT_LEVELS; level++) {
        const double each = seconds_to_move(l, level, scale * read[level], scale * written[level]);
        moving += each;
        if (each > longest) {
            longest = each;
            out.level = level;
        }
    }
    const LimitRate rate = limits_rate(l, out.cost.unit);
    const double computing = out.cost.flops / rate.rate;
    out.unit = rate.by;
    out.by_flops = computing > moving;
    out.seconds = out.by_flops ? computing : moving;
    return out;
}

bool roofline(const Session *s, PlanProgramKind program, const Limits *l, Roof *out, Error *err)
{
    const uint32_t n = plan_program(session_plan(s), program)->n_instrs;
    Ranges all = { 0 };
    const bool ok = collect(s, program, n, &all);
    for (uint32_t k = 0; ok && k < n; k++)
        out[k] = roof(&all, k, session_call(s, program, k), l);
    free(all.range);
    free(all.first);
    return ok || error_set(err, "out of memory");
}
