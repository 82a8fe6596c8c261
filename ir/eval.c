/* The reference evaluator: the walk over the graph, storages, and what is written to them. */
#include "ir/eval.h"

#include "base/blocks.h"
#include "base/check.h"
#include "base/half.h"
#include "ir/eval_rule.h"

#include <math.h>
#include <string.h>

EvalFn *const eval_rules[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) [OP_##name] = eval_##eval,
#include "ir/ops.def"
};

static Tensor tensor_new(Arena *arena, const Shape *shape, const int64_t *sizes)
{
    Tensor t = { .rank = shape->rank, .count = 1 };
    for (int a = 0; a < shape->rank; a++) {
        bool fits = dim_eval(shape->dim[a], sizes, &t.dim[a])
            && i64_mul(t.count, t.dim[a], &t.count);
        CHECK(fits, "a tensor too large to evaluate");
    }
    t.data = arena_array(arena, (size_t)t.count, sizeof *t.data);
    return t;
}

Eval eval_begin(const Graph *g, Arena *arena, const int64_t sizes[MAX_SYMBOLS])
{
    Eval e = { .g = g, .arena = arena };
    memcpy(e.sizes, sizes, sizeof e.sizes);
    e.storages = arena_array(arena, g->n_storages, sizeof *e.storages);
    e.values = arena_array(arena, g->n_values, sizeof *e.values);
    for (StorageId s = 0; s < g->n_storages; s++)
        e.storages[s] = tensor_new(arena, &g->storages[s].type.shape, sizes);
    return e;
}

static void run_node(Eval *e, NodeId id)
{
    const Graph *g = e->g;
    const Node *node = &g->nodes[id];
    const Tensor *in[32];
    CHECK(node->n_inputs <= COUNT_OF(in), "node %u has too many inputs", id);
    for (unsigned i = 0; i < node->n_inputs; i++)
        in[i] = &e->values[node_input(g, node, i)];
    for (unsigned i = 0; i < node->n_outputs; i++)
        e->values[node->first_output + i] =
            tensor_new(e->arena, &value_type(g, node->first_output + i)->shape, e->sizes);
    EvalNode n = { .g = g, .node = node, .in = in, .out = &e->values[node->first_output], .e = e,
                   .sizes = e->sizes };
    eval_rules[node->op](&n);
    if (e->after)
        e->after(e, id, e->arg);
}

void eval_round_copies(Eval *e)
{
    for (StorageId s = 0; s < e->g->n_storages; s++) {
        const char *of = e->g->storages[s].rounded_of;
        const Tensor *from = of ? eval_storage(e, of) : NULL;
        for (int64_t i = 0; from && i < from->count; i++)
            e->storages[s].data[i] = f32_of_bf16(bf16_of_f32((float)from->data[i]));
    }
}

void eval_run(Eval *e)
{
    eval_round_copies(e);
    for (NodeId n = 0; n < e->g->n_nodes; n++)
        run_node(e, n);
}

const Tensor *eval_output(const Eval *e, const char *name)
{
    for (uint32_t i = 0; i < e->g->n_outputs; i++)
        if (strcmp(e->g->outputs[i].name, name) == 0)
            return &e->values[e->g->outputs[i].value];
    return NULL;
}

Tensor *eval_storage(Eval *e, const char *name)
{
    StorageId s = graph_find_storage(e->g, name);
    return s == NO_STORAGE ? NULL : &e->storages[s];
}

void eval_copy(const Tensor *from, Tensor *to)
{
    CHECK(from->count == to->count, "copy of another size");
    if (to->count)
        memcpy(to->data, from->data, (size_t)to->count * sizeof *to->data);
}

/* ---- sources and writes ----------------------------------------------------------------------- */

void eval_source(EvalNode *n)
{
    eval_copy(&n->e->storages[n->node->attr[0].i], &n->out[0]);
}

void eval_constant(EvalNode *n)
{
    n->out[0].data[0] = EVAL_ATTR(n, constant, value).f;
}

void eval_extent(EvalNode *n)
{
    int64_t size;
    bool fits = dim_eval(EVAL_ATTR(n, extent, size).dim, n->sizes, &size);
    CHECK(fits, "a size that cannot be counted");
    n->out[0].data[0] = (double)size;
}

void eval_positions(EvalNode *n)
{
    double past = n->node->n_inputs ? n->in[0]->data[0] : 0;
    for (int64_t t = 0; t < n->out[0].count; t++)
        n->out[0].data[t] = past + (double)t;
}

/* The storage that a source node, or a chain of writes over one, stands for. */
static StorageId storage_behind(const Graph *g, ValueId v)
{
    const Node *n = value_def(g, v);
    while (op_info(n->op)->flags & OP_WRITES)
        n = value_def(g, node_input(g, n, 0));
    CHECK(n->op == OP_input || n->op == OP_param || n->op == OP_state,
          "a write to what is not stored");
    return (StorageId)n->attr[0].i;
}

void eval_write_storage(EvalNode *n)
{
    eval_copy(&n->out[0], &n->e->storages[storage_behind(n->g, node_input(n->g, n->node, 0))]);
}


/* A block as q8_0 keeps it. */
static void round_block(double *x, int64_t n)
{
    enum { MOST = 32 };
    float lane[MOST];
    uint8_t block[64];
    CHECK(n <= MOST && dtype_block_bytes(DTYPE_q8_0) <= sizeof block, "a block of q8_0");
    for (int64_t i = 0; i < n; i++)
        lane[i] = (float)x[i];
    const bool numbers = blocks_encode(DTYPE_q8_0, (size_t)n, lane, block, NULL);
    if (numbers)
        blocks_decode(DTYPE_q8_0, (size_t)n, block, lane);
    for (int64_t i = 0; i < n; i++)
        x[i] = numbers ? lane[i] : NAN;
}

/* A row as a storage of that type keeps it. */
static void round_row(DType t, double *x, int64_t n)
{
    if (t == DTYPE_bf16)
        for (int64_t i = 0; i < n; i++)
            x[i] = f32_of_bf16(bf16_of_f32((float)x[i]));
    if (t == DTYPE_q8_0)
        for (int64_t i = 0; i < n; i += dtype_block(t))
            round_block(x + i, dtype_block(t));
}

void eval_assign(EvalNode *n)
{
    eval_copy(n->in[1], &n->out[0]);
    round_row(value_type(n->g, node_input(n->g, n->node, 0))->dtype, n->out[0].data, n->out[0].count);
    eval_write_storage(n);
}

/* cache[b, g, past + t, :] = new[b, g, t, :]; positions past the end are dropped. */
void eval_cache_write(EvalNode *n)
{
    const DType type = value_type(n->g, node_input(n->g, n->node, 0))->dtype;
    const Tensor *from = n->in[1];
    Tensor *cache = &n->out[0];
    const int64_t past = (int64_t)n->in[2]->data[0], room = cache->dim[2], row = cache->dim[3];
    eval_copy(n->in[0], cache);
    for (int64_t bg = 0; bg < from->dim[0] * from->dim[1]; bg++)
        for (int64_t t = 0; t < from->dim[2]; t++)
            if (past + t >= 0 && past + t < room) {
                double *to = cache->data + (bg * room + past + t) * row;
                const double *new = from->data + (bg * from->dim[2] + t) * row;
                if (n->node->n_inputs > 3)
                    eval_turn_row(n, n->in[3]->data[t], n->node->n_inputs > 4 ? n->in[4] : NULL, row,
                                  new, to);
                else
                    memcpy(to, new, (size_t)row * sizeof *to);
                round_row(type, to, row);
            }
    eval_write_storage(n);
}
