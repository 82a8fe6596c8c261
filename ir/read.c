/* Graph text back into a graph.  The form is described in docs/graph.md and written by print.c.
 *
 * The text is anything: a file that somebody edited, or garbage.  Every id is compared with what
 * stands above it before it is used, and types come from the shape rules, never from the text. */
#include "ir/text.h"

#include "base/check.h"
#include "ir/infer.h"
#include "ir/scan.h"
#include "ir/words.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_TEXT = 1 << 30 };

/* Lines come in this order; each kind may be absent, and those of LINE_ONCE come at most once. */
typedef enum LineKind {
    LINE_graph, LINE_file, LINE_symbol, LINE_context, LINE_storage, LINE_optimizer, LINE_groups,
    LINE_buffer, LINE_pool, LINE_node, LINE_output, LINE_loss, N_LINES
} LineKind;

typedef struct NamedStorage {
    const char *name;
    StorageId id;
} NamedStorage;

typedef struct Reader {
    Scan scan;
    Graph *g;
    uint32_t cap_files;
    NamedStorage *by_name;              /* sorted, once all are there */
    bool indexed;
} Reader;

/* ---- storages by name ------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const NamedStorage *)a)->name, ((const NamedStorage *)b)->name);
}

/* Before the first line that may name one. */
static bool index_storages(Reader *r)
{
    Graph *g = r->g;
    if (r->indexed)
        return true;
    r->indexed = true;
    r->by_name = arena_array(g->arena, g->n_storages, sizeof *r->by_name);
    for (StorageId i = 0; i < g->n_storages; i++)
        r->by_name[i] = (NamedStorage){ g->storages[i].name, i };
    if (g->n_storages)
        qsort(r->by_name, g->n_storages, sizeof *r->by_name, compare_names);
    for (StorageId i = 1; i < g->n_storages; i++)
        if (strcmp(r->by_name[i - 1].name, r->by_name[i].name) == 0)
            return scan_fail(&r->scan, "two storages above are named \"%s\"", r->by_name[i].name);
    return true;
}

static bool read_storage_name(Reader *r, StorageId *out)
{
    NamedStorage key = { 0 };
    if (!scan_string(&r->scan, &key.name))
        return false;
    const NamedStorage *found = r->g->n_storages ? bsearch(&key, r->by_name, r->g->n_storages,
                                                           sizeof key, compare_names)
                                                 : NULL;
    if (!found)
        return scan_fail(&r->scan, "there is no storage \"%s\"", key.name);
    *out = found->id;
    return true;
}

/* ---- header lines ---------------------------------------------------------------------------- */

static bool read_graph(Reader *r)
{
    Word program;
    const char *name;
    if (!scan_string(&r->scan, &name) || !scan_word(&r->scan, &program))
        return false;
    if (!program_from_name(program.text, &r->g->program))
        return scan_fail(&r->scan, "there is no program `%s`", program.text);
    r->g->name = name;
    return true;
}

static bool read_file(Reader *r)
{
    Graph *g = r->g;
    uint32_t id;
    const char *name;
    if (!scan_u32(&r->scan, UINT32_MAX, &id))
        return false;
    if (id != g->n_files)
        return scan_fail(&r->scan, "file %u comes where %u is next", id, g->n_files);
    if (!scan_string(&r->scan, &name))
        return false;
    ARENA_PUSH(g->arena, g->files, g->n_files, r->cap_files, name);
    return true;
}

static bool read_symbol(Reader *r)
{
    Graph *g = r->g;
    Word name;
    size_t role;
    int64_t max = 0;
    Span span;
    if (!scan_word(&r->scan, &name) ||
        !scan_choice(&r->scan, role_words, N_ROLES, "batch, sequence or free", &role))
        return false;
    for (uint32_t i = 0; i < g->n_symbols; i++)
        if (strcmp(g->symbol[i].name, name.text) == 0)
            return scan_fail(&r->scan, "a second symbol `%s`", name.text);
    if (scan_try_key(&r->scan, "max") && !scan_int(&r->scan, 0, (int64_t)1 << 61, &max))
        return false;
    if (!scan_span(&r->scan, g, &span))
        return false;
    if (graph_symbol(g, name.text, (SymbolRole)role, max, span) < 0)
        return scan_fail(&r->scan, "more than %d symbols", MAX_SYMBOLS);
    return true;
}

static bool read_context(Reader *r)
{
    return scan_int(&r->scan, 0, (int64_t)1 << 61, &r->g->context);
}

