/* Placement: which buffer holds each value, and with which strides.
 *
 * needs  layout; groups when there are any
 * keeps  everything but places and buffers, which it sets
 *
 * Buffers are shared in four ways:
 *   views       are other strides over their input's buffer
 *   writes      (assign, cache_write, embedding_grad) are their first input's storage
 *   backwards   what only feeds a copy, a concat or a pad is computed straight into its place there,
 *               through the views in between (attention writes [B, H, T, D] into [B, T, H D])
 *   in place    a result takes the buffer of an input that dies with it, when every element is read
 *               before it is written
 * Everything else gets a fresh row-major buffer in the pool. */
#include "ir/build.h"
#include "passes/pass.h"
#include "passes/view.h"

#include "base/check.h"

typedef struct Placing {
    Graph *g;
    Arena *scratch;
    bool in_place;
    NodeId *unit_first, *unit_last;     /* node -> extent of its group */
    NodeId *last;                       /* value -> last node that reads it or a view of it;
                                           n_nodes for what an output shows */
    NodeId *buffer_last;                /* buffer -> the same over all its values */
    uint32_t cap_buffer_last;
    NodeId **readers;                   /* value -> nodes that read it */
    uint32_t *n_readers;
    bool *is_output;
    bool *outside;                      /* value -> needs a place: read outside its group */
    bool *placed;
    Strided *strided;                   /* by value, where placed */
} Placing;

static NodeId later(NodeId a, NodeId b)
{
    return a > b ? a : b;
}

/* ---- facts ------------------------------------------------------------------------------------ */

static void find_units(Placing *p)
{
    const Graph *g = p->g;
    for (NodeId n = 0; n < g->n_nodes;) {
        NodeId end = n + 1;
        while (g->nodes[n].group && end < g->n_nodes && g->nodes[end].group == g->nodes[n].group)
            end++;
        for (NodeId m = n; m < end; m++) {
            p->unit_first[m] = n;
            p->unit_last[m] = end - 1;
        }
        n = end;
    }
}

static void find_readers(Placing *p)
{
    const Graph *g = p->g;
    const uint32_t *uses = graph_uses(g, p->scratch);
    for (NodeId n = 0; n < g->n_nodes; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs && !node_waits(&g->nodes[n], i); i++) {
            const ValueId v = node_input(g, &g->nodes[n], i);
            if (!p->readers[v])
                p->readers[v] = arena_array(p->scratch, uses[v], sizeof **p->readers);
            p->readers[v][p->n_readers[v]++] = n;
        }
}

/* The op's result is its first input's bytes. */
static bool writes_input(OpId op)
{
    return (op_info(op)->flags & OP_WRITES) || op == OP_embedding_grad;
}

static void find_last_uses(Placing *p)
{
    const Graph *g = p->g;
    for (ValueId v = 0; v < g->n_values; v++)
        p->last[v] = p->unit_last[g->values[v].def];
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        p->last[g->outputs[i].value] = g->n_nodes;      /* beyond every node */
        p->outside[g->outputs[i].value] = p->is_output[g->outputs[i].value] = true;
    }
    for (NodeId n = g->n_nodes; n-- > 0;) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs && !node_waits(node, i); i++) {
            const ValueId v = node_input(g, node, i);
            p->last[v] = later(p->last[v], p->unit_last[n]);
            if (p->unit_first[n] != p->unit_first[g->values[v].def])
                p->outside[v] = true;
        }
        if (op_info(node->op)->class == CLASS_VIEW || writes_input(node->op)) {
            const ValueId v = node_input(g, node, 0);
            p->last[v] = later(p->last[v], p->last[node->first_output]);
        }
    }
}

/* ---- buffers ---------------------------------------------------------------------------------- */

