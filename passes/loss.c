/* The output matrix and the cross entropy behind it, without the logits between them.
 *
 * needs  symbols with their largest sizes
 * keeps  order, meaning; the product stays where something else reads the logits
 *
 *     cross_entropy(gain * act(c * (x @ w) + bias), targets)
 *                                                becomes linear_cross_entropy, where act is a function
 *                                                whose slope its result tells: the gradient then takes
 *                                                the place of the logits
 *     linear_cross_entropy and its gradient      become the gradient alone, which tells the loss on
 *                                                its way, when what the gradient is multiplied with
 *                                                does not depend on the loss
 *
 * The pass stands before autodiff, for the first, and behind it, for the second. */
#include "passes/loss.h"

#include "ir/build.h"
#include "passes/match.h"
#include "passes/pass.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

/* Chunks of fewer rows would wait for the weights and their gradient from memory; of fewer logits, for each other.
 * With twice as many they wait half as long, and where rows are many, so much room is little.  Beyond MOST_CHUNKS
 * there is nothing left to save. */
enum { LEAST_ROWS = 256, LEAST_LOGITS = 1 << 20, MOST_CHUNKS = 64 };

/* Rows of a chunk, for `rows` rows of `columns` logits at the largest sizes. */
static int64_t chunk_rows(int64_t rows, int64_t columns)
{
    int64_t least = (LEAST_LOGITS + columns - 1) / columns;
    if (least < LEAST_ROWS)
        least = LEAST_ROWS;
    int64_t chunks = rows < 2 * least ? 1 : rows <= 4 * least ? 2 : (rows + 2 * least - 1) / (2 * least);
    if (chunks > MOST_CHUNKS)
        chunks = MOST_CHUNKS;
    return chunks > 1 ? (rows + chunks - 1) / chunks : rows;
}

/* ---- the product and the loss ----------------------------------------------------------------- */

typedef struct Pattern {
    ValueId x, w, bias;                 /* bias: NO_VALUE where there is none */
    bool transpose_w;
    double alpha, gain;
    double bias_scale;                  /* what the bias is multiplied with before it is added */
    OpId act;
    AttrValue precision;
    Dim rows;                           /* all of them, as one axis */
    int64_t chunk;
} Pattern;

/* Back from `v` over factors and over views that keep its rows, as long as nothing else reads them; the
 * product of the factors in *f. */
static ValueId skip_factors(const Graph *g, const uint32_t *uses, ValueId v, double *f)
{
    *f = 1;
    for (;;) {
        const Node *n = value_def(g, v);
        const Shape *s = &value_type(g, v)->shape;
        ValueId from = n->n_inputs ? node_input(g, n, 0) : NO_VALUE;
        double c = n->op == OP_neg ? -1 : 1;
        bool passes = n->op == OP_neg || match_scaled(g, n, &from, &c);
        if (n->op == OP_reshape) {
            const Shape *t = &value_type(g, from)->shape;
            passes = s->rank > 0 && t->rank > 0
                && dim_equal(s->dim[s->rank - 1], t->dim[t->rank - 1]);
        }
        if (!passes || uses[v] != 1)
            return v;
        *f *= c;
        v = from;
    }
}

/* Of a sum of rows with a value for each column: the rows; NO_VALUE where `v` is none. */
static ValueId match_bias(const Graph *g, ValueId v, ValueId *bias)
{
    const Node *n = value_def(g, v);
    const Shape *s = &value_type(g, v)->shape;
    for (unsigned i = 0; n->op == OP_add && i < 2; i++) {
        const ValueId row = node_input(g, n, i), rows = node_input(g, n, 1 - i);
        const Shape *b = &value_type(g, row)->shape;
        if (b->rank == 1 && s->rank > 1 && dim_equal(b->dim[0], s->dim[s->rank - 1])
            && shape_equal(&value_type(g, rows)->shape, s)) {
            *bias = row;
            return rows;
        }
    }
    return NO_VALUE;
}

/* What stands between the logits and the product; the product. */
static ValueId match_epilogue(const Graph *g, const uint32_t *uses, ValueId logits, Pattern *p)
{
    double slope[3], inner, outer;
    ValueId v = skip_factors(g, uses, logits, &outer);
    const OpId op = value_def(g, v)->op;
    p->gain = 1;
    p->act = OP_copy;
    if (uses[v] == 1 && op_is_activation(op) && op_slope_of_result(op, slope)) {
        p->act = op;
        p->gain = outer;
        v = skip_factors(g, uses, node_input(g, value_def(g, v), 0), &outer);
    }
    p->bias_scale = p->alpha = outer;
    const ValueId rows = uses[v] == 1 ? match_bias(g, v, &p->bias) : NO_VALUE;
    if (rows != NO_VALUE) {
        v = skip_factors(g, uses, rows, &inner);
        p->alpha *= inner;
    }
    return v;
}

