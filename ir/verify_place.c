/* Where the bytes are: places inside buffers, views on their bases, nothing overwritten too early.
 *
 * It knows what the passes that place must have achieved and nothing of how: lives are counted
 * here again, from the edges alone.  A fused group runs as one, tile by tile, so time is counted in
 * units: a node alone, or a group from its first node to its last. */
#include "ir/verify_rule.h"

#include "base/check.h"

#include <string.h>

#define FOREVER ((NodeId)-2)            /* read after the last node: an output */

typedef struct Places {
    Verify v;
    int64_t sizes[MAX_SYMBOLS];         /* the largest */
    NodeId *unit_first, *unit_last;     /* by node */
    NodeId *last_use;                   /* by value: node, its def when nobody reads it, FOREVER */
    bool *bare;                         /* by value: a constant, an extent or a view of one */
    BufferId *buffer_of;                /* by storage */
    DType *dtype;                       /* by buffer: of its storage, or of a value in it */
    int64_t *low, *high;                /* by value: first and last element in its buffer */
} Places;

static const Value *value_at(const Places *p, ValueId v)
{
    return &p->v.g->values[v];
}

static bool is_placed(const Places *p, ValueId v)
{
    return value_at(p, v)->place.buffer != NO_BUFFER;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void find_units(Places *p)
{
    const Graph *g = p->v.g;
    p->unit_first = arena_array(p->v.scratch, g->n_nodes, sizeof *p->unit_first);
    p->unit_last = arena_array(p->v.scratch, g->n_nodes, sizeof *p->unit_last);
    for (NodeId n = 0, end; n < g->n_nodes; n = end) {
        end = n + 1;
        while (g->nodes[n].group && end < g->n_nodes && g->nodes[end].group == g->nodes[n].group)
            end++;
        for (NodeId k = n; k < end; k++) {
            p->unit_first[k] = n;
            p->unit_last[k] = end - 1;
        }
    }
}

static void find_uses(Places *p)
{
    const Graph *g = p->v.g;
    p->last_use = arena_array(p->v.scratch, g->n_values, sizeof *p->last_use);
    p->bare = arena_array(p->v.scratch, g->n_values, sizeof *p->bare);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs && !node_waits(node, i); i++)
            p->last_use[node_input(g, node, i)] = n;
        for (unsigned i = 0; i < node->n_outputs; i++)
            p->last_use[node->first_output + i] = n;
        p->bare[node->first_output] =
            node->op == OP_constant || node->op == OP_extent ||
            (is_view(node) && p->bare[node_input(g, node, 0)]);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        p->last_use[g->outputs[i].value] = FOREVER;
    if (g->loss != NO_VALUE)
        p->last_use[g->loss] = FOREVER;
}

/* ---- buffers and places by themselves -------------------------------------------------------- */

static void find_dtypes(Places *p)
{
    const Graph *g = p->v.g;
    p->dtype = arena_array(p->v.scratch, g->n_buffers, sizeof *p->dtype);
    for (ValueId v = 0; v < g->n_values; v++)
        if (value_at(p, v)->place.buffer < g->n_buffers)
            p->dtype[value_at(p, v)->place.buffer] = value_type(g, v)->dtype;
    for (BufferId b = 0; b < g->n_buffers; b++)
        if (g->buffers[b].storage < g->n_storages)
            p->dtype[b] = g->storages[g->buffers[b].storage].type.dtype;
}

static bool verify_buffer(Places *p, BufferId id)
{
    const Graph *g = p->v.g;
    const Buffer *b = &g->buffers[id];
    int64_t elements, bytes;
    if (b->storage != NO_STORAGE && b->storage >= g->n_storages)
        return error_set(p->v.err, "b%u: storage %u of %u", id, b->storage, g->n_storages);
    if (!verify_dim(g, &b->elements, 0) || !dim_eval(b->elements, p->sizes, &elements) ||
        !dtype_offset(p->dtype[id], elements, &bytes))
        return error_set(p->v.err, "b%u: its number of elements is none", id);
    if (b->bytes < bytes || b->bytes % 64 != 0)
        return error_set(p->v.err, "b%u: %lld bytes, but its elements need %lld, in whole 64s", id,
                         (long long)b->bytes, (long long)bytes);
    if (b->storage == NO_STORAGE)
        return true;
    if (p->buffer_of[b->storage] != NO_BUFFER)
        return error_set(p->v.err, "b%u and b%u both hold \"%s\"", p->buffer_of[b->storage], id,
                         g->storages[b->storage].name);
    p->buffer_of[b->storage] = id;
    return true;
}

