/* Parameters and caches become of the element type that they are stored in.
 *
 * needs  a program that writes no parameter
 * keeps  order, meaning up to the rounding of what is stored
 *
 * Up to here every weight is f32, and passes need not know otherwise.  Now `stored` of a storage
 * becomes its type.  An op that reads it so reads it where it lies; before any other stands a
 * `decode`, which makes f32 of all of it at every run. */
#include "ir/build.h"
#include "passes/pass.h"

typedef struct Storing {
    Rewriter rw;
    ValueId *stored, *decoded;          /* by old value: what stands for it, once it is decoded */
} Storing;

/* Can `n` read its input `i` as `t`? */
static bool reads(const Graph *g, const Node *n, unsigned i, DType t)
{
    if (!op_reads_stored(n->op, i))
        return false;
    const bool product = n->op == OP_matmul || n->op == OP_linear_cross_entropy;
    if (dtype_block(t) == 1 || !product)
        return true;
    const bool rows = n->op == OP_matmul ? NODE_ATTR(n, matmul, transpose_b).i
                                         : NODE_ATTR(n, linear_cross_entropy, transpose_w).i;
    return rows && value_type(g, node_input(g, n, i))->shape.rank == 2;
}

static DType type_now(const Storing *s, ValueId old)
{
    return value_type(s->rw.new_, rewrite_of(&s->rw, old))->dtype;
}

/* From here on the old value is its f32, until `undo`. */
static void decode(Storing *s, const Node *reader, ValueId old)
{
    if (s->decoded[old] == NO_VALUE) {
        Builder b = builder_at(s->rw.new_, reader);
        s->stored[old] = rewrite_of(&s->rw, old);
        s->decoded[old] = build1(&b, OP_decode, s->stored[old]);
    }
    s->rw.map[old] = s->decoded[old];
}

static void store_node(Storing *s, NodeId id)
{
    const Graph *old = s->rw.old;
    const Node *n = &old->nodes[id];
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId in = node_input(old, n, i);
        const DType t = type_now(s, in);
        if (!dtype_is_lane(t) && !reads(old, n, i, t))
            decode(s, n, in);
    }
    rewrite_copy(&s->rw, id);
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId in = node_input(old, n, i);
        if (s->decoded[in] != NO_VALUE)
            s->rw.map[in] = s->stored[in];
    }
}

static bool set_types(Graph *g)
{
    bool any = false;
    for (StorageId i = 0; i < g->n_storages; i++) {
        Storage *s = &g->storages[i];
        if (s->stored == DTYPE_f32)
            continue;
        s->type.dtype = s->stored;
        s->stored = DTYPE_f32;
        any = true;
    }
    return any;
}

bool pass_store(Graph *g, PassContext *cx)
{
    if (!set_types(g))
        return true;
    Storing s = { .stored = arena_array(cx->scratch, g->n_values, sizeof *s.stored),
                  .decoded = arena_array(cx->scratch, g->n_values, sizeof *s.decoded) };
    for (ValueId v = 0; v < g->n_values; v++)
        s.decoded[v] = NO_VALUE;
    s.rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < g->n_nodes; n++)
        store_node(&s, n);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!dtype_is_lane(type_now(&s, g->outputs[i].value)))
            decode(&s, value_def(g, g->outputs[i].value), g->outputs[i].value);
    rewrite_end(&s.rw);
    return true;
}
