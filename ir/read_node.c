/* Lines of nodes: results, op, inputs, attributes, the types that they must have, where they came from and, once
 * there are any, group and places. */
#include "ir/read_parts.h"

#include "ir/infer.h"
#include "ir/words.h"

bool read_value(Reader *r, ValueId *out)
{
    if (!scan_need(&r->scan, '%') || !scan_u32(&r->scan, NO_VALUE - 1, out))
        return false;
    if (*out >= r->g->n_values)
        return scan_fail(&r->scan, "%%%u is not defined above", *out);
    return true;
}

/* "%5, %6 =": new values are numbered in order. */
static bool read_results(Reader *r, unsigned *n)
{
    *n = 0;
    do {
        ValueId v, next = r->g->n_values + *n;
        if (!scan_need(&r->scan, '%') || !scan_u32(&r->scan, NO_VALUE - 1, &v))
            return false;
        if (v != next)
            return scan_fail(&r->scan, "%%%u comes where %%%u is next", v, next);
        ++*n;
    } while (scan_try(&r->scan, ','));
    return scan_need(&r->scan, '=');
}

static bool read_inputs(Reader *r, ValueId inputs[UINT8_MAX], uint32_t *n)
{
    *n = 0;
    if (!scan_need(&r->scan, '('))
        return false;
    if (scan_try(&r->scan, ')'))
        return true;
    do {
        if (*n == UINT8_MAX)
            return scan_fail(&r->scan, "more than %d inputs", UINT8_MAX);
        if (!read_value(r, &inputs[*n]))
            return false;
        ++*n;
    } while (scan_try(&r->scan, ','));
    return scan_need(&r->scan, ')');
}

static bool read_axes(Reader *r, int64_t *out)
{
    *out = 0;
    if (!scan_need(&r->scan, '['))
        return false;
    do {
        int64_t axis;
        if (!scan_int(&r->scan, 0, MAX_RANK - 1, &axis))
            return false;
        *out |= (int64_t)1 << axis;
    } while (scan_try(&r->scan, ','));
    return scan_need(&r->scan, ']');
}

static bool read_map(Reader *r, int64_t *out)
{
    Word name;
    OpId op;
    if (!scan_word(&r->scan, &name))
        return false;
    if (!op_from_name(name.text, &op) || !op_is_activation(op))
        return scan_fail(&r->scan, "`%s` is no element-wise op of one input", name.text);
    *out = op;
    return true;
}

static bool read_attr_value(Reader *r, AttrKind kind, AttrValue *out)
{
    size_t style;
    switch (kind) {
    case ATTR_INT:
        return scan_int(&r->scan, INT64_MIN, INT64_MAX, &out->i);
    case ATTR_AXIS:
        return scan_int(&r->scan, -MAX_RANK, MAX_RANK - 1, &out->i);
    case ATTR_FLOAT:
        return scan_double(&r->scan, &out->f);
    case ATTR_BOOL:
        return read_bool(r, &out->i);
    case ATTR_AXES:
        return read_axes(r, &out->i);
    case ATTR_DTYPE:
        return read_dtype(r, &out->i);
    case ATTR_MAP:
        return read_map(r, &out->i);
    case ATTR_DIM:
        return scan_dim(&r->scan, r->g, 1, &out->dim);
    case ATTR_STYLE:
        if (!scan_choice(&r->scan, style_words, N_STYLES, "half or interleaved", &style))
            return false;
        out->i = (int64_t)style;
        return true;
    }
    return false;
}

/* "name=value" until the colon. */
static bool read_attrs(Reader *r, NodeSpec *spec)
{
    const OpInfo *info = op_info(spec->op);
    unsigned seen = 0;
    while (scan_peek(&r->scan) != ':') {
        Word name;
        if (!scan_word(&r->scan, &name))
            return false;
        int i = op_attr(spec->op, name.text);
        if (i < 0)
            return scan_fail(&r->scan, "%s has no attribute `%s`", info->name, name.text);
        if (seen >> i & 1)
            return scan_fail(&r->scan, "%s is given twice", name.text);
        seen |= 1u << i;
        if (!scan_need(&r->scan, '='))
            return false;
        StorageId storage;
        if (!is_storage_attr(spec->op, i)) {
            if (!read_attr_value(r, info->attrs[i].kind, &spec->attr[i]))
                return false;
        } else {
            if (!read_storage_name(r, &storage))
                return false;
            spec->attr[i].i = storage;
        }
    }
    if (is_storage_attr(spec->op, 0) && !seen)
        return scan_fail(&r->scan, "%s needs storage=", info->name);
    return scan_need(&r->scan, ':');
}

