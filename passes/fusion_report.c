/* What fusion did, read off the graph. */
#include "passes/fusion_report.h"

#include "passes/epilogue.h"
#include "passes/loss.h"
#include "passes/norm.h"
#include "passes/rope_write.h"

#include "base/check.h"

static const struct {
    const char *name, *text;
} reasons[N_FUSION_REASONS] = {
#define REASON(code, name, text) [FUSION_##code] = { name, text },
#include "passes/fusion_reasons.def"
};

const char *fusion_reason_name(FusionReason r)
{
    return reasons[r].name;
}

const char *fusion_reason_text(FusionReason r)
{
    return reasons[r].text;
}

typedef struct Reporting {
    const Graph *g;
    Fuse f;
    Epilogues epilogues;
    Arena *arena, *scratch;
    FusionReport out;
    int64_t sizes[MAX_SYMBOLS];
    uint32_t *seen, mark;               /* by value */
} Reporting;

/* ---- traffic ---------------------------------------------------------------------------------- */

/* Saturates: a report has no errors. */
static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return i64_add(a, b, &sum) ? sum : INT64_MAX;
}

/* Elements of a value that are in memory: what is stretched is there once, constants not at all. */
static int64_t value_bytes(const Reporting *r, ValueId v)
{
    const Graph *g = r->g;
    Dim count;
    int64_t n, bytes;
    while (value_def(g, v)->op == OP_broadcast)
        v = node_input(g, value_def(g, v), 0);
    const OpId op = value_def(g, v)->op;
    if (op == OP_constant || op == OP_extent)
        return 0;
    const bool fits = shape_count(&value_type(g, v)->shape, &count)
        && dim_eval(count, r->sizes, &n) && i64_mul(n, 4, &bytes);
    return fits ? bytes : INT64_MAX;
}

/* Of what input `i` of `n` holds, the bytes that the node reads: of a table the rows that it picks. */
static int64_t input_bytes(const Reporting *r, const Node *n, unsigned i)
{
    const int64_t all = value_bytes(r, node_input(r->g, n, i));
    const int64_t picked = value_bytes(r, n->first_output);
    return n->op == OP_embedding && i == 0 && picked < all ? picked : all;
}

static bool first_time(Reporting *r, ValueId v)
{
    const bool first = r->seen[v] != r->mark;
    r->seen[v] = r->mark;
    return first;
}

static int64_t node_traffic(Reporting *r, const Node *n)
{
    int64_t bytes = 0;
    r->mark++;
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(r->g, n, i);
        const bool overwritten = i == 0 && (op_info(n->op)->flags & OP_WRITES)
            && n->op != OP_assign_product;
        if (!overwritten && first_time(r, v))
            bytes = add(bytes, input_bytes(r, n, i));
    }
    if (n->op == OP_cache_write) {      /* writes as much as it reads, into a larger storage */
        const int64_t new = value_bytes(r, node_input(r->g, n, 1));
        return add(new, new);
    }
    for (unsigned i = 0; i < n->n_outputs; i++)
        bytes = add(bytes, value_bytes(r, n->first_output + i));
    return bytes;
}

static bool leaves_unit(const Reporting *r, ValueId v)
{
    const Fuse *f = &r->f;
    bool leaves = f->is_output[v] || value_def(r->g, v)->op == OP_assign;
    for (uint32_t i = 0; i < f->n_readers[v] && !leaves; i++)
        leaves = f->unit_of[f->readers[v][i]] != f->unit_of[r->g->values[v].def];
    return leaves;
}

