/* Fusion: chains of element-wise ops and row reductions become groups that the runtime runs as one
 * pass over memory (runtime/kernels/row.h).
 *
 * needs  layout
 * keeps  meaning; node order changes so that a group's members are adjacent
 *
 * Every node begins as a unit of its own.  Units merge along edges, producer with consumer, when
 *   - both are of ops that row programs know, over the same rows: equal leading axes, and last axes
 *     equal or 1 for what there is once per row
 *   - no path leads from one to the other through a third unit (the merged unit could not be
 *     ordered)
 *   - the merged unit stays within what an instruction can name
 * Each merge saves writing the value, reading it, or both; row programs work in tiles that stay in
 * cache, so a merge never adds traffic. */
#include "ir/build.h"
#include "passes/pass.h"

#include "base/check.h"

#include <string.h>

/* Room is left under the limits of row.h for operands that lowering adds. */
enum { FUSE_OPERANDS = 30, FUSE_NODES = 200, FUSE_CONSTS = 48 };
/* A row this long is kept out of groups that reduce: its tile would not stay in cache. */
enum { FUSE_LONG_ROW = 8192 };

typedef struct Unit {
    NodeId *members;                    /* ascending */
    uint32_t n, cap;
    bool rows;                          /* of ops that row programs know */
    bool reduces;
    bool random;                        /* its numbers count the elements of its own space */
    Shape space;                        /* rows: widest member */
} Unit;

typedef struct Fuse {
    Graph *g;
    Arena *scratch;
    Unit *units;                        /* by first member; a merged unit has n = 0 */
    uint32_t *unit_of;                  /* node -> unit */
    NodeId **preds;                     /* node -> what must run before it */
    uint32_t *n_preds;
    NodeId **readers;                   /* value -> nodes that read it */
    uint32_t *n_readers;
    bool *is_output;                    /* by value */
    uint32_t *stamp, *stack;            /* by unit, for searches */
    uint32_t now;
} Fuse;

/* ---- what may be fused ------------------------------------------------------------------------ */

static bool row_op_known(const Graph *g, const Node *n)
{
    switch (op_info(n->op)->class) {
    case CLASS_MAP:
        return n->op != OP_causal_mask;
    case CLASS_REDUCE: {
        const int rank = value_type(g, node_input(g, n, 0))->shape.rank;
        return (n->op == OP_sum || n->op == OP_max || n->op == OP_min)
            && n->attr[0].i == (int64_t)1 << (rank - 1);
    }
    case CLASS_WRITE:
        return n->op == OP_assign;
    case CLASS_SOURCE:
    case CLASS_VIEW:
    case CLASS_MOVE:
    case CLASS_MATMUL:
    case CLASS_KERNEL:
        break;
    }
    return false;
}

static bool last_is_one(const Shape *s)
{
    return s->rank == 0 || dim_is(s->dim[s->rank - 1], 1);
}

static bool same_rows(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int k = 0; k + 1 < a->rank; k++)
        if (!dim_equal(a->dim[k], b->dim[k]))
            return false;
    return a->rank == 0 || last_is_one(a) || last_is_one(b)
        || dim_equal(a->dim[a->rank - 1], b->dim[b->rank - 1]);
}

static bool long_row(const Shape *s)
{
    return s->rank > 0 && dim_is_const(s->dim[s->rank - 1])
        && s->dim[s->rank - 1].coef > FUSE_LONG_ROW;
}

/* ---- searches over units ---------------------------------------------------------------------- */

/* Is `target` among what `from` needs, by a path through at least one other unit? */
static bool reaches_around(Fuse *f, uint32_t from, uint32_t target)
{
    const NodeId floor = f->units[target].members[0];
    uint32_t *stack = f->stack, depth = 0;
    f->now++;
    f->stamp[from] = f->now;
    stack[depth++] = from;
    while (depth > 0) {
        const uint32_t u = stack[--depth];
        const Unit *unit = &f->units[u];
        for (uint32_t m = 0; m < unit->n; m++)
            for (uint32_t i = 0; i < f->n_preds[unit->members[m]]; i++) {
                const uint32_t p = f->unit_of[f->preds[unit->members[m]][i]];
                if (p == target && u != from)
                    return true;
                const Unit *pred = &f->units[p];
                if (p == target || f->stamp[p] == f->now
                    || pred->members[pred->n - 1] < floor)
                    continue;
                f->stamp[p] = f->now;
                stack[depth++] = p;
            }
    }
    return false;
}

/* ---- merging ---------------------------------------------------------------------------------- */

