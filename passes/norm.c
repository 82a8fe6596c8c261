/* The norm of the gradients, folded into what writes them.
 *
 * needs  partial sums of squares that nobody sees but who adds them up
 * keeps  order, meaning; which of its parts a sum's terms fall in is another matter
 *
 * partial_sum(x, square) reads again what was just written.  What wrote it last tells its squares instead:
 *
 *     matmul                       matmul_squares: one sum for 64 rows of a column, added up as it writes
 *     sum of columns               sum_squares: one sum for 64 elements
 *     linear_cross_entropy_grad    of dw as the product that its last chunk is, of dbias as its sum of columns
 *     embedding_grad               by how much its rows change the sum of the table's squares, beside those
 *                                  of the table, which are none where it was zeros
 *     element-wise ops             a sum of squares for each row, which the fuser puts in their group
 *
 * The squares of a product are many, and a partial sum of their own adds them up.  Of the others there are
 * few for each parameter: they are joined, and one partial sum takes the place of all of theirs. */
#include "passes/norm.h"

#include "ir/build.h"
#include "passes/pass.h"

#include <math.h>
#include <string.h>

typedef struct Norm {
    Rewriter rw;
    Arena *scratch;
    FusionSet fusions;
    bool *squared;                      /* by node: its squares are wanted */
    NodeId *reader;                     /* by value: the last one */
    const uint32_t *uses;
    NodeId last;                        /* the last partial sum of few squares, which adds up those of all */
    ValueId root;                       /* what it and they are added up to */
    ValueId *few;                       /* the squares joined so far, each of one axis */
    uint32_t n_few;
} Norm;

/* ---- what can tell its squares ------------------------------------------------------------------ */

ValueId norm_source(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (n->op == OP_reshape || n->op == OP_transpose) {
        v = node_input(g, n, 0);
        n = value_def(g, v);
    }
    return v;
}

static bool is_zeros(const Graph *g, ValueId v)
{
    const Node *base = value_constant(g, v);
    return base && base->op == OP_constant && !(fabs(NODE_ATTR(base, constant, value).f) > 0);
}

static FusionReason product_refusal(const Graph *g, const Node *product)
{
    const Shape *s = &value_type(g, product->first_output)->shape;
    if (s->rank != 2 || !dim_is_const(s->dim[0]))
        return FUSION_other_rows;
    if (s->dim[0].coef == 1)
        return FUSION_saves_nothing;
    if (dtype_block(value_type(g, node_input(g, product, 1))->dtype) > 1)
        return FUSION_stored_weights;
    return FUSION_none;
}

/* Columns, down to one axis of a fixed size. */
static FusionReason sum_refusal(const Graph *g, const Node *sum)
{
    const Shape *s = &value_type(g, sum->first_output)->shape;
    int axes = 0;
    if (NODE_ATTR(sum, sum, axes).i >> (value_type(g, node_input(g, sum, 0))->shape.rank - 1) & 1)
        return FUSION_saves_nothing;    /* few enough already */
    for (int a = 0; a < s->rank; a++) {
        axes += !dim_is(s->dim[a], 1);
        if (!dim_is_const(s->dim[a]))
            return FUSION_other_rows;
    }
    return axes > 1 ? FUSION_other_axes : FUSION_none;
}

static FusionReason map_refusal(const Graph *g, ValueId v)
{
    const Shape *s = &value_type(g, v)->shape;
    return s->rank == 0 || dim_is(s->dim[s->rank - 1], 1) ? FUSION_saves_nothing : FUSION_none;
}

static FusionReason source_refusal(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    if (n->op == OP_matmul || n->op == OP_matmul_squares)
        return product_refusal(g, n);
    if (n->op == OP_sum)
        return sum_refusal(g, n);
    if (n->op == OP_linear_cross_entropy_grad)
        return v == n->first_output + 1 || v == n->first_output + 5 ? FUSION_none : FUSION_kernel_writes;
    if (op_info(n->op)->class == CLASS_MAP)
        return map_refusal(g, v);
    if (op_info(n->op)->class == CLASS_SOURCE)
        return FUSION_earlier_run;
    if (n->op != OP_embedding_grad)
        return FUSION_kernel_writes;
    if (is_zeros(g, node_input(g, n, 0)))
        return FUSION_none;
    const ValueId base = norm_source(g, node_input(g, n, 0));   /* written over, so not read for its rows */
    const bool tells = op_info(value_def(g, base)->op)->class != CLASS_MAP
        && source_refusal(g, base) == FUSION_none;
    return tells ? FUSION_none : FUSION_not_zeros;
}

