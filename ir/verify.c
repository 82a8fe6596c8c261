/* What a legal graph is: its arrays, its types, and the order in which storage changes. */
#include "ir/verify_rule.h"

#include "ir/infer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool verify_fail(const Verify *v, NodeId n, const char *fmt, ...)
{
    char text[800];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const Node *node = &v->g->nodes[n];
    return error_set(v->err, "%%%u = %s: %s", node->first_output,
                     (size_t)node->op < N_OPS ? op_info(node->op)->name : "?", text);
}

bool verify_dim(const Graph *g, const Dim *d, int64_t least)
{
    for (uint32_t s = g->n_symbols; s < MAX_SYMBOLS; s++)
        if (d->power[s])
            return false;
    return d->coef >= least && d->coef < (int64_t)1 << 62;
}

static bool verify_type(const Graph *g, const Type *t)
{
    if ((size_t)t->dtype >= N_DTYPES || t->shape.rank > MAX_RANK)
        return false;
    for (int i = 0; i < t->shape.rank; i++)
        if (!verify_dim(g, &t->shape.dim[i], 1))
            return false;
    Dim count;
    return type_has_blocks(t) && shape_count(&t->shape, &count);
}

static bool verify_span(const Graph *g, Span s)
{
    return (s.file == 0 && s.line == 0 && s.column == 0 && s.length == 0) || s.file < g->n_files;
}

/* ---- header ---------------------------------------------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool verify_unique(const Verify *v, const char **names, uint32_t n, const char *what)
{
    for (uint32_t i = 0; i < n; i++)
        if (!names[i] || !*names[i])
            return error_set(v->err, "%s without a name", what);
    if (n)
        qsort(names, n, sizeof *names, compare_strings);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return error_set(v->err, "two %ss are named \"%s\"", what, names[i]);
    return true;
}

/* What a storage will be stored as: floats, in whole blocks. */
static bool verify_stored(const Storage *s)
{
    if (s->stored == DTYPE_f32)
        return true;
    const Type t = { .dtype = s->stored, .shape = s->type.shape };
    return (size_t)s->stored < N_DTYPES && !dtype_is_lane(s->stored) &&
           s->class != STORAGE_INPUT && s->type.dtype == DTYPE_f32 && type_has_blocks(&t);
}

/* What is rounded is a parameter of floats, of the same shape. */
static bool verify_copies(const Verify *v)
{
    const Graph *g = v->g;
    for (StorageId i = 0; i < g->n_storages; i++) {
        const Storage *s = &g->storages[i];
        const StorageId id = s->rounded_of ? graph_find_storage(g, s->rounded_of) : NO_STORAGE;
        const Storage *of = id == NO_STORAGE ? NULL : &g->storages[id];
        if (s->rounded_of
            && !(of && s->class == STORAGE_STATE && s->type.dtype == DTYPE_bf16
                 && of->class == STORAGE_PARAM && of->type.dtype == DTYPE_f32
                 && shape_equal(&of->type.shape, &s->type.shape)))
            return error_set(v->err, "\"%s\" cannot be \"%s\" rounded", s->name, s->rounded_of);
    }
    return true;
}