static bool read_bool(Reader *r, int64_t *out)
{
    static const char *const words[] = { "false", "true" };
    size_t i;
    if (!scan_choice(&r->scan, words, 2, "true or false", &i))
        return false;
    *out = (int64_t)i;
    return true;
}

static bool read_init(Reader *r, Storage *s)
{
    size_t kind;
    if (!scan_choice(&r->scan, init_words, N_INITS, "a way to begin", &kind))
        return false;
    s->init = (InitKind)kind;
    return !scan_try(&r->scan, '(') ||
           (scan_double(&r->scan, &s->init_value) && scan_need(&r->scan, ')'));
}

static bool read_dtype(Reader *r, int64_t *out)
{
    Word name;
    DType t;
    if (!scan_word(&r->scan, &name))
        return false;
    if (!dtype_from_name(name.text, &t))
        return scan_fail(&r->scan, "there is no element type `%s`", name.text);
    *out = t;
    return true;
}

static bool read_storage(Reader *r)
{
    Scan *s = &r->scan;
    Storage storage = { 0 };
    size_t class;
    int64_t train_only = 0, stored = DTYPE_f32;
    if (!scan_choice(s, class_words, N_STORAGE_CLASSES, "input, param or state", &class) ||
        !scan_string(s, &storage.name) || !scan_type(s, r->g, &storage.type))
        return false;
    if (!*storage.name)
        return scan_fail(s, "a storage without a name");
    storage.class = (StorageClass)class;
    if (scan_try_key(s, "init") && !read_init(r, &storage))
        return false;
    if (scan_try_key(s, "stored") && !read_dtype(r, &stored))
        return false;
    if (scan_try_key(s, "rounded_of") && !scan_string(s, &storage.rounded_of))
        return false;
    if (scan_try_key(s, "train_only") && !read_bool(r, &train_only))
        return false;
    if (scan_try_key(s, "limit") && !scan_int(s, INT64_MIN, INT64_MAX, &storage.index_limit))
        return false;
    if (scan_try_key(s, "ignore") && !scan_int(s, INT64_MIN, INT64_MAX, &storage.index_ignore))
        return false;
    if (!scan_span(s, r->g, &storage.span))
        return false;
    storage.train_only = train_only != 0;
    storage.stored = (DType)stored;
    Dim count;
    if (!shape_count(&storage.type.shape, &count))
        return scan_fail(s, "the storage has more than 2^62 elements");
    graph_storage(r->g, storage);
    return true;
}

static bool read_optimizer(Reader *r)
{
    Optimizer *o = &r->g->optimizer;
    size_t kind;
    if (!scan_choice(&r->scan, optimizer_words, N_OPTIMIZERS, "an optimizer", &kind))
        return false;
    o->kind = (OptimizerKind)kind;
    for (int i = 0; i < N_OPTIMIZER_FIELDS; i++) {
        double value;
        if (!scan_try_key(&r->scan, optimizer_fields[i].name))
            continue;
        if (!scan_double(&r->scan, &value))
            return false;
        memcpy((char *)o + optimizer_fields[i].offset, &value, sizeof value);
    }
    return scan_span(&r->scan, r->g, &o->span);
}

static bool read_groups(Reader *r)
{
    return scan_u32(&r->scan, UINT32_MAX, &r->g->n_groups);
}

static bool need_key(Reader *r, const char *key)
{
    return scan_try_key(&r->scan, key) || scan_expected(&r->scan, key);
}

/* A node by its first result, which may still come; read_end turns it into a node. */
static bool read_later_node(Reader *r, uint32_t *out)
{
    static const char *const none[] = { "none" };
    size_t ignored;
    if (scan_try(&r->scan, '%'))
        return scan_u32(&r->scan, NO_VALUE - 1, out);
    *out = NO_NODE;
    return scan_choice(&r->scan, none, 1, "a value or none", &ignored);
}

static bool read_buffer(Reader *r)
{
    Graph *g = r->g;
    Scan *s = &r->scan;
    Buffer b = { .storage = NO_STORAGE };
    uint32_t id;
    if (!index_storages(r) || !scan_need(s, 'b') || !scan_u32(s, NO_BUFFER - 1, &id))
        return false;
    if (id != g->n_buffers)
        return scan_fail(s, "b%u comes where b%u is next", id, g->n_buffers);
    if (scan_try_key(s, "storage") && !read_storage_name(r, &b.storage))
        return false;
    if (!need_key(r, "elements") || !scan_dim(s, g, 0, &b.elements) || !need_key(r, "bytes") ||
        !scan_int(s, 0, INT64_MAX, &b.bytes) || !need_key(r, "offset") ||
        !scan_int(s, -1, INT64_MAX, &b.offset) || !need_key(r, "live") ||
        !read_later_node(r, &b.first) || !scan_need(s, '.') || !scan_need(s, '.') ||
        !read_later_node(r, &b.last))
        return false;
    ARENA_PUSH(g->arena, g->buffers, g->n_buffers, g->cap_buffers, b);
    return true;
}