/* What a group reads from outside, once, and what of it is seen outside. */
static int64_t group_traffic(Reporting *r, NodeId first, NodeId last)
{
    const Graph *g = r->g;
    int64_t bytes = 0;
    r->mark++;
    for (NodeId n = first; n < last; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = node->op == OP_assign; i < node->n_inputs; i++) {
            const ValueId v = node_input(g, node, i);
            const NodeId def = g->values[v].def;
            if ((def < first || def >= last) && first_time(r, v))
                bytes = add(bytes, input_bytes(r, node, i));
        }
        for (unsigned i = 0; i < node->n_outputs; i++)
            if (leaves_unit(r, node->first_output + i))
                bytes = add(bytes, value_bytes(r, node->first_output + i));
    }
    return bytes;
}

/* What follows a product in its write-back, each for itself: as a node it would read what the one
 * before wrote, and write as much. */
static int64_t steps_traffic(const Reporting *r, const Node *n)
{
    int64_t bytes = 0, steps = 0;
    if (n->op == OP_cache_write)        /* rope, of what is written */
        return n->n_inputs > 3 ? 2 * value_bytes(r, node_input(r->g, n, 1)) : 0;
    for (unsigned i = 0; i < n->n_outputs; i++)         /* a sum that reads it again */
        if (norm_squares(r->g, n->first_output + i) != NO_VALUE)
            bytes = add(bytes, value_bytes(r, n->first_output + i));
    if (bytes > 0)
        return bytes;
    if (n->op == OP_assign_product)     /* add, assign */
        steps = 2;
    else if (n->op == OP_product)
        steps = NODE_ATTR(n, product, bias).i + NODE_ATTR(n, product, residual).i
            + (NODE_ATTR(n, product, activation).i != OP_copy);
    for (int64_t i = 0; i < 2 * steps; i++)
        bytes = add(bytes, value_bytes(r, n->first_output));
    return bytes;
}

/* ---- units ------------------------------------------------------------------------------------ */

static bool does_something(const Node *n)
{
    const OpClass class = op_info(n->op)->class;
    return class != CLASS_SOURCE && class != CLASS_VIEW;
}

static void add_units(Reporting *r)
{
    const Graph *g = r->g;
    FusionReport *out = &r->out;
    for (NodeId n = 0, end; n < g->n_nodes; n = end) {
        FusionUnit u = { .first = n, .group = g->nodes[n].group };
        end = n + 1;
        while (u.group && end < g->n_nodes && g->nodes[end].group == u.group)
            end++;
        u.last = end;
        if (!does_something(&g->nodes[n]))
            continue;
        for (NodeId m = n; m < end; m++)
            u.traffic.before = add(u.traffic.before, node_traffic(r, &g->nodes[m]));
        u.traffic.after = u.group ? group_traffic(r, n, end) : u.traffic.before;
        u.traffic.before = add(u.traffic.before, steps_traffic(r, &g->nodes[n]));
        out->traffic.before = add(out->traffic.before, u.traffic.before);
        out->traffic.after = add(out->traffic.after, u.traffic.after);
        ARENA_PUSH(r->arena, out->units, out->n_units, out->cap_units, u);
    }
}

/* ---- edges ------------------------------------------------------------------------------------ */

static FusionReason explain_epilogue(const Reporting *r, NodeId product)
{
    Epilogue after;
    int saved;
    const FusionReason why = epilogue_step(&r->epilogues, product, &after, &saved);
    return why == FUSION_none && saved <= 0 ? FUSION_saves_nothing : why;
}

/* Two kernels of which one may do the other's work. */
static bool is_rope_write(const Node *producer, const Node *reader)
{
    return producer->op == OP_rope && reader->op == OP_cache_write;
}

static bool is_norm(const Node *reader)
{
    return reader->op == OP_partial_sum && NODE_ATTR(reader, partial_sum, square).i;
}

static bool is_loss(const Graph *g, ValueId v, const Node *reader)
{
    if (reader->op != OP_cross_entropy)
        return false;
    ValueId logits = node_input(g, reader, 0);
    while (op_info(value_def(g, logits)->op)->class == CLASS_VIEW && logits != v)
        logits = node_input(g, value_def(g, logits), 0);
    return logits == v;
}