/* Does anything outside units `a` and `b` read the value? */
static bool read_outside(const Fuse *f, ValueId v, uint32_t a, uint32_t b)
{
    if (f->is_output[v])
        return true;
    for (uint32_t i = 0; i < f->n_readers[v]; i++) {
        const uint32_t u = f->unit_of[f->readers[v][i]];
        if (u != a && u != b)
            return true;
    }
    return false;
}

typedef struct Needs {
    uint32_t operands, consts;
    ValueId seen[2 * FUSE_NODES];
    uint32_t n_seen;
} Needs;

static bool is_constant(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (op_info(n->op)->class == CLASS_VIEW)
        n = value_def(g, node_input(g, n, 0));
    return n->op == OP_constant || n->op == OP_extent;
}

static void count_member(const Fuse *f, const Node *n, uint32_t a, uint32_t b, Needs *needs)
{
    const Graph *g = f->g;
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(g, n, i);
        const uint32_t u = f->unit_of[g->values[v].def];
        bool seen = u == a || u == b || needs->n_seen == COUNT_OF(needs->seen);
        for (uint32_t k = 0; k < needs->n_seen && !seen; k++)
            seen = needs->seen[k] == v;
        if (seen)
            continue;
        needs->seen[needs->n_seen++] = v;
        if (is_constant(g, v))
            needs->consts++;
        else
            needs->operands++;
    }
    if (n->op == OP_assign || read_outside(f, n->first_output, a, b))
        needs->operands++;
    needs->consts += n->op == OP_cast;
}

static bool fits(const Fuse *f, uint32_t a, uint32_t b)
{
    const Unit *pair[] = { &f->units[a], &f->units[b] };
    Needs needs = { 0 };
    if (pair[0]->n + pair[1]->n > FUSE_NODES)
        return false;
    for (int k = 0; k < 2; k++)
        for (uint32_t m = 0; m < pair[k]->n; m++)
            count_member(f, &f->g->nodes[pair[k]->members[m]], a, b, &needs);
    return needs.operands <= FUSE_OPERANDS && needs.consts <= FUSE_CONSTS;
}

static bool may_merge(Fuse *f, uint32_t a, uint32_t b)
{
    const Unit *x = &f->units[a], *y = &f->units[b];
    if (a == b || !x->rows || !y->rows || !same_rows(&x->space, &y->space))
        return false;
    if ((x->random || y->random) && last_is_one(&x->space) != last_is_one(&y->space))
        return false;
    if ((x->reduces || y->reduces) && (long_row(&x->space) || long_row(&y->space)))
        return false;
    return fits(f, a, b) && !reaches_around(f, a, b) && !reaches_around(f, b, a);
}

static void merge(Fuse *f, uint32_t a, uint32_t b)
{
    Unit *x = &f->units[a], *y = &f->units[b];
    NodeId *members = arena_array(f->scratch, x->n + y->n, sizeof *members);
    uint32_t i = 0, j = 0, n = 0;
    while (i < x->n || j < y->n)
        members[n++] = j == y->n || (i < x->n && x->members[i] < y->members[j]) ? x->members[i++]
                                                                               : y->members[j++];
    for (uint32_t k = 0; k < y->n; k++)
        f->unit_of[y->members[k]] = a;
    if (last_is_one(&x->space))
        x->space = y->space;
    x->reduces = x->reduces || y->reduces;
    x->random = x->random || y->random;
    x->members = members;
    x->n = n;
    y->n = 0;
}

static void merge_along_edges(Fuse *f)
{
    const Graph *g = f->g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        if (!f->units[f->unit_of[n]].rows)
            continue;
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
            const uint32_t p = f->unit_of[g->values[node_input(g, &g->nodes[n], i)].def];
            const uint32_t u = f->unit_of[n];
            if (may_merge(f, p, u))
                merge(f, p, u);
        }
    }
}

/* ---- the graph's edges ------------------------------------------------------------------------ */

static void add_pred(Fuse *f, NodeId n, NodeId pred, uint32_t *cap)
{
    if (pred != n)
        ARENA_PUSH(f->scratch, f->preds[n], f->n_preds[n], *cap, pred);
}

/* Whoever reads the old content of a storage, itself or a view of it, runs before the write. */
static void add_readers_before(Fuse *f, ValueId old, NodeId write, uint32_t *cap)
{
    const Graph *g = f->g;
    for (uint32_t i = 0; i < f->n_readers[old]; i++) {
        const NodeId r = f->readers[old][i];
        add_pred(f, write, r, cap);
        if (op_info(g->nodes[r].op)->class == CLASS_VIEW)
            add_readers_before(f, g->nodes[r].first_output, write, cap);
    }
}

