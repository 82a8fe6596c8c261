/* Epilogues: what follows a product moves into its write-back.
 *
 * needs  groups
 * keeps  meaning, order but that a product goes where its reader was
 *
 * Group by group, steps are taken as long as none costs memory traffic, best first, and those behind
 * the best sum are taken back: so a sum of three products becomes two that add to the one before,
 * though the first step alone saves nothing.  Which product takes a sum of two depends on what they
 * compute and not on where they stand (fuse_key.c). */
#include "passes/epilogue.h"

#include "ir/build.h"
#include "passes/pass.h"

#include "base/check.h"

/* ---- one step --------------------------------------------------------------------------------- */

static bool is_product(const Node *n)
{
    return n->op == OP_matmul || n->op == OP_product;
}

static Epilogue epilogue_of(const Graph *g, const Node *n)
{
    Epilogue e = { .bias = NO_VALUE, .residual = NO_VALUE, .activation = OP_copy,
                   .onto = NO_VALUE, .result = n->first_output };
    if (n->op != OP_product)
        return e;
    if (NODE_ATTR(n, product, bias).i)
        e.bias = node_input(g, n, 2);
    if (NODE_ATTR(n, product, residual).i)
        e.residual = node_input(g, n, n->n_inputs - 1u);
    e.activation = (OpId)NODE_ATTR(n, product, activation).i;
    return e;
}

Epilogues epilogues_begin(const Graph *g, FusionSet fusions, Arena *scratch)
{
    Epilogues e = { .f = fuse_begin_grouped(g, fusions, scratch),
                    .of = arena_array(scratch, g->n_nodes, sizeof *e.of),
                    .taken = arena_array(scratch, g->n_nodes, sizeof *e.taken),
                    .awaited = arena_array(scratch, g->n_values, sizeof *e.awaited) };
    for (NodeId n = 0; n < g->n_nodes; n++) {
        if (is_product(&g->nodes[n]))
            e.of[n] = epilogue_of(g, &g->nodes[n]);
        if (g->nodes[n].op == OP_after)
            e.awaited[node_input(g, &g->nodes[n], 1)] = true;
    }
    return e;
}

/* Is the value in memory when the unit begins, in rows, and no constant? */
static bool in_memory(const Epilogues *e, ValueId v, uint32_t unit)
{
    const Graph *g = e->f.g;
    const Node *def = value_def(g, v);
    const bool inside = e->f.unit_of[g->values[v].def] == unit && !e->taken[g->values[v].def];
    return !inside && op_info(def->op)->class != CLASS_VIEW && !value_constant(g, v);
}

/* Does a member of `unit` that no product has taken, other than `but`, read `v`? */
static bool read_in_unit(const Epilogues *e, ValueId v, uint32_t unit, NodeId but)
{
    const Fuse *f = &e->f;
    for (uint32_t i = 0; i < f->n_readers[v]; i++) {
        const NodeId r = f->readers[v][i];
        if (r != but && f->unit_of[r] == unit && !e->taken[r])
            return true;
    }
    return false;
}

static bool read_outside_unit(const Epilogues *e, ValueId v, uint32_t unit)
{
    const Fuse *f = &e->f;
    bool outside = f->is_output[v];
    for (uint32_t i = 0; i < f->n_readers[v] && !outside; i++)
        outside = f->unit_of[f->readers[v][i]] != unit;
    return outside;
}

/* result + bias, result + residual. */
static FusionReason step_add(const Epilogues *e, const Node *reader, uint32_t unit, Epilogue *p)
{
    const Graph *g = e->f.g;
    const ValueId x = node_input(g, reader, 0), y = node_input(g, reader, 1);
    const ValueId other = x == p->result ? y : x;
    const Shape *rows = &value_type(g, p->result)->shape, *shape = &value_type(g, other)->shape;
    const bool bias = shape->rank == 1
        && dim_equal(shape->dim[0], rows->dim[rows->rank - 1]);
    if (x == y || (!bias && !shape_equal(shape, rows)))
        return FUSION_no_epilogue;
    if (!in_memory(e, other, unit))
        return FUSION_made_in_group;
    if (bias ? p->bias != NO_VALUE || p->activation != OP_copy || p->residual != NO_VALUE
             : p->residual != NO_VALUE)
        return FUSION_epilogue_full;
    if (!fusion_on(e->f.fusions, bias ? FUSE_product_bias : FUSE_product_residual))
        return FUSION_switched_off;
    *(bias ? &p->bias : &p->residual) = other;
    return FUSION_none;
}

