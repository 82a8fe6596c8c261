/* Units: what may become one, and merging.
 *
 * Two units may merge along an edge, producer with reader, when
 *   - both are of ops that row programs know, over the same rows: equal leading axes, and last axes
 *     equal or 1 for what there is once per row
 *   - what one picks rows from, and the rows' ids, are not made in the other; a table of fewer axes
 *     than its reader, as one of positions, is picked from anew along the others
 *   - no path leads from one to the other through a third unit (the merged unit could not be
 *     ordered)
 *   - the merged unit stays within what an instruction can name
 * Each merge saves writing the value, reading it, or both; row programs work in tiles that stay in
 * cache, so a merge never adds traffic. */
#include "passes/fuse.h"

#include "base/check.h"

/* Room is left under the limits of row.h for operands that lowering adds. */
enum { FUSE_OPERANDS = 30, FUSE_NODES = 200, FUSE_CONSTS = 48 };
/* A row this long is kept out of groups that reduce: its tile would not stay in cache. */
enum { FUSE_LONG_ROW = 8192 };
#define NO_UNIT UINT32_MAX

/* ---- what may be fused ------------------------------------------------------------------------ */

bool fuse_knows(const Graph *g, const Node *n)
{
    switch (op_info(n->op)->class) {
    case CLASS_MAP:
        return n->op != OP_causal_mask;
    case CLASS_REDUCE: {
        const int rank = value_type(g, node_input(g, n, 0))->shape.rank;
        if (n->op == OP_column_sums)
            return true;
        return (n->op == OP_sum || n->op == OP_max || n->op == OP_min)
            && n->attr[0].i == (int64_t)1 << (rank - 1);
    }
    case CLASS_WRITE:
        return n->op == OP_assign;
    case CLASS_MOVE:
        return n->op == OP_embedding;
    case CLASS_SOURCE:
    case CLASS_VIEW:
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

static FusionReason compare_rows(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return FUSION_other_rows;
    for (int k = 0; k + 1 < a->rank; k++)
        if (!dim_equal(a->dim[k], b->dim[k]))
            return FUSION_other_rows;
    const bool equal = a->rank == 0 || last_is_one(a) || last_is_one(b)
        || dim_equal(a->dim[a->rank - 1], b->dim[b->rank - 1]);
    return equal ? FUSION_none : FUSION_other_length;
}

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

/* Rows picked from a table that are the same along the leading axes that only the reader has: it can
 * pick them itself, when nobody else wants them. */
static bool picked_anew(const Fuse *f, uint32_t producer, uint32_t reader)
{
    const Unit *x = &f->units[producer], *y = &f->units[reader];
    const int missing = y->space.rank - x->space.rank;
    if (!x->gathers || x->n != 1 || missing <= 0)
        return false;
    for (int k = 0; k < x->space.rank; k++)
        if (!dim_equal(x->space.dim[k], y->space.dim[k + missing]))
            return false;
    return !read_outside(f, f->g->nodes[x->members[0]].first_output, producer, reader);
}

/* Is a table of the reader, or what picks from it, made by the producer? */
static bool picks_from(const Fuse *f, uint32_t producer, uint32_t reader)
{
    const Graph *g = f->g;
    const Unit *y = &f->units[reader];
    for (uint32_t m = 0; m < y->n && y->gathers; m++) {
        const Node *n = &g->nodes[y->members[m]];
        for (unsigned i = 0; n->op == OP_embedding && i < n->n_inputs; i++)
            if (f->unit_of[g->values[node_input(g, n, i)].def] == producer)
                return true;
    }
    return false;
}

/* Does the reader take a value of the producer that is written for others as well? */
static bool keeps_what_it_hands_on(const Fuse *f, uint32_t producer, uint32_t reader)
{
    const Unit *x = &f->units[producer];
    for (uint32_t m = 0; m < x->n; m++) {
        const ValueId v = f->g->nodes[x->members[m]].first_output;
        for (uint32_t i = 0; i < f->n_readers[v]; i++)
            if (f->unit_of[f->readers[v][i]] == reader && read_outside(f, v, producer, reader))
                return true;
    }
    return false;
}

/* The fusion that a merge of the two would be is off. */
static bool switched_off(const Fuse *f, uint32_t producer, uint32_t reader)
{
    const Unit *x = &f->units[producer], *y = &f->units[reader];
    if (x->writes || y->writes)
        return !fusion_on(f->fusions, FUSE_optimizer);
    if ((x->gathers || y->gathers) && !fusion_on(f->fusions, FUSE_embedding))
        return true;
    if (!x->reduces && !y->reduces)
        return !fusion_on(f->fusions, FUSE_elementwise);
    if (!fusion_on(f->fusions, FUSE_reductions))
        return true;
    return !fusion_on(f->fusions, FUSE_residual_norm) && !x->reduces
        && keeps_what_it_hands_on(f, producer, reader);
}

static bool long_row(const Shape *s)
{
    return s->rank > 0 && dim_is_const(s->dim[s->rank - 1])
        && s->dim[s->rank - 1].coef > FUSE_LONG_ROW;
}

/* ---- limits ----------------------------------------------------------------------------------- */

typedef struct Needs {
    uint32_t operands, consts;
    ValueId seen[2 * FUSE_NODES];
    uint32_t n_seen;
} Needs;

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
        if (value_constant(g, v))
            needs->consts++;
        else
            needs->operands++;
    }
    if (n->op == OP_assign || read_outside(f, n->first_output, a, b))
        needs->operands++;
    needs->consts += n->op == OP_cast;
}

