/* Barriers kept and passed over. */
#include "runtime/barriers.h"

/* A barrier behind more calls than this is kept unseen, so that any plan is bound in linear time. */
enum { MOST_CALLS = 64 };

typedef struct Stretches {
    const Call *calls;
    const Extent *extents;              /* of the operands of all calls */
    int n_threads;
} Stretches;

static Extent reach_extent(const Operand *o, KernelReach r)
{
    int64_t begin, end;
    if (r.begin == r.end)
        return (Extent){ 0, 0 };
    if (!dtype_offset(o->dtype, r.begin, &begin) || !dtype_offset(o->dtype, r.end, &end))
        return (Extent){ 0, UINTPTR_MAX };      /* no whole blocks: taken to touch everything */
    return (Extent){ (uintptr_t)o->data + (uintptr_t)begin, (uintptr_t)o->data + (uintptr_t)end };
}

static bool overlap(Extent a, Extent b)
{
    return a.begin < b.end && b.begin < a.end;
}

static Extent hull(Extent a, Extent b)
{
    if (a.begin == a.end)
        return b;
    if (b.begin == b.end)
        return a;
    return (Extent){ a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end };
}

static Extent share_extent(const Call *c, int32_t operand, int thread, int n_threads)
{
    return reach_extent(&c->operand[operand],
                        kernel_reach(c, operand, kernel_share(c, thread, n_threads)));
}

/* Does a thread touch in operand j of b what another touches in operand i of a?  Each against all
 * before it, then against all behind it. */
static bool crosses(const Call *a, int32_t i, const Call *b, int32_t j, int n)
{
    Extent before = { 0 }, behind = { 0 };
    for (int t = 0; t < n; t++) {
        const int back = n - 1 - t;
        if (overlap(before, share_extent(b, j, t, n)) || overlap(behind, share_extent(b, j, back, n)))
            return true;
        before = hull(before, share_extent(a, i, t, n));
        behind = hull(behind, share_extent(a, i, back, n));
    }
    return false;
}

static bool calls_cross(const Stretches *s, const Call *a, const Call *b)
{
    const Extent *of_a = s->extents + (a->operand - s->calls->operand);
    const Extent *of_b = s->extents + (b->operand - s->calls->operand);
    for (int32_t i = 0; i < a->n_operands; i++)
        for (int32_t j = 0; j < b->n_operands; j++)
            if (overlap(of_a[i], of_b[j]) && (kernel_writes(a, i) || kernel_writes(b, j))
                && crosses(a, i, b, j, s->n_threads))
                return true;
    return false;
}

/* Does anything cross from calls [from, at) to calls [at, to)? */
static bool stretches_cross(const Stretches *s, uint32_t from, uint32_t at, uint32_t to)
{
    if (at - from > MOST_CALLS)
        return true;
    for (uint32_t b = at; b < to; b++)
        for (uint32_t a = from; a < at; a++)
            if (calls_cross(s, &s->calls[a], &s->calls[b]))
                return true;
    return false;
}

uint32_t barriers_keep(const PlanInstr *instrs, const Call *calls, uint32_t n, int n_threads,
                       Extent *extents, bool *meet)
{
    const Stretches s = { calls, extents, n_threads };
    uint32_t kept = 0, from = 0;
    for (uint32_t k = 0; k < n; k++) {
        meet[k] = false;
        for (int32_t i = 0; n_threads > 1 && i < calls[k].n_operands; i++)
            *extents++ = reach_extent(&calls[k].operand[i],
                                      kernel_reach(&calls[k], i, kernel_share(&calls[k], 0, 1)));
    }
    for (uint32_t k = 0, to; n_threads > 1 && k < n; k = to) {
        for (to = k + 1; to < n && !(instrs[to].flags & INSTR_BARRIER); to++)
            continue;
        meet[k] = instrs[k].flags & INSTR_BARRIER && stretches_cross(&s, from, k, to);
        from = meet[k] ? k : from;
        kept += meet[k];
    }
    return kept;
}
