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
    const FusePair pair = fuse_pair(f, a, b);
    *through = UINT32_MAX;
    return fusion_on(f->fusions, FUSE_shared_rows) ? fuse_refusal(f, pair.first, pair.second, through)
                                                   : FUSION_switched_off;
}

static bool may_merge(Fuse *f, NodeId a, NodeId b, ValueId v)
{
    uint32_t through;
    return rows_may_share(f, a, b, v) && rows_refusal(f, a, b, &through) == FUSION_none;
}

bool fuse_rows(Fuse *f)
{
    return fuse_siblings(f, may_merge);
}
