/* The graph of a choice: behind the forward pass, whatever reads a value that is not kept reads a copy
 * of its node instead, which stands right before the first such reader.
 *
 * Copies would be pulled back into the forward pass where the fuser finds them together with their
 * originals, so the first input of each that would be there early is read through `after(x, y)`, as
 * others put barriers around recomputed parts: x, but not before y, the latest product or kernel that
 * the reader's gradient comes from.  The same is done for row ops of the backward pass that read the
 * forward pass alone (the slope of an activation): they would run early too, and be kept beside
 * what they are made from.  Where nobody else reads that, they may (recompute_slopes.c). */
#include "passes/recompute.h"

#include "ir/build.h"

#include "base/check.h"

#include <stdlib.h>

typedef struct Apply {
    const Recompute *r;
    const bool *keep;
    const SlopeTime *time;              /* by node */
    Rewriter rw;
    Arena *scratch;
    ValueId *late;                      /* old value -> what late readers read; NO_VALUE: none yet */
    bool *waits;                        /* by old value: `late` cannot run early */
    ValueId *after, *after_what;        /* old value -> the last `after` of it, and its second input */
    NodeId *list;                       /* nodes to be copied for one reader */
    uint32_t n_list;
    bool *listed;                       /* by old node */
    double work;
} Apply;

bool recompute_is_late(const Recompute *r, const bool *keep, ValueId v)
{
    for (;;) {
        const NodeId def = r->g->values[v].def;
        if (r->stage[def] == STAGE_LATE)
            return true;
        if (r->lasting[v] || r->stage[def] != STAGE_FORWARD)
            return false;
        if (op_info(r->g->nodes[def].op)->class != CLASS_VIEW)
            return !keep[v] && recompute_possible(r, def);
        v = node_input(r->g, &r->g->nodes[def], 0);
    }
}

/* ---- when ------------------------------------------------------------------------------------- */

/* The gradient among the inputs that is known last, or what the forward pass ends in. */
static ValueId latest_gradient(const Recompute *r, const Node *node)
{
    ValueId latest = NO_VALUE;
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const ValueId v = node_input(r->g, node, i);
        const NodeId def = r->g->values[v].def;
        const bool gradient = r->stage[def] == STAGE_GRADIENT || r->stage[def] == STAGE_LOSS;
        if (gradient && (latest == NO_VALUE || def > r->g->values[latest].def))
            latest = v;
    }
    return latest;
}

/* Row ops that the reader may be fused with are passed by: waiting for one would keep them apart. */
static ValueId trigger_of(const Recompute *r, const Node *reader)
{
    ValueId v = latest_gradient(r, reader);
    while (v != NO_VALUE) {
        const Node *def = value_def(r->g, v);
        const bool passed = recompute_is_row(r->g, def) || op_info(def->op)->class == CLASS_VIEW;
        const ValueId before = passed ? latest_gradient(r, def) : NO_VALUE;
        if (before == NO_VALUE)
            break;
        v = before;
    }
    return v;
}

/* ---- what ------------------------------------------------------------------------------------- */

static int compare_nodes(const void *x, const void *y)
{
    const NodeId a = *(const NodeId *)x, b = *(const NodeId *)y;
    return (a > b) - (a < b);
}

static void list_inputs(Apply *a, const Node *n)
{
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(a->r->g, n, i);
        const NodeId def = a->r->g->values[v].def;
        if (a->listed[def] || a->late[v] != NO_VALUE || !recompute_is_late(a->r, a->keep, v))
            continue;
        a->listed[def] = true;
        a->list[a->n_list++] = def;
    }
}

/* And what those read, in an order in which all can run. */
static void list_what_they_need(Apply *a)
{
    for (uint32_t i = 0; i < a->n_list; i++)
        list_inputs(a, &a->r->g->nodes[a->list[i]]);
    if (a->n_list > 0)
        qsort(a->list, a->n_list, sizeof *a->list, compare_nodes);
    for (uint32_t i = 0; i < a->n_list; i++)
        a->listed[a->list[i]] = false;
}

static ValueId build_after(Apply *a, ValueId old, ValueId trigger, NodeId like)
{
    if (a->after[old] == NO_VALUE || a->after_what[old] != trigger) {
        Builder b = rewrite_builder(&a->rw, like);
        a->after[old] = build2(&b, OP_after, rewrite_of(&a->rw, old), rewrite_of(&a->rw, trigger));
        a->after_what[old] = trigger;
    }
    return a->after[old];
}

