/* A graph that a pass breaks, cut down to little more than the op that it breaks.
 *
 * First the outputs and writes: one alone, if any shows the fault.  Then the first value that, as
 * the only output, shows it.  Then, from there backwards, every op whose results may as well be given
 * as inputs.  Each step keeps only what still fails. */
#include "base/check.h"
#include "bisect/bisect.h"
#include "ir/build.h"
#include "ir/verify.h"

#include <stdio.h>
#include <string.h>

/* What is kept of the graph. */
typedef struct Keep {
    bool *output;                       /* by output of the graph */
    bool *write;                        /* by node that writes */
    ValueId value;                      /* the only output instead; NO_VALUE: none */
    bool *cut;                          /* by node: its results are inputs */
} Keep;

typedef struct Small {
    const PassInfo *pass;
    const Graph *g;
    const BisectOptions *options;
    Arena *arena;                       /* of the arrays of Keep */
} Small;

static Keep keep_all(const Small *s)
{
    const Graph *g = s->g;
    Keep k = { .output = arena_array(s->arena, g->n_outputs + 1, sizeof *k.output),
               .write = arena_array(s->arena, g->n_nodes + 1, sizeof *k.write),
               .cut = arena_array(s->arena, g->n_nodes + 1, sizeof *k.cut), .value = NO_VALUE };
    for (uint32_t i = 0; i < g->n_outputs; i++)
        k.output[i] = true;
    for (NodeId n = 0; n < g->n_nodes; n++)
        k.write[n] = op_info(g->nodes[n].op)->class == CLASS_WRITE;
    return k;
}

/* ---- a part of the graph ------------------------------------------------------------------------ */

/* Nodes that what is kept needs; those that are cut, but not what only they need. */
static bool *needed_by(const Small *s, const Keep *k, Arena *arena)
{
    const Graph *g = s->g;
    bool *needed = arena_array(arena, g->n_nodes + 1, sizeof *needed);
    for (uint32_t i = 0; i < g->n_outputs && k->value == NO_VALUE; i++)
        if (k->output[i])
            needed[g->values[g->outputs[i].value].def] = true;
    if (k->value != NO_VALUE)
        needed[g->values[k->value].def] = true;
    for (NodeId n = g->n_nodes; n-- > 0;) {
        needed[n] = needed[n] || (k->value == NO_VALUE && k->write[n]);
        for (unsigned i = 0; needed[n] && !k->cut[n] && i < g->nodes[n].n_inputs; i++)
            needed[g->values[node_input(g, &g->nodes[n], i)].def] = true;
    }
    return needed;
}

/* The results of a node as storages of their own.  Gradients flow into parameters. */
static void cut_node(const Small *s, Rewriter *rw, NodeId n)
{
    const Node *node = &s->g->nodes[n];
    const bool learns = strcmp(s->pass->name, "autodiff") == 0;
    for (unsigned i = 0; i < node->n_outputs; i++) {
        const ValueId v = node->first_output + i;
        const Type *type = value_type(s->g, v);
        bool constant = true;
        for (int a = 0; a < type->shape.rank; a++)
            constant = constant && dim_is(type->shape.dim[a], type->shape.dim[a].coef);
        Builder b = rewrite_builder(rw, n);
        const Storage storage = {
            .name = arena_printf(rw->new_->arena, "cut.%u", v), .type = *type,
            .class = learns && constant && type->dtype == DTYPE_f32 ? STORAGE_PARAM : STORAGE_INPUT,
            .index_limit = type->dtype == DTYPE_i32 ? 2 : 0 };
        rw->map[v] = build_storage(&b, graph_storage(rw->new_, storage));
    }
}

/* loss = sum(v * weights), the weights given: so that the gradient of v is no constant. */
static void make_loss(Graph *g, ValueId v)
{
    Builder b = builder_at(g, NULL);
    const Storage weights = { .name = "cut.weights", .class = STORAGE_INPUT,
                              .type = *value_type(g, v) };
    const ValueId w = build_storage(&b, graph_storage(g, weights));
    const ValueId loss = build_sum(&b, build2(&b, OP_mul, v, w), ALL_AXES);
    g->n_outputs = 0;
    graph_output(g, "loss", loss, (Span){ 0 });
}

/* Storages that no node reads only make the text long. */
static void drop_unread(Graph *g, Arena *scratch)
{
    bool *read = arena_array(scratch, g->n_storages + 1, sizeof *read);
    StorageId *to = arena_array(scratch, g->n_storages + 1, sizeof *to), n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == OP_input || g->nodes[i].op == OP_param || g->nodes[i].op == OP_state)
            read[g->nodes[i].attr[0].i] = true;
    for (StorageId s = 0; s < g->n_storages; s++) {
        to[s] = n;
        if (read[s])
            g->storages[n++] = g->storages[s];
    }
    g->n_storages = n;
    for (NodeId i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == OP_input || g->nodes[i].op == OP_param || g->nodes[i].op == OP_state)
            g->nodes[i].attr[0].i = to[g->nodes[i].attr[0].i];
}

/* Groups that lost all their members are none any more. */
static void number_groups(Graph *g)
{
    uint32_t now = 0, was = 0;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        Node *node = &g->nodes[n];
        if (node->group && node->group != was)
            now++;
        was = node->group;
        node->group = node->group ? now : 0;
    }
    g->n_groups = now;
}

