/* KV-cache insertion: from the forward pass over a whole sequence to one over 1..chunk new positions.
 *
 * needs  program generate, attention recognised, dropout gone
 * keeps  order; the result computes for new positions past .. past + T - 1 what the whole sequence
 *        would have given there
 *
 * It is a proof by induction over the nodes.  Every value is either fixed (the same for every
 * position) or has rows: one axis runs over positions, and row t depends on inputs at t, or through
 * causal attention at t and before.  Element-wise ops keep rows where they line up; reductions,
 * products, slices and the like keep them when they leave that axis alone; causal attention is the
 * only op that may look along it.  Anything else is an error that names the op and its line.
 *
 * Then keys and values become state (of the type asked for, once `store` has run), written at `past`, and positions(T) counts from `past`. */
#include "ir/build.h"
#include "passes/pass.h"

#include "base/check.h"

#include <inttypes.h>

/* How a value depends on the sequence.  `inner` is the number of elements that one step along the
 * sequence passes in row-major order: position = element / inner % T. */
typedef struct Rows {
    bool has;                           /* false: fixed */
    Dim inner;
} Rows;

typedef struct Proof {
    Rewriter rw;
    const Graph *old;
    int sequence;                       /* the symbol */
    Rows *rows;                         /* by value of the old graph */
    DiagSink *diags;
    Arena *scratch;
    ValueId past;                       /* in the new graph */
    uint32_t n_caches;
    DType stored;                       /* what caches are stored in; see pass `store` */
} Proof;

/* ---- rows and axes ---------------------------------------------------------------------------- */

static Dim elements_right_of(const Shape *s, int axis)
{
    Dim d = dim_const(1);
    for (int a = axis + 1; a < s->rank; a++) {
        bool fits = dim_mul(d, s->dim[a], &d);
        CHECK(fits, "a shape too large");
    }
    return d;
}

/* The axis that holds the sequence, or -1.  It may be merged with others: [B * T, C]. */
static int rows_axis(const Proof *p, const Shape *s, Dim inner)
{
    for (int a = 0; a < s->rank; a++) {
        Dim part, rest;
        if (dim_has(s->dim[a], p->sequence) && dim_div(inner, elements_right_of(s, a), &part)
            && dim_div(s->dim[a], part, &rest))
            return a;
    }
    return -1;
}

static const Shape *shape_of(const Proof *p, ValueId v)
{
    return &value_type(p->old, v)->shape;
}

/* How many axes run over the sequence. */
static int sequence_axes(const Proof *p, const Shape *s)
{
    int n = 0;
    for (int a = 0; a < s->rank; a++)
        n += dim_has(s->dim[a], p->sequence);
    return n;
}

/* The steps inside the sequence's axis, beyond what stands to its right. */
static Dim inner_part(const Proof *p, ValueId v, int axis)
{
    Dim part;
    bool exact = dim_div(p->rows[v].inner, elements_right_of(shape_of(p, v), axis), &part);
    CHECK(exact, "rows_axis found it");
    return part;
}

static Rows rows_at(const Proof *p, ValueId v, int axis, Dim part)
{
    Rows r = { .has = true };
    bool fits = dim_mul(elements_right_of(shape_of(p, v), axis), part, &r.inner);
    CHECK(fits, "a shape too large");
    return r;
}

/* ---- what mixes positions --------------------------------------------------------------------- */

static bool refuse(Proof *p, const Node *n, const char *why)
{
    diag_error(p->diags, n->span, DIAG_E0401, "no cached generation: `%s` %s", op_info(n->op)->name,
               why);
    diag_note(p->diags, (Span){ 0 }, "only causal attention may look from one position of `%s` at "
              "another; training and scoring are not affected",
              p->old->symbol[p->sequence].name);
    return false;
}

/* Inputs with rows must put them on one axis of the result; the result has them there. */
static bool line_up(Proof *p, const Node *n)
{
    const ValueId out = n->first_output;
    const int rank = shape_of(p, out)->rank;
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(p->old, n, i);
        if (!p->rows[v].has)
            continue;
        const int axis = rows_axis(p, shape_of(p, v), p->rows[v].inner);
        if (axis < 0)
            return refuse(p, n, "takes a value whose sequence axis cannot be followed");
        const Rows r = rows_at(p, out, axis + rank - shape_of(p, v)->rank,
                               inner_part(p, v, axis));
        if (p->rows[out].has && !dim_equal(p->rows[out].inner, r.inner))
            return refuse(p, n, "combines two values whose sequences run along different axes");
        p->rows[out] = r;
    }
    if (sequence_axes(p, shape_of(p, out)) > 1)
        return refuse(p, n, "sets every position against every other");
    return true;
}