static FusionReason explain_rope_write(const Reporting *r, const Node *rope, const Node *write)
{
    const Fuse *f = &r->f;
    const bool alone = f->n_readers[rope->first_output] == 1 && !f->is_output[rope->first_output];
    return rope_write_refusal(r->g, rope, write, alone, f->fusions);
}

/* `between`: why a view between the two would keep row programs apart, if there is one. */
static FusionEdge explain(Reporting *r, ValueId v, NodeId reader, FusionReason between)
{
    Fuse *f = &r->f;
    FusionEdge e = { .producer = r->g->values[v].def, .reader = reader, .value = v,
                     .through = NO_NODE };
    const uint32_t from = f->unit_of[e.producer], to = f->unit_of[reader];
    uint32_t through = UINT32_MAX;
    const OpId op = value_def(r->g, v)->op;
    const bool product = op == OP_matmul || op == OP_product;
    if (is_rope_write(value_def(r->g, v), &r->g->nodes[reader]))
        e.reason = explain_rope_write(r, value_def(r->g, v), &r->g->nodes[reader]);
    else if (is_norm(&r->g->nodes[reader]))
        e.reason = norm_source(r->g, node_input(r->g, &r->g->nodes[reader], 0)) == v
            ? norm_refusal(r->g, v, f->fusions) : FUSION_view_between;
    else if (is_loss(r->g, v, &r->g->nodes[reader]))
        e.reason = loss_refusal(r->g, &r->g->nodes[reader], f->fusions, r->scratch);
    else if (between != FUSION_none && (f->units[from].rows || product) && f->units[to].rows)
        e.reason = between;
    else if (product && f->units[to].rows)
        e.reason = explain_epilogue(r, e.producer);
    else
        e.reason = fuse_refusal(f, from, to, &through);
    if (e.reason == FUSION_none)
        e.reason = FUSION_not_tried;
    if (through != UINT32_MAX)
        e.through = f->units[through].members[0];
    return e;
}

/* The edge from the value that input i comes from, through any views. */
static void add_edge(Reporting *r, NodeId reader, unsigned i)
{
    const Graph *g = r->g;
    const Fuse *f = &r->f;
    ValueId v = node_input(g, &g->nodes[reader], i);
    FusionReason between = FUSION_none;
    while (op_info(value_def(g, v)->op)->class == CLASS_VIEW) {
        if (between != FUSION_computed_later)
            between = value_def(g, v)->op == OP_after ? FUSION_computed_later : FUSION_view_between;
        v = node_input(g, value_def(g, v), 0);
    }
    const uint32_t from = f->unit_of[g->values[v].def], to = f->unit_of[reader];
    const bool candidate = f->units[from].rows || f->units[to].rows
        || is_rope_write(value_def(g, v), &g->nodes[reader])
        || is_norm(&g->nodes[reader]) || is_loss(g, v, &g->nodes[reader]);
    const bool kept = value_def(g, v)->op == OP_state && is_norm(&g->nodes[reader]);
    if (!(does_something(value_def(g, v)) || kept) || !candidate || !first_time(r, v))
        return;
    if (from == to) {
        r->out.n_fused++;
        return;
    }
    FusionEdge e = explain(r, v, reader, between);
    ARENA_PUSH(r->arena, r->out.edges, r->out.n_edges, r->out.cap_edges, e);
}

static void add_edges(Reporting *r)
{
    for (NodeId n = 0; n < r->g->n_nodes; n++) {
        r->mark++;
        for (unsigned i = 0; i < r->g->nodes[n].n_inputs && does_something(&r->g->nodes[n]); i++)
            add_edge(r, n, i);
    }
}

