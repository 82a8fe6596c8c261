/* An activation and its slope read one value and share most of their work, so one loop makes both
 * (runtime/kernels/row_slopes.inc), though the gradient that the slope is multiplied by comes much later.
 *
 * They merge before all others, since the slope would else join the product with the gradient, behind what
 * makes that.  Nothing more is kept: nobody else needs what both read, and the slope takes its place.  What is
 * computed again (op after) may have been read before, by the activation that is now computed again. */
#include "passes/fuse.h"

static bool is_slope_of(const Graph *g, NodeId slope, NodeId activation)
{
    const OpId op = op_slope(g->nodes[activation].op);
    return op != OP_copy && g->nodes[slope].op == op;
}

bool slopes_may_share(const Fuse *f, NodeId a, NodeId b)
{
    return is_slope_of(f->g, a, b) || is_slope_of(f->g, b, a);
}

/* Does anything but the two need `v`, which both read? */
static bool is_needed(const Fuse *f, ValueId v, OpId activation)
{
    const Graph *g = f->g;
    const Node *def = value_def(g, v);
    const bool later = def->op == OP_after;
    const ValueId before = later ? node_input(g, def, 0) : v;
    const OpClass class = op_info(value_def(g, before)->op)->class;
    bool needed = f->n_readers[v] != 2 || f->is_output[v] || f->is_output[before] || class == CLASS_SOURCE
        || class == CLASS_VIEW;
    for (uint32_t i = 0; later && i < f->n_readers[before] && !needed; i++) {
        const Node *reader = &g->nodes[f->readers[before][i]];
        needed = reader != def && reader->op != activation;
    }
    return needed;
}

FusionReason slopes_refusal(Fuse *f, NodeId a, NodeId b, ValueId v, uint32_t *through)
{
    const FusePair pair = fuse_pair(f, a, b);
    const NodeId activation = is_slope_of(f->g, a, b) ? b : a;
    *through = UINT32_MAX;
    if (!fusion_on(f->fusions, FUSE_slopes))
        return FUSION_switched_off;
    return is_needed(f, v, f->g->nodes[activation].op) ? FUSION_still_needed
                                                       : fuse_refusal(f, pair.first, pair.second, through);
}

static bool may_merge(Fuse *f, NodeId a, NodeId b, ValueId v)
{
    uint32_t through;
    return slopes_may_share(f, a, b) && slopes_refusal(f, a, b, v, &through) == FUSION_none;
}

void fuse_slopes(Fuse *f)
{
    fuse_siblings(f, may_merge);
}

NodeId slope_activation(const Fuse *f, NodeId slope)
{
    const Graph *g = f->g;
    if (g->nodes[slope].n_inputs != 1)
        return NO_NODE;
    const ValueId v = node_input(g, &g->nodes[slope], 0);
    for (uint32_t i = 0; i < f->n_readers[v]; i++) {
        const NodeId n = f->readers[v][i];
        if (is_slope_of(g, slope, n) && f->unit_of[n] == f->unit_of[slope])
            return n;
    }
    return NO_NODE;
}