/* Ops that leave all axes in place but work along those in `axes`. */
static bool works_along(Proof *p, const Node *n, int64_t axes)
{
    const ValueId v = node_input(p->old, n, 0);
    if (!p->rows[v].has)
        return true;
    const int axis = rows_axis(p, shape_of(p, v), p->rows[v].inner);
    if (axis < 0 || axes == ALL_AXES || axes >> axis & 1)
        return refuse(p, n, "works along the sequence");
    p->rows[n->first_output] = rows_at(p, n->first_output, axis, inner_part(p, v, axis));
    return true;
}

static bool prove_reshape(Proof *p, const Node *n)
{
    const ValueId v = node_input(p->old, n, 0), out = n->first_output;
    p->rows[out] = p->rows[v];
    if (p->rows[v].has && rows_axis(p, shape_of(p, out), p->rows[out].inner) < 0)
        return refuse(p, n, "cuts the sequence into pieces");
    return true;
}

static bool prove_transpose(Proof *p, const Node *n)
{
    const ValueId v = node_input(p->old, n, 0);
    const int a = (int)NODE_ATTR(n, transpose, a).i, b = (int)NODE_ATTR(n, transpose, b).i;
    if (!p->rows[v].has)
        return true;
    const int axis = rows_axis(p, shape_of(p, v), p->rows[v].inner);
    if (axis < 0)
        return refuse(p, n, "takes a value whose sequence axis cannot be followed");
    p->rows[n->first_output] = rows_at(p, n->first_output, axis == a ? b : axis == b ? a : axis,
                                       inner_part(p, v, axis));
    return true;
}

/* A fixed value stretched along the sequence is the same at every position. */
static bool prove_broadcast(Proof *p, const Node *n)
{
    const ValueId out = n->first_output;
    if (!line_up(p, n))
        return false;
    for (int a = 0; a < shape_of(p, out)->rank && !p->rows[out].has; a++)
        if (dim_has(shape_of(p, out)->dim[a], p->sequence))
            p->rows[out] = rows_at(p, out, a, dim_const(1));
    return true;
}

/* [.., M, K] @ [.., K, N]: rows may run along leading axes and M. */
static bool prove_matmul(Proof *p, const Node *n)
{
    const ValueId out = n->first_output;
    const int rank = shape_of(p, out)->rank;
    for (unsigned i = 0; i < 2; i++) {
        const ValueId v = node_input(p->old, n, i);
        const bool flipped = i == 0 ? NODE_ATTR(n, matmul, transpose_a).i
                                    : NODE_ATTR(n, matmul, transpose_b).i;
        if (!p->rows[v].has)
            continue;
        const int in_rank = shape_of(p, v)->rank;
        int axis = rows_axis(p, shape_of(p, v), p->rows[v].inner);
        if (axis < 0)
            return refuse(p, n, "takes a value whose sequence axis cannot be followed");
        const Dim part = inner_part(p, v, axis);
        if (axis >= in_rank - 2 && flipped)
            axis = 2 * in_rank - 3 - axis;
        if (axis == (i == 0 ? in_rank - 1 : in_rank - 2))
            return refuse(p, n, "sums over the sequence");
        const Rows r = rows_at(p, out, axis + rank - in_rank, part);
        if (p->rows[out].has && !dim_equal(p->rows[out].inner, r.inner))
            return refuse(p, n, "sets every position against every other");
        p->rows[out] = r;
    }
    return true;
}

/* x and gate go row by row with the result; the weights are fixed. */
static bool prove_masked(Proof *p, const Node *n)
{
    const ValueId x = node_input(p->old, n, 0), gate = node_input(p->old, n, 2);
    const int axis = p->rows[x].has ? rows_axis(p, shape_of(p, x), p->rows[x].inner) : -1;
    if (p->rows[node_input(p->old, n, 1)].has || !p->rows[gate].has || axis < 0
        || axis == shape_of(p, x)->rank - 1
        || rows_axis(p, shape_of(p, gate), p->rows[gate].inner) != axis)
        return refuse(p, n, "needs x and gate by rows of the sequence, and weights without it");
    p->rows[n->first_output] = rows_at(p, n->first_output, axis, inner_part(p, x, axis));
    return true;
}

static bool prove_embedding(Proof *p, const Node *n)
{
    const ValueId table = node_input(p->old, n, 0), ids = node_input(p->old, n, 1);
    if (p->rows[table].has)
        return refuse(p, n, "looks up rows of a table that runs along the sequence");
    if (!p->rows[ids].has)
        return true;
    const int axis = rows_axis(p, shape_of(p, ids), p->rows[ids].inner);
    if (axis < 0)
        return refuse(p, n, "takes ids whose sequence axis cannot be followed");
    p->rows[n->first_output] = rows_at(p, n->first_output, axis, inner_part(p, ids, axis));
    return true;
}

