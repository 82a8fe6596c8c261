/* The samples as a whole graph, and that graph placed. */
#include "tests/ir/sample.h"

#include "base/check.h"

#include <stdio.h>

#define DIMS(...) (int)COUNT_OF(((Dim[]){ __VA_ARGS__ })), ((Dim[]){ __VA_ARGS__ })
#define C(n) dim_const(n)

Graph *sample_graph(Arena *arena)
{
    Sample s = sample_begin(arena);
    for (int op = 0; op < N_OPS; op++)
        sample_op(&s, (OpId)op);
    s.b = builder_at(s.g, NULL);
    ValueId x = sample_input(&s, DTYPE_f32, DIMS(s.B, s.T));
    graph_output(s.g, "logits", x, (Span){ 0, 50, 1, 6 });
    graph_output(s.g, "again", x, (Span){ 0 });
    s.g->loss = build_sum(&s.b, x, ALL_AXES);

    Storage targets = {
        .name = "targets", .class = STORAGE_INPUT, .type = type_of(DTYPE_i32, DIMS(s.B, s.T)),
        .train_only = true, .index_limit = 50257, .index_ignore = -100,
    };
    graph_storage(s.g, targets);
    for (int init = 0; init < N_INITS; init++) {
        char name[32];
        snprintf(name, sizeof name, "w.%d", init);
        Storage w = {
            .name = name, .class = STORAGE_PARAM, .type = type_of(DTYPE_f32, DIMS(C(3), C(4))),
            .init = (InitKind)init, .init_value = init / 8.0,
        };
        graph_storage(s.g, w);
    }
    s.g->optimizer = (Optimizer){
        .kind = OPTIMIZER_adamw, .lr = 6e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
        .weight_decay = 0.1, .span = { 0, 60, 3, 9 },
    };
    return s.g;
}

/* ---- placed ---------------------------------------------------------------------------------- */

static int64_t largest(const Graph *g, Dim d)
{
    int64_t sizes[MAX_SYMBOLS] = { 0 }, n;
    for (uint32_t i = 0; i < g->n_symbols; i++)
        sizes[i] = g->symbol[i].max;
    CHECK(dim_eval(d, sizes, &n), "a sample is small");
    return n;
}

static BufferId new_buffer(Graph *g, const Type *t, StorageId storage)
{
    Buffer b = { .storage = storage, .offset = -1, .first = NO_NODE, .last = NO_NODE };
    CHECK(shape_count(&t->shape, &b.elements), "a sample is small");
    b.bytes = (largest(g, b.elements) * 4 + 63) / 64 * 64;
    ARENA_PUSH(g->arena, g->buffers, g->n_buffers, g->cap_buffers, b);
    return g->n_buffers - 1;
}

static void place_alone(Graph *g, ValueId v, StorageId storage)
{
    Value *value = &g->values[v];
    value->place = (Place){ .buffer = new_buffer(g, &value->type, storage) };
    CHECK(shape_strides(&value->type.shape, value->place.stride), "a sample is small");
}

/* All views here are of dense inputs. */
static void place_view(const Node *n, const Value *in, Value *out)
{
    Dim *stride = out->place.stride;
    out->place.buffer = in->place.buffer;
    out->place.offset = in->place.offset;
    CHECK(shape_strides(&out->type.shape, stride), "a sample is small");
    if (n->op == OP_reshape || n->op == OP_after)
        return;
    int added = out->type.shape.rank - in->type.shape.rank;
    for (int i = 0; i < out->type.shape.rank; i++)
        stride[i] = i < added ? dim_const(0) : in->place.stride[i - added];
    if (n->op == OP_broadcast) {
        for (int i = added; i < out->type.shape.rank; i++)
            if (!dim_equal(in->type.shape.dim[i - added], out->type.shape.dim[i]))
                stride[i] = dim_const(0);
    } else if (n->op == OP_transpose) {
        int64_t a = NODE_ATTR(n, transpose, a).i, b = NODE_ATTR(n, transpose, b).i;
        stride[a] = in->place.stride[b];
        stride[b] = in->place.stride[a];
    } else {
        CHECK(n->op == OP_slice, "%s is a view without a sample", op_info(n->op)->name);
        CHECK(dim_mul(stride[NODE_ATTR(n, slice, axis).i],
                      dim_const(NODE_ATTR(n, slice, start).i), &out->place.offset), "small");
    }
}

/* Constants have no bytes, and so neither have views of them. */
static void place_node(Graph *g, const Node *n)
{
    const Value *in = n->n_inputs ? &g->values[node_input(g, n, 0)] : NULL;
    Value *out = &g->values[n->first_output];
    if (op_info(n->op)->class == CLASS_VIEW) {
        if (in->place.buffer != NO_BUFFER)
            place_view(n, in, out);
    } else if (op_info(n->op)->flags & OP_WRITES) {
        out->place = in->place;
    } else if (n->op != OP_constant && n->op != OP_extent) {
        bool source = op_info(n->op)->class == CLASS_SOURCE;
        for (unsigned i = 0; i < n->n_outputs; i++)
            place_alone(g, n->first_output + i, source ? (StorageId)n->attr[0].i : NO_STORAGE);
    }
}

static void live_at(Graph *g, ValueId v, NodeId n)
{
    if (g->values[v].place.buffer == NO_BUFFER)
        return;
    Buffer *b = &g->buffers[g->values[v].place.buffer];
    if (b->first == NO_NODE)
        b->first = n;
    b->last = n;
}

static void find_lives(Graph *g)
{
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs; i++)
            live_at(g, node_input(g, node, i), n);
        for (unsigned i = 0; i < node->n_outputs; i++)
            live_at(g, node->first_output + i, n);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        live_at(g, g->outputs[i].value, g->n_nodes - 1);
    if (g->loss != NO_VALUE)
        live_at(g, g->loss, g->n_nodes - 1);
}

Graph *sample_placed(Arena *arena)
{
    Graph *g = sample_graph(arena);
    for (NodeId n = 0; n < g->n_nodes; n++)
        place_node(g, &g->nodes[n]);
    find_lives(g);
    int64_t at = 0;
    for (BufferId b = 0; b < g->n_buffers; b++)
        if (g->buffers[b].storage == NO_STORAGE) {
            g->buffers[b].offset = at;
            at += g->buffers[b].bytes;
        }
    g->pool_bytes = at;
    g->pool_bound = at - 64;
    for (NodeId n = 0; n + 1 < g->n_nodes && g->n_groups < 3; n++)
        if (op_info(g->nodes[n].op)->class == CLASS_MAP) {
            g->nodes[n].group = g->nodes[n + 1].group = ++g->n_groups;
            n++;
        }
    return g;
}
