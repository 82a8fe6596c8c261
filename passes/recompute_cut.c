/* Keep or compute again: a minimum cut (Picard 1976: choices of the greatest worth whose members need
 * each other), as partitioners of differentiated graphs use it (He 2022, "min-cut
 * rematerialization").
 *
 * On the source's side stand the values that there must be behind the forward pass, and the nodes
 * that run again to make them.  An edge that is cut is paid for:
 *     value -> its node    bytes(value): it is there and its node does not run again: it is kept
 *     node -> sink         price x work: the node runs again
 *     node -> its inputs   endless: a node that runs again needs them
 *     source -> wanted     endless
 * Of equally good choices the cut nearest to the source computes least again. */
#include "passes/recompute.h"

#include "passes/max_flow.h"

typedef struct Cut {
    const Recompute *r;
    const CutOptions *o;
    Flow flow;
    uint32_t source, sink;
} Cut;

static uint32_t of_value(ValueId v) { return v; }
static uint32_t of_node(const Cut *c, NodeId n) { return c->r->g->n_values + n; }

static bool may_run_again(const Cut *c, NodeId n)
{
    const Graph *g = c->r->g;
    return recompute_possible(c->r, n) && (!c->o->rows_only || recompute_is_row(g, &g->nodes[n]));
}

static int64_t price_of(const Cut *c, NodeId n)
{
    const double price = c->o->price * c->r->work[n];
    return price < (double)FLOW_ENDLESS / 1024 ? (int64_t)price + 1 : FLOW_ENDLESS / 1024;
}

static void add_node(Cut *c, NodeId n)
{
    const Recompute *r = c->r;
    const Node *node = &r->g->nodes[n];
    const bool again = may_run_again(c, n);
    for (unsigned i = 0; i < node->n_outputs; i++) {
        const ValueId v = node->first_output + i;
        const bool kept = !again || (c->o->forced && c->o->forced[v]);
        flow_edge(&c->flow, of_value(v), kept ? c->sink : of_node(c, n), r->bytes[v]);
        if (r->wanted[v])
            flow_edge(&c->flow, c->source, of_value(v), FLOW_ENDLESS);
    }
    if (!again)
        return;
    flow_edge(&c->flow, of_node(c, n), c->sink, price_of(c, n));
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const ValueId v = r->base[node_input(r->g, node, i)];
        if (!r->lasting[v])
            flow_edge(&c->flow, of_node(c, n), of_value(v), FLOW_ENDLESS);
    }
}

static bool takes_part(const Recompute *r, NodeId n)
{
    const Node *node = &r->g->nodes[n];
    return r->stage[n] == STAGE_FORWARD && op_info(node->op)->class != CLASS_VIEW
        && !r->lasting[node->first_output];
}

void recompute_cut(const Recompute *r, const CutOptions *o, bool *keep)
{
    const Graph *g = r->g;
    const uint32_t n = g->n_values + g->n_nodes;
    Arena room;
    arena_init(&room, r->scratch->on_out_of_memory);
    Cut c = { .r = r, .o = o, .flow = flow_begin(n + 2, &room), .source = n, .sink = n + 1 };
    for (NodeId id = 0; id < g->n_nodes; id++)
        if (takes_part(r, id))
            add_node(&c, id);
    flow_run(&c.flow, c.source, c.sink);
    for (ValueId v = 0; v < g->n_values; v++) {
        const NodeId def = g->values[v].def;
        keep[v] = !(takes_part(r, def) && may_run_again(&c, def)
                    && flow_reaches(&c.flow, of_node(&c, def)))
            || (o->forced && o->forced[v]);
    }
    arena_free(&room);
}