static bool on_axis(const Proof *p, ValueId v, int axis)
{
    return p->rows[v].has && rows_axis(p, shape_of(p, v), p->rows[v].inner) == axis
        && dim_equal(inner_part(p, v, axis), dim_const(1));
}

static bool is_sequence(const Proof *p, Dim d)
{
    return dim_equal(d, dim_symbol(p->sequence));
}

/* Heads of whole blocks, where caches are kept in blocks. */
static bool fits_stored(Proof *p, const Node *n)
{
    const int64_t block = dtype_block(p->stored);
    for (unsigned i = 1; i < 3; i++) {
        const Dim head = shape_of(p, node_input(p->old, n, i))->dim[3];
        if (block == 1 || (dim_is_const(head) && head.coef % block == 0))
            continue;
        diag_error(p->diags, n->span, DIAG_E0434, "%s of %" PRId64 " numbers a head cannot be kept as "
                   "%s, in blocks of %" PRId64, i == 1 ? "keys" : "values", head.coef,
                   dtype_name(p->stored), block);
        diag_note(p->diags, (Span){ 0 }, "--cache bf16 takes any size, at two bytes a number; or let the "
                  "head be a multiple of %" PRId64, block);
        return false;
    }
    return true;
}

/* The axis must be the sequence alone: the order along [2 * T] is not that of positions. */
static bool prove_attention(Proof *p, const Node *n)
{
    for (unsigned i = 0; i < 3; i++)
        if (!on_axis(p, node_input(p->old, n, i), 2)
            || !is_sequence(p, shape_of(p, node_input(p->old, n, i))->dim[2]))
            return refuse(p, n, "needs q, k and v of [B, heads, sequence, head]");
    if (!NODE_ATTR(n, attention, causal).i)
        return refuse(p, n, "is not causal: a position sees later ones");
    if (!fits_stored(p, n))
        return false;
    for (unsigned i = 0; i < 2; i++)
        p->rows[n->first_output + i] = rows_at(p, n->first_output + i, 2, dim_const(1));
    return true;
}

static bool prove_rope(Proof *p, const Node *n)
{
    const ValueId x = node_input(p->old, n, 0), positions = node_input(p->old, n, 1);
    if (!on_axis(p, x, 2) || !on_axis(p, positions, 0))
        return refuse(p, n, "needs x of [B, heads, sequence, head] and a position for each step");
    if (n->n_inputs > 2 && p->rows[node_input(p->old, n, 2)].has)
        return refuse(p, n, "has factors that change with the position");
    p->rows[n->first_output] = p->rows[x];
    return true;
}

static bool prove_source(Proof *p, const Node *n)
{
    const ValueId v = n->first_output;
    const Shape *s = shape_of(p, v);
    if (n->op == OP_extent && dim_has(NODE_ATTR(n, extent, size).dim, p->sequence))
        return refuse(p, n, "uses the length of the sequence as a number");
    if (sequence_axes(p, s) > 1)
        return refuse(p, n, "has two axes along the sequence");
    for (int a = 0; a < s->rank; a++)
        if (dim_has(s->dim[a], p->sequence)) {
            if (s->dim[a].power[p->sequence] > 1)
                return refuse(p, n, "has an axis of the sequence times itself");
            if (s->dim[a].coef != 1 || (n->op == OP_positions && !is_sequence(p, s->dim[a])))
                return refuse(p, n, "has an axis of several times the sequence");
            if (n->op == OP_param || n->op == OP_state)
                return refuse(p, n, "keeps something for every position between runs");
            p->rows[v] = rows_at(p, v, a, dim_const(1));
        }
    return true;
}

/* Every input fixed: so is the result. */
static bool prove_fixed(Proof *p, const Node *n)
{
    for (unsigned i = 0; i < n->n_inputs; i++)
        if (p->rows[node_input(p->old, n, i)].has)
            return refuse(p, n, "has no rule that keeps positions apart");
    return true;
}

static bool prove_softmax(Proof *p, const Node *n)
{
    return works_along(p, n, (int64_t)1 << NODE_ATTR(n, softmax, axis).i);
}

static bool prove_slice(Proof *p, const Node *n)
{
    return works_along(p, n, (int64_t)1 << NODE_ATTR(n, slice, axis).i);
}

static bool prove_pad(Proof *p, const Node *n)
{
    return works_along(p, n, (int64_t)1 << NODE_ATTR(n, pad, axis).i);
}

static bool prove_concat(Proof *p, const Node *n)
{
    return works_along(p, n, (int64_t)1 << NODE_ATTR(n, concat, axis).i) && line_up(p, n);
}

static bool prove_reduce(Proof *p, const Node *n)
{
    return works_along(p, n, n->attr[0].i);
}

static bool prove_mask(Proof *p, const Node *n)
{
    return refuse(p, n, "is not part of an attention that was recognised");
}

