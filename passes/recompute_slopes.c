/* Slopes that need not wait for their gradient: an activation and its slope are one loop (fuse_slopes.c), where nothing
 * but the two reads what they do, and the slope is then kept in the place of that: from the forward pass on, or, if the
 * activation is computed again, from there on.  A view's place is not the slope's to take. */
#include "passes/recompute.h"

/* By node: is it computed again for somebody behind the forward pass? */
static void find_copied(const Recompute *r, const bool *keep, bool *copied)
{
    const Graph *g = r->g;
    for (NodeId n = g->n_nodes; n-- > 0;) {
        const bool behind = r->stage[n] == STAGE_LATE || r->stage[n] == STAGE_GRADIENT;
        for (unsigned i = 0; i < g->nodes[n].n_inputs && (behind || copied[n]); i++) {
            const ValueId v = node_input(g, &g->nodes[n], i);
            if (r->stage[g->values[v].def] == STAGE_FORWARD && recompute_is_late(r, keep, v))
                copied[g->values[v].def] = true;
        }
    }
}

/* By value: how many read it, or give it away; and the last activation that does. */
typedef struct Read {
    uint32_t n;
    NodeId activation;
} Read;

static Read *find_reads(const Recompute *r, Arena *scratch)
{
    const Graph *g = r->g;
    Read *read = arena_array(scratch, g->n_values, sizeof *read);
    for (ValueId v = 0; v < g->n_values; v++)
        read[v].activation = NO_NODE;
    for (NodeId n = 0; n < g->n_nodes; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
            Read *x = &read[node_input(g, &g->nodes[n], i)];
            x->n++;
            if (op_slope(g->nodes[n].op) != OP_copy)
                x->activation = n;
        }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        read[g->outputs[i].value].n++;
    return read;
}

SlopeTime *recompute_slopes(const Recompute *r, const bool *keep, Arena *scratch)
{
    const Graph *g = r->g;
    SlopeTime *time = arena_array(scratch, g->n_nodes, sizeof *time);
    if (!r->slopes)
        return time;
    bool *copied = arena_array(scratch, g->n_nodes, sizeof *copied);
    const Read *read = find_reads(r, scratch);
    find_copied(r, keep, copied);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        if (r->stage[n] != STAGE_LATE || g->nodes[n].n_inputs != 1)
            continue;
        const ValueId v = node_input(g, &g->nodes[n], 0);
        const NodeId activation = read[v].activation;
        const bool view = op_info(value_def(g, v)->op)->class == CLASS_VIEW;
        if (!view && read[v].n == 2 && activation != NO_NODE && op_slope(g->nodes[activation].op) == g->nodes[n].op
            && r->stage[activation] == STAGE_FORWARD)
            time[n] = copied[activation] ? SLOPE_WITH_COPY : SLOPE_EARLY;
    }
    return time;
}