/* Two products or two rows that read v, of which one runs next after the other. */
static void add_siblings(Reporting *r, NodeId a, NodeId b, ValueId v)
{
    Fuse *f = &r->f;
    FusionEdge e = { .producer = a, .reader = b, .siblings = true, .value = v, .through = NO_NODE };
    uint32_t through;
    if (f->unit_of[a] == f->unit_of[b]) {
        r->out.n_fused++;
        return;
    }
    e.reason = share_is_product(&r->g->nodes[a]) ? share_refusal(f, a, b, v, &through)
             : slopes_may_share(f, a, b)         ? slopes_refusal(f, a, b, v, &through)
                                                 : rows_refusal(f, a, b, &through);
    if (e.reason == FUSION_none)
        e.reason = FUSION_not_tried;
    if (through != UINT32_MAX)
        e.through = f->units[through].members[0];
    ARENA_PUSH(r->arena, r->out.edges, r->out.n_edges, r->out.cap_edges, e);
}

/* Values that some product multiplies from the left, and all products that read them. */
static void add_products(Reporting *r)
{
    const Fuse *f = &r->f;
    for (ValueId v = 0; v < r->g->n_values; v++) {
        NodeId before = NO_NODE;
        for (uint32_t i = 0; share_from_left(f, v) && i < f->n_readers[v]; i++) {
            const NodeId n = f->readers[v][i];
            if (n == before || !share_is_product(&r->g->nodes[n]))
                continue;
            if (before != NO_NODE)
                add_siblings(r, before, n, v);
            before = n;
        }
    }
}

/* Row programs that read a value as large as their rows, each beside the next. */
static void add_rows(Reporting *r)
{
    const Fuse *f = &r->f;
    for (ValueId v = 0; v < r->g->n_values; v++) {
        NodeId before = NO_NODE;
        for (uint32_t i = 0; i < f->n_readers[v]; i++) {
            const NodeId n = f->readers[v][i];
            if (!f->units[f->unit_of[n]].rows)
                continue;
            if (before != NO_NODE && f->unit_of[before] != f->unit_of[n] && rows_may_share(f, before, n, v)
                && !slopes_may_share(f, before, n))
                add_siblings(r, before, n, v);
            before = n;
        }
    }
}

/* Activations, and the slopes that read what they do. */
static void add_slopes(Reporting *r)
{
    const Fuse *f = &r->f;
    for (ValueId v = 0; v < r->g->n_values; v++)
        for (uint32_t i = 0; i < f->n_readers[v]; i++)
            for (uint32_t j = 0; j < i; j++)
                if (slopes_may_share(f, f->readers[v][j], f->readers[v][i]))
                    add_siblings(r, f->readers[v][j], f->readers[v][i], v);
}

FusionReport fusion_report(const Graph *g, FusionSet fusions, Arena *arena, Arena *scratch)
{
    const Epilogues epilogues = epilogues_begin(g, fusions, scratch);
    Reporting r = { .g = g, .f = epilogues.f, .epilogues = epilogues, .arena = arena, .scratch = scratch,
                    .seen = arena_array(scratch, g->n_values, sizeof *r.seen) };
    for (int s = 0; s < MAX_SYMBOLS; s++)
        r.sizes[s] = s < (int)g->n_symbols && g->symbol[s].max > 0 ? g->symbol[s].max : 1;
    add_units(&r);
    add_edges(&r);
    add_products(&r);
    add_rows(&r);
    add_slopes(&r);
    return r.out;
}

static bool in_unit_of(const Graph *g, NodeId n, NodeId member)
{
    return n == member || (g->nodes[n].group && g->nodes[n].group == g->nodes[member].group);
}

bool fusion_edge_between(const FusionReport *r, const Graph *g, NodeId a, NodeId b, FusionEdge *out)
{
    for (uint32_t i = 0; i < r->n_edges; i++) {
        const FusionEdge *e = &r->edges[i];
        const bool forward = in_unit_of(g, e->producer, a) && in_unit_of(g, e->reader, b);
        if (!forward && !(in_unit_of(g, e->producer, b) && in_unit_of(g, e->reader, a)))
            continue;
        *out = *e;
        return true;
    }
    return false;
}
