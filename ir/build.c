/* Short names for common nodes, and the rewriter. */
#include "ir/build.h"

#include "base/check.h"

#include <string.h>

Builder builder_at(Graph *g, const Node *like)
{
    Builder b = { .g = g, .path = "" };
    if (like) {
        b.span = like->span;
        b.path = like->path;
    }
    return b;
}

static NodeSpec spec_of(const Builder *b, OpId op, const ValueId *inputs, uint32_t n)
{
    return node_spec(op, inputs, n, b->span, b->path);
}

ValueId build1(Builder *b, OpId op, ValueId a)
{
    NodeSpec spec = spec_of(b, op, &a, 1);
    return graph_add(b->g, &spec, NULL);
}

ValueId build2(Builder *b, OpId op, ValueId x, ValueId y)
{
    NodeSpec spec = spec_of(b, op, (ValueId[]){ x, y }, 2);
    return graph_add(b->g, &spec, NULL);
}

ValueId build3(Builder *b, OpId op, ValueId x, ValueId y, ValueId z)
{
    NodeSpec spec = spec_of(b, op, (ValueId[]){ x, y, z }, 3);
    return graph_add(b->g, &spec, NULL);
}

ValueId build_constant(Builder *b, double value)
{
    NodeSpec spec = spec_of(b, OP_constant, NULL, 0);
    spec.attr[ATTR_INDEX(constant, value)].f = value;
    return graph_add(b->g, &spec, NULL);
}

ValueId build_scale(Builder *b, ValueId x, double factor)
{
    return factor == 1 ? x : build2(b, OP_mul, x, build_constant(b, factor));
}

ValueId build_extent(Builder *b, Dim size)
{
    if (dim_is_const(size))
        return build_constant(b, (double)size.coef);
    NodeSpec spec = spec_of(b, OP_extent, NULL, 0);
    spec.attr[ATTR_INDEX(extent, size)].dim = size;
    return graph_add(b->g, &spec, NULL);
}

ValueId build_sum(Builder *b, ValueId x, int64_t axes)
{
    NodeSpec spec = spec_of(b, OP_sum, &x, 1);
    spec.attr[ATTR_INDEX(sum, axes)].i = axes;
    return graph_add(b->g, &spec, NULL);
}

static ValueId build_shaped(Builder *b, OpId op, ValueId x, const Shape *shape)
{
    if (shape_equal(&value_type(b->g, x)->shape, shape))
        return x;
    NodeSpec spec = spec_of(b, op, &x, 1);
    spec.shape = *shape;
    return graph_add(b->g, &spec, NULL);
}

ValueId build_reshape(Builder *b, ValueId x, const Shape *shape)
{
    return build_shaped(b, OP_reshape, x, shape);
}

ValueId build_broadcast(Builder *b, ValueId x, const Shape *shape)
{
    return build_shaped(b, OP_broadcast, x, shape);
}

ValueId build_transpose(Builder *b, ValueId x, int a, int c)
{
    if (a == c)
        return x;
    NodeSpec spec = spec_of(b, OP_transpose, &x, 1);
    spec.attr[ATTR_INDEX(transpose, a)].i = a;
    spec.attr[ATTR_INDEX(transpose, b)].i = c;
    return graph_add(b->g, &spec, NULL);
}

ValueId build_slice(Builder *b, ValueId x, int axis, int64_t start, int64_t stop)
{
    NodeSpec spec = spec_of(b, OP_slice, &x, 1);
    spec.attr[ATTR_INDEX(slice, axis)].i = axis;
    spec.attr[ATTR_INDEX(slice, start)].i = start;
    spec.attr[ATTR_INDEX(slice, stop)].i = stop;
    return graph_add(b->g, &spec, NULL);
}

static ValueId product(Builder *b, ValueId x, ValueId y, bool transpose_x, bool transpose_y,
                       double alpha, int64_t precision)
{
    NodeSpec spec = spec_of(b, OP_matmul, (ValueId[]){ x, y }, 2);
    spec.attr[ATTR_INDEX(matmul, transpose_a)].i = transpose_x;
    spec.attr[ATTR_INDEX(matmul, transpose_b)].i = transpose_y;
    spec.attr[ATTR_INDEX(matmul, alpha)].f = alpha;
    spec.attr[ATTR_INDEX(matmul, precision)].i = precision;
    return graph_add(b->g, &spec, NULL);
}

ValueId build_matmul(Builder *b, ValueId x, ValueId y, bool transpose_x, bool transpose_y,
                     double alpha)
{
    return product(b, x, y, transpose_x, transpose_y, alpha, DTYPE_f32);
}

ValueId build_product(Builder *b, const Node *like, ValueId x, ValueId y, bool transpose_x,
                      bool transpose_y, double alpha)
{
    return product(b, x, y, transpose_x, transpose_y, alpha, NODE_ATTR(like, matmul, precision).i);
}