/* The inputs as a copy reads them, in map; true when one of them cannot be there early. */
static bool map_inputs(Apply *a, const Node *n, ValueId *before)
{
    bool waits = false;
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(a->r->g, n, i);
        before[i] = a->rw.map[v];
    }
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(a->r->g, n, i);
        if (a->late[v] == NO_VALUE)
            continue;
        waits = waits || a->waits[v];
        a->rw.map[v] = a->late[v];
    }
    return waits;
}

static void restore_inputs(Apply *a, const Node *n, const ValueId *before)
{
    for (unsigned i = 0; i < n->n_inputs; i++)
        a->rw.map[node_input(a->r->g, n, i)] = before[i];
}

/* Makes one input wait: the first that has bytes. */
static bool add_wait(Apply *a, NodeId id, ValueId trigger)
{
    const Node *n = &a->r->g->nodes[id];
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(a->r->g, n, i);
        if (value_constant(a->r->g, v))
            continue;
        const ValueId x = build_after(a, v, trigger, id);
        a->rw.map[v] = x;
        return true;
    }
    return false;
}

static void copy_late(Apply *a, NodeId id, ValueId trigger)
{
    const Node *n = &a->r->g->nodes[id];
    ValueId before[UINT8_MAX], made[UINT8_MAX];
    bool waits = map_inputs(a, n, before);
    if (a->time[id] == SLOPE_WITH_COPY && a->after[node_input(a->r->g, n, 0)] != NO_VALUE)
        trigger = a->after_what[node_input(a->r->g, n, 0)];
    if (!waits && a->time[id] != SLOPE_EARLY && op_info(n->op)->class != CLASS_VIEW && trigger != NO_VALUE)
        waits = add_wait(a, id, trigger);
    for (unsigned i = 0; i < n->n_outputs; i++)
        made[i] = a->rw.map[n->first_output + i];
    rewrite_copy(&a->rw, id);
    for (unsigned i = 0; i < n->n_outputs; i++) {
        const ValueId v = n->first_output + i;
        a->late[v] = a->rw.map[v];
        a->waits[v] = waits;
        if (a->r->stage[id] == STAGE_FORWARD)
            a->rw.map[v] = made[i];
    }
    restore_inputs(a, n, before);
    a->work += a->r->stage[id] == STAGE_FORWARD ? a->r->work[id] : 0;
}

/* ---- the walk --------------------------------------------------------------------------------- */

static void copy_listed(Apply *a, ValueId trigger)
{
    list_what_they_need(a);
    for (uint32_t i = 0; i < a->n_list; i++)
        copy_late(a, a->list[i], trigger);
}

static void copy_reader(Apply *a, NodeId id)
{
    const Node *n = &a->r->g->nodes[id];
    ValueId before[UINT8_MAX];
    a->n_list = 0;
    list_inputs(a, n);
    copy_listed(a, trigger_of(a->r, n));
    map_inputs(a, n, before);
    rewrite_copy(&a->rw, id);
    restore_inputs(a, n, before);
}

/* Late nodes that nobody but the outputs asked for. */
static void copy_outputs(Apply *a)
{
    const Graph *g = a->r->g;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ValueId v = g->outputs[i].value;
        if (a->rw.map[v] != NO_VALUE)
            continue;
        a->n_list = 0;
        a->list[a->n_list++] = g->values[v].def;
        copy_listed(a, NO_VALUE);
    }
}

double recompute_apply(const Recompute *r, const bool *keep, Graph *g, Arena *scratch)
{
    const uint32_t n_values = g->n_values;
    Apply a = { .r = r, .keep = keep, .time = recompute_slopes(r, keep, scratch),
                .rw = rewrite_begin(g, scratch), .scratch = scratch,
                .late = arena_array(scratch, n_values, sizeof *a.late),
                .waits = arena_array(scratch, n_values, sizeof *a.waits),
                .after = arena_array(scratch, n_values, sizeof *a.after),
                .after_what = arena_array(scratch, n_values, sizeof *a.after_what),
                .list = arena_array(scratch, g->n_nodes, sizeof *a.list),
                .listed = arena_array(scratch, g->n_nodes, sizeof *a.listed) };
    for (ValueId v = 0; v < n_values; v++)
        a.late[v] = a.after[v] = a.after_what[v] = NO_VALUE;
    for (NodeId n = 0; n < r->g->n_nodes; n++) {
        if (r->stage[n] == STAGE_GRADIENT)
            copy_reader(&a, n);
        else if (r->stage[n] != STAGE_LATE)
            rewrite_copy(&a.rw, n);
    }
    copy_outputs(&a);
    rewrite_end(&a.rw);
    return a.work;
}