FusionReason norm_refusal(const Graph *g, ValueId source, FusionSet fusions)
{
    const FusionReason why = source_refusal(g, source);
    return why == FUSION_none && !fusion_on(fusions, FUSE_gradient_norm) ? FUSION_switched_off : why;
}

bool norm_tells(const Graph *g, NodeId id)
{
    const Node *n = &g->nodes[id];
    return n->op == OP_matmul_squares || n->op == OP_sum_squares
        || (n->op == OP_embedding_grad && NODE_ATTR(n, embedding_grad, squares).i)
        || (n->op == OP_linear_cross_entropy_grad && NODE_ATTR(n, linear_cross_entropy_grad, squares).i);
}

ValueId norm_squares(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    const ValueId last = n->first_output + n->n_outputs - 1u;
    if (!norm_tells(g, g->values[v].def))
        return NO_VALUE;
    if (n->op != OP_linear_cross_entropy_grad)
        return v == n->first_output ? last : NO_VALUE;
    return v == n->first_output + 1 ? last : v == n->first_output + 5 && v + 2 == last ? last - 1u : NO_VALUE;
}

/* ---- what is folded ------------------------------------------------------------------------------ */

/* Where the elements come from whose squares node `n` adds up, NO_VALUE when it stays as it is. */
static ValueId folds_into(const Norm *m, const Graph *g, const Node *n)
{
    const bool squares = n->op == OP_partial_sum && NODE_ATTR(n, partial_sum, square).i;
    const ValueId source = squares ? norm_source(g, node_input(g, n, 0)) : NO_VALUE;
    return squares && norm_refusal(g, source, m->fusions) == FUSION_none ? source : NO_VALUE;
}

/* What the partial sum v is added up to, with others. */
static ValueId root_of(const Norm *m, const Graph *g, ValueId v)
{
    while (m->uses[v] == 1 && m->reader[v] != NO_NODE && g->nodes[m->reader[v]].op == OP_add
           && shape_equal(&value_type(g, g->nodes[m->reader[v]].first_output)->shape,
                          &value_type(g, v)->shape))
        v = g->nodes[m->reader[v]].first_output;
    return v;
}

static bool is_few(const Graph *g, ValueId source)
{
    const Node *n = value_def(g, source);
    const OpId op = n->op;
    return op == OP_sum || (op == OP_linear_cross_entropy_grad && source == n->first_output + 5)
        || (op == OP_embedding_grad && is_zeros(g, node_input(g, value_def(g, source), 0)));
}

static void mark_sources(Norm *m, const Graph *g, ValueId source)
{
    const Node *n = value_def(g, source);
    m->squared[g->values[source].def] = op_info(n->op)->class != CLASS_MAP;
    if (n->op == OP_embedding_grad && !is_zeros(g, node_input(g, n, 0)))
        mark_sources(m, g, norm_source(g, node_input(g, n, 0)));
}

static void find_readers(Norm *m, const Graph *g)
{
    for (ValueId v = 0; v < g->n_values; v++)
        m->reader[v] = NO_NODE;
    for (NodeId n = 0; n < g->n_nodes; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
            m->reader[node_input(g, &g->nodes[n], i)] = n;
}

static void find_sources(Norm *m, const Graph *g)
{
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const ValueId source = folds_into(m, g, &g->nodes[n]);
        if (source == NO_VALUE)
            continue;
        mark_sources(m, g, source);
        if (!is_few(g, source))
            continue;
        m->last = n;
        m->root = root_of(m, g, g->nodes[n].first_output);
    }
}

/* ---- nodes with their squares --------------------------------------------------------------------- */

static OpId squared_op(OpId op)
{
    return op == OP_matmul ? OP_matmul_squares : op == OP_sum ? OP_sum_squares : op;
}

static void emit_squared(Norm *m, NodeId id)
{
    const Node *n = &m->rw.old->nodes[id];
    ValueId in[8];
    for (unsigned i = 0; i < n->n_inputs; i++)
        in[i] = rewrite_of(&m->rw, node_input(m->rw.old, n, i));
    NodeSpec spec = node_spec(squared_op(n->op), in, n->n_inputs, n->span, n->path);
    memcpy(spec.attr, n->attr, sizeof spec.attr);       /* of the ops with squares and without they are alike */
    if (op_info(n->op)->flags & OP_SQUARED)
        spec.attr[op_info(n->op)->n_attrs - 1].i = true;
    const ValueId first = graph_add(m->rw.new_, &spec, NULL);
    for (unsigned i = 0; i < n->n_outputs; i++)
        m->rw.map[n->first_output + i] = first + i;
}

