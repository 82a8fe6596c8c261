/* The graph as text.  The form is described in docs/graph.md and read by read.c. */
#include "ir/text.h"

#include "ir/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

static void put_int(Buf *out, int64_t n)
{
    dim_print(out, NULL, dim_const(n));
}

static void put_value(Buf *out, ValueId v)
{
    buf_putc(out, '%');
    put_int(out, v);
}

/* What is not plain ASCII is escaped, so the text has one form whatever the names hold. */
static void put_string(Buf *out, const char *s)
{
    buf_putc(out, '"');
    for (; *s; s++) {
        size_t plain = 0;
        while (s[plain] >= ' ' && s[plain] <= '~' && s[plain] != '"' && s[plain] != '\\')
            plain++;
        buf_add(out, s, plain);
        s += plain;
        if (!*s)
            break;
        if (*s == '"' || *s == '\\') {
            buf_putc(out, '\\');
            buf_putc(out, *s);
        } else {
            buf_printf(out, "\\x%02x", (unsigned char)*s);
        }
    }
    buf_putc(out, '"');
}

/* The fewest digits that read back to the same bits.  15 digits never lose a decimal that was
 * written with 15 or fewer, and %g drops their zeros; only subnormals hold fewer than that. */
static void put_double(Buf *out, double v)
{
    if (isnan(v)) {
        buf_puts(out, "nan");
        return;
    }
    if (fabs(v) < 1e15 && v == (double)(int64_t)v && !(v == 0 && signbit(v))) {
        put_int(out, (int64_t)v);
        return;
    }
    char text[40];
    bool tiny = fpclassify(v) == FP_SUBNORMAL;
    for (int digits = tiny ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    for (char *p = text; *p; p++)           /* the decimal point of a foreign locale */
        if (!strchr("0123456789+-einf", *p))
            *p = '.';
    buf_puts(out, text);
}

static void put_span(Buf *out, Span s)
{
    if (s.file == 0 && s.line == 0 && s.column == 0 && s.length == 0)
        return;
    buf_puts(out, " @");
    put_int(out, s.file);
    buf_putc(out, ':');
    put_int(out, s.line);
    buf_putc(out, ':');
    put_int(out, s.column);
    buf_putc(out, '+');
    put_int(out, s.length);
}

static void put_key(Buf *out, const char *key)
{
    buf_putc(out, ' ');
    buf_puts(out, key);
    buf_putc(out, '=');
}

static const char *word_of(const char *const *words, size_t n, size_t i)
{
    return i < n ? words[i] : "?";
}

static const char *word_of_dtype(DType t)
{
    return (size_t)t < N_DTYPES ? dtype_name(t) : "?";
}

static void put_storage_name(Buf *out, const Graph *g, int64_t id)
{
    if (id >= 0 && id < g->n_storages)
        put_string(out, g->storages[id].name);
    else
        put_int(out, id);
}

/* ---- header ---------------------------------------------------------------------------------- */

static void put_symbol(Buf *out, const Symbol *s)
{
    buf_printf(out, "symbol %s %s", s->name, word_of(role_words, N_ROLES, s->role));
    if (s->max) {
        put_key(out, "max");
        put_int(out, s->max);
    }
    put_span(out, s->span);
    buf_putc(out, '\n');
}

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void put_storage(Buf *out, const Graph *g, const Storage *s)
{
    buf_printf(out, "storage %s ", word_of(class_words, N_STORAGE_CLASSES, s->class));
    put_string(out, s->name);
    buf_putc(out, ' ');
    type_print(out, g, &s->type);
    if (s->class == STORAGE_PARAM || s->init != INIT_zeros || !same_bits(s->init_value, 0)) {
        put_key(out, "init");
        buf_puts(out, word_of(init_words, N_INITS, s->init));
        if (!same_bits(s->init_value, 0)) {
            buf_putc(out, '(');
            put_double(out, s->init_value);
            buf_putc(out, ')');
        }
    }
    if (s->stored != DTYPE_f32) {
        put_key(out, "stored");
        buf_puts(out, word_of_dtype(s->stored));
    }
    if (s->rounded_of) {
        put_key(out, "rounded_of");
        put_string(out, s->rounded_of);
    }
    if (s->train_only)
        buf_puts(out, " train_only=true");
    if (s->index_limit) {
        put_key(out, "limit");
        put_int(out, s->index_limit);
    }
    if (s->index_ignore) {
        put_key(out, "ignore");
        put_int(out, s->index_ignore);
    }
    put_span(out, s->span);
    buf_putc(out, '\n');
}

static void put_optimizer(Buf *out, const Optimizer *o)
{
    if (o->kind == OPTIMIZER_none)
        return;
    buf_printf(out, "optimizer %s", word_of(optimizer_words, N_OPTIMIZERS, o->kind));
    for (int i = 0; i < N_OPTIMIZER_FIELDS; i++) {
        double value;
        memcpy(&value, (const char *)o + optimizer_fields[i].offset, sizeof value);
        if (same_bits(value, 0))
            continue;
        put_key(out, optimizer_fields[i].name);
        put_double(out, value);
    }
    put_span(out, o->span);
    buf_putc(out, '\n');
}

/* Nodes have no names in the text; one is meant by its first result. */
static void put_node(Buf *out, const Graph *g, NodeId n)
{
    if (n < g->n_nodes)
        put_value(out, g->nodes[n].first_output);
    else
        buf_puts(out, "none");
}

static void put_buffer(Buf *out, const Graph *g, BufferId id)
{
    const Buffer *b = &g->buffers[id];
    buf_puts(out, "buffer b");
    put_int(out, id);
    if (b->storage != NO_STORAGE) {
        put_key(out, "storage");
        put_storage_name(out, g, b->storage);
    }
    put_key(out, "elements");
    dim_print(out, g, b->elements);
    put_key(out, "bytes");
    put_int(out, b->bytes);
    put_key(out, "offset");
    put_int(out, b->offset);
    put_key(out, "live");
    put_node(out, g, b->first);
    buf_puts(out, "..");
    put_node(out, g, b->last);
    buf_putc(out, '\n');
}

static void put_header(Buf *out, const Graph *g)
{
    buf_puts(out, "graph ");
    put_string(out, g->name);
    buf_printf(out, " %s\n", program_name(g->program));
    for (uint32_t i = 0; i < g->n_files; i++) {
        buf_printf(out, "file %u ", i);
        put_string(out, g->files[i]);
        buf_putc(out, '\n');
    }
    for (uint32_t i = 0; i < g->n_symbols; i++)
        put_symbol(out, &g->symbol[i]);
    if (g->context)
        buf_printf(out, "context %" PRId64 "\n", g->context);
    for (StorageId i = 0; i < g->n_storages; i++)
        put_storage(out, g, &g->storages[i]);
    put_optimizer(out, &g->optimizer);
    if (g->n_groups)
        buf_printf(out, "groups %u\n", g->n_groups);
    for (BufferId i = 0; i < g->n_buffers; i++)
        put_buffer(out, g, i);
    if (g->pool_bytes != -1 || g->pool_bound != -1)
        buf_printf(out, "pool bytes=%" PRId64 " bound=%" PRId64 "\n", g->pool_bytes,
                   g->pool_bound);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void put_axes(Buf *out, int64_t mask)
{
    if (mask < 0) {
        put_int(out, mask);
        return;
    }
    const char *comma = "";
    buf_putc(out, '[');
    for (int axis = 0; axis < 63; axis++)
        if (mask >> axis & 1) {
            buf_puts(out, comma);
            put_int(out, axis);
            comma = ", ";
        }
    buf_putc(out, ']');
}

static void put_word_or_int(Buf *out, const char *word, int64_t n)
{
    if (word)
        buf_puts(out, word);
    else
        put_int(out, n);
}

static void put_attr_value(Buf *out, const Graph *g, AttrKind kind, const AttrValue *v)
{
    switch (kind) {
    case ATTR_INT:
    case ATTR_AXIS:
        put_int(out, v->i);
        break;
    case ATTR_FLOAT:
        put_double(out, v->f);
        break;
    case ATTR_BOOL:
        buf_puts(out, v->i ? "true" : "false");
        break;
    case ATTR_AXES:
        put_axes(out, v->i);
        break;
    case ATTR_DTYPE:
        put_word_or_int(out, v->i >= 0 && v->i < N_DTYPES ? dtype_name((DType)v->i) : NULL, v->i);
        break;
    case ATTR_STYLE:
        put_word_or_int(out, v->i >= 0 && v->i < N_STYLES ? style_words[v->i] : NULL, v->i);
        break;
    case ATTR_MAP:
        put_word_or_int(out, op_is_activation(v->i) ? op_info((OpId)v->i)->name : NULL, v->i);
        break;
    case ATTR_DIM:
        dim_print(out, g, v->dim);
        break;
    }
}

/* An axis is always written: its default is relative and its normal form is not. */
static bool is_default(const AttrInfo *info, const AttrValue *v)
{
    switch (info->kind) {
    case ATTR_FLOAT:
        return same_bits(v->f, info->value);
    case ATTR_DIM:
        return dim_is(v->dim, (int64_t)info->value);
    case ATTR_AXIS:
        return false;
    case ATTR_INT:
    case ATTR_BOOL:
    case ATTR_AXES:
    case ATTR_DTYPE:
    case ATTR_MAP:
    case ATTR_STYLE:
        return v->i == (int64_t)info->value;
    }
    return false;
}

static void put_attrs(Buf *out, const Graph *g, const Node *n)
{
    const OpInfo *info = op_info(n->op);
    for (int i = 0; i < info->n_attrs; i++) {
        if (is_storage_attr(n->op, i)) {
            put_key(out, info->attrs[i].name);
            put_storage_name(out, g, n->attr[i].i);
        } else if (!is_default(&info->attrs[i], &n->attr[i])) {
            put_key(out, info->attrs[i].name);
            put_attr_value(out, g, info->attrs[i].kind, &n->attr[i]);
        }
    }
}

static void put_place(Buf *out, const Graph *g, const Value *v)
{
    if (v->place.buffer == NO_BUFFER) {
        buf_puts(out, "none");
        return;
    }
    buf_putc(out, 'b');
    put_int(out, v->place.buffer);
    buf_putc(out, '+');
    dim_print(out, g, v->place.offset);
    buf_putc(out, '[');
    for (int i = 0; i < v->type.shape.rank && i < MAX_RANK; i++) {
        if (i)
            buf_puts(out, ", ");
        dim_print(out, g, v->place.stride[i]);
    }
    buf_putc(out, ']');
}

static void put_places(Buf *out, const Graph *g, const Value *values, unsigned n)
{
    unsigned placed = 0;
    for (unsigned i = 0; i < n; i++)
        placed += values[i].place.buffer != NO_BUFFER;
    if (!placed)
        return;
    put_key(out, "place");
    for (unsigned i = 0; i < n; i++) {
        if (i)
            buf_puts(out, ", ");
        put_place(out, g, &values[i]);
    }
}

/* A broken graph is printed when a check of ours failed, so nothing may be followed blindly. */
static bool is_whole(const Graph *g, const Node *n)
{
    return (size_t)n->op < N_OPS && n->first_output <= g->n_values &&
           n->n_outputs <= g->n_values - n->first_output && n->first_input <= g->n_edges &&
           n->n_inputs <= g->n_edges - n->first_input;
}

static void put_node_line(Buf *out, const Graph *g, const Node *n)
{
    if (!is_whole(g, n)) {
        buf_puts(out, "# a broken node\n");
        return;
    }
    const Value *results = &g->values[n->first_output];
    for (unsigned i = 0; i < n->n_outputs; i++) {
        if (i)
            buf_puts(out, ", ");
        put_value(out, n->first_output + i);
    }
    buf_puts(out, " = ");
    buf_puts(out, op_info(n->op)->name);
    buf_putc(out, '(');
    for (unsigned i = 0; i < n->n_inputs; i++) {
        if (i)
            buf_puts(out, ", ");
        put_value(out, node_input(g, n, i));
    }
    buf_putc(out, ')');
    put_attrs(out, g, n);
    buf_puts(out, " : ");
    for (unsigned i = 0; i < n->n_outputs; i++) {
        if (i)
            buf_puts(out, ", ");
        type_print(out, g, &results[i].type);
    }
    put_span(out, n->span);
    if (n->path && *n->path) {
        buf_putc(out, ' ');
        put_string(out, n->path);
    }
    if (n->group) {
        put_key(out, "group");
        put_int(out, n->group);
    }
    put_places(out, g, results, n->n_outputs);
    buf_putc(out, '\n');
}

void graph_print(Buf *out, const Graph *g)
{
    put_header(out, g);
    for (NodeId n = 0; n < g->n_nodes; n++)
        put_node_line(out, g, &g->nodes[n]);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        buf_puts(out, "output ");
        put_string(out, g->outputs[i].name);
        buf_putc(out, ' ');
        put_value(out, g->outputs[i].value);
        put_span(out, g->outputs[i].span);
        buf_putc(out, '\n');
    }
    if (g->loss != NO_VALUE) {
        buf_puts(out, "loss ");
        put_value(out, g->loss);
        buf_putc(out, '\n');
    }
}