/* First and last element of a place at the largest sizes. */
static bool place_range(const Places *p, ValueId v, int64_t *low, int64_t *high)
{
    const Value *value = value_at(p, v);
    if (!dim_eval(value->place.offset, p->sizes, low))
        return false;
    *high = *low;
    for (int i = 0; i < value->type.shape.rank; i++) {
        int64_t size, stride, reach;
        if (!dim_eval(value->type.shape.dim[i], p->sizes, &size) ||
            !dim_eval(value->place.stride[i], p->sizes, &stride) ||
            !i64_mul(size - 1, stride, &reach) || !i64_add(*high, reach, high))
            return false;
    }
    return true;
}

static bool verify_place(Places *p, ValueId v)
{
    const Graph *g = p->v.g;
    const Value *value = value_at(p, v);
    const Place *place = &value->place;
    if (place->buffer >= g->n_buffers)
        return verify_fail(&p->v, value->def, "%%%u is in b%u of %u", v, place->buffer,
                           g->n_buffers);
    const DType held = p->dtype[place->buffer];
    if (dtype_block_bytes(held) != dtype_block_bytes(value->type.dtype))
        return verify_fail(&p->v, value->def, "%%%u of %s lies in b%u, which holds %s", v,
                           dtype_name(value->type.dtype), place->buffer, dtype_name(held));
    bool legal = verify_dim(g, &place->offset, 0);
    for (int i = 0; i < value->type.shape.rank; i++)
        legal = legal && verify_dim(g, &place->stride[i], 0);
    if (!legal || !place_range(p, v, &p->low[v], &p->high[v]))
        return verify_fail(&p->v, value->def, "%%%u has strides or an offset that are none", v);
    int64_t elements;
    if (!dim_eval(g->buffers[place->buffer].elements, p->sizes, &elements) ||
        p->high[v] >= elements)
        return verify_fail(&p->v, value->def, "%%%u reaches element %lld of b%u, which has %lld",
                           v, (long long)p->high[v], place->buffer, (long long)elements);
    return true;
}

/* A place for all that is read elsewhere. */
static bool verify_needed(const Places *p)
{
    const Graph *g = p->v.g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs && !node_waits(node, i); i++) {
            ValueId in = node_input(g, node, i);
            bool inside = node->group && node->group == value_def(g, in)->group;
            if (!inside && !p->bare[in] && !is_placed(p, in))
                return verify_fail(&p->v, n, "reads %%%u, which has no place", in);
        }
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!is_placed(p, g->outputs[i].value))
            return error_set(p->v.err, "output \"%s\", %%%u, has no place", g->outputs[i].name,
                             g->outputs[i].value);
    if (g->loss != NO_VALUE && !p->bare[g->loss] && !is_placed(p, g->loss))
        return error_set(p->v.err, "the loss, %%%u, has no place", g->loss);
    return true;
}

/* ---- views ----------------------------------------------------------------------------------- */

/* Axes of a strided tensor, those of size 1 dropped and those that lie one after the other merged:
 * two tensors of one number of elements walk the same addresses when these are equal. */
typedef struct Walk {
    int n;
    Dim size[MAX_RANK], stride[MAX_RANK];
} Walk;