typedef bool ProveFn(Proof *p, const Node *n);

/* Ops with a rule of their own. */
static ProveFn *const rules[N_OPS] = {
    [OP_softmax] = prove_softmax,     [OP_slice] = prove_slice,         [OP_pad] = prove_pad,
    [OP_concat] = prove_concat,       [OP_sum] = prove_reduce,          [OP_mean] = prove_reduce,
    [OP_max] = prove_reduce,          [OP_min] = prove_reduce,          [OP_copy] = line_up,
    [OP_logsumexp] = prove_reduce,    [OP_causal_mask] = prove_mask,    [OP_rope] = prove_rope,
    [OP_reshape] = prove_reshape,     [OP_transpose] = prove_transpose,
    [OP_broadcast] = prove_broadcast, [OP_matmul] = prove_matmul,
    [OP_embedding] = prove_embedding, [OP_attention] = prove_attention,
    [OP_positions] = prove_source,    [OP_masked_matmul] = prove_masked,
};

/* Element-wise ops keep rows that line up; of others only what their rule says, and without one, only
 * what does not depend on the sequence. */
static bool prove_node(Proof *p, const Node *n)
{
    const OpClass class = op_info(n->op)->class;
    ProveFn *rule = rules[n->op];
    if (!rule)
        rule = class == CLASS_MAP ? line_up : class == CLASS_SOURCE ? prove_source : prove_fixed;
    return rule(p, n);
}

/* ---- the new program -------------------------------------------------------------------------- */

static ValueId cache_of(Proof *p, Builder *b, const char *what, ValueId v)
{
    Graph *g = p->rw.new_;
    Type t = *value_type(p->old, v);
    t.shape.dim[2] = dim_const(p->old->context);
    Storage s = { .name = arena_printf(g->arena, "cache.%s.%u", what, p->n_caches),
                  .class = STORAGE_STATE, .type = t, .stored = p->stored, .span = b->span };
    const ValueId cache = build_storage(b, graph_storage(g, s));
    return build3(b, OP_cache_write, cache, rewrite_of(&p->rw, v), p->past);
}

static void insert_cache(Proof *p, NodeId id)
{
    const Node *n = &p->old->nodes[id];
    Builder b = rewrite_builder(&p->rw, id);
    const ValueId q = rewrite_of(&p->rw, node_input(p->old, n, 0));
    const ValueId k = cache_of(p, &b, "k", node_input(p->old, n, 1));
    const ValueId v = cache_of(p, &b, "v", node_input(p->old, n, 2));
    const ValueId inputs[] = { q, k, v, p->past };
    NodeSpec spec = node_spec(OP_attention_cached, inputs, COUNT_OF(inputs), n->span, n->path);
    for (int i = 0; i <= ATTR_INDEX(attention_cached, soft_cap); i++)
        spec.attr[i] = n->attr[i];      /* the rows of the two ops begin alike */
    const ValueId out = graph_add(p->rw.new_, &spec, NULL);
    p->rw.map[n->first_output] = out;
    p->rw.map[n->first_output + 1] = out + 1;
    p->n_caches++;
}

static void insert_past(Proof *p, NodeId id)
{
    const Node *n = &p->old->nodes[id];
    NodeSpec spec = node_spec(OP_positions, &p->past, 1, n->span, n->path);
    spec.attr[ATTR_INDEX(positions, length)] = NODE_ATTR(n, positions, length);
    p->rw.map[n->first_output] = graph_add(p->rw.new_, &spec, NULL);
}

static ValueId past_input(Graph *g)
{
    Storage past = { .name = "$past", .class = STORAGE_INPUT, .type = type_scalar(DTYPE_i32) };
    Builder b = builder_at(g, NULL);
    return build_storage(&b, graph_storage(g, past));
}

bool pass_cache(Graph *g, PassContext *cx)
{
    Proof p = { .sequence = graph_sequence(g), .stored = cx->options->cache, .diags = cx->diags, .scratch = cx->scratch,
                .rows = arena_array(cx->scratch, g->n_values, sizeof *p.rows) };
    CHECK(p.sequence >= 0, "a model without a sequence has no program generate");
    p.old = g;
    bool proved = true;
    for (NodeId n = 0; n < g->n_nodes && proved; n++)
        proved = prove_node(&p, &g->nodes[n]);
    if (!proved)
        return false;
    p.rw = rewrite_begin(g, cx->scratch);
    p.past = past_input(p.rw.new_);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        if (node->op == OP_attention)
            insert_cache(&p, n);
        else if (node->op == OP_positions && p.rows[node->first_output].has)
            insert_past(&p, n);
        else
            rewrite_copy(&p.rw, n);
    }
    rewrite_end(&p.rw);
    return true;
}
