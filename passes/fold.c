/* Constant folding through the evaluator: scalars of constants become constants.
 *
 * needs  nothing
 * keeps  order, types, meaning
 *
 * The number is computed in double, and kept in double: rounding happens once, when the plan is
 * written. */
#include "ir/build.h"
#include "ir/eval.h"
#include "passes/pass.h"

/* A scalar that a node makes of constants alone. */
static bool foldable(const Graph *g, const Node *n, const Tensor *known)
{
    const OpClass class = op_info(n->op)->class;
    if ((class != CLASS_MAP && class != CLASS_VIEW) || (op_info(n->op)->flags & OP_RANDOM)
        || value_type(g, n->first_output)->shape.rank != 0)
        return false;
    for (unsigned i = 0; i < n->n_inputs; i++)
        if (!known[node_input(g, n, i)].data)
            return false;
    return true;
}

static double fold_node(const Graph *g, const Node *n, const Tensor *known)
{
    const Tensor *in[3];
    double result = 0;
    Tensor out = { .count = 1, .data = &result };
    for (unsigned i = 0; i < n->n_inputs; i++)
        in[i] = &known[node_input(g, n, i)];
    EvalNode e = { .g = g, .node = n, .in = in, .out = &out };
    eval_rules[n->op](&e);
    return result;
}

static void know(Tensor *known, ValueId v, double value, Arena *scratch)
{
    known[v] = (Tensor){ .count = 1, .data = arena_alloc(scratch, sizeof(double)) };
    known[v].data[0] = value;
}

bool pass_fold(Graph *g, PassContext *cx)
{
    Tensor *known = arena_array(cx->scratch, g->n_values, sizeof *known);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    const Graph *old = rw.old;
    for (NodeId n = 0; n < old->n_nodes; n++) {
        const Node *node = &old->nodes[n];
        if (node->op == OP_constant)
            know(known, node->first_output, NODE_ATTR(node, constant, value).f, cx->scratch);
        if (!foldable(old, node, known)) {
            rewrite_copy(&rw, n);
            continue;
        }
        const double value = fold_node(old, node, known);
        NodeSpec spec = node_spec(OP_constant, NULL, 0, node->span, node->path);
        spec.attr[ATTR_INDEX(constant, value)].f = value;
        spec.attr[ATTR_INDEX(constant, dtype)].i = value_type(old, node->first_output)->dtype;
        know(known, node->first_output, value, cx->scratch);
        rw.map[node->first_output] = graph_add(rw.new_, &spec, NULL);
    }
    rewrite_end(&rw);
    return true;
}