static bool read_types(Reader *r, unsigned n, Type types[MAX_OUTPUTS])
{
    for (unsigned i = 0; i < n; i++)
        if ((i && !scan_need(&r->scan, ',')) || !scan_type(&r->scan, r->g, &types[i]))
            return false;
    return true;
}

static bool read_place(Reader *r, int rank, Place *p)
{
    static const char *const none[] = { "none" };
    size_t ignored;
    *p = (Place){ .buffer = NO_BUFFER };
    if (!scan_try(&r->scan, 'b'))
        return scan_choice(&r->scan, none, 1, "a buffer or none", &ignored);
    if (!scan_u32(&r->scan, NO_BUFFER - 1, &p->buffer))
        return false;
    if (p->buffer >= r->g->n_buffers)
        return scan_fail(&r->scan, "there is no b%u", p->buffer);
    if (!scan_need(&r->scan, '+') || !scan_dim(&r->scan, r->g, 0, &p->offset) ||
        !scan_need(&r->scan, '['))
        return false;
    for (int i = 0; i < rank; i++)
        if ((i && !scan_need(&r->scan, ',')) || !scan_dim(&r->scan, r->g, 0, &p->stride[i]))
            return false;
    return scan_need(&r->scan, ']');
}

/* Adds the node; a mistake of its shapes becomes the error. */
static bool add_node(Reader *r, const NodeSpec *spec)
{
    DiagSink sink;
    diag_init(&sink, r->g->arena);
    if (graph_add(r->g, spec, &sink) != NO_VALUE)
        return true;
    const Diag *d = &sink.diags[0];
    return scan_fail(&r->scan, "%s%s%s%s", d->text, d->label ? " (" : "",
                     d->label ? d->label : "", d->label ? ")" : "");
}

static bool same_types(Reader *r, const Node *n, const Type *written)
{
    for (unsigned i = 0; i < n->n_outputs; i++) {
        ValueId v = n->first_output + i;
        if (type_equal(&written[i], value_type(r->g, v)))
            continue;
        Buf text = { 0 };
        type_print(&text, r->g, value_type(r->g, v));
        buf_puts(&text, ", not ");
        type_print(&text, r->g, &written[i]);
        scan_fail(&r->scan, "%%%u is %s", v, text.failed ? "of another type" : text.data);
        buf_free(&text);
        return false;
    }
    return true;
}

bool read_node(Reader *r)
{
    Graph *g = r->g;
    ValueId inputs[UINT8_MAX];
    uint32_t n_inputs, group = 0;
    unsigned n_results;
    Word name;
    OpId op;
    Type types[MAX_OUTPUTS];
    Span span;
    const char *path = "";
    if (!read_index(r) || !read_results(r, &n_results) || !scan_word(&r->scan, &name))
        return false;
    if (!op_from_name(name.text, &op))
        return scan_fail(&r->scan, "there is no op `%s`", name.text);
    if (!read_inputs(r, inputs, &n_inputs))
        return false;
    NodeSpec spec = node_spec(op, inputs, n_inputs, (Span){ 0 }, NULL);
    if (!read_attrs(r, &spec))
        return false;
    if (n_results != op_n_results(op, n_inputs, spec.attr))
        return scan_fail(&r->scan, "%s has %u results, not %u", name.text,
                         op_n_results(op, n_inputs, spec.attr), n_results);
    if (!read_types(r, n_results, types) || !scan_span(&r->scan, g, &span))
        return false;
    if (scan_peek(&r->scan) == '"' && !scan_string(&r->scan, &path))
        return false;
    if (scan_try_key(&r->scan, "group") && !scan_u32(&r->scan, g->n_groups, &group))
        return false;
    spec.shape = types[0].shape;
    spec.span = span;
    spec.path = path;
    if (!add_node(r, &spec))
        return false;
    Node *n = &g->nodes[g->n_nodes - 1];
    n->group = group;
    if (!same_types(r, n, types))
        return false;
    if (!scan_try_key(&r->scan, "place"))
        return true;
    for (unsigned i = 0; i < n_results; i++) {
        Value *v = &g->values[n->first_output + i];
        if ((i && !scan_need(&r->scan, ',')) || !read_place(r, v->type.shape.rank, &v->place))
            return false;
    }
    return true;
}
