/* From the model as written to one program of it: roots, dropout and largest sizes. */
#include "passes/specialize.h"

#include "base/check.h"
#include "ir/build.h"
#include "passes/pass.h"

#include <inttypes.h>
#include <string.h>

enum {
    DEFAULT_BATCH = 1,
    DEFAULT_SIZE = 1024,                /* of a sequence or a free size without a bound */
    DEFAULT_CHUNK = 64,                 /* new positions in one run of `generate` */
};

static bool is_random(Program p)
{
    return p == PROGRAM_train || p == PROGRAM_accumulate;
}

/* ---- which programs -------------------------------------------------------------------------- */

/* What the model lacks for `p`, or NULL. */
static const char *lacking(const Graph *model, Program p)
{
    const bool loss = model->loss != NO_VALUE, optimizer = model->optimizer.kind != OPTIMIZER_none;
    const char *no_loss = loss ? NULL : "a loss";
    const char *no_optimizer = optimizer ? NULL : "an optimizer";
    const char *no_outputs = model->n_outputs ? NULL : "an output";
    switch (p) {
    case PROGRAM_model:      return NULL;
    case PROGRAM_score:      return no_outputs;
    case PROGRAM_eval:       return no_loss;
    case PROGRAM_train:
    case PROGRAM_accumulate:
    case PROGRAM_apply:      return no_loss ? no_loss : no_optimizer;
    case PROGRAM_generate:
        return no_outputs ? no_outputs : graph_sequence(model) < 0 ? "a sequence" : NULL;
    case N_PROGRAMS:         break;
    }
    CHECK(false, "program %d", (int)p);
    return NULL;
}

bool program_possible(const Graph *model, Program p)
{
    return p != PROGRAM_model && !lacking(model, p);
}

static bool need_possible(const Graph *g, PassContext *cx)
{
    const Program p = cx->options->program;
    const char *what = g->program != PROGRAM_model || p == PROGRAM_model ? "a model to begin with"
                                                                         : lacking(g, p);
    if (what)
        diag_error(cx->diags, (Span){ 0 }, DIAG_E0432, "program `%s` needs %s", program_name(p),
                   what);
    return !what;
}

/* ---- largest sizes --------------------------------------------------------------------------- */

static bool bound(Symbol *s, int64_t asked, int64_t otherwise, const char *option, PassContext *cx)
{
    if (s->max && asked > s->max) {
        diag_error(cx->diags, s->span, DIAG_E0430, "%s %" PRId64 " is more than `%s` allows",
                   option, asked, s->name);
        diag_label(cx->diags, "at most %" PRId64, s->max);
        return false;
    }
    s->max = asked ? asked : s->max ? s->max : otherwise;
    return true;
}

/* A chunk is at most the context, which the cache needs for its length. */
static bool bound_sequence(Graph *g, Symbol *s, PassContext *cx)
{
    const PassOptions *o = cx->options;
    g->context = s->max ? s->max : o->sequence ? o->sequence : DEFAULT_SIZE;
    if (cx->options->program != PROGRAM_generate)
        return bound(s, o->sequence, DEFAULT_SIZE, "sequence", cx);
    const int64_t chunk = o->chunk ? o->chunk : DEFAULT_CHUNK;
    s->max = chunk < g->context ? chunk : g->context;
    return true;
}

static bool bound_sizes(Graph *g, PassContext *cx)
{
    bool ok = true;
    for (uint32_t i = 0; i < g->n_symbols; i++) {
        Symbol *s = &g->symbol[i];
        switch (s->role) {
        case ROLE_BATCH:
            if (cx->options->program == PROGRAM_generate)
                s->max = 1;
            else
                ok = bound(s, cx->options->batch ? cx->options->batch : DEFAULT_BATCH, 0, "batch",
                           cx) && ok;
            break;
        case ROLE_SEQUENCE:
            ok = bound_sequence(g, s, cx) && ok;
            break;
        case ROLE_FREE:
            ok = bound(s, 0, DEFAULT_SIZE, s->name, cx) && ok;
            break;
        case N_ROLES:
            CHECK(false, "role of symbol %s", s->name);
            break;
        }
    }
    return ok;
}

/* ---- roots ----------------------------------------------------------------------------------- */

static void choose_roots(Graph *g, Program p)
{
    if (p != PROGRAM_score && p != PROGRAM_generate)
        g->n_outputs = 0;
    if (p == PROGRAM_eval || is_random(p))
        graph_output(g, "loss", g->loss, value_def(g, g->loss)->span);
    g->loss = NO_VALUE;
}