static bool find_walk(const Shape *shape, const Dim *stride, Walk *w)
{
    w->n = 0;
    for (int i = 0; i < shape->rank; i++) {
        Dim size = shape->dim[i], span;
        if (dim_is(size, 1))
            continue;
        if (w->n && dim_mul(size, stride[i], &span) && dim_equal(span, w->stride[w->n - 1])) {
            if (!dim_mul(w->size[w->n - 1], size, &w->size[w->n - 1]))
                return false;
            w->stride[w->n - 1] = stride[i];
            continue;
        }
        w->size[w->n] = size;
        w->stride[w->n++] = stride[i];
    }
    return true;
}

static bool same_walk(const Shape *a, const Dim *stride_a, const Shape *b, const Dim *stride_b)
{
    Walk x, y;
    if (!find_walk(a, stride_a, &x) || !find_walk(b, stride_b, &y) || x.n != y.n)
        return false;
    for (int i = 0; i < x.n; i++)
        if (!dim_equal(x.size[i], y.size[i]) || !dim_equal(x.stride[i], y.stride[i]))
            return false;
    return true;
}

/* Strides of the result over its input, for every view but a reshape. */
static void expect_strides(const Node *n, const Value *in, const Value *out, Dim *stride)
{
    int added = out->type.shape.rank - in->type.shape.rank;
    if (n->op == OP_broadcast) {
        for (int i = 0; i < out->type.shape.rank; i++) {
            bool stretched = i < added || !dim_equal(in->type.shape.dim[i - added],
                                                     out->type.shape.dim[i]);
            stride[i] = stretched ? dim_const(0) : in->place.stride[i - added];
        }
        return;
    }
    for (int i = 0; i < out->type.shape.rank; i++)
        stride[i] = in->place.stride[i];
    if (n->op == OP_transpose) {
        int64_t a = NODE_ATTR(n, transpose, a).i, b = NODE_ATTR(n, transpose, b).i;
        stride[a] = in->place.stride[b];
        stride[b] = in->place.stride[a];
    }
}

/* offset + start * stride, where that is one term. */
static bool step_offset(Dim offset, Dim stride, int64_t start, Dim *out)
{
    Dim skip;
    if (!dim_mul(stride, dim_const(start), &skip))
        return false;
    *out = offset;
    if (skip.coef == 0)
        return true;
    out->coef = skip.coef;              /* so that only the symbols are compared */
    if (offset.coef != 0 && !dim_equal(*out, skip))
        return false;
    *out = skip;
    return i64_add(offset.coef, skip.coef, &out->coef);
}

static bool expect_offset(const Node *n, const Value *in, Dim *out)
{
    *out = in->place.offset;
    return n->op != OP_slice ||
           step_offset(in->place.offset, in->place.stride[NODE_ATTR(n, slice, axis).i],
                       NODE_ATTR(n, slice, start).i, out);
}

static bool view_agrees(const Node *n, const Value *in, const Value *out)
{
    Dim stride[MAX_RANK], offset;
    if (in->place.buffer != out->place.buffer || !expect_offset(n, in, &offset) ||
        !dim_equal(offset, out->place.offset))
        return false;
    if (n->op == OP_reshape)
        return same_walk(&in->type.shape, in->place.stride, &out->type.shape, out->place.stride);
    expect_strides(n, in, out, stride);
    for (int i = 0; i < out->type.shape.rank; i++)
        if (!dim_is(out->type.shape.dim[i], 1) && !dim_equal(stride[i], out->place.stride[i]))
            return false;
    return true;
}

static bool same_place(const Value *a, const Value *b)
{
    return a->place.buffer == b->place.buffer && dim_equal(a->place.offset, b->place.offset) &&
           same_walk(&a->type.shape, a->place.stride, &b->type.shape, b->place.stride);
}

