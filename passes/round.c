/* Operands of products in bf16 are stored as what the products make of them.
 *
 * needs  precision; absorb, so that products are as they will be; dce behind it, for views of floats that
 *        nobody reads any more
 * keeps  every number: a product rounds its operands to bf16, and rounding twice is rounding once
 *
 * An operand that row programs compute is rounded where it is computed, once for all products that read it:
 * `round_bf16` fuses with what comes before it.  Where something else reads the floats they are stored too,
 * which pays for those that no cache holds until the products come; smaller ones stay as they are.  Products
 * read half as many bytes, and what is kept for the backward pass is half as large.  What kernels write
 * (attention, other products) they write as floats, which are rounded while a product packs them.  Weights
 * are read as the optimizer left them in bf16 (passes/copies.c); where it does not they are rounded as they
 * are packed, but for those that a loss reads again for every chunk of rows. */
#include "ir/build.h"
#include "passes/pass.h"
#include "passes/precision.h"
#include "passes/view.h"

typedef struct Rounding {
    Rewriter rw;
    ValueId *rounded;                   /* by old value: the same as bf16; NO_VALUE: none yet */
    ValueId *kept;                      /* by storage of a weight and of its copy: the copy as new value */
    bool *stored;                       /* by old value: read as floats by others than products in bf16 */
} Rounding;

enum { CACHED = 2 << 20 };              /* bytes of floats that products find in a cache */

static bool is_view(const Node *n)
{
    return op_info(n->op)->class == CLASS_VIEW;
}

/* What `v` is a view of, and its strides over that as a dense tensor; NO_VALUE when one of the views would
 * need a copy. */
static ValueId base_of(const Graph *g, ValueId v, Strided *strided)
{
    const Node *n = value_def(g, v);
    if (!is_view(n)) {
        *strided = strided_dense(&value_type(g, v)->shape);
        return v;
    }
    Strided in;
    const ValueId base = base_of(g, node_input(g, n, 0), &in);
    return base != NO_VALUE && strided_view(g, n, &in, strided) ? base : NO_VALUE;
}

static bool is_loss(const Node *n)
{
    return n->op == OP_linear_cross_entropy || n->op == OP_linear_cross_entropy_grad;
}

static bool rounds(const Node *n)
{
    return (n->op == OP_matmul && NODE_ATTR(n, matmul, precision).i == DTYPE_bf16)
        || (is_loss(n) && NODE_ATTR(n, linear_cross_entropy, precision).i == DTYPE_bf16);
}

static bool *find_stored(const Graph *g, Arena *scratch)
{
    bool *stored = arena_array(scratch, g->n_values, sizeof *stored);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        stored[g->outputs[i].value] = true;
    for (NodeId id = g->n_nodes; id-- > 0;) {
        const Node *n = &g->nodes[id];
        for (unsigned i = 0; i < n->n_inputs && !node_waits(n, i); i++)
            stored[node_input(g, n, i)] |= is_view(n) ? stored[n->first_output] : !rounds(n) || i > 1;
    }
    return stored;
}

