/* Keys that rope turns on their way into the cache are turned into it.
 *
 * needs  caches
 * keeps  order, meaning
 *
 * A cache_write that alone reads what a rope makes takes the rope's positions and factors, and writes
 * what it would have made: there is no tensor between the two, nor a copy of it.  `dce` drops the rope. */
#include "passes/rope_write.h"

#include "ir/build.h"
#include "passes/pass.h"

FusionReason rope_write_refusal(const Graph *g, const Node *rope, const Node *write, bool alone,
                                FusionSet fusions)
{
    if (node_input(g, write, 1) != rope->first_output)
        return FUSION_view_between;
    if (!alone)
        return FUSION_several_readers;
    if (write->n_inputs > 3)
        return FUSION_epilogue_full;
    return fusion_on(fusions, FUSE_rope_write) ? FUSION_none : FUSION_switched_off;
}

static bool turn_into(Rewriter *rw, NodeId id, const uint32_t *uses, FusionSet fusions)
{
    const Graph *g = rw->old;
    const Node *write = &g->nodes[id];
    if (write->op != OP_cache_write)
        return false;
    const Node *rope = value_def(g, node_input(g, write, 1));
    if (rope->op != OP_rope
        || rope_write_refusal(g, rope, write, uses[rope->first_output] == 1, fusions) != FUSION_none)
        return false;
    ValueId in[5] = { rewrite_of(rw, node_input(g, write, 0)), rewrite_of(rw, node_input(g, rope, 0)),
                      rewrite_of(rw, node_input(g, write, 2)) };
    for (unsigned i = 1; i < rope->n_inputs; i++)
        in[2 + i] = rewrite_of(rw, node_input(g, rope, i));
    NodeSpec spec = node_spec(OP_cache_write, in, 2u + rope->n_inputs, write->span, write->path);
    for (int i = 0; i <= ATTR_INDEX(cache_write, inverse); i++)
        spec.attr[i] = rope->attr[i];   /* the rows of the two ops begin alike */
    rw->map[write->first_output] = graph_add(rw->new_, &spec, NULL);
    return true;
}

bool pass_rope_write(Graph *g, PassContext *cx)
{
    const uint32_t *uses = graph_uses(g, cx->scratch);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < rw.old->n_nodes; n++)
        if (!turn_into(&rw, n, uses, cx->options->fusions))
            rewrite_copy(&rw, n);
    rewrite_end(&rw);
    return true;
}