/* Would one instruction hold both? */
static FusionReason compare_needs(const Fuse *f, uint32_t a, uint32_t b)
{
    const Unit *pair[] = { &f->units[a], &f->units[b] };
    Needs needs = { 0 };
    if (pair[0]->n + pair[1]->n > FUSE_NODES)
        return FUSION_too_many_nodes;
    for (int k = 0; k < 2; k++)
        for (uint32_t m = 0; m < pair[k]->n; m++)
            count_member(f, &f->g->nodes[pair[k]->members[m]], a, b, &needs);
    return needs.operands > FUSE_OPERANDS ? FUSION_too_many_operands
        : needs.consts > FUSE_CONSTS      ? FUSION_too_many_consts
                                          : FUSION_none;
}

/* ---- paths ------------------------------------------------------------------------------------ */

/* A unit that must run before `u` and bears the newest stamp. */
static uint32_t stamped_pred(const Fuse *f, uint32_t u)
{
    const Unit *unit = &f->units[u];
    for (uint32_t m = 0; m < unit->n; m++)
        for (uint32_t i = 0; i < f->n_preds[unit->members[m]]; i++) {
            const uint32_t p = f->unit_of[f->preds[unit->members[m]][i]];
            if (p != u && f->stamp[p] == f->now)
                return p;
        }
    return NO_UNIT;
}

/* Stamps `from` and what depends on it, as far as it stands before `end` in the line.  Whatever
 * leads from one to the other stands between them. */
static void stamp_dependents(Fuse *f, uint32_t from, uint32_t end)
{
    f->now++;
    f->stamp[from] = f->now;
    for (uint32_t at = f->units[from].place + 1; at < f->units[end].place; at++)
        if (stamped_pred(f, f->line[at]) != NO_UNIT)
            f->stamp[f->line[at]] = f->now;
}

uint32_t fuse_unit_between(Fuse *f, uint32_t producer, uint32_t reader)
{
    stamp_dependents(f, producer, reader);
    f->stamp[producer] = 0;
    uint32_t found = stamped_pred(f, reader);
    for (uint32_t u = found; u != NO_UNIT; u = stamped_pred(f, u)) {
        const OpClass class = op_info(f->g->nodes[f->units[u].members[0]].op)->class;
        found = u;
        if (!f->units[u].rows && class != CLASS_VIEW)
            break;
    }
    return found;
}

static FusionReason refusal_of_kind(const Fuse *f, uint32_t u, FusionReason kernel)
{
    const Node *n = &f->g->nodes[f->units[u].members[0]];
    switch (op_info(n->op)->class) {
    case CLASS_REDUCE:
        return n->op == OP_partial_sum ? FUSION_not_row_op : FUSION_other_axes;
    case CLASS_MOVE:
    case CLASS_VIEW:
        return FUSION_moves;
    case CLASS_MATMUL:
    case CLASS_KERNEL:
    case CLASS_WRITE:
        return kernel;
    case CLASS_SOURCE:
    case CLASS_MAP:
        break;
    }
    return FUSION_not_row_op;
}

static ValueId viewed(const Graph *g, ValueId v)
{
    while (op_info(value_def(g, v)->op)->class == CLASS_VIEW)
        v = node_input(g, value_def(g, v), 0);
    return v;
}

static bool reads_view_of(const Graph *g, const Unit *u, ValueId content)
{
    for (uint32_t m = 0; m < u->n; m++) {
        const Node *n = &g->nodes[u->members[m]];
        for (unsigned i = 0; i < n->n_inputs; i++) {
            const ValueId v = node_input(g, n, i);
            if (v != content && viewed(g, v) == content)
                return true;
        }
    }
    return false;
}

/* Would a row that is written be read by another row's tile?  The content that a write replaces may be
 * read as it lies, element by element, and not through a view. */
static bool writes_what_is_viewed(const Fuse *f, const Unit *writer, const Unit *other)
{
    for (uint32_t m = 0; m < writer->n && writer->writes; m++) {
        const Node *n = &f->g->nodes[writer->members[m]];
        if (n->op != OP_assign)
            continue;
        const ValueId old = viewed(f->g, node_input(f->g, n, 0));
        if (reads_view_of(f->g, writer, old) || reads_view_of(f->g, other, old))
            return true;
    }
    return false;
}

