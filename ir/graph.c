/* The graph's arrays: making, copying, adding to them. */
#include "ir/graph.h"

#include "base/check.h"
#include "ir/infer.h"

#include <ctype.h>
#include <string.h>

static const char *const program_names[] = {
#define X(name) #name,
    PROGRAMS(X)
#undef X
};

const char *program_name(Program p)
{
    CHECK((size_t)p < N_PROGRAMS, "program %d", (int)p);
    return program_names[p];
}

bool program_from_name(const char *name, Program *out)
{
    for (size_t i = 0; i < N_PROGRAMS; i++)
        if (strcmp(name, program_names[i]) == 0) {
            *out = (Program)i;
            return true;
        }
    return false;
}

Graph *graph_new(Arena *arena, const char *name, Program program)
{
    Graph *g = arena_alloc(arena, sizeof *g);
    g->arena = arena;
    g->name = arena_strdup(arena, name);
    g->program = program;
    g->loss = NO_VALUE;
    g->pool_bytes = g->pool_bound = -1;
    Origin none = { .name = "" };
    ARENA_PUSH(arena, g->origins, g->n_origins, g->cap_origins, none);
    return g;
}

/* ---- copies --------------------------------------------------------------------------------- */

/* Strings are shared within an arena and copied into another one.  Neighbours often share one. */
typedef struct Strings {
    Arena *to;
    bool share;
    const char *last, *copy;
} Strings;

static const char *keep_string(Strings *s, const char *text)
{
    if (s->share || !text)
        return text;
    if (text != s->last) {
        s->last = text;
        s->copy = arena_strdup(s->to, text);
    }
    return s->copy;
}

static void *copy_array(Arena *arena, const void *items, size_t n, size_t size)
{
    return n ? arena_grow(arena, items, n, n, size) : NULL;
}

static void copy_files(Graph *to, const Graph *g, Strings *s)
{
    to->files = copy_array(to->arena, g->files, g->n_files, sizeof *g->files);
    to->n_files = g->n_files;
    for (uint32_t i = 0; i < to->n_files; i++)
        to->files[i] = keep_string(s, to->files[i]);
}

static void copy_sizes(Graph *to, const Graph *g, Strings *s)
{
    memcpy(to->symbol, g->symbol, sizeof g->symbol);
    to->n_symbols = g->n_symbols;
    to->context = g->context;
    for (uint32_t i = 0; i < to->n_symbols; i++)
        to->symbol[i].name = keep_string(s, to->symbol[i].name);
    to->origins = copy_array(to->arena, g->origins, g->n_origins, sizeof *g->origins);
    to->n_origins = to->cap_origins = g->n_origins;
    for (uint32_t i = 0; i < to->n_origins; i++)
        to->origins[i].name = keep_string(s, to->origins[i].name);
}

static void copy_storages(Graph *to, const Graph *g, Strings *s)
{
    to->storages = copy_array(to->arena, g->storages, g->n_storages, sizeof *g->storages);
    to->n_storages = to->cap_storages = g->n_storages;
    for (uint32_t i = 0; i < to->n_storages; i++) {
        Storage *st = &to->storages[i];
        st->name = keep_string(s, st->name);
        st->rounded_of = st->rounded_of ? keep_string(s, st->rounded_of) : NULL;
    }
}

Graph *graph_like(const Graph *g, Arena *arena, Program program)
{
    Strings s = { .to = arena, .share = arena == g->arena };
    Graph *to = arena_alloc(arena, sizeof *to);
    to->arena = arena;
    to->name = keep_string(&s, g->name);
    to->configs = g->configs ? keep_string(&s, g->configs) : NULL;
    to->program = program;
    to->loss = NO_VALUE;
    to->optimizer = g->optimizer;
    to->pool_bytes = to->pool_bound = -1;
    copy_files(to, g, &s);
    copy_sizes(to, g, &s);
    copy_storages(to, g, &s);
    return to;
}

Graph *graph_clone(const Graph *g, Arena *arena)
{
    Strings s = { .to = arena, .share = arena == g->arena };
    Graph *to = graph_like(g, arena, g->program);
    to->nodes = copy_array(arena, g->nodes, g->n_nodes, sizeof *g->nodes);
    to->n_nodes = to->cap_nodes = g->n_nodes;
    for (uint32_t i = 0; i < to->n_nodes; i++)
        to->nodes[i].path = keep_string(&s, to->nodes[i].path);
    to->values = copy_array(arena, g->values, g->n_values, sizeof *g->values);
    to->n_values = to->cap_values = g->n_values;
    to->edges = copy_array(arena, g->edges, g->n_edges, sizeof *g->edges);
    to->n_edges = to->cap_edges = g->n_edges;
    to->outputs = copy_array(arena, g->outputs, g->n_outputs, sizeof *g->outputs);
    to->n_outputs = to->cap_outputs = g->n_outputs;
    for (uint32_t i = 0; i < to->n_outputs; i++)
        to->outputs[i].name = keep_string(&s, to->outputs[i].name);
    to->buffers = copy_array(arena, g->buffers, g->n_buffers, sizeof *g->buffers);
    to->n_buffers = to->cap_buffers = g->n_buffers;
    to->loss = g->loss;
    to->n_groups = g->n_groups;
    to->pool_bytes = g->pool_bytes;
    to->pool_bound = g->pool_bound;
    return to;
}

/* ---- names and places ------------------------------------------------------------------------ */