/* Views lie on their bases, contents in the buffer of their storage. */
static bool verify_base(const Places *p, NodeId n)
{
    const Graph *g = p->v.g;
    const Node *node = &g->nodes[n];
    const Value *out = value_at(p, node->first_output);
    if (out->place.buffer == NO_BUFFER)
        return true;
    StorageId held = g->buffers[out->place.buffer].storage;
    if (is_view(node)) {
        const Value *in = value_at(p, node_input(g, node, 0));
        return (in->place.buffer != NO_BUFFER && view_agrees(node, in, out)) ||
               verify_fail(&p->v, n, "does not lie on its base");
    }
    if (op_info(node->op)->flags & OP_WRITES) {
        const Value *in = value_at(p, node_input(g, node, 0));
        return (in->place.buffer != NO_BUFFER && same_place(in, out)) ||
               verify_fail(&p->v, n, "does not lie where it writes");
    }
    if (node->op == OP_input || node->op == OP_param || node->op == OP_state)
        return held == (StorageId)node->attr[0].i ||
               verify_fail(&p->v, n, "does not lie in the buffer of its storage");
    for (unsigned i = 0; i < node->n_outputs; i++) {
        BufferId b = value_at(p, node->first_output + i)->place.buffer;
        if (b != NO_BUFFER && g->buffers[b].storage != NO_STORAGE)
            return verify_fail(&p->v, n, "lies in the buffer of \"%s\"",
                               g->storages[g->buffers[b].storage].name);
    }
    return true;
}

/* ---- nothing overwritten too early ----------------------------------------------------------- */

/* The elements of a place modulo `m` when all its larger strides are multiples of m. */
static bool residues(const Places *p, ValueId v, int64_t m, int64_t *low, int64_t *high)
{
    const Value *value = value_at(p, v);
    *low = p->low[v] % m;
    *high = *low;
    for (int i = 0; i < value->type.shape.rank; i++) {
        int64_t size = 0, stride = 0;
        dim_eval(value->type.shape.dim[i], p->sizes, &size);
        dim_eval(value->place.stride[i], p->sizes, &stride);
        if (size > 1 && stride % m != 0)
            *high += (size - 1) * stride;
    }
    return *high < m;
}

/* Do they share elements, at the largest sizes?  Columns of one matrix do not. */
static bool overlap(const Places *p, ValueId a, ValueId b)
{
    if (p->high[a] < p->low[b] || p->high[b] < p->low[a])
        return false;
    const Value *value = value_at(p, a);
    for (int i = 0; i < value->type.shape.rank; i++) {
        int64_t m = 0, low_a, high_a, low_b, high_b;
        dim_eval(value->place.stride[i], p->sizes, &m);
        if (m > 1 && residues(p, a, m, &low_a, &high_a) && residues(p, b, m, &low_b, &high_b) &&
            (high_a < low_b || high_b < low_a))
            return false;
    }
    return true;
}

/* May the unit that makes `v` write it where it reads `old`, both at one place? */
static bool works_in_place(const Graph *g, ValueId v, ValueId old)
{
    const Node *node = value_def(g, v);
    switch (op_info(node->op)->class) {
    case CLASS_MAP:
    case CLASS_REDUCE:
    case CLASS_WRITE:
        return true;
    case CLASS_KERNEL:
        if (node->op != OP_rope && node->op != OP_cross_entropy_grad &&
            node->op != OP_linear_cross_entropy_grad && node->op != OP_embedding_grad)
            return false;
        if (v != node->first_output)    /* the others are begun while all chunks but one are unread */
            return false;
        for (unsigned i = 1; i < node->n_inputs; i++)
            if (node_input(g, node, i) == old)
                return false;
        return true;
    case CLASS_MATMUL:
        if (node->op != OP_product || !NODE_ATTR(node, product, residual).i
            || NODE_ATTR(node, product, activation).i != OP_copy)
            return false;
        for (unsigned i = 0; i + 1 < node->n_inputs; i++)
            if (node_input(g, node, i) == old)
                return false;
        return node_input(g, node, node->n_inputs - 1u) == old;
    case CLASS_SOURCE:
    case CLASS_VIEW:
    case CLASS_MOVE:
        break;
    }
    return false;
}

/* Is a part already where a move would put it, `start` steps along an axis of the whole? */
static bool is_part(const Value *whole, const Value *part, int axis, int64_t start)
{
    Dim offset = whole->place.offset;
    if (start && !step_offset(offset, whole->place.stride[axis], start, &offset))
        return false;
    for (int a = 0; a < part->type.shape.rank; a++)
        if (!dim_is(part->type.shape.dim[a], 1) &&
            !dim_equal(part->place.stride[a], whole->place.stride[a]))
            return false;
    return dim_equal(part->place.offset, offset);
}