static BufferId add_buffer(Placing *p, StorageId storage, DType dtype, Dim elements)
{
    Graph *g = p->g;
    Buffer b = { .storage = storage, .elements = elements, .offset = -1 };
    int64_t sizes[MAX_SYMBOLS], count;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        sizes[s] = s < (int)g->n_symbols ? g->symbol[s].max : 1;
    bool fits = dim_eval(elements, sizes, &count) && dtype_offset(dtype, count, &b.bytes)
        && i64_add(b.bytes, 63, &b.bytes);
    CHECK(fits, "a tensor of more bytes than can be counted");
    b.bytes &= ~(int64_t)63;
    if (g->n_buffers == p->cap_buffer_last) {
        uint32_t cap = 2 * g->n_buffers + 64;
        p->buffer_last = arena_grow(p->scratch, p->buffer_last, g->n_buffers, cap,
                                    sizeof *p->buffer_last);
        p->cap_buffer_last = cap;
    }
    p->buffer_last[g->n_buffers] = 0;
    ARENA_PUSH(g->arena, g->buffers, g->n_buffers, g->cap_buffers, b);
    return g->n_buffers - 1;
}

static void put(Placing *p, ValueId v, BufferId buffer, const Strided *s)
{
    Place *place = &p->g->values[v].place;
    place->buffer = buffer;
    place->offset = s->offset;
    for (int a = 0; a < MAX_RANK; a++)
        place->stride[a] = a < s->shape.rank ? s->stride[a] : dim_const(0);
    p->strided[v] = *s;
    p->placed[v] = true;
    p->buffer_last[buffer] = later(p->buffer_last[buffer], p->last[v]);
}

static void put_fresh(Placing *p, ValueId v, StorageId storage)
{
    const Type *type = value_type(p->g, v);
    const Shape *shape = &type->shape;
    Strided dense = strided_dense(shape);
    Dim count;
    bool fits = shape_count(shape, &count);
    CHECK(fits, "a tensor of more elements than can be counted");
    put(p, v, add_buffer(p, storage, type->dtype, count), &dense);
}

/* ---- backwards: results computed where they are wanted ---------------------------------------- */

static bool writes_strided(const Node *n, ValueId v)
{
    switch (op_info(n->op)->class) {
    case CLASS_MAP:
    case CLASS_REDUCE:
    case CLASS_MATMUL:
    case CLASS_MOVE:
        return n->op != OP_partial_sum && n->op != OP_column_sums && n->op != OP_positions;
    case CLASS_KERNEL:
        return n->op != OP_embedding_grad || v != n->first_output;
    case CLASS_SOURCE:
    case CLASS_VIEW:
    case CLASS_WRITE:
        break;
    }
    return false;
}

/* Can everyone who reads `v` read it with these strides?  Kernels ask for rows at most; views must
 * stay views. */
static bool readers_accept(const Placing *p, ValueId v, const Strided *s)
{
    const Graph *g = p->g;
    if (p->placed[v] || p->is_output[v] || !strided_rows(s))
        return false;
    for (uint32_t i = 0; i < p->n_readers[v]; i++) {
        const Node *n = &g->nodes[p->readers[v][i]];
        Strided out;
        if (op_info(n->op)->class == CLASS_VIEW
            && (!strided_view(g, n, s, &out) || !readers_accept(p, n->first_output, &out)))
            return false;
        if (n->op == OP_embedding_grad && node_input(g, n, 0) == v)
            return false;
    }
    return true;
}

/* `v` is wanted at `s`; follows views back to the op that makes it.  Others may read it there too
 * when it is to be all of the buffer; beside it, more will be written. */
static void want(Placing *p, ValueId v, BufferId buffer, Strided s, bool whole)
{
    const Graph *g = p->g;
    const Node *n = value_def(g, v);
    while ((whole || p->n_readers[v] == 1) && !p->is_output[v]) {
        Strided in;
        if (op_info(n->op)->class != CLASS_VIEW) {
            if (writes_strided(n, v) && readers_accept(p, v, &s))
                put(p, v, buffer, &s);
            return;
        }
        if (!strided_unview(g, n, &s, &in))
            return;
        s = in;
        v = node_input(g, n, 0);
        n = value_def(g, v);
    }
}

static void want_part(Placing *p, const Node *n, ValueId in, int axis, int64_t start)
{
    const ValueId out = n->first_output;
    const Dim count = value_type(p->g, in)->shape.dim[axis];
    Strided part;
    if (strided_part(&p->strided[out], axis, start, count, &part))
        want(p, in, p->g->values[out].place.buffer, part, false);
}

/* Does someone write over `v`, taking its place for its own result? */
static bool is_written_over(const Placing *p, ValueId v)
{
    const Graph *g = p->g;
    for (uint32_t i = 0; i < p->n_readers[v]; i++) {
        const Node *n = &g->nodes[p->readers[v][i]];
        if (writes_input(n->op) && node_input(g, n, 0) == v)
            return true;
    }
    return false;
}