static bool verify_header(const Verify *v)
{
    const Graph *g = v->g;
    if (!g->name || (size_t)g->program >= N_PROGRAMS || g->n_symbols > MAX_SYMBOLS)
        return error_set(v->err, "the graph has no name, an unknown program or too many symbols");
    if (g->context < 0)
        return error_set(v->err, "a context of %lld positions", (long long)g->context);
    const char *symbols[MAX_SYMBOLS];
    for (uint32_t i = 0; i < g->n_symbols; i++) {
        const Symbol *s = &g->symbol[i];
        symbols[i] = s->name;
        if ((size_t)s->role >= N_ROLES || s->max < 0 || !verify_span(g, s->span))
            return error_set(v->err, "symbol %u has an unknown role, size or place", i);
    }
    const char **names = arena_array(v->scratch, g->n_storages, sizeof *names);
    for (StorageId i = 0; i < g->n_storages; i++) {
        const Storage *s = &g->storages[i];
        names[i] = s->name;
        if ((size_t)s->class >= N_STORAGE_CLASSES || (size_t)s->init >= N_INITS ||
            !verify_type(g, &s->type) || !verify_span(g, s->span))
            return error_set(v->err, "storage %u (%s) has an unknown class, type or place", i,
                             s->name ? s->name : "");
        if (s->class == STORAGE_INPUT && !dtype_is_lane(s->type.dtype))
            return error_set(v->err, "\"%s\" is an input of %s", s->name,
                             dtype_name(s->type.dtype));
        if (!verify_stored(s))
            return error_set(v->err, "\"%s\" cannot be stored so", s->name);
    }
    return verify_unique(v, symbols, g->n_symbols, "symbol") &&
           verify_unique(v, names, g->n_storages, "storage") && verify_copies(v);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Node n's slices of the arrays; *n_values counts the values so far. */
static bool verify_arrays(const Verify *v, NodeId n, ValueId *n_values)
{
    const Graph *g = v->g;
    const Node *node = &g->nodes[n];
    if ((size_t)node->op >= N_OPS)
        return verify_fail(v, n, "op %d does not exist", (int)node->op);
    const OpInfo *info = op_info(node->op);
    if (node->n_inputs < info->min_inputs || node->n_inputs > info->max_inputs)
        return verify_fail(v, n, "%u inputs, not %u to %u", node->n_inputs, info->min_inputs,
                           info->max_inputs);
    const unsigned n_results = op_n_results(node->op, node->n_inputs, node->attr);
    if (node->n_outputs != n_results)
        return verify_fail(v, n, "%u results, not %u", node->n_outputs, n_results);
    if (node->first_output != *n_values || node->n_outputs > g->n_values - *n_values)
        return verify_fail(v, n, "its results are not the next values");
    if (node->first_input > g->n_edges || node->n_inputs > g->n_edges - node->first_input)
        return verify_fail(v, n, "its inputs lie outside of the edges");
    for (unsigned i = 0; i < node->n_inputs; i++) {
        ValueId in = node_input(g, node, i);
        if (in >= node->first_output)
            return verify_fail(v, n, "input %u is %%%u, which is not defined before", i, in);
    }
    for (unsigned i = 0; i < node->n_outputs; i++) {
        const Value *value = &g->values[*n_values + i];
        if (value->def != n || value->index != i)
            return verify_fail(v, n, "result %u does not point back", i);
    }
    if (!verify_span(g, node->span))
        return verify_fail(v, n, "its span is in file %u of %u", node->span.file, g->n_files);
    *n_values += node->n_outputs;
    return true;
}

/* The attributes that index something, or would make a shape rule see nonsense. */
static bool verify_attr(const Graph *g, const AttrInfo *info, const AttrValue *value)
{
    switch (info->kind) {
    case ATTR_BOOL:
        return value->i == 0 || value->i == 1;
    case ATTR_DTYPE:
        return value->i >= 0 && value->i < N_DTYPES;
    case ATTR_STYLE:
        return value->i >= 0 && value->i < N_STYLES;
    case ATTR_MAP:
        return op_is_activation(value->i);
    case ATTR_DIM:
        return verify_dim(g, &value->dim, 1);
    case ATTR_AXIS:
        return value->i >= 0 && value->i < MAX_RANK;
    case ATTR_AXES:
        return value->i == ALL_AXES || (value->i > 0 && value->i < 1 << MAX_RANK);
    case ATTR_INT:
    case ATTR_FLOAT:
        return true;
    }
    return false;
}

static bool same_attr(AttrKind kind, const AttrValue *a, const AttrValue *b)
{
    switch (kind) {
    case ATTR_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ATTR_DIM:
        return dim_equal(a->dim, b->dim);
    case ATTR_INT:
    case ATTR_BOOL:
    case ATTR_AXIS:
    case ATTR_AXES:
    case ATTR_DTYPE:
    case ATTR_MAP:
    case ATTR_STYLE:
        return a->i == b->i;
    }
    return false;
}

/* Runs the shape rule again and compares. */
static bool verify_rule(const Verify *v, NodeId n)
{
    const Graph *g = v->g;
    const Node *node = &g->nodes[n];
    const OpInfo *info = op_info(node->op);
    NodeSpec spec = {
        .op = node->op, .inputs = node_inputs(g, node), .n_inputs = node->n_inputs,
        .shape = g->values[node->first_output].type.shape,
    };
    Type out[MAX_OUTPUTS];
    DiagSink sink;
    diag_init(&sink, v->scratch);
    memcpy(spec.attr, node->attr, sizeof spec.attr);
    if (!infer_types(g, &spec, spec.attr, out, &sink))
        return verify_fail(v, n, "%s%s%s", sink.diags[0].text, sink.diags[0].label ? "; " : "",
                           sink.diags[0].label ? sink.diags[0].label : "");
    for (int i = 0; i < info->n_attrs; i++)
        if (!same_attr(info->attrs[i].kind, &spec.attr[i], &node->attr[i]))
            return verify_fail(v, n, "%s is not in its normal form", info->attrs[i].name);
    for (unsigned i = 0; i < node->n_outputs; i++)
        if (!type_equal(&out[i], value_type(g, node->first_output + i)))
            return verify_fail(v, n, "result %u has not the type that its shape rule gives", i);
    return true;
}

static bool source_class(OpId op, StorageClass *out)
{
    if (op != OP_input && op != OP_param && op != OP_state)
        return false;
    *out = op == OP_input ? STORAGE_INPUT : op == OP_param ? STORAGE_PARAM : STORAGE_STATE;
    return true;
}

static bool verify_node(const Verify *v, NodeId n)
{
    const Graph *g = v->g;
    const Node *node = &g->nodes[n];
    const OpInfo *info = op_info(node->op);
    StorageClass class;
    for (int i = 0; i < info->n_attrs; i++)
        if (!verify_attr(g, &info->attrs[i], &node->attr[i]))
            return verify_fail(v, n, "%s has no such value", info->attrs[i].name);
    for (unsigned i = 0; i < node->n_outputs; i++)
        if (!verify_type(g, value_type(g, node->first_output + i)))
            return verify_fail(v, n, "the type of result %u is none", i);
    if (source_class(node->op, &class)) {
        int64_t storage = node->attr[0].i;
        if (storage < 0 || storage >= g->n_storages)
            return verify_fail(v, n, "storage %lld of %u", (long long)storage, g->n_storages);
        if (g->storages[storage].class != class)
            return verify_fail(v, n, "\"%s\" is of another class", g->storages[storage].name);
    }
    return verify_rule(v, n);
}

static bool verify_groups(const Verify *v)
{
    const Graph *g = v->g;
    /* A number of groups beyond that of the nodes could not all have members, and the array of a
     * broken one would be any size. */
    if (g->n_groups > g->n_nodes)
        return error_set(v->err, "%u groups of %u nodes", g->n_groups, g->n_nodes);
    bool *left = arena_array(v->scratch, (size_t)g->n_groups + 1, sizeof *left);
    uint32_t now = 0;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        uint32_t group = g->nodes[n].group;
        if (group > g->n_groups)
            return verify_fail(v, n, "group %u of %u", group, g->n_groups);
        if (group == now)
            continue;
        if (group && left[group])
            return verify_fail(v, n, "the members of group %u are not adjacent", group);
        left[now] = true;
        now = group;
    }
    return true;
}