/* At the largest sizes. */
static bool is_cached(const Graph *g, ValueId v)
{
    int64_t sizes[MAX_SYMBOLS], elements;
    Dim count;
    for (uint32_t i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < g->n_symbols && g->symbol[i].max > 0 ? g->symbol[i].max : 1;
    return shape_count(&value_type(g, v)->shape, &count) && dim_eval(count, sizes, &elements)
        && elements < CACHED / (int64_t)sizeof(float);
}

/* Does a row program compute it, is it kept in bf16, or has it a reader that comes back for it? */
static bool is_rounded(const Rounding *r, ValueId v, bool read_again)
{
    const Graph *g = r->rw.old;
    Strided strided;
    const ValueId base = base_of(g, v, &strided);
    if (base == NO_VALUE || value_type(g, base)->dtype != DTYPE_f32)
        return false;
    const OpId op = value_def(g, base)->op;
    if (op == OP_param)
        return read_again || r->kept[NODE_ATTR(value_def(g, base), param, storage).i] != NO_VALUE;
    return (op == OP_embedding || (op_info(op)->class == CLASS_MAP && op != OP_causal_mask))
        && !(r->stored[base] && is_cached(g, base));
}

/* Views are of what is rounded, so that its fusions do not depend on who reads it how. */
static ValueId round_value(Rounding *r, ValueId v)
{
    const Graph *old = r->rw.old;
    const NodeId def = old->values[v].def;
    if (r->rounded[v] != NO_VALUE)
        return r->rounded[v];
    if (!is_view(&old->nodes[def])) {
        Builder b = rewrite_builder(&r->rw, def);
        r->rounded[v] = build1(&b, OP_round_bf16, rewrite_of(&r->rw, v));
        return r->rounded[v];
    }
    const ValueId in = node_input(old, &old->nodes[def], 0);
    const ValueId of_in = rewrite_of(&r->rw, in), of_v = rewrite_of(&r->rw, v);
    r->rw.map[in] = round_value(r, in);
    r->rounded[v] = rewrite_copy(&r->rw, def);
    r->rw.map[in] = of_in;
    r->rw.map[v] = of_v;
    return r->rounded[v];
}

static void copy_product(Rounding *r, NodeId id)
{
    const Graph *old = r->rw.old;
    const Node *n = &old->nodes[id];
    const ValueId v[] = { node_input(old, n, 0), node_input(old, n, 1) };
    const ValueId before[] = { rewrite_of(&r->rw, v[0]), rewrite_of(&r->rw, v[1]) };
    for (unsigned i = 0; i < 2; i++)
        if (is_rounded(r, v[i], is_loss(n) && i == 1))
            r->rw.map[v[i]] = round_value(r, v[i]);
    rewrite_copy(&r->rw, id);
    r->rw.map[v[0]] = before[0];
    r->rw.map[v[1]] = before[1];
}

/* A parameter's copy stands beside it, before all that reads either. */
static void copy_param(Rounding *r, NodeId id, Arena *scratch)
{
    const Graph *old = r->rw.old;
    const Node *n = &old->nodes[id];
    const StorageId weight = (StorageId)NODE_ATTR(n, param, storage).i;
    const StorageId copy = graph_find_storage(old, copy_name(scratch, old->storages[weight].name));
    rewrite_copy(&r->rw, id);
    if (copy == NO_STORAGE)
        return;
    Builder b = rewrite_builder(&r->rw, id);
    r->rounded[n->first_output] = r->kept[weight] = r->kept[copy] = build_storage(&b, copy);
}

/* The optimizer's view of a copy that stands already. */
static bool stands(Rounding *r, const Node *n)
{
    const ValueId kept = n->op == OP_state ? r->kept[NODE_ATTR(n, state, storage).i] : NO_VALUE;
    if (kept != NO_VALUE)
        r->rw.map[n->first_output] = kept;
    return kept != NO_VALUE;
}

bool pass_round(Graph *g, PassContext *cx)
{
    if (!fusion_on(cx->options->fusions, FUSE_rounding))
        return true;
    Rounding r = { .rounded = arena_array(cx->scratch, g->n_values, sizeof *r.rounded),
                   .kept = arena_array(cx->scratch, g->n_storages, sizeof *r.kept),
                   .stored = find_stored(g, cx->scratch) };
    for (ValueId v = 0; v < g->n_values; v++)
        r.rounded[v] = NO_VALUE;
    for (StorageId s = 0; s < g->n_storages; s++)
        r.kept[s] = NO_VALUE;
    r.rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < r.rw.old->n_nodes; n++) {
        const Node *node = &r.rw.old->nodes[n];
        if (node->op == OP_param)
            copy_param(&r, n, cx->scratch);
        else if (rounds(node))
            copy_product(&r, n);
        else if (!stands(&r, node))
            rewrite_copy(&r.rw, n);
    }
    rewrite_end(&r.rw);
    return true;
}