static void place_backwards(Placing *p)
{
    const Graph *g = p->g;
    for (NodeId id = g->n_nodes; id-- > 0;) {
        const Node *n = &g->nodes[id];
        if (n->op != OP_concat && n->op != OP_copy && n->op != OP_pad)
            continue;
        if (!p->placed[n->first_output])
            put_fresh(p, n->first_output, NO_STORAGE);
        if (n->op == OP_copy) {
            want(p, node_input(g, n, 0), g->values[n->first_output].place.buffer,
                 p->strided[n->first_output], !is_written_over(p, n->first_output));
        } else if (n->op == OP_pad) {
            want_part(p, n, node_input(g, n, 0), (int)NODE_ATTR(n, pad, axis).i,
                      NODE_ATTR(n, pad, before).i);
        } else {
            const int axis = (int)NODE_ATTR(n, concat, axis).i;
            int64_t start = 0;
            for (unsigned i = 0; i < n->n_inputs; i++) {
                const ValueId in = node_input(g, n, i);
                want_part(p, n, in, axis, start);
                start += value_type(g, in)->shape.dim[axis].coef;
            }
        }
    }
}

/* ---- in place --------------------------------------------------------------------------------- */

/* Does `x` fill its pool buffer, row-major, and die with the unit that ends at `end`? */
static bool dies_whole(const Placing *p, ValueId x, NodeId end)
{
    const Graph *g = p->g;
    const BufferId b = g->values[x].place.buffer;
    Dim count;
    return p->placed[x] && g->buffers[b].storage == NO_STORAGE && p->buffer_last[b] <= end
        && strided_is_dense(&p->strided[x]) && p->strided[x].offset.coef == 0
        && shape_count(&p->strided[x].shape, &count)
        && dim_equal(count, g->buffers[b].elements);
}

/* Every read of buffer `b` in the unit sees it as `x` does, and none comes after node `def`; none picks
 * rows of it, for a row's result would be written over others that are still to be picked; and no other
 * result of the unit took it. */
static bool read_before(const Placing *p, ValueId x, NodeId def)
{
    const Graph *g = p->g;
    const BufferId b = g->values[x].place.buffer;
    for (NodeId n = p->unit_first[def]; n <= p->unit_last[def]; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs; i++) {
            const ValueId y = node_input(g, node, i);
            if (!p->placed[y] || g->values[y].place.buffer != b)
                continue;
            if (n > def || !strided_equal(&p->strided[y], &p->strided[x]) || node->op == OP_embedding)
                return false;
        }
        for (unsigned i = 0; i < node->n_outputs; i++)
            if (p->placed[node->first_output + i]
                && g->values[node->first_output + i].place.buffer == b)
                return false;
    }
    return true;
}

static bool try_place_of(Placing *p, ValueId v, ValueId x)
{
    const Graph *g = p->g;
    const NodeId def = g->values[v].def;
    if (!dies_whole(p, x, p->unit_last[def]) || !read_before(p, x, def)
        || !shape_equal(&value_type(g, x)->shape, &value_type(g, v)->shape)
        || dtype_size(value_type(g, x)->dtype) != dtype_size(value_type(g, v)->dtype))
        return false;
    const Strided s = p->strided[x];
    put(p, v, g->values[x].place.buffer, &s);
    return true;
}

/* Onto its residual, when no activation stands between and nothing else that it reads lies there. */
static bool put_product_in_place(Placing *p, ValueId v)
{
    const Graph *g = p->g;
    const Node *n = value_def(g, v);
    if (!NODE_ATTR(n, product, residual).i || NODE_ATTR(n, product, activation).i != OP_copy)
        return false;
    const ValueId residual = node_input(g, n, n->n_inputs - 1u);
    for (unsigned i = 0; i + 1 < n->n_inputs; i++)
        if (g->values[node_input(g, n, i)].place.buffer == g->values[residual].place.buffer)
            return false;
    return try_place_of(p, v, residual);
}