static bool verify_outputs(const Verify *v)
{
    const Graph *g = v->g;
    const char **names = arena_array(v->scratch, g->n_outputs, sizeof *names);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const Output *o = &g->outputs[i];
        names[i] = o->name;
        if (o->value >= g->n_values)
            return error_set(v->err, "output \"%s\" is %%%u of %u values", o->name, o->value,
                             g->n_values);
        if (!verify_span(g, o->span))
            return error_set(v->err, "output \"%s\" is in file %u of %u", o->name, o->span.file,
                             g->n_files);
    }
    if (g->loss != NO_VALUE) {
        Type scalar = type_scalar(DTYPE_f32);
        if (g->loss >= g->n_values)
            return error_set(v->err, "the loss is %%%u of %u values", g->loss, g->n_values);
        if (!type_equal(value_type(g, g->loss), &scalar))
            return error_set(v->err, "the loss, %%%u, is not f32[]", g->loss);
    }
    return verify_unique(v, names, g->n_outputs, "output");
}

/* ---- contents of storage --------------------------------------------------------------------- */

/* A value that is, or is a view of, what a storage held when it had been written `version` times. */
typedef struct Content {
    StorageId storage;
    uint32_t version;
} Content;

typedef struct Contents {
    Content *of;                        /* by value */
    uint32_t *version;                  /* by storage: now */
    ValueId *newest;                    /* by storage; NO_VALUE before its source */
} Contents;

