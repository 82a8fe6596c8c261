/* Row programs that read one tensor become one that reads it once: of a norm's backward pass the gradient of
 * its scale, the row that it hands on, and what a product needs again.
 *
 * Neither makes what the other reads, so no edge joins them, and they merge when the groups along edges stand.
 * What they share has to be as large as the rows of both: a value per row, or a row for all, is no traffic.
 * One of them at least reduces.  Two that only map, such as the two halves of a gate's backward pass, would keep
 * more large tensors alive at once, and the pool of a big model would no longer come down to its bound. */
#include "passes/fuse.h"

static bool may_share(const Unit *u, const Shape *s)
{
    return u->rows && !u->writes && !u->gathers && shape_equal(&u->space, s);
}

bool rows_may_share(const Fuse *f, NodeId a, NodeId b, ValueId v)
{
    const Unit *x = &f->units[f->unit_of[a]], *y = &f->units[f->unit_of[b]];
    const Shape *s = &value_type(f->g, v)->shape;
    const bool rows = s->rank > 0 && !dim_is(s->dim[s->rank - 1], 1) && !value_constant(f->g, v);
    return rows && (x->reduces || y->reduces) && may_share(x, s) && may_share(y, s);
}

FusionReason rows_refusal(Fuse *f, NodeId a, NodeId b, uint32_t *through)
{
    uint32_t x = f->unit_of[a], y = f->unit_of[b];
    if (f->units[x].place > f->units[y].place) {
        x = f->unit_of[b];
        y = f->unit_of[a];
    }
    *through = UINT32_MAX;
    return fusion_on(f->fusions, FUSE_shared_rows) ? fuse_refusal(f, x, y, through) : FUSION_switched_off;
}

static bool merge_two(Fuse *f, NodeId a, NodeId b, ValueId v)
{
    const uint32_t x = f->unit_of[a], y = f->unit_of[b];
    uint32_t through;
    if (x == y || !rows_may_share(f, a, b, v) || rows_refusal(f, a, b, &through) != FUSION_none)
        return false;
    if (f->units[x].place < f->units[y].place)
        fuse_merge(f, x, y);
    else
        fuse_merge(f, y, x);
    return true;
}

/* The nodes that read `v`, in an order that owes nothing to where they stand. */
static uint32_t readers_of(const Fuse *f, const FuseKey *keys, ValueId v, FuseTurn *turns)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n_readers[v]; i++)
        if (i == 0 || f->readers[v][i - 1] != f->readers[v][i])
            turns[n++] = (FuseTurn){ keys[f->readers[v][i]], f->readers[v][i] };
    fuse_sort_turns(turns, n);
    return n;
}

bool fuse_rows(Fuse *f)
{
    const FuseKey *keys = fuse_keys(f);
    FuseTurn *values = arena_array(f->scratch, f->g->n_values, sizeof *values);
    FuseTurn *turns = arena_array(f->scratch, f->g->n_nodes, sizeof *turns);
    const uint32_t n_values = fuse_shared_values(f, keys, values);
    bool merged = false;
    for (uint32_t k = 0; k < n_values; k++) {
        const ValueId v = values[k].id;
        const uint32_t n = readers_of(f, keys, v, turns);
        for (uint32_t i = 1; i < n; i++)
            for (uint32_t j = 0; j < i; j++)
                merged = merge_two(f, turns[j].id, turns[i].id, v) || merged;
    }
    return merged;
}
