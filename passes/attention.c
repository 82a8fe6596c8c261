/* Attention spelled from its parts becomes one op, which never holds a T x T matrix.
 *
 * needs  nothing
 * keeps  order, meaning; the parts stay where something else reads them
 *
 * Recognised on [B, H, T, D]:
 *     scores  = any order of: q @ k', times or over numbers, causal_mask, cap * tanh(. / cap);
 *               but the mask not within the tanh, which would make -inf a finite score
 *     result  = [dropout](softmax(scores, -1)) @ v */
#include "ir/build.h"
#include "passes/match.h"
#include "passes/pass.h"

#include <math.h>

typedef struct Pattern {
    ValueId q, k, v, seed;              /* seed: NO_VALUE without dropout */
    bool causal;
    double scale, cap, drop;
    int64_t site;
} Pattern;

/* A product of [B, H, T, D] matrices with q's rows against k's. */
static bool match_product(const Graph *g, const Node *n, Pattern *p)
{
    if (n->op != OP_matmul || NODE_ATTR(n, matmul, transpose_a).i
        || NODE_ATTR(n, matmul, precision).i != DTYPE_f32)
        return false;
    p->q = node_input(g, n, 0);
    p->k = node_input(g, n, 1);
    p->scale *= NODE_ATTR(n, matmul, alpha).f;
    if (!(p->scale > 0) || !isfinite(p->scale))
        return false;                   /* the op takes scale 0 for its default */
    if (NODE_ATTR(n, matmul, transpose_b).i)
        return true;
    const Node *t = value_def(g, p->k);
    if (t->op != OP_transpose)
        return false;
    p->k = node_input(g, t, 0);
    const int64_t a = NODE_ATTR(t, transpose, a).i, b = NODE_ATTR(t, transpose, b).i;
    return (a == 2 && b == 3) || (a == 3 && b == 2);
}

static bool match_scores(const Graph *g, ValueId v, Pattern *p)
{
    double f;
    p->scale = 1;
    for (;;) {
        const Node *n = value_def(g, v);
        if (n->op == OP_causal_mask && !p->causal && p->cap == 0) {
            p->causal = true;
            v = node_input(g, n, 0);
        } else if (match_scaled(g, n, &v, &f)) {
            if (f < 0 || !isfinite(f) || f == 0)
                return false;
            p->scale *= f;
        } else if (n->op == OP_tanh && p->cap == 0) {
            p->cap = p->scale;          /* what stands outside of tanh; inside follows: x / cap */
            v = node_input(g, n, 0);
        } else {
            return match_product(g, n, p);
        }
    }
}

/* Shapes that the op takes: [B, H, T, D], [B, H, S, D], [B, H, S, E], nothing broadcast. */
static bool shapes_fit(const Graph *g, const Pattern *p)
{
    const Shape *q = &value_type(g, p->q)->shape, *k = &value_type(g, p->k)->shape;
    const Shape *v = &value_type(g, p->v)->shape;
    return q->rank == 4 && k->rank == 4 && v->rank == 4 && dim_equal(q->dim[0], k->dim[0])
        && dim_equal(q->dim[1], k->dim[1]) && dim_equal(k->dim[0], v->dim[0])
        && dim_equal(k->dim[1], v->dim[1]) && dim_equal(k->dim[2], v->dim[2])
        && dim_equal(q->dim[3], k->dim[3]) && dim_is_const(q->dim[3]) && dim_is_const(v->dim[3])
        && (!p->causal || dim_equal(q->dim[2], k->dim[2]));
}

static bool match(const Graph *g, const Node *n, Pattern *p)
{
    *p = (Pattern){ .seed = NO_VALUE };
    if (n->op != OP_matmul || value_type(g, n->first_output)->shape.rank != 4
        || NODE_ATTR(n, matmul, transpose_a).i || NODE_ATTR(n, matmul, transpose_b).i
        || NODE_ATTR(n, matmul, alpha).f != 1 || NODE_ATTR(n, matmul, precision).i != DTYPE_f32)
        return false;
    const Node *w = value_def(g, node_input(g, n, 0));
    p->v = node_input(g, n, 1);
    if (w->op == OP_dropout) {
        p->drop = NODE_ATTR(w, dropout, p).f;
        p->site = NODE_ATTR(w, dropout, site).i;
        p->seed = w->n_inputs > 1 ? node_input(g, w, 1) : NO_VALUE;
        if (p->drop > 0 && p->seed == NO_VALUE)
            return false;
        w = value_def(g, node_input(g, w, 0));
    }
    if (w->op != OP_softmax || NODE_ATTR(w, softmax, axis).i != 3)
        return false;
    return match_scores(g, node_input(g, w, 0), p) && shapes_fit(g, p);
}

static ValueId build_attention(Rewriter *rw, NodeId n, const Pattern *p)
{
    const Node *node = &rw->old->nodes[n];
    ValueId inputs[4] = { rewrite_of(rw, p->q), rewrite_of(rw, p->k), rewrite_of(rw, p->v) };
    uint32_t n_inputs = 3;
    if (p->drop > 0)
        inputs[n_inputs++] = rewrite_of(rw, p->seed);
    NodeSpec spec = node_spec(OP_attention, inputs, n_inputs, node->span, node->path);
    spec.attr[ATTR_INDEX(attention, causal)].i = p->causal;
    spec.attr[ATTR_INDEX(attention, scale)].f = p->scale;
    spec.attr[ATTR_INDEX(attention, soft_cap)].f = p->cap;
    spec.attr[ATTR_INDEX(attention, drop)].f = p->drop;
    spec.attr[ATTR_INDEX(attention, site)].i = p->site;
    return graph_add(rw->new_, &spec, NULL);
}

bool pass_attention(Graph *g, PassContext *cx)
{
    const bool recognise = fusion_on(cx->options->fusions, FUSE_attention);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < rw.old->n_nodes; n++) {
        Pattern p;
        if (recognise && match(rw.old, &rw.old->nodes[n], &p))
            rw.map[rw.old->nodes[n].first_output] = build_attention(&rw, n, &p);
        else
            rewrite_copy(&rw, n);
    }
    rewrite_end(&rw);
    return true;
}