static FusionReason step_activation(const Epilogues *e, const Node *reader, Epilogue *p)
{
    if (p->activation != OP_copy || p->residual != NO_VALUE)
        return FUSION_epilogue_full;
    if (!fusion_on(e->f.fusions, FUSE_product_activation))
        return FUSION_switched_off;
    p->activation = reader->op;
    return FUSION_none;
}

FusionReason epilogue_step(const Epilogues *e, NodeId n, Epilogue *after, int *saved)
{
    const Fuse *f = &e->f;
    const Graph *g = f->g;
    Epilogue p = e->of[n];
    if (p.onto != NO_VALUE)
        return FUSION_epilogue_full;
    FusionReason why = FUSION_no_epilogue;
    if (f->n_readers[p.result] != 1 || f->is_output[p.result] || e->awaited[p.result])
        return FUSION_several_readers;
    if (g->nodes[n].group)
        return FUSION_shares_input;
    const NodeId r = f->readers[p.result][0];
    if (e->taken[r])
        return FUSION_epilogue_full;
    const Node *reader = &g->nodes[r];
    const uint32_t unit = f->unit_of[r];
    if (value_type(g, node_input(g, &g->nodes[n], 1))->dtype != DTYPE_f32)
        return FUSION_stored_weights;
    if (reader->op == OP_add)
        why = step_add(e, reader, unit, &p);
    else if (op_info(reader->op)->class == CLASS_MAP && op_is_activation(reader->op))
        why = step_activation(e, reader, &p);
    if (why != FUSION_none)
        return why;
    p.result = reader->first_output;
    *saved = 2 - !read_outside_unit(e, p.result, unit) - read_in_unit(e, p.result, unit, r);
    if (p.residual != NO_VALUE && p.residual != e->of[n].residual
        && read_in_unit(e, p.residual, unit, r))
        *saved -= 1;
    *after = p;
    return FUSION_none;
}

/* ---- all steps into one group ----------------------------------------------------------------- */

typedef struct Taken {
    NodeId product, reader;
    Epilogue before;
} Taken;

typedef struct Taking {
    Epilogues e;
    const FuseKey *keys;
    NodeId **products;                  /* by unit: products whose result is read there */
    uint32_t *n_products, *cap_products;
    Arena *scratch;
} Taking;

static bool comes_first(const FuseKey *a, const FuseKey *b)
{
    return a->depth != b->depth ? a->depth < b->depth : a->hash < b->hash;
}

/* The step into `unit` that saves most; false when none is free. */
static bool best_step(Taking *t, uint32_t unit, NodeId *product, Epilogue *best, int *saved)
{
    bool found = false;
    for (uint32_t i = 0; i < t->n_products[unit]; i++) {
        const NodeId n = t->products[unit][i];
        Epilogue after;
        int save;
        if (epilogue_step(&t->e, n, &after, &save) != FUSION_none || save < 0)
            continue;
        const NodeId reader = t->e.f.g->values[after.result].def;
        if (t->e.f.unit_of[reader] != unit
            || (found && (save < *saved
                          || (save == *saved && !comes_first(&t->keys[n], &t->keys[*product])))))
            continue;
        found = true;
        *product = n;
        *best = after;
        *saved = save;
    }
    return found;
}

static void take_into(Taking *t, uint32_t unit)
{
    const Graph *g = t->e.f.g;
    Taken *taken = NULL;
    uint32_t n = 0, cap = 0, n_best = 0;
    int sum = 0, best = 0, saved = 0;
    NodeId product = NO_NODE;
    Epilogue after;
    while (best_step(t, unit, &product, &after, &saved)) {
        const Taken step = { product, g->values[after.result].def, t->e.of[product] };
        ARENA_PUSH(t->scratch, taken, n, cap, step);
        t->e.taken[step.reader] = true;
        t->e.of[product] = after;
        sum += saved;
        if (sum > best) {
            best = sum;
            n_best = n;
        }
    }
    for (; n > n_best; n--) {
        t->e.taken[taken[n - 1].reader] = false;
        t->e.of[taken[n - 1].product] = taken[n - 1].before;
    }
}