static FusionReason match_product(const Graph *g, const uint32_t *uses, ValueId logits, Pattern *p)
{
    const ValueId v = match_epilogue(g, uses, logits, p);
    const Node *n = value_def(g, v);
    const OpClass class = op_info(n->op)->class;
    if (n->op != OP_matmul)
        return uses[v] != 1 && v != logits ? FUSION_several_readers
            : class == CLASS_MAP || class == CLASS_REDUCE ? FUSION_no_slope : FUSION_kernel_reads;
    if (uses[v] != 1)
        return FUSION_several_readers;
    if (NODE_ATTR(n, matmul, transpose_a).i)
        return FUSION_other_layout;
    p->x = node_input(g, n, 0);
    p->w = node_input(g, n, 1);
    p->transpose_w = NODE_ATTR(n, matmul, transpose_b).i;
    p->alpha *= NODE_ATTR(n, matmul, alpha).f;
    p->precision = NODE_ATTR(n, matmul, precision);
    const Node *t = value_def(g, p->w);
    if (t->op == OP_transpose && value_type(g, p->w)->shape.rank == 2) {
        p->w = node_input(g, t, 0);
        p->transpose_w = !p->transpose_w;
    }
    if (value_type(g, p->w)->shape.rank != 2)
        return FUSION_batched;
    const bool numbers = isfinite(p->alpha) && isfinite(p->gain) && isfinite(p->bias_scale);
    return numbers && fabs(p->gain) > 0 ? FUSION_none : FUSION_no_slope;
}

/* Are there rows enough to be cut? */
static bool match_sizes(const Graph *g, const Node *loss, Pattern *p)
{
    const Shape *logits = &value_type(g, node_input(g, loss, 0))->shape;
    const Dim columns = logits->dim[logits->rank - 1];
    int64_t sizes[MAX_SYMBOLS], rows;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        sizes[s] = s < (int)g->n_symbols ? g->symbol[s].max : 1;
    if (!dim_is_const(columns) || !shape_count(&value_type(g, loss->first_output)->shape, &p->rows)
        || !dim_eval(p->rows, sizes, &rows))
        return false;
    p->chunk = chunk_rows(rows, columns.coef);
    return p->chunk < rows;
}

static FusionReason match_loss(const Graph *g, const uint32_t *uses, const Node *loss, Pattern *p)
{
    *p = (Pattern){ .bias = NO_VALUE };
    const FusionReason why = match_product(g, uses, node_input(g, loss, 0), p);
    return why != FUSION_none ? why : match_sizes(g, loss, p) ? FUSION_none : FUSION_few_rows;
}

/* Readers of each value among the nodes that the output `loss` is made of. */
static uint32_t *forward_uses(const Graph *g, Arena *scratch)
{
    uint32_t *uses = arena_array(scratch, g->n_values, sizeof *uses);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        uses[g->outputs[i].value] += strcmp(g->outputs[i].name, "loss") == 0;
    for (NodeId n = g->n_nodes; n-- > 0;) {
        const Node *node = &g->nodes[n];
        bool needed = false;
        for (unsigned i = 0; i < node->n_outputs; i++)
            needed = needed || uses[node->first_output + i] > 0;
        for (unsigned i = 0; needed && i < node->n_inputs; i++)
            uses[node_input(g, node, i)]++;
    }
    return uses;
}

FusionReason loss_refusal(const Graph *g, const Node *loss, FusionSet fusions, Arena *scratch)
{
    Pattern p;
    const FusionReason why = match_loss(g, forward_uses(g, scratch), loss, &p);
    return why == FUSION_none && !fusion_on(fusions, FUSE_chunked_loss) ? FUSION_switched_off : why;
}

static ValueId as_rows(Builder *b, ValueId v, Dim rows, int columns)
{
    const Shape from = value_type(b->g, v)->shape;
    Shape to = { .rank = (uint8_t)(1 + columns), .dim = { rows } };
    if (columns)
        to.dim[1] = from.dim[from.rank - 1];
    return build_reshape(b, v, &to);
}

static ValueId scaled_bias(Rewriter *rw, Builder *b, const Pattern *p)
{
    if (p->bias == NO_VALUE)
        return NO_VALUE;
    return build_scale(b, rewrite_of(rw, p->bias), p->bias_scale);
}