FusionReason fuse_refusal(Fuse *f, uint32_t producer, uint32_t reader, uint32_t *through)
{
    const Unit *x = &f->units[producer], *y = &f->units[reader];
    *through = NO_UNIT;
    if (!y->rows)
        return refusal_of_kind(f, reader, FUSION_kernel_reads);
    if (!x->rows)
        return refusal_of_kind(f, producer, FUSION_kernel_writes);
    if (picks_from(f, producer, reader) || (x->gathers && y->writes) || (x->writes && y->gathers))
        return FUSION_moves;
    FusionReason why = compare_rows(&x->space, &y->space);
    if (why != FUSION_none && !picked_anew(f, producer, reader))
        return why;
    if ((x->random || y->random) && last_is_one(&x->space) != last_is_one(&y->space))
        return FUSION_random_space;
    if ((x->reduces || y->reduces) && (long_row(&x->space) || long_row(&y->space)))
        return FUSION_long_row;
    if (switched_off(f, producer, reader))
        return FUSION_switched_off;
    if (writes_what_is_viewed(f, x, y) || writes_what_is_viewed(f, y, x))
        return FUSION_view_between;
    why = compare_needs(f, producer, reader);
    if (why == FUSION_none && (*through = fuse_unit_between(f, producer, reader)) != NO_UNIT)
        why = FUSION_would_cycle;
    return why;
}

/* ---- merging ---------------------------------------------------------------------------------- */

/* Brings the two together in the line: what stands between them and does not depend on the producer
 * goes before it, what does stays behind the reader. */
static void close_line(Fuse *f, uint32_t producer, uint32_t reader)
{
    const uint32_t first = f->units[producer].place, last = f->units[reader].place;
    uint32_t at = first, n_moved = 0;
    stamp_dependents(f, producer, reader);
    for (uint32_t k = first + 1; k < last; k++) {
        const uint32_t u = f->line[k];
        if (f->stamp[u] == f->now)
            f->moved[n_moved++] = u;
        else
            f->line[at++] = u;
    }
    f->line[at++] = producer;
    f->line[at++] = reader;
    for (uint32_t k = 0; k < n_moved; k++)
        f->line[at++] = f->moved[k];
    for (uint32_t k = first; k <= last; k++)
        f->units[f->line[k]].place = k;
}

void fuse_merge(Fuse *f, uint32_t producer, uint32_t reader)
{
    Unit *x = &f->units[producer], *y = &f->units[reader];
    NodeId *members = arena_array(f->scratch, x->n + y->n, sizeof *members);
    uint32_t i = 0, j = 0, n = 0;
    close_line(f, producer, reader);
    while (i < x->n || j < y->n)
        members[n++] = j == y->n || (i < x->n && x->members[i] < y->members[j]) ? x->members[i++]
                                                                               : y->members[j++];
    for (uint32_t k = 0; k < y->n; k++)
        f->unit_of[y->members[k]] = producer;
    if (last_is_one(&x->space) || x->space.rank < y->space.rank)
        x->space = y->space;
    x->reduces = x->reduces || y->reduces;
    x->writes = x->writes || y->writes;
    x->gathers = x->gathers || y->gathers;
    x->random = x->random || y->random;
    x->members = members;
    x->n = n;
    y->n = 0;
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
        for (unsigned i = 0; i < g->nodes[n].n_inputs && !node_waits(&g->nodes[n], i); i++) {
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
    f->line = arena_array(f->scratch, g->n_nodes, sizeof *f->line);
    f->stamp = arena_array(f->scratch, g->n_nodes, sizeof *f->stamp);
    f->moved = arena_array(f->scratch, g->n_nodes, sizeof *f->moved);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        Unit *u = &f->units[n];
        u->members = arena_array(f->scratch, 1, sizeof *u->members);
        u->members[0] = n;
        u->n = 1;
        u->rows = fuse_knows(g, node);
        u->reduces = op_info(node->op)->class == CLASS_REDUCE;
        u->writes = op_info(node->op)->flags & OP_WRITES;
        u->gathers = node->op == OP_embedding;
        u->random = op_info(node->op)->flags & OP_RANDOM;
        u->space = value_type(g, u->reduces ? node_input(g, node, 0) : node->first_output)->shape;
        u->place = f->line[n] = f->unit_of[n] = n;
    }
}

Fuse fuse_begin(const Graph *g, FusionSet fusions, Arena *scratch)
{
    Fuse f = { .g = g, .fusions = fusions, .scratch = scratch };
    f.is_output = arena_array(scratch, g->n_values, sizeof *f.is_output);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        f.is_output[g->outputs[i].value] = true;
    find_readers(&f);
    find_preds(&f);
    make_units(&f);
    return f;
}

Fuse fuse_begin_grouped(const Graph *g, FusionSet fusions, Arena *scratch)
{
    Fuse f = fuse_begin(g, fusions, scratch);
    for (NodeId n = 1; n < g->n_nodes; n++)
        if (g->nodes[n].group && g->nodes[n].group == g->nodes[n - 1].group)
            fuse_merge(&f, f.unit_of[n - 1], n);
    return f;
}