static Taking find_products(const Graph *g, FusionSet fusions, Arena *scratch)
{
    Taking t = { .e = epilogues_begin(g, fusions, scratch), .scratch = scratch,
                 .products = arena_array(scratch, g->n_nodes, sizeof *t.products),
                 .n_products = arena_array(scratch, g->n_nodes, sizeof *t.n_products),
                 .cap_products = arena_array(scratch, g->n_nodes, sizeof *t.cap_products) };
    t.keys = fuse_keys(&t.e.f);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const ValueId v = g->nodes[n].first_output;
        if (!is_product(&g->nodes[n]) || t.e.f.n_readers[v] != 1)
            continue;
        const uint32_t u = t.e.f.unit_of[t.e.f.readers[v][0]];
        ARENA_PUSH(scratch, t.products[u], t.n_products[u], t.cap_products[u], n);
    }
    return t;
}

/* ---- sums of gradients ------------------------------------------------------------------------ */

/* What sum = assign(old, add(old, product)) holds then; NO_NODE where `add` is no such sum, or others
 * see one of its parts. */
static NodeId summed_by(const Fuse *f, NodeId add, ValueId product)
{
    const Graph *g = f->g;
    const Node *n = &g->nodes[add];
    const ValueId sum = n->first_output;
    if (n->op != OP_add || f->n_readers[sum] != 1 || f->is_output[sum])
        return NO_NODE;
    const NodeId assign = f->readers[sum][0];
    const ValueId old = node_input(g, n, node_input(g, n, 0) == product);
    const bool both = g->nodes[assign].op == OP_assign && node_input(g, &g->nodes[assign], 0) == old;
    const bool alone = f->n_readers[old] == 2 && !f->is_output[old]
        && f->unit_of[assign] == f->unit_of[add]
        && shape_equal(&value_type(g, old)->shape, &value_type(g, product)->shape);
    return both && alone ? assign : NO_NODE;
}

/* The product adds to the storage itself: neither is it written apart, nor read again. */
static void take_sums(Taking *t)
{
    const Fuse *f = &t->e.f;
    const Graph *g = f->g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const ValueId v = g->nodes[n].first_output;
        if (g->nodes[n].op != OP_matmul || g->nodes[n].group || f->n_readers[v] != 1 || f->is_output[v]
            || t->e.awaited[v]
            || value_type(g, node_input(g, &g->nodes[n], 1))->dtype != DTYPE_f32)
            continue;
        const NodeId add = f->readers[v][0], assign = summed_by(f, add, v);
        if (assign == NO_NODE || t->e.awaited[g->nodes[add].first_output])
            continue;
        t->e.taken[add] = t->e.taken[assign] = true;
        t->e.of[n].onto = node_input(g, &g->nodes[assign], 0);
        t->e.of[n].result = g->nodes[assign].first_output;
    }
}

/* ---- the new graph ---------------------------------------------------------------------------- */

static void emit_sum(Rewriter *rw, NodeId n, const Epilogue *e)
{
    const Node *node = &rw->old->nodes[n];
    const ValueId inputs[] = { rewrite_of(rw, e->onto),
                               rewrite_of(rw, node_input(rw->old, node, 0)),
                               rewrite_of(rw, node_input(rw->old, node, 1)) };
    NodeSpec spec = node_spec(OP_assign_product, inputs, 3, node->span, node->path);
    spec.attr[ATTR_INDEX(assign_product, transpose_a)].i = NODE_ATTR(node, matmul, transpose_a).i;
    spec.attr[ATTR_INDEX(assign_product, transpose_b)].i = NODE_ATTR(node, matmul, transpose_b).i;
    spec.attr[ATTR_INDEX(assign_product, alpha)].f = NODE_ATTR(node, matmul, alpha).f;
    spec.attr[ATTR_INDEX(assign_product, precision)].i = NODE_ATTR(node, matmul, precision).i;
    rw->map[e->result] = graph_add(rw->new_, &spec, NULL);
}