/* What a copy, concat or pad really moves. */
typedef enum Move {
    MOVE_ANYTHING,                      /* or the op is none of these */
    MOVE_BESIDE,                        /* its inputs in the result's own buffer lie where they
                                           belong: it moves nothing over them */
    MOVE_NOTHING,                       /* all its inputs do, and they are all there is */
} Move;

static Move move_of(const Places *p, ValueId v)
{
    const Graph *g = p->v.g;
    const Value *whole = value_at(p, v);
    const Node *node = &g->nodes[whole->def];
    const bool concat = node->op == OP_concat, pad = node->op == OP_pad;
    Move move = pad ? MOVE_BESIDE : MOVE_NOTHING;
    if (node->op != OP_copy && !concat && !pad)
        return MOVE_ANYTHING;
    const int axis = (int)(concat ? NODE_ATTR(node, concat, axis).i
                           : pad ? NODE_ATTR(node, pad, axis).i : 0);
    int64_t start = pad ? NODE_ATTR(node, pad, before).i : 0;
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const Value *part = value_at(p, node_input(g, node, i));
        if (part->place.buffer != whole->place.buffer)
            move = MOVE_BESIDE;
        else if (!is_part(whole, part, axis, start))
            return MOVE_ANYTHING;
        if (concat)
            start += part->type.shape.dim[axis].coef;
    }
    return move;
}

/* Value v is written where `old` of the same buffer is still alive. */
static bool verify_over(const Places *p, ValueId v, ValueId old)
{
    const Value *value = value_at(p, v), *before = value_at(p, old);
    NodeId unit = p->unit_first[value->def], last = p->last_use[old];
    const Move move = move_of(p, v);
    if (!overlap(p, v, old) || move == MOVE_NOTHING)
        return true;
    if (p->unit_first[before->def] == unit)
        return verify_fail(&p->v, value->def, "%%%u is written over %%%u, written at the same time",
                           v, old);
    if (last == FOREVER || p->unit_first[last] > unit)
        return verify_fail(&p->v, value->def, "%%%u is written over %%%u, which is read later", v,
                           old);
    if (move == MOVE_BESIDE)
        return true;
    if (!same_place(value, before) || !works_in_place(p->v.g, v, old))
        return verify_fail(&p->v, value->def, "%%%u is written over %%%u while that is read", v,
                           old);
    return true;
}