static void find_readers(Fuse *f)
{
    const Graph *g = f->g;
    uint32_t *cap = arena_array(f->scratch, g->n_values, sizeof *cap);
    f->readers = arena_array(f->scratch, g->n_values, sizeof *f->readers);
    f->n_readers = arena_array(f->scratch, g->n_values, sizeof *f->n_readers);
    for (NodeId n = 0; n < g->n_nodes; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
            const ValueId v = node_input(g, &g->nodes[n], i);
            ARENA_PUSH(f->scratch, f->readers[v], f->n_readers[v], cap[v], n);
        }
}

static void find_preds(Fuse *f)
{
    const Graph *g = f->g;
    f->preds = arena_array(f->scratch, g->n_nodes, sizeof *f->preds);
    f->n_preds = arena_array(f->scratch, g->n_nodes, sizeof *f->n_preds);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        uint32_t cap = 0;
        for (unsigned i = 0; i < node->n_inputs; i++)
            add_pred(f, n, g->values[node_input(g, node, i)].def, &cap);
        if (op_info(node->op)->flags & OP_WRITES)
            add_readers_before(f, node_input(g, node, 0), n, &cap);
    }
}

static void make_units(Fuse *f)
{
    const Graph *g = f->g;
    f->units = arena_array(f->scratch, g->n_nodes, sizeof *f->units);
    f->unit_of = arena_array(f->scratch, g->n_nodes, sizeof *f->unit_of);
    f->stamp = arena_array(f->scratch, g->n_nodes, sizeof *f->stamp);
    f->stack = arena_array(f->scratch, g->n_nodes, sizeof *f->stack);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        Unit *u = &f->units[n];
        u->members = arena_array(f->scratch, 1, sizeof *u->members);
        u->members[0] = n;
        u->n = 1;
        u->rows = row_op_known(g, node);
        u->reduces = op_info(node->op)->class == CLASS_REDUCE;
        u->random = op_info(node->op)->flags & OP_RANDOM;
        u->space = value_type(g, u->reduces ? node_input(g, node, 0) : node->first_output)->shape;
        f->unit_of[n] = n;
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
} Order;

static NodeId rank_of(const Fuse *f, uint32_t unit)
{
    const Unit *u = &f->units[unit];
    return u->members[u->n - 1];
}

static void heap_push(const Fuse *f, Order *o, uint32_t unit)
{
    uint32_t at = o->n++;
    while (at > 0 && rank_of(f, o->heap[(at - 1) / 2]) > rank_of(f, unit)) {
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
        if (child + 1 < o->n && rank_of(f, o->heap[child + 1]) < rank_of(f, o->heap[child]))
            child++;
        if (rank_of(f, o->heap[child]) >= rank_of(f, last))
            break;
        o->heap[at] = o->heap[child];
        at = child;
    }
    o->heap[at] = last;
    return top;
}

static Order order_begin(Fuse *f)
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

static void emit_unit(Fuse *f, Rewriter *rw, Order *o, uint32_t unit, uint32_t *n_groups)
{
    const Unit *u = &f->units[unit];
    const uint32_t group = u->n > 1 ? ++*n_groups : 0;
    for (uint32_t m = 0; m < u->n; m++) {
        const ValueId v = rewrite_copy(rw, u->members[m]);
        rw->new_->nodes[rw->new_->values[v].def].group = group;
    }
    for (uint32_t m = 0; m < u->n; m++)
        for (uint32_t i = 0; i < o->n_succs[u->members[m]]; i++) {
            const uint32_t s = f->unit_of[o->succs[u->members[m]][i]];
            if (--o->waits[s] == 0)
                heap_push(f, o, s);
        }
}

bool pass_fuse(Graph *g, PassContext *cx)
{
    Fuse f = { .g = g, .scratch = cx->scratch };
    f.is_output = arena_array(cx->scratch, g->n_values, sizeof *f.is_output);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        f.is_output[g->outputs[i].value] = true;
    find_readers(&f);
    find_preds(&f);
    make_units(&f);
    merge_along_edges(&f);
    Order order = order_begin(&f);
    Rewriter rw = rewrite_begin(g, cx->scratch);
    f.g = rw.old;
    uint32_t n_groups = 0;
    while (order.n > 0)
        emit_unit(&f, &rw, &order, heap_pop(&f, &order), &n_groups);
    CHECK(rw.new_->n_nodes == rw.old->n_nodes, "a cycle of units");
    rw.new_->n_groups = n_groups;
    rewrite_end(&rw);
    return true;
}
