/* Fusion: chains of element-wise ops and row reductions become groups that the runtime runs as one
 * pass over memory (runtime/kernels/row.h), products of one input groups that it runs as one call.
 *
 * needs  layout
 * keeps  meaning; node order changes so that a group's members are adjacent
 *
 * Every node begins as a unit of its own.  Units merge along edges (fuse_units.c says which may), and
 * a write with the readers of what it replaces, until no two are left that could.  Which merges shut
 * out which others depends on the order in which they are tried, so that order is a matter of what
 * the nodes compute and not of where they stand: however a graph is sorted, its groups are the same.
 * Activations and their slopes come first (fuse_slopes.c).  Row programs that share an input come behind those that
 * edges join (fuse_rows.c), products that do last (fuse_share.c): they can keep none of the others apart. */
#include "ir/build.h"
#include "passes/fuse.h"
#include "passes/pass.h"

#include "base/check.h"

/* ---- merging ---------------------------------------------------------------------------------- */

/* The nodes that may merge with what they read, from the sources on. */
static FuseTurn *take_turns(const Fuse *f, uint32_t *n)
{
    const Graph *g = f->g;
    const FuseKey *keys = fuse_keys(f);
    FuseTurn *turns = arena_array(f->scratch, g->n_nodes, sizeof *turns);
    *n = 0;
    for (NodeId node = 0; node < g->n_nodes; node++)
        if (f->units[node].rows)
            turns[(*n)++] = (FuseTurn){ keys[node], node };
    fuse_sort_turns(turns, *n);
    return turns;
}

/* Merges the units of two nodes of which the first runs before the second. */
static bool merge_units(Fuse *f, NodeId before, NodeId n)
{
    const uint32_t p = f->unit_of[before], u = f->unit_of[n];
    uint32_t through;
    if (p == u || fuse_refusal(f, p, u, &through) != FUSION_none)
        return false;
    fuse_merge(f, p, u);
    return true;
}

static bool merge_with_inputs(Fuse *f, NodeId n)
{
    const Graph *g = f->g;
    bool merged = false;
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
        merged = merge_units(f, g->values[node_input(g, &g->nodes[n], i)].def, n) || merged;
    return merged;
}

/* A write joins who read the old content: a gradient is cleared in the pass that takes its step. */
static bool merge_with_readers(Fuse *f, NodeId n)
{
    const Graph *g = f->g;
    bool merged = false;
    if (!(op_info(g->nodes[n].op)->flags & OP_WRITES))
        return false;
    const ValueId old = node_input(g, &g->nodes[n], 0);
    for (uint32_t i = 0; i < f->n_readers[old]; i++)
        if (f->readers[old][i] != n)
            merged = merge_units(f, f->readers[old][i], n) || merged;
    return merged;
}

/* A merge can take away the path that kept two others apart, so it goes on until none is left. */
static void merge_along_edges(Fuse *f)
{
    uint32_t n;
    const FuseTurn *turns = take_turns(f, &n);
    bool merged = true;
    while (merged) {
        merged = false;
        for (uint32_t i = 0; i < n; i++)
            merged = merge_with_inputs(f, turns[i].id) || merged;
        for (uint32_t i = 0; i < n; i++)
            merged = merge_with_readers(f, turns[i].id) || merged;
    }
}

/* ---- the new order ---------------------------------------------------------------------------- */

/* Kahn's algorithm over units; of those that are ready, the one whose last member stood first. */
typedef struct Order {
    uint32_t *heap;                     /* units */
    uint32_t n;
    uint32_t *waits;                    /* unit -> predecessors not yet emitted */
    NodeId **succs;                     /* node -> nodes after it */
    uint32_t *n_succs;
    uint32_t n_emitted;                 /* nodes */
} Order;

/* A slope stands in the backward pass and comes with its activation. */
static NodeId last_of(const Fuse *f, uint32_t unit)
{
    const Unit *u = &f->units[unit];
    uint32_t i = u->n - 1;
    while (slope_activation(f, u->members[i]) != NO_NODE)
        i--;
    return u->members[i];
}

