/* What recomputation has to know of a graph. */
#include "passes/recompute.h"

#include "passes/flops.h"
#include "passes/fuse.h"

#include "base/check.h"

#include <string.h>

/* ---- stages ----------------------------------------------------------------------------------- */

bool recompute_is_row(const Graph *g, const Node *n)
{
    const OpClass class = op_info(n->op)->class;
    return fuse_knows(g, n) && class != CLASS_WRITE && class != CLASS_MOVE;
}

static bool is_view_node(const Node *n)
{
    return op_info(n->op)->class == CLASS_VIEW;
}

/* Marks what the loss needs. */
static void find_forward(Recompute *r)
{
    const Graph *g = r->g;
    bool *needed = arena_array(r->scratch, g->n_values, sizeof *needed);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i].name, "loss") == 0)
            needed[g->outputs[i].value] = true;
    r->root = NO_NODE;
    for (NodeId n = g->n_nodes; n-- > 0;) {
        const Node *node = &g->nodes[n];
        bool forward = false;
        for (unsigned i = 0; i < node->n_outputs; i++)
            forward = forward || needed[node->first_output + i];
        r->stage[n] = forward ? STAGE_FORWARD : STAGE_REST;
        if (!forward)
            continue;
        const OpClass class = op_info(node->op)->class;
        if (r->root == NO_NODE && (class == CLASS_MATMUL || class == CLASS_KERNEL))
            r->root = n;
        for (unsigned i = 0; i < node->n_inputs; i++)
            needed[node_input(g, node, i)] = true;
    }
}

static void find_loss(Recompute *r)
{
    const Graph *g = r->g;
    for (NodeId n = r->root; n < g->n_nodes; n++) {
        bool follows = n == r->root;
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
            follows = follows || r->stage[g->values[node_input(g, &g->nodes[n], i)].def] == STAGE_LOSS;
        if (follows && r->stage[n] == STAGE_FORWARD)
            r->stage[n] = STAGE_LOSS;
    }
}

/* Of a node behind the forward pass. */
static Stage stage_behind(const Recompute *r, const Node *node)
{
    const Graph *g = r->g;
    bool reads_forward = false;
    const bool row = recompute_is_row(g, node) || is_view_node(node);
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const ValueId v = node_input(g, node, i);
        const NodeId def = g->values[v].def;
        if (r->lasting[v] || r->stage[def] == STAGE_REST)
            continue;
        if (!row || r->stage[def] == STAGE_LOSS || r->stage[def] == STAGE_GRADIENT)
            return STAGE_GRADIENT;
        reads_forward = true;
    }
    return reads_forward ? STAGE_LATE : STAGE_REST;
}

static void find_stages(Recompute *r)
{
    find_forward(r);
    if (r->root == NO_NODE)
        return;
    find_loss(r);
    for (NodeId n = 0; n < r->g->n_nodes; n++)
        if (r->stage[n] == STAGE_REST)
            r->stage[n] = stage_behind(r, &r->g->nodes[n]);
}

/* ---- values ----------------------------------------------------------------------------------- */

static void find_values(Recompute *r)
{
    const Graph *g = r->g;
    int64_t sizes[MAX_SYMBOLS];
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)g->n_symbols && g->symbol[i].max > 0 ? g->symbol[i].max : 1;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_outputs; i++) {
            const ValueId v = node->first_output + i;
            Dim count;
            r->base[v] = is_view_node(node) ? r->base[node_input(g, node, 0)] : v;
            r->lasting[v] = is_view_node(node) ? r->lasting[node_input(g, node, 0)]
                : node->n_inputs == 0 || op_info(node->op)->class == CLASS_WRITE;
            const bool fits = shape_count(&value_type(g, v)->shape, &count)
                && dim_eval(count, sizes, &r->bytes[v]) && i64_mul(r->bytes[v], 4, &r->bytes[v]);
            CHECK(fits, "a tensor of more bytes than can be counted");
        }
    }
}

static void find_wanted(Recompute *r)
{
    const Graph *g = r->g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs && r->stage[n] > STAGE_LOSS; i++) {
            const ValueId v = r->base[node_input(g, node, i)];
            if (r->stage[g->values[v].def] == STAGE_FORWARD && !r->lasting[v])
                r->wanted[v] = true;
        }
    }
}

/* ---- work ------------------------------------------------------------------------------------- */

/* One that is more than an instruction or two for each vector. */
static bool is_long(const Node *n)
{
    if (op_info(n->op)->flags & OP_RANDOM)
        return true;
    return op_info(n->op)->class == CLASS_MAP && n->n_inputs == 1 && n->op != OP_neg
        && n->op != OP_abs && n->op != OP_relu && n->op != OP_recip && n->op != OP_sqrt
        && n->op != OP_rsqrt && n->op != OP_cast && n->op != OP_round_bf16;
}