static OpId source_op(StorageClass class)
{
    switch (class) {
    case STORAGE_INPUT: return OP_input;
    case STORAGE_PARAM: return OP_param;
    case STORAGE_STATE: return OP_state;
    case N_STORAGE_CLASSES: break;
    }
    CHECK(false, "storage class %d", (int)class);
    return OP_input;
}

ValueId build_storage(Builder *b, StorageId s)
{
    CHECK(s < b->g->n_storages, "storage %u of %u", s, b->g->n_storages);
    NodeSpec spec = spec_of(b, source_op(b->g->storages[s].class), NULL, 0);
    spec.attr[ATTR_INDEX(input, storage)].i = s;        /* the three rows agree */
    return graph_add(b->g, &spec, NULL);
}

ValueId build_zeros(Builder *b, const Type *t)
{
    NodeSpec spec = spec_of(b, OP_constant, NULL, 0);
    spec.attr[ATTR_INDEX(constant, dtype)].i = t->dtype;
    return build_broadcast(b, graph_add(b->g, &spec, NULL), &t->shape);
}

/* ---- the rewriter ---------------------------------------------------------------------------- */

/* The arrays of the graph before last: passes follow each other by dozens, and each rewrite would
 * otherwise leave a whole graph behind in the arena. */
static void take_spare(Graph *to, Graph *g)
{
    Graph *spare = g->spare;
    g->spare = NULL;
    if (!spare) {
        spare = arena_alloc(g->arena, sizeof *spare);
        spare->cap_nodes = g->n_nodes + g->n_nodes / 4 + 16;
        spare->nodes = arena_array(g->arena, spare->cap_nodes, sizeof *spare->nodes);
        spare->cap_values = g->n_values + g->n_values / 4 + 16;
        spare->values = arena_array(g->arena, spare->cap_values, sizeof *spare->values);
    }
    to->nodes = spare->nodes;
    to->cap_nodes = spare->cap_nodes;
    to->values = spare->values;
    to->cap_values = spare->cap_values;
    to->edges = spare->edges;
    to->cap_edges = spare->cap_edges;
    to->outputs = spare->outputs;
    to->cap_outputs = spare->cap_outputs;
    to->spare = spare;
}

Rewriter rewrite_begin(Graph *g, Arena *scratch)
{
    Graph *to = arena_alloc(scratch, sizeof *to);
    *to = *g;
    to->nodes = NULL;
    to->values = NULL;
    to->edges = NULL;
    to->outputs = NULL;
    to->buffers = NULL;
    to->n_nodes = to->n_values = to->n_edges = to->n_outputs = to->n_buffers = 0;
    to->cap_buffers = 0;
    to->loss = NO_VALUE;
    to->pool_bytes = to->pool_bound = -1;
    take_spare(to, g);

    ValueId *map = arena_array(scratch, g->n_values, sizeof *map);
    for (ValueId v = 0; v < g->n_values; v++)
        map[v] = NO_VALUE;
    return (Rewriter){ .old = g, .new_ = to, .map = map };
}

ValueId rewrite_copy(Rewriter *rw, NodeId n)
{
    const Node *node = &rw->old->nodes[n];
    ValueId inputs[UINT8_MAX];
    for (unsigned i = 0; i < node->n_inputs; i++) {
        ValueId v = node_input(rw->old, node, i);
        inputs[i] = rw->map[v];
        CHECK(inputs[i] != NO_VALUE, "node %u (%s) reads value %u, which was not copied", n,
              op_info(node->op)->name, v);
    }
    NodeSpec spec = {
        .op = node->op, .inputs = inputs, .n_inputs = node->n_inputs,
        .shape = value_type(rw->old, node->first_output)->shape,
        .span = node->span, .path = node->path,
    };
    memcpy(spec.attr, node->attr, sizeof spec.attr);
    ValueId first = graph_add(rw->new_, &spec, NULL);
    rw->new_->nodes[rw->new_->n_nodes - 1].group = node->group;
    for (unsigned i = 0; i < node->n_outputs; i++)
        rw->map[node->first_output + i] = first + i;
    return first;
}

Builder rewrite_builder(Rewriter *rw, NodeId like)
{
    return builder_at(rw->new_, &rw->old->nodes[like]);
}

static ValueId moved(const Rewriter *rw, ValueId v, const char *what)
{
    CHECK(rw->map[v] != NO_VALUE, "%s is value %u, which was not copied", what, v);
    return rw->map[v];
}

void rewrite_end(Rewriter *rw)
{
    Graph *old = rw->old, *to = rw->new_;
    for (uint32_t i = 0; i < old->n_outputs; i++) {
        Output o = old->outputs[i];
        o.value = moved(rw, o.value, o.name);
        ARENA_PUSH(to->arena, to->outputs, to->n_outputs, to->cap_outputs, o);
    }
    if (old->loss != NO_VALUE)
        to->loss = moved(rw, old->loss, "the loss");
    Graph *spare = to->spare;
    *spare = *old;
    spare->spare = NULL;
    *old = *to;
}
