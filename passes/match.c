/* Small questions about what a value is. */
#include "passes/match.h"

bool match_number(const Graph *g, ValueId v, double *out)
{
    const Node *n = value_def(g, v);
    if (n->op != OP_constant || value_type(g, v)->shape.rank != 0)
        return false;
    *out = NODE_ATTR(n, constant, value).f;
    return true;
}

bool match_scaled(const Graph *g, const Node *n, ValueId *x, double *f)
{
    double c;
    if (n->op != OP_mul && n->op != OP_div)
        return false;
    if (match_number(g, node_input(g, n, 1), &c)) {
        *x = node_input(g, n, 0);
        *f = n->op == OP_mul ? c : 1 / c;
        return true;
    }
    if (n->op == OP_mul && match_number(g, node_input(g, n, 0), &c)) {
        *x = node_input(g, n, 1);
        *f = c;
        return true;
    }
    return false;
}