/* The values of one buffer in order of definition; those that nobody will read drop out. */
static bool verify_sharing(const Places *p, ValueId *alive, const ValueId *values, uint32_t n)
{
    uint32_t n_alive = 0;
    for (uint32_t i = 0; i < n; i++) {
        ValueId v = values[i];
        NodeId def = value_at(p, v)->def;
        bool fresh = !is_view(&p->v.g->nodes[def]);
        uint32_t kept = 0;
        for (uint32_t k = 0; k < n_alive; k++) {
            NodeId last = p->last_use[alive[k]];
            if (last != FOREVER && p->unit_last[last] < p->unit_first[def])
                continue;
            alive[kept++] = alive[k];
            if (fresh && !verify_over(p, v, alive[k]))
                return false;
        }
        n_alive = kept;
        alive[n_alive++] = v;
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Values by buffer: those of b are sorted[start[b]] .. sorted[start[b + 1]]. */
static uint32_t *sort_by_buffer(const Places *p, ValueId *sorted)
{
    const Graph *g = p->v.g;
    uint32_t *start = arena_array(p->v.scratch, (size_t)g->n_buffers + 2, sizeof *start);
    for (ValueId v = 0; v < g->n_values; v++)
        if (is_placed(p, v))
            start[value_at(p, v)->place.buffer + 2]++;
    for (BufferId b = 0; b < g->n_buffers; b++)
        start[b + 2] += start[b + 1];
    for (ValueId v = 0; v < g->n_values; v++)
        if (is_placed(p, v))
            sorted[start[value_at(p, v)->place.buffer + 1]++] = v;
    return start;
}

/* The live range as declared covers what is in the buffer.  *last moves on to the end of its unit:
 * what is done with in the middle of a group is in use until all of the group has run. */
static bool verify_life(const Places *p, BufferId id, const ValueId *values, uint32_t n,
                        NodeId *first, NodeId *last)
{
    const Graph *g = p->v.g;
    const Buffer *b = &g->buffers[id];
    *first = b->first;
    *last = b->last;
    if (b->storage != NO_STORAGE)
        return true;
    if ((b->first == NO_NODE) != (b->last == NO_NODE) ||
        (b->first != NO_NODE && (b->first > b->last || b->last >= g->n_nodes)))
        return error_set(p->v.err, "b%u: its live range is none", id);
    for (uint32_t i = 0; i < n; i++) {
        NodeId def = value_at(p, values[i])->def, use = p->last_use[values[i]];
        if (use == FOREVER)
            use = g->n_nodes - 1;
        if (b->first == NO_NODE || def < b->first || use > b->last)
            return error_set(p->v.err, "b%u: its live range does not cover %%%u", id, values[i]);
        if (p->unit_last[use] > *last)
            *last = p->unit_last[use];
    }
    return true;
}

static bool verify_buffers(Places *p)
{
    const Graph *g = p->v.g;
    ValueId *sorted = arena_array(p->v.scratch, g->n_values, sizeof *sorted);
    ValueId *alive = arena_array(p->v.scratch, g->n_values, sizeof *alive);
    NodeId *first = arena_array(p->v.scratch, g->n_buffers, sizeof *first);
    NodeId *last = arena_array(p->v.scratch, g->n_buffers, sizeof *last);
    uint32_t *start = sort_by_buffer(p, sorted);
    for (BufferId b = 0; b < g->n_buffers; b++) {
        const ValueId *values = sorted + start[b];
        uint32_t n = start[b + 1] - start[b];
        if (!verify_sharing(p, alive, values, n) ||
            !verify_life(p, b, values, n, &first[b], &last[b]))
            return false;
    }
    return g->pool_bytes < 0 || verify_pool(&p->v, first, last);
}

/* Sizes must be bounded before anything can be placed. */
static bool find_sizes(Places *p)
{
    const Graph *g = p->v.g;
    bool used[MAX_SYMBOLS] = { false };
    for (ValueId v = 0; v < g->n_values; v++)
        for (int i = 0; i < value_type(g, v)->shape.rank; i++)
            for (uint32_t s = 0; s < g->n_symbols; s++)
                used[s] = used[s] || value_type(g, v)->shape.dim[i].power[s];
    for (uint32_t s = 0; s < g->n_symbols; s++) {
        p->sizes[s] = g->symbol[s].max;
        if (used[s] && p->sizes[s] < 1)
            return error_set(p->v.err, "placed, but symbol %s has no largest size",
                             g->symbol[s].name);
    }
    return true;
}

bool verify_places(const Verify *v)
{
    const Graph *g = v->g;
    Places p = {
        .v = *v,
        .buffer_of = arena_array(v->scratch, g->n_storages, sizeof *p.buffer_of),
        .low = arena_array(v->scratch, g->n_values, sizeof *p.low),
        .high = arena_array(v->scratch, g->n_values, sizeof *p.high),
    };
    if (!find_sizes(&p))
        return false;
    find_units(&p);
    find_uses(&p);
    find_dtypes(&p);
    for (StorageId s = 0; s < g->n_storages; s++)
        p.buffer_of[s] = NO_BUFFER;
    for (BufferId b = 0; b < g->n_buffers; b++)
        if (!verify_buffer(&p, b))
            return false;
    for (ValueId i = 0; i < g->n_values; i++)
        if (is_placed(&p, i) && !verify_place(&p, i))
            return false;
    if (!verify_needed(&p))
        return false;
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (!verify_base(&p, n))
            return false;
    return verify_buffers(&p);
}