/* Sizes are written bare in graph text, so their names must be words. */
static bool is_word(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    while (isalnum((unsigned char)*name) || *name == '_')
        name++;
    return *name == 0;
}

int graph_symbol(Graph *g, const char *name, SymbolRole role, int64_t max, Span span)
{
    CHECK(is_word(name), "symbol \"%s\"", name);
    if (g->n_symbols == MAX_SYMBOLS)
        return -1;
    g->symbol[g->n_symbols] = (Symbol){
        .name = arena_strdup(g->arena, name), .role = role, .max = max, .span = span,
    };
    return (int)g->n_symbols++;
}

static int symbol_of_role(const Graph *g, SymbolRole role)
{
    for (uint32_t i = 0; i < g->n_symbols; i++)
        if (g->symbol[i].role == role)
            return (int)i;
    return -1;
}

int graph_sequence(const Graph *g)
{
    return symbol_of_role(g, ROLE_SEQUENCE);
}

int graph_batch(const Graph *g)
{
    return symbol_of_role(g, ROLE_BATCH);
}

uint32_t graph_origin(Graph *g, const char *name, Span span)
{
    Origin o = { .name = arena_strdup(g->arena, name), .span = span };
    ARENA_PUSH(g->arena, g->origins, g->n_origins, g->cap_origins, o);
    return g->n_origins - 1;
}

StorageId graph_storage(Graph *g, Storage s)
{
    CHECK(s.name && *s.name, "a storage without a name");
    s.name = arena_strdup(g->arena, s.name);
    s.rounded_of = s.rounded_of ? arena_strdup(g->arena, s.rounded_of) : NULL;
    ARENA_PUSH(g->arena, g->storages, g->n_storages, g->cap_storages, s);
    return g->n_storages - 1;
}

StorageId graph_find_storage(const Graph *g, const char *name)
{
    for (StorageId s = 0; s < g->n_storages; s++)
        if (strcmp(g->storages[s].name, name) == 0)
            return s;
    return NO_STORAGE;
}

const Node *value_constant(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (op_info(n->op)->class == CLASS_VIEW)
        n = value_def(g, node_input(g, n, 0));
    return n->op == OP_constant || n->op == OP_extent ? n : NULL;
}

void graph_output(Graph *g, const char *name, ValueId v, Span span)
{
    CHECK(v < g->n_values, "output %s is value %u of %u", name, v, g->n_values);
    Output o = { .name = arena_strdup(g->arena, name), .value = v, .span = span };
    ARENA_PUSH(g->arena, g->outputs, g->n_outputs, g->cap_outputs, o);
}

uint32_t *graph_uses(const Graph *g, Arena *arena)
{
    uint32_t *uses = arena_array(arena, g->n_values, sizeof *uses);
    for (NodeId n = 0; n < g->n_nodes; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
            uses[node_input(g, &g->nodes[n], i)]++;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        uses[g->outputs[i].value]++;
    if (g->loss != NO_VALUE)
        uses[g->loss]++;
    return uses;
}

/* ---- building -------------------------------------------------------------------------------- */

NodeSpec node_spec(OpId op, const ValueId *inputs, uint32_t n_inputs, Span span, const char *path)
{
    NodeSpec spec = {
        .op = op, .inputs = inputs, .n_inputs = n_inputs, .span = span, .path = path ? path : "",
    };
    const OpInfo *info = op_info(op);
    for (int i = 0; i < info->n_attrs; i++) {
        double value = info->attrs[i].value;
        switch (info->attrs[i].kind) {
        case ATTR_FLOAT:
            spec.attr[i].f = value;
            break;
        case ATTR_DIM:
            spec.attr[i].dim = dim_const((int64_t)value);
            break;
        case ATTR_INT:
        case ATTR_BOOL:
        case ATTR_AXIS:
        case ATTR_AXES:
        case ATTR_DTYPE:
        case ATTR_MAP:
        case ATTR_STYLE:
            spec.attr[i].i = (int64_t)value;
            break;
        }
    }
    return spec;
}

ValueId graph_add(Graph *g, const NodeSpec *spec, DiagSink *diags)
{
    const OpInfo *info = op_info(spec->op);
    for (uint32_t i = 0; i < spec->n_inputs; i++)
        CHECK(spec->inputs[i] < g->n_values, "%s: input %u is value %u of %u", info->name, i,
              spec->inputs[i], g->n_values);

    Node node = {
        .op = spec->op, .first_input = g->n_edges, .first_output = g->n_values,
        .span = spec->span, .path = spec->path ? spec->path : "",
    };
    memcpy(node.attr, spec->attr, sizeof node.attr);
    Type out[MAX_OUTPUTS];
    if (!infer_types(g, spec, node.attr, out, diags))
        return NO_VALUE;

    node.n_inputs = (uint8_t)spec->n_inputs;
    node.n_outputs = (uint8_t)op_n_results(spec->op, spec->n_inputs, node.attr);
    for (uint32_t i = 0; i < spec->n_inputs; i++)
        ARENA_PUSH(g->arena, g->edges, g->n_edges, g->cap_edges, spec->inputs[i]);
    for (uint8_t i = 0; i < node.n_outputs; i++) {
        Value v = {
            .type = out[i], .def = g->n_nodes, .index = i, .place.buffer = NO_BUFFER,
        };
        ARENA_PUSH(g->arena, g->values, g->n_values, g->cap_values, v);
    }
    ARENA_PUSH(g->arena, g->nodes, g->n_nodes, g->cap_nodes, node);
    return node.first_output;
}