static bool put_in_place(Placing *p, ValueId v)
{
    const Graph *g = p->g;
    const NodeId def = g->values[v].def;
    const Node *node = &g->nodes[def];
    if (node->op == OP_product)
        return put_product_in_place(p, v);
    if (node->op == OP_rope || node->op == OP_cross_entropy_grad
        || (node->op == OP_linear_cross_entropy_grad && v == node->first_output))
        return try_place_of(p, v, node_input(g, node, 0));
    if (op_info(node->op)->class != CLASS_MAP)
        return false;
    for (NodeId n = p->unit_first[def]; n <= def; n++)
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
            if (try_place_of(p, v, node_input(g, &g->nodes[n], i)))
                return true;
    return false;
}

/* ---- forwards --------------------------------------------------------------------------------- */

static void place_view(Placing *p, const Node *n)
{
    const Graph *g = p->g;
    const ValueId in = node_input(g, n, 0);
    Strided out;
    if (value_constant(g, in))
        return;
    bool possible = strided_view(g, n, &p->strided[in], &out);
    CHECK(possible, "layout left a view that needs a copy");
    put(p, n->first_output, g->values[in].place.buffer, &out);
}

static void place_results(Placing *p, const Node *n, unsigned from)
{
    for (unsigned i = from; i < n->n_outputs; i++) {
        const ValueId v = n->first_output + i;
        if (!p->placed[v] && (n->group == 0 || p->outside[v]) && !(p->in_place && put_in_place(p, v)))
            put_fresh(p, v, NO_STORAGE);
    }
}

static void place_forwards(Placing *p)
{
    Graph *g = p->g;
    for (NodeId id = 0; id < g->n_nodes; id++) {
        const Node *n = &g->nodes[id];
        const OpClass class = op_info(n->op)->class;
        if (n->op == OP_constant || n->op == OP_extent)
            continue;
        if (class == CLASS_VIEW) {
            place_view(p, n);
        } else if (class == CLASS_SOURCE) {
            put_fresh(p, n->first_output, (StorageId)n->attr[0].i);
        } else if (writes_input(n->op)) {
            const ValueId in = node_input(g, n, 0);
            const Strided s = p->strided[in];
            put(p, n->first_output, g->values[in].place.buffer, &s);
            place_results(p, n, 1);     /* what it tells besides */
        } else {
            place_results(p, n, 0);
        }
    }
}

static void set_live_ranges(Placing *p)
{
    Graph *g = p->g;
    for (BufferId b = 0; b < g->n_buffers; b++) {
        g->buffers[b].first = g->n_nodes;
        g->buffers[b].last = 0;
    }
    for (ValueId v = 0; v < g->n_values; v++) {
        if (!p->placed[v])
            continue;
        Buffer *b = &g->buffers[g->values[v].place.buffer];
        const NodeId first = p->unit_first[g->values[v].def];
        b->first = first < b->first ? first : b->first;
        b->last = later(b->last, p->last[v] < g->n_nodes ? p->last[v] : g->n_nodes - 1);
    }
}

bool pass_place(Graph *g, PassContext *cx)
{
    Arena *a = cx->scratch;
    Placing p = { .g = g, .scratch = a, .in_place = fusion_on(cx->options->fusions, FUSE_in_place),
                  .readers = arena_array(a, g->n_values, sizeof(NodeId *)),
                  .n_readers = arena_array(a, g->n_values, sizeof(uint32_t)),
                  .is_output = arena_array(a, g->n_values, sizeof(bool)),
                  .unit_first = arena_array(a, g->n_nodes, sizeof(NodeId)),
                  .unit_last = arena_array(a, g->n_nodes, sizeof(NodeId)),
                  .last = arena_array(a, g->n_values, sizeof(NodeId)),
                  .outside = arena_array(a, g->n_values, sizeof(bool)),
                  .placed = arena_array(a, g->n_values, sizeof(bool)),
                  .strided = arena_array(a, g->n_values, sizeof(Strided)) };
    g->n_buffers = 0;
    for (ValueId v = 0; v < g->n_values; v++)
        g->values[v].place = (Place){ .buffer = NO_BUFFER };
    find_units(&p);
    find_readers(&p);
    find_last_uses(&p);
    if (fusion_on(cx->options->fusions, FUSE_into_place))
        place_backwards(&p);
    place_forwards(&p);
    set_live_ranges(&p);
    return true;
}