/* ---- and who adds them up --------------------------------------------------------------------------- */

static ValueId flat(Builder *b, ValueId v)
{
    Shape line = { .rank = 1 };
    const bool fits = shape_count(&value_type(b->g, v)->shape, &line.dim[0]);
    return fits ? build_reshape(b, v, &line) : v;
}

static ValueId join(Builder *b, const ValueId *parts, uint32_t n)
{
    enum { MOST = 32 };
    ValueId joined[MOST];
    uint32_t each = 1, k = 0;
    if (n == 1)
        return parts[0];
    while (n > each * MOST)
        each *= MOST;
    for (uint32_t at = 0; at < n; at += each)
        joined[k++] = join(b, parts + at, n - at < each ? n - at : each);
    return graph_add(b->g, &(NodeSpec){ .op = OP_concat, .inputs = joined, .n_inputs = k, .span = b->span,
                                        .path = b->path }, NULL);
}

/* The squares of each row. */
static ValueId emit_rows(Norm *m, Builder *b, ValueId source)
{
    const ValueId x = rewrite_of(&m->rw, source);
    const int last = value_type(b->g, x)->shape.rank - 1;
    return build_sum(b, build2(b, OP_mul, x, x), (int64_t)1 << last);
}

/* Of a table that rows are added to, its own squares and what the rows change: the whole partial sum. */
static ValueId squares_of(Norm *m, Builder *b, ValueId source)
{
    const Graph *old = m->rw.old;
    const Node *n = value_def(old, source);
    if (op_info(n->op)->class == CLASS_MAP)
        return emit_rows(m, b, source);
    const ValueId own = norm_squares(b->g, rewrite_of(&m->rw, source));
    if (n->op != OP_embedding_grad || is_zeros(old, node_input(old, n, 0)))
        return own;
    const ValueId base = squares_of(m, b, norm_source(old, node_input(old, n, 0)));
    return join(b, (ValueId[]){ flat(b, base), own }, 2);
}

static ValueId add_up(Builder *b, ValueId squares)
{
    return build1(b, OP_partial_sum, squares);
}

static void emit_sum(Norm *m, NodeId id, ValueId source)
{
    const Graph *old = m->rw.old;
    const ValueId v = old->nodes[id].first_output;
    Builder b = rewrite_builder(&m->rw, id);
    const ValueId squares = squares_of(m, &b, source);
    if (!is_few(old, source) || root_of(m, old, v) != m->root) {
        m->rw.map[v] = add_up(&b, squares);
        return;
    }
    m->few[m->n_few++] = flat(&b, squares);
    if (id == m->last)
        m->rw.map[v] = add_up(&b, join(&b, m->few, m->n_few));
}

/* What is joined to later ones is not there: a sum with it is the other. */
static bool skip_missing(Norm *m, const Node *n)
{
    if (n->op != OP_add)
        return false;
    const ValueId x = rewrite_of(&m->rw, node_input(m->rw.old, n, 0));
    const ValueId y = rewrite_of(&m->rw, node_input(m->rw.old, n, 1));
    if (x != NO_VALUE && y != NO_VALUE)
        return false;
    m->rw.map[n->first_output] = x != NO_VALUE ? x : y;
    return true;
}

static void emit(Norm *m, NodeId n)
{
    const Node *node = &m->rw.old->nodes[n];
    const ValueId source = folds_into(m, m->rw.old, node);
    if (source != NO_VALUE)
        emit_sum(m, n, source);
    else if (m->squared[n])
        emit_squared(m, n);
    else if (!skip_missing(m, node))
        rewrite_copy(&m->rw, n);
}

bool pass_norm(Graph *g, PassContext *cx)
{
    Norm m = { .scratch = cx->scratch, .fusions = cx->options->fusions, .last = NO_NODE, .root = NO_VALUE,
               .squared = arena_array(cx->scratch, g->n_nodes, sizeof *m.squared),
               .reader = arena_array(cx->scratch, g->n_values, sizeof *m.reader),
               .few = arena_array(cx->scratch, g->n_nodes, sizeof *m.few),
               .uses = graph_uses(g, cx->scratch) };
    find_readers(&m, g);
    find_sources(&m, g);
    m.rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < m.rw.old->n_nodes; n++)
        emit(&m, n);
    rewrite_end(&m.rw);
    return true;
}