static void emit_product(Rewriter *rw, NodeId n, const Epilogue *e)
{
    const Node *node = &rw->old->nodes[n];
    if (e->onto != NO_VALUE) {
        emit_sum(rw, n, e);
        return;
    }
    ValueId inputs[4] = { rewrite_of(rw, node_input(rw->old, node, 0)),
                          rewrite_of(rw, node_input(rw->old, node, 1)) };
    uint32_t n_inputs = 2;
    if (e->bias != NO_VALUE)
        inputs[n_inputs++] = rewrite_of(rw, e->bias);
    if (e->residual != NO_VALUE)
        inputs[n_inputs++] = rewrite_of(rw, e->residual);
    NodeSpec spec = node_spec(OP_product, inputs, n_inputs, node->span, node->path);
    spec.attr[ATTR_INDEX(product, transpose_a)].i = NODE_ATTR(node, matmul, transpose_a).i;
    spec.attr[ATTR_INDEX(product, transpose_b)].i = NODE_ATTR(node, matmul, transpose_b).i;
    spec.attr[ATTR_INDEX(product, alpha)].f = NODE_ATTR(node, matmul, alpha).f;
    spec.attr[ATTR_INDEX(product, precision)].i = NODE_ATTR(node, matmul, precision).i;
    spec.attr[ATTR_INDEX(product, bias)].i = e->bias != NO_VALUE;
    spec.attr[ATTR_INDEX(product, residual)].i = e->residual != NO_VALUE;
    spec.attr[ATTR_INDEX(product, activation)].i = e->activation;
    rw->map[e->result] = graph_add(rw->new_, &spec, NULL);
}

/* Products whose last reader is a member, in the order of those. */
static void emit_products_of(const Taking *t, Rewriter *rw, uint32_t unit)
{
    const Unit *u = &t->e.f.units[unit];
    for (uint32_t m = 0; m < u->n; m++)
        for (uint32_t i = 0; i < t->n_products[unit]; i++) {
            const NodeId p = t->products[unit][i];
            if (rw->old->values[t->e.of[p].result].def == u->members[m])
                emit_product(rw, p, &t->e.of[p]);
        }
}

static uint32_t count_left(const Taking *t, uint32_t unit)
{
    const Unit *u = &t->e.f.units[unit];
    uint32_t left = 0;
    for (uint32_t m = 0; m < u->n; m++)
        left += !t->e.taken[u->members[m]];
    return left;
}

static void emit_unit(const Taking *t, Rewriter *rw, uint32_t unit, uint32_t *n_groups)
{
    const Unit *u = &t->e.f.units[unit];
    const uint32_t group = count_left(t, unit) > 1 ? ++*n_groups : 0;
    emit_products_of(t, rw, unit);
    for (uint32_t m = 0; m < u->n; m++) {
        if (t->e.taken[u->members[m]])
            continue;
        const ValueId v = rewrite_copy(rw, u->members[m]);
        rw->new_->nodes[rw->new_->values[v].def].group = group;
    }
}

bool pass_epilogue(Graph *g, PassContext *cx)
{
    Taking t = find_products(g, cx->options->fusions, cx->scratch);
    if (fusion_on(cx->options->fusions, FUSE_gradient_sum))
        take_sums(&t);
    for (uint32_t u = 0; u < g->n_nodes; u++)
        if (t.n_products[u] > 0 && t.e.f.units[u].rows)
            take_into(&t, u);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    t.e.f.g = rw.old;
    uint32_t n_groups = 0;
    for (NodeId n = 0; n < rw.old->n_nodes; n++) {
        const Unit *u = &t.e.f.units[t.e.f.unit_of[n]];
        const bool moved = is_product(&rw.old->nodes[n])
            && t.e.of[n].result != rw.old->nodes[n].first_output;
        if (!moved && u->members[0] == n)
            emit_unit(&t, &rw, t.e.f.unit_of[n], &n_groups);
    }
    rw.new_->n_groups = n_groups;
    rewrite_end(&rw);
    return true;
}