static bool fuse_product(Rewriter *rw, NodeId id, const uint32_t *uses)
{
    const Graph *g = rw->old;
    const Node *n = &g->nodes[id];
    Pattern p;
    if (n->op != OP_cross_entropy || match_loss(g, uses, n, &p) != FUSION_none)
        return false;
    Builder b = rewrite_builder(rw, id);
    const Shape shape = value_type(g, n->first_output)->shape;
    ValueId x = as_rows(&b, rewrite_of(rw, p.x), p.rows, 1);
    ValueId targets = as_rows(&b, rewrite_of(rw, node_input(g, n, 1)), p.rows, 0);
    ValueId in[] = { x, rewrite_of(rw, p.w), targets, scaled_bias(rw, &b, &p) };
    NodeSpec spec = node_spec(OP_linear_cross_entropy, in, p.bias == NO_VALUE ? 3 : 4, b.span, b.path);
    spec.attr[ATTR_INDEX(linear_cross_entropy, transpose_w)].i = p.transpose_w;
    spec.attr[ATTR_INDEX(linear_cross_entropy, alpha)].f = p.alpha;
    spec.attr[ATTR_INDEX(linear_cross_entropy, chunk)].i = p.chunk;
    spec.attr[ATTR_INDEX(linear_cross_entropy, precision)] = p.precision;
    spec.attr[ATTR_INDEX(linear_cross_entropy, activation)].i = p.act;
    spec.attr[ATTR_INDEX(linear_cross_entropy, gain)].f = p.gain;
    spec.attr[ATTR_INDEX(linear_cross_entropy, ignore)] = NODE_ATTR(n, cross_entropy, ignore);
    ValueId loss = graph_add(b.g, &spec, NULL);
    for (unsigned i = 0; i < 2; i++)
        rw->map[n->first_output + i] = build_reshape(&b, loss + i, &shape);
    return true;
}

/* ---- the loss and its gradient ---------------------------------------------------------------- */

/* The gradient of node `id` that may take its place: the first that reads the same. */
static NodeId find_gradient(const Graph *g, NodeId id)
{
    const Node *loss = &g->nodes[id];
    for (NodeId n = id + 1; n < g->n_nodes; n++) {
        const Node *grad = &g->nodes[n];
        const bool alike = grad->op == OP_linear_cross_entropy_grad
            && grad->n_inputs == loss->n_inputs + 1
            && memcmp(node_inputs(g, grad), node_inputs(g, loss), 3 * sizeof(ValueId)) == 0
            && (loss->n_inputs == 3 || node_input(g, grad, 4) == node_input(g, loss, 3));
        if (alike && memcmp(grad->attr, loss->attr, sizeof grad->attr) == 0)
            return n;
    }
    return NO_NODE;
}

/* Marks in `needed` the nodes from `from` on that `v` is made of; false when `from` is one. */
static bool find_cone(const Graph *g, ValueId v, NodeId from, bool *needed)
{
    needed[g->values[v].def] = true;
    for (NodeId n = g->values[v].def + 1; n-- > from;)
        for (unsigned i = 0; needed[n] && i < g->nodes[n].n_inputs; i++)
            needed[g->values[node_input(g, &g->nodes[n], i)].def] = true;
    return !needed[from];
}

typedef struct Merge {
    Rewriter *rw;
    bool *done;                         /* by node of the old graph: it has its copy */
} Merge;

static bool merge_gradient(Merge *m, NodeId id, Arena *scratch)
{
    Rewriter *rw = m->rw;
    const Graph *g = rw->old;
    if (g->nodes[id].op != OP_linear_cross_entropy)
        return false;
    const NodeId grad = find_gradient(g, id);
    bool *needed = arena_array(scratch, g->n_nodes, sizeof *needed);
    if (grad == NO_NODE || !find_cone(g, node_input(g, &g->nodes[grad], 3), id, needed))
        return false;
    for (NodeId n = id + 1; n < grad; n++)
        if (needed[n] && !m->done[n]) {
            rewrite_copy(rw, n);
            m->done[n] = true;
        }
    rewrite_copy(rw, grad);
    m->done[grad] = true;
    for (unsigned i = 0; i < 2; i++)    /* loss and lse are its third and fourth result */
        rw->map[g->nodes[id].first_output + i] = rw->map[g->nodes[grad].first_output + 2 + i];
    return true;
}

bool pass_loss(Graph *g, PassContext *cx)
{
    if (!fusion_on(cx->options->fusions, FUSE_chunked_loss))
        return true;
    const uint32_t *uses = graph_uses(g, cx->scratch);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    Merge m = { &rw, arena_array(cx->scratch, rw.old->n_nodes, sizeof(bool)) };
    for (NodeId n = 0; n < rw.old->n_nodes; n++)
        if (!m.done[n] && !fuse_product(&rw, n, uses) && !merge_gradient(&m, n, cx->scratch))
            rewrite_copy(&rw, n);
    rewrite_end(&rw);
    return true;
}