/* By node: does an output need it? */
static bool *find_live(const Graph *g, Arena *scratch)
{
    bool *live = arena_array(scratch, g->n_nodes, sizeof *live);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        live[g->values[g->outputs[i].value].def] = true;
    for (NodeId n = g->n_nodes; n-- > 0;)
        for (unsigned i = 0; live[n] && i < g->nodes[n].n_inputs; i++)
            live[g->values[node_input(g, &g->nodes[n], i)].def] = true;
    return live;
}

/* Inputs that the program does not read are not asked of its caller. */
static void drop_unread_inputs(Graph *g, Arena *scratch)
{
    bool *read = arena_array(scratch, g->n_storages, sizeof *read);
    StorageId *to = arena_array(scratch, g->n_storages, sizeof *to), n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == OP_input)
            read[NODE_ATTR(&g->nodes[i], input, storage).i] = true;
    for (StorageId s = 0; s < g->n_storages; s++) {
        to[s] = n;
        if (g->storages[s].class != STORAGE_INPUT || read[s])
            g->storages[n++] = g->storages[s];
    }
    g->n_storages = n;
    for (NodeId i = 0; i < g->n_nodes; i++) {
        Node *node = &g->nodes[i];
        if (node->op == OP_input || node->op == OP_param || node->op == OP_state)
            node->attr[0].i = to[node->attr[0].i];
    }
}
_Static_assert(ATTR_INDEX(input, storage) == 0 && ATTR_INDEX(param, storage) == 0 &&
               ATTR_INDEX(state, storage) == 0, "sources name their storage first");

/* ---- dropout --------------------------------------------------------------------------------- */

/* One source for the seed, before its first reader. */
static ValueId seed_of(Rewriter *rw, ValueId *seed)
{
    if (*seed == NO_VALUE) {
        Builder b = builder_at(rw->new_, NULL);
        const Dim two = dim_const(2);
        const Type type = type_of(DTYPE_i32, 1, &two);
        Storage s = { .name = "$seed", .class = STORAGE_INPUT, .type = type };
        *seed = build_storage(&b, graph_storage(rw->new_, s));
    }
    return *seed;
}

/* Copies node n with the seed as its last input, or with its probability 0. */
static void copy_random(Rewriter *rw, NodeId n, int p_attr, bool random, ValueId *seed)
{
    const Node *node = &rw->old->nodes[n];
    const bool drops = random && node->attr[p_attr].f > 0;
    const unsigned most = op_info(node->op)->max_inputs, n_in = drops ? most : most - 1;
    ValueId in[4];
    for (unsigned i = 0; i + 1 < most; i++)
        in[i] = rewrite_of(rw, node_input(rw->old, node, i));
    if (drops)
        in[most - 1] = seed_of(rw, seed);
    NodeSpec spec = node_spec(node->op, in, n_in, node->span, node->path);
    memcpy(spec.attr, node->attr, sizeof spec.attr);
    if (!drops)
        spec.attr[p_attr].f = 0;
    ValueId first = graph_add(rw->new_, &spec, NULL);
    for (unsigned i = 0; i < node->n_outputs; i++)
        rw->map[node->first_output + i] = first + i;
}

static void specialize_node(Rewriter *rw, NodeId n, bool random, ValueId *seed)
{
    const Node *node = &rw->old->nodes[n];
    if (node->op == OP_attention)
        copy_random(rw, n, ATTR_INDEX(attention, drop), random, seed);
    else if (node->op != OP_dropout)
        rewrite_copy(rw, n);
    else if (random && NODE_ATTR(node, dropout, p).f > 0)
        copy_random(rw, n, ATTR_INDEX(dropout, p), true, seed);
    else
        rw->map[node->first_output] = rewrite_of(rw, node_input(rw->old, node, 0));
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* needs  program `model`
 * keeps  types, places in the source, the order of what is left
 * Afterwards every symbol has its largest size and the graph its context; score and generate have
 * the model's outputs, eval, train and accumulate the one output `loss`, apply none and no node;
 * dropout is gone or reads the input `$seed` i32[2]. */
bool pass_specialize(Graph *g, PassContext *cx)
{
    const Program p = cx->options->program;
    if (!need_possible(g, cx) || !bound_sizes(g, cx))
        return false;
    choose_roots(g, p);
    const bool *live = find_live(g, cx->scratch);
    ValueId seed = NO_VALUE;
    Rewriter rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (live[n])
            specialize_node(&rw, n, is_random(p), &seed);
    rewrite_end(&rw);
    g->program = p;
    drop_unread_inputs(g, cx->scratch);
    return true;
}
