/* Dead code elimination: drops nodes that reach no output and write no state.
 *
 * needs  nothing
 * keeps  order, types, every output */
#include "ir/build.h"
#include "passes/pass.h"

bool pass_dce(Graph *g, PassContext *cx)
{
    bool *live = arena_array(cx->scratch, g->n_nodes, sizeof *live);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        live[g->values[g->outputs[i].value].def] = true;
    if (g->loss != NO_VALUE)
        live[g->values[g->loss].def] = true;
    for (NodeId n = g->n_nodes; n-- > 0;) {
        const Node *node = &g->nodes[n];
        live[n] = live[n] || op_info(node->op)->flags & OP_WRITES;
        for (unsigned i = 0; live[n] && i < node->n_inputs; i++)
            live[g->values[node_input(g, node, i)].def] = true;
    }
    Rewriter rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < rw.old->n_nodes; n++)
        if (live[n])
            rewrite_copy(&rw, n);
    rewrite_end(&rw);
    return true;
}