static bool read_pool(Reader *r)
{
    return need_key(r, "bytes") && scan_int(&r->scan, -1, INT64_MAX, &r->g->pool_bytes) &&
           need_key(r, "bound") && scan_int(&r->scan, -1, INT64_MAX, &r->g->pool_bound);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool read_value(Reader *r, ValueId *out)
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

static bool read_node(Reader *r)
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
    if (!index_storages(r) || !read_results(r, &n_results) || !scan_word(&r->scan, &name))
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

/* ---- the end --------------------------------------------------------------------------------- */

static bool read_output(Reader *r)
{
    const char *name;
    ValueId v;
    Span span;
    if (!scan_string(&r->scan, &name) || !read_value(r, &v) || !scan_span(&r->scan, r->g, &span))
        return false;
    graph_output(r->g, name, v, span);
    return true;
}

static bool read_loss(Reader *r)
{
    return read_value(r, &r->g->loss);
}

/* Buffers named nodes by values that came later. */
static bool resolve_node(Reader *r, BufferId b, uint32_t *id)
{
    if (*id == NO_NODE)
        return true;
    if (*id >= r->g->n_values || r->g->values[*id].index != 0)
        return error_set(r->scan.err, "b%u lives at %%%u, which is no node's first result", b, *id);
    *id = r->g->values[*id].def;
    return true;
}

static bool read_end(Reader *r)
{
    for (BufferId b = 0; b < r->g->n_buffers; b++)
        if (!resolve_node(r, b, &r->g->buffers[b].first) ||
            !resolve_node(r, b, &r->g->buffers[b].last))
            return false;
    return true;
}

static const struct {
    const char *word;
    bool once;
    bool (*read)(Reader *r);
} lines[N_LINES] = {
    [LINE_graph] = { "graph", true, read_graph },
    [LINE_file] = { "file", false, read_file },
    [LINE_symbol] = { "symbol", false, read_symbol },
    [LINE_context] = { "context", true, read_context },
    [LINE_storage] = { "storage", false, read_storage },
    [LINE_optimizer] = { "optimizer", true, read_optimizer },
    [LINE_groups] = { "groups", true, read_groups },
    [LINE_buffer] = { "buffer", false, read_buffer },
    [LINE_pool] = { "pool", true, read_pool },
    [LINE_node] = { "%", false, read_node },
    [LINE_output] = { "output", false, read_output },
    [LINE_loss] = { "loss", true, read_loss },
};

static bool read_kind(Reader *r, size_t *kind)
{
    const char *words[N_LINES];
    for (size_t i = 0; i < N_LINES; i++)
        words[i] = lines[i].word;
    if (scan_peek(&r->scan) == '%') {
        *kind = LINE_node;
        return true;
    }
    return scan_choice(&r->scan, words, N_LINES, "a line of a graph", kind);
}

static bool read_lines(Reader *r)
{
    size_t last = LINE_graph;
    bool begun = false;
    while (scan_next_line(&r->scan)) {
        size_t kind;
        if (!read_kind(r, &kind))
            return false;
        if (!begun && kind != LINE_graph)
            return scan_fail(&r->scan, "the first line must be `graph`");
        if (kind < last)
            return scan_fail(&r->scan, "`%s` comes after `%s`", lines[kind].word,
                             lines[last].word);
        if (begun && kind == last && lines[kind].once)
            return scan_fail(&r->scan, "a second `%s`", lines[kind].word);
        begun = true;
        last = kind;
        if (!lines[kind].read(r) || !scan_end_line(&r->scan))
            return false;
    }
    if (!begun)
        return error_set(r->scan.err, "the text holds no graph");
    return read_end(r);
}

Graph *graph_read(const char *text, size_t n, Arena *arena, Error *err)
{
    if (n > LARGEST_TEXT) {
        error_set(err, "a graph text of %zu bytes; at most %d are read", n, LARGEST_TEXT);
        return NULL;
    }
    if (n == 0)
        text = "";
    Reader r = {
        .scan = { .p = text, .end = text + n, .line = text, .line_no = 1, .err = err,
                  .arena = arena },
        .g = graph_new(arena, "", PROGRAM_model),
    };
    return read_lines(&r) ? r.g : NULL;
}