static void heap_push(const Fuse *f, Order *o, uint32_t unit)
{
    uint32_t at = o->n++;
    while (at > 0 && last_of(f, o->heap[(at - 1) / 2]) > last_of(f, unit)) {
        o->heap[at] = o->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    o->heap[at] = unit;
}

static uint32_t heap_pop(const Fuse *f, Order *o)
{
    const uint32_t top = o->heap[0], last = o->heap[--o->n];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= o->n)
            break;
        if (child + 1 < o->n && last_of(f, o->heap[child + 1]) < last_of(f, o->heap[child]))
            child++;
        if (last_of(f, o->heap[child]) >= last_of(f, last))
            break;
        o->heap[at] = o->heap[child];
        at = child;
    }
    o->heap[at] = last;
    return top;
}

static Order order_begin(const Fuse *f)
{
    const uint32_t n = f->g->n_nodes;
    Order o = { .heap = arena_array(f->scratch, n + 1, sizeof *o.heap),
                .waits = arena_array(f->scratch, n, sizeof *o.waits),
                .succs = arena_array(f->scratch, n, sizeof *o.succs),
                .n_succs = arena_array(f->scratch, n, sizeof *o.n_succs) };
    uint32_t *cap = arena_array(f->scratch, n, sizeof *cap);
    for (NodeId id = 0; id < n; id++)
        for (uint32_t i = 0; i < f->n_preds[id]; i++) {
            const NodeId p = f->preds[id][i];
            if (f->unit_of[p] == f->unit_of[id])
                continue;
            ARENA_PUSH(f->scratch, o.succs[p], o.n_succs[p], cap[p], id);
            o.waits[f->unit_of[id]]++;
        }
    for (uint32_t u = 0; u < n; u++)
        if (f->units[u].n > 0 && o.waits[u] == 0)
            heap_push(f, &o, u);
    return o;
}

/* Sums of columns in parts that no row program took in: who adds up the parts reads all rows instead. */
static bool undo_columns(const Unit *u, Rewriter *rw)
{
    const Node *n = &rw->old->nodes[u->members[0]];
    if (u->n > 1 || n->op != OP_column_sums)
        return false;
    rw->map[n->first_output] = rewrite_of(rw, node_input(rw->old, n, 0));
    return true;
}

static void emit_member(Rewriter *rw, NodeId n, uint32_t group)
{
    const ValueId v = rewrite_copy(rw, n);
    rw->new_->nodes[rw->new_->values[v].def].group = group;
}

/* Slopes right behind their activations, so that one loop makes both. */
static void emit_members(const Fuse *f, Rewriter *rw, const Unit *u, uint32_t group)
{
    for (uint32_t m = 0; m < u->n; m++) {
        if (slope_activation(f, u->members[m]) != NO_NODE)
            continue;
        emit_member(rw, u->members[m], group);
        for (uint32_t s = 0; s < u->n; s++)
            if (slope_activation(f, u->members[s]) == u->members[m])
                emit_member(rw, u->members[s], group);
    }
}

static void emit_unit(const Fuse *f, Rewriter *rw, Order *o, uint32_t unit, uint32_t *n_groups)
{
    const Unit *u = &f->units[unit];
    const uint32_t group = u->n > 1 ? ++*n_groups : 0;
    if (!undo_columns(u, rw))
        emit_members(f, rw, u, group);
    o->n_emitted += u->n;
    for (uint32_t m = 0; m < u->n; m++)
        for (uint32_t i = 0; i < o->n_succs[u->members[m]]; i++) {
            const uint32_t s = f->unit_of[o->succs[u->members[m]][i]];
            if (--o->waits[s] == 0)
                heap_push(f, o, s);
        }
}

bool pass_fuse(Graph *g, PassContext *cx)
{
    Fuse f = fuse_begin(g, cx->options->fusions, cx->scratch);
    fuse_slopes(&f);
    merge_along_edges(&f);
    if (fuse_rows(&f))
        merge_along_edges(&f);
    fuse_share(&f);
    Order order = order_begin(&f);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    f.g = rw.old;
    uint32_t n_groups = 0;
    while (order.n > 0)
        emit_unit(&f, &rw, &order, heap_pop(&f, &order), &n_groups);
    CHECK(order.n_emitted == rw.old->n_nodes, "a cycle of units");
    rw.new_->n_groups = n_groups;
    rewrite_end(&rw);
    return true;
}