/* An operation of a product, in nanoseconds as below.  One that rounds to bf16 takes an eighth with AMX. */
static double operation_work(const Node *n)
{
    const int precision = op_attr(n->op, "precision");
    return precision >= 0 && n->attr[precision].i == DTYPE_bf16 ? 0.001 : 0.008;
}

/* Nanoseconds on a core with AVX-512: what matters is how they compare.  An element of a row counts 0.15, of
 * an activation 2. */
static double node_work(const Graph *g, const Node *n, const int64_t *bytes,
                        const int64_t sizes[MAX_SYMBOLS])
{
    const double elements = (double)bytes[n->first_output] / 4;
    switch (op_info(n->op)->class) {
    case CLASS_SOURCE:
    case CLASS_VIEW:
        return 0;
    case CLASS_MAP:
    case CLASS_REDUCE:
        return node_flops(g, n, sizes) * (is_long(n) ? 2 : 0.15);
    case CLASS_MOVE:
    case CLASS_WRITE:
        return elements * 0.5;
    case CLASS_MATMUL:
    case CLASS_KERNEL:
        break;
    }
    return node_flops(g, n, sizes) * operation_work(n) + elements * 0.2;
}

static void find_work(Recompute *r)
{
    int64_t sizes[MAX_SYMBOLS];
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)r->g->n_symbols && r->g->symbol[i].max > 0 ? r->g->symbol[i].max : 1;
    for (NodeId n = 0; n < r->g->n_nodes; n++) {
        r->work[n] = node_work(r->g, &r->g->nodes[n], r->bytes, sizes);
        r->total_work += r->work[n];
    }
}

bool recompute_possible(const Recompute *r, NodeId n)
{
    const Node *node = &r->g->nodes[n];
    const OpClass class = op_info(node->op)->class;
    return r->stage[n] == STAGE_FORWARD && node->n_inputs > 0 && class != CLASS_WRITE;
}

/* ---- where the forward pass is narrow ---------------------------------------------------------- */

/* Bytes that the rest of the forward pass still needs behind each node. */
static int64_t *find_widths(const Recompute *r)
{
    const Graph *g = r->g;
    NodeId *last = arena_array(r->scratch, g->n_values, sizeof *last);
    int64_t *width = arena_array(r->scratch, (size_t)g->n_nodes + 1, sizeof *width);
    for (NodeId n = 0; n < g->n_nodes; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs && r->stage[n] <= STAGE_LOSS; i++)
            last[r->base[node_input(g, &g->nodes[n], i)]] = n;
    for (ValueId v = 0; v < g->n_values; v++) {
        const NodeId def = g->values[v].def;
        if (r->stage[def] != STAGE_FORWARD || r->lasting[v] || r->base[v] != v || last[v] <= def)
            continue;
        width[def] += r->bytes[v];
        width[last[v]] -= r->bytes[v];
    }
    for (NodeId n = 1; n < g->n_nodes; n++)
        width[n] += width[n - 1];
    return width;
}

/* One for each run of equal widths, between the first and the last product or kernel. */
static void find_narrow(Recompute *r)
{
    const Graph *g = r->g;
    const int64_t *width = find_widths(r);
    int64_t least = INT64_MAX;
    bool work_since = false;
    r->narrow = arena_array(r->scratch, g->n_nodes, sizeof *r->narrow);
    for (int round = 0; round < 2; round++) {
        for (NodeId n = 0; r->root != NO_NODE && n < r->root; n++) {
            const OpClass class = op_info(g->nodes[n].op)->class;
            if (r->stage[n] != STAGE_FORWARD || width[n] == 0)
                continue;
            if (round == 0 && width[n] < least && class != CLASS_SOURCE)
                least = width[n];
            if (round == 0)
                continue;
            work_since = work_since || class == CLASS_MATMUL || class == CLASS_KERNEL;
            if (width[n] > least + least / 16 || is_view_node(&g->nodes[n]))
                continue;
            if (work_since || r->n_narrow == 0)
                r->n_narrow++;
            r->narrow[r->n_narrow - 1] = n;
            work_since = false;
        }
    }
}

Recompute recompute_facts(const Graph *g, Arena *scratch)
{
    Recompute r = { .g = g, .scratch = scratch,
                    .stage = arena_array(scratch, g->n_nodes, sizeof *r.stage),
                    .work = arena_array(scratch, g->n_nodes, sizeof *r.work),
                    .lasting = arena_array(scratch, g->n_values, sizeof *r.lasting),
                    .base = arena_array(scratch, g->n_values, sizeof *r.base),
                    .bytes = arena_array(scratch, g->n_values, sizeof *r.bytes),
                    .wanted = arena_array(scratch, g->n_values, sizeof *r.wanted) };
    find_values(&r);
    find_stages(&r);
    find_wanted(&r);
    find_work(&r);
    find_narrow(&r);
    return r;
}