static Graph *part(const Small *s, const Keep *k, Arena *arena)
{
    Graph *g = graph_clone(s->g, arena);
    const bool *needed = needed_by(s, k, arena);
    uint32_t n_outputs = 0;
    for (uint32_t i = 0; i < g->n_outputs && k->value == NO_VALUE; i++)
        if (k->output[i])
            g->outputs[n_outputs++] = g->outputs[i];
    g->n_outputs = n_outputs;
    if (k->value != NO_VALUE)
        graph_output(g, "value", k->value, (Span){ 0 });
    Rewriter rw = rewrite_begin(g, arena);
    for (NodeId n = 0; n < s->g->n_nodes; n++)
        if (needed[n] && k->cut[n])
            cut_node(s, &rw, n);
        else if (needed[n])
            rewrite_copy(&rw, n);
    rewrite_end(&rw);
    if (k->value != NO_VALUE && strcmp(s->pass->name, "autodiff") == 0)
        make_loss(g, g->outputs[0].value);
    drop_unread(g, arena);
    number_groups(g);
    return g;
}

static bool fails(const Small *s, const Keep *k)
{
    Arena arena;
    Difference difference;
    bool refused = false;
    Error err;
    arena_init(&arena, NULL);
    const Graph *g = part(s, k, &arena);
    const bool right = !graph_verify(g, &arena, &err)   /* then it shows nothing */
        || bisect_judge(s->pass, g, s->options, &arena, NULL, &refused, &difference);
    arena_free(&arena);
    return !right && !refused;
}

/* ---- less and less ------------------------------------------------------------------------------ */

/* Switches `on[i]` off for all i, one at a time, where the fault stays. */
static void drop_each(const Small *s, Keep *k, bool *on, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!on[i])
            continue;
        on[i] = false;
        on[i] = !fails(s, k);
    }
}

/* Halves first: most of what is kept has nothing to do with the fault. */
static void drop_blocks(const Small *s, Keep *k, bool *on, uint32_t n)
{
    for (uint32_t size = n / 2; size > 1; size /= 2)
        for (uint32_t from = 0; from < n; from += size) {
            const uint32_t count = from + size < n ? size : n - from;
            bool *copy = arena_array(s->arena, count, sizeof *copy);
            memcpy(copy, on + from, count * sizeof *copy);
            memset(on + from, 0, count * sizeof *copy);
            if (!fails(s, k))
                memcpy(on + from, copy, count * sizeof *copy);
        }
    drop_each(s, k, on, n);
}

static bool may_be_output(const Small *s, const Node *n, ValueId v)
{
    const OpClass class = op_info(n->op)->class;
    return class != CLASS_SOURCE && class != CLASS_VIEW && class != CLASS_WRITE
        && value_type(s->g, v)->dtype == DTYPE_f32;
}

/* The first value that shows the fault as the only output. */
static bool find_value(const Small *s, Keep *k)
{
    const bool *needed = needed_by(s, k, s->arena);
    for (NodeId n = 0; n < s->g->n_nodes; n++) {
        const Node *node = &s->g->nodes[n];
        for (unsigned i = 0; needed[n] && i < node->n_outputs; i++) {
            k->value = node->first_output + i;
            if (may_be_output(s, node, k->value) && fails(s, k))
                return true;
        }
    }
    k->value = NO_VALUE;
    return false;
}

/* From the end backwards: each cut takes all that only the cut op needed. */
static void cut_each(const Small *s, Keep *k)
{
    const NodeId root = k->value == NO_VALUE ? NO_NODE : s->g->values[k->value].def;
    for (NodeId n = s->g->n_nodes; n-- > 0;) {
        const Node *node = &s->g->nodes[n];
        const OpClass class = op_info(node->op)->class;
        if (n == root || class == CLASS_SOURCE || class == CLASS_WRITE || node->n_outputs == 0
            || !needed_by(s, k, s->arena)[n])
            continue;
        k->cut[n] = true;
        k->cut[n] = fails(s, k);
    }
}

/* The last op of a graph that computes something. */
static NodeId last_op(const Graph *g)
{
    NodeId last = NO_NODE;
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (op_info(g->nodes[n].op)->class != CLASS_SOURCE
            && op_info(g->nodes[n].op)->class != CLASS_VIEW)
            last = n;
    return last;
}

/* The node of `to` that is node n of the whole: copies keep op, place and order. */
static NodeId same_node(const Small *s, const Keep *k, const Graph *to)
{
    const Node *want = &s->g->nodes[s->g->values[k->value].def];
    NodeId found = NO_NODE;
    for (NodeId n = 0; n < to->n_nodes; n++)
        if (to->nodes[n].op == want->op && to->nodes[n].span.line == want->span.line)
            found = n;
    return found == NO_NODE ? last_op(to) : found;
}

const Graph *bisect_small(const PassInfo *pass, const Graph *before, const BisectOptions *options,
                          Arena *arena, NodeId *op)
{
    Arena arrays;
    arena_init(&arrays, NULL);
    const Small s = { pass, before, options, &arrays };
    Keep k = keep_all(&s);
    *op = NO_NODE;
    const bool whole = strcmp(pass->name, "specialize") == 0 || strcmp(pass->name, "update") == 0
        || before->n_buffers > 0 || !fails(&s, &k);
    if (!whole && strcmp(pass->name, "autodiff") != 0) {
        drop_blocks(&s, &k, k.write, before->n_nodes);
        drop_each(&s, &k, k.output, before->n_outputs);
    }
    const bool one = !whole && find_value(&s, &k);
    if (!whole && (one || strcmp(pass->name, "autodiff") != 0))
        cut_each(&s, &k);
    Graph *g = whole ? graph_clone(before, arena) : part(&s, &k, arena);
    *op = one ? same_node(&s, &k, g) : whole ? NO_NODE : last_op(g);
    arena_free(&arrays);
    return g;
}
