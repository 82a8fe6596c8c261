/* Graph text back into a graph.  The form is described in docs/graph.md and written by print.c.
 *
 * The text is anything: a file that somebody edited, or garbage.  Every id is compared with what
 * stands above it before it is used, and types come from the shape rules, never from the text. */
#include "ir/text.h"

#include "ir/read_parts.h"
#include "ir/words.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_TEXT = 1 << 30 };

/* Lines come in this order; each kind may be absent, and those of LINE_ONCE come at most once. */
typedef enum LineKind {
    LINE_graph, LINE_file, LINE_symbol, LINE_context, LINE_storage, LINE_optimizer, LINE_groups,
    LINE_buffer, LINE_pool, LINE_node, LINE_output, LINE_loss, N_LINES
} LineKind;

/* ---- storages by name ------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const NamedStorage *)a)->name, ((const NamedStorage *)b)->name);
}

bool read_index(Reader *r)
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

bool read_storage_name(Reader *r, StorageId *out)
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

bool read_bool(Reader *r, int64_t *out)
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

bool read_dtype(Reader *r, int64_t *out)
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

bool need_key(Reader *r, const char *key)
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
    if (!read_index(r) || !scan_need(s, 'b') || !scan_u32(s, NO_BUFFER - 1, &id))
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