static bool is_stale(const Contents *c, ValueId v)
{
    Content content = c->of[v];
    return content.storage != NO_STORAGE && content.version != c->version[content.storage];
}

static bool follow_write(const Verify *v, NodeId n, Contents *c)
{
    const Graph *g = v->g;
    const Node *node = &g->nodes[n];
    ValueId old = node_input(g, node, 0);
    StorageId s = c->of[old].storage;
    if (s == NO_STORAGE || c->newest[s] != old)
        return verify_fail(v, n, "%%%u is not the content of a storage", old);
    if (g->storages[s].class == STORAGE_INPUT)
        return verify_fail(v, n, "writes \"%s\", an input", g->storages[s].name);
    c->newest[s] = node->first_output;
    c->of[node->first_output] = (Content){ s, ++c->version[s] };
    return true;
}

static bool follow_contents(const Verify *v, NodeId n, Contents *c)
{
    const Graph *g = v->g;
    const Node *node = &g->nodes[n];
    StorageClass class;
    for (unsigned i = 0; i < node->n_inputs; i++) {
        ValueId in = node_input(g, node, i);
        if (is_stale(c, in))
            return verify_fail(v, n, "reads %%%u, content of \"%s\" that was written over", in,
                               g->storages[c->of[in].storage].name);
    }
    for (unsigned i = 0; i < node->n_outputs; i++)
        c->of[node->first_output + i].storage = NO_STORAGE;
    if (source_class(node->op, &class)) {
        StorageId s = (StorageId)node->attr[0].i;
        if (c->newest[s] != NO_VALUE)
            return verify_fail(v, n, "a second source of \"%s\"", g->storages[s].name);
        c->newest[s] = node->first_output;
        c->of[node->first_output] = (Content){ s, 0 };
    } else if (op_info(node->op)->flags & OP_WRITES) {
        return follow_write(v, n, c);
    } else if (is_view(node)) {
        c->of[node->first_output] = c->of[node_input(g, node, 0)];
    }
    return true;
}

static bool verify_contents(const Verify *v)
{
    const Graph *g = v->g;
    Contents c = {
        .of = arena_array(v->scratch, g->n_values, sizeof *c.of),
        .version = arena_array(v->scratch, g->n_storages, sizeof *c.version),
        .newest = arena_array(v->scratch, g->n_storages, sizeof *c.newest),
    };
    for (StorageId s = 0; s < g->n_storages; s++)
        c.newest[s] = NO_VALUE;
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (!follow_contents(v, n, &c))
            return false;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (is_stale(&c, g->outputs[i].value))
            return error_set(v->err, "output \"%s\" is content that was written over",
                             g->outputs[i].name);
    if (g->loss != NO_VALUE && is_stale(&c, g->loss))
        return error_set(v->err, "the loss is content that was written over");
    return true;
}

bool graph_verify(const Graph *g, Arena *scratch, Error *err)
{
    Verify v = { .g = g, .scratch = scratch, .err = err };
    ValueId n_values = 0;
    if (!verify_header(&v))
        return false;
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (!verify_arrays(&v, n, &n_values))
            return false;
    if (n_values != g->n_values)
        return error_set(err, "%u values, but the nodes have %u results", g->n_values, n_values);
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (!verify_node(&v, n))
            return false;
    return verify_groups(&v) && verify_outputs(&v) && verify_contents(&v) &&
           (g->n_buffers == 0 || verify_places(&v));
}
