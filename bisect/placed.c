/* A placed graph evaluated in its memory. */
#include "bisect/placed.h"

#include "base/check.h"
#include "ir/eval_rule.h"

#include <math.h>

typedef struct Memory {
    Eval *e;
    double **data;                      /* by buffer */
    int64_t *count;
    ValueId outside;                    /* a value whose place is not in its buffer, or NO_VALUE */
    double nowhere;                     /* what such a value reads and writes */
} Memory;

static int64_t number(const Memory *m, Dim d)
{
    int64_t n;
    const bool fits = dim_eval(d, m->e->sizes, &n);
    CHECK(fits, "a size too large to evaluate");
    return n;
}

static double *nothing(Arena *arena, int64_t n)
{
    double *x = arena_array(arena, (size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

static Memory memory_begin(Eval *e)
{
    const Graph *g = e->g;
    eval_round_copies(e);
    Memory m = { .e = e, .data = arena_array(e->arena, g->n_buffers, sizeof *m.data),
                 .count = arena_array(e->arena, g->n_buffers, sizeof *m.count),
                 .outside = NO_VALUE, .nowhere = NAN };
    double *pool = g->pool_bytes >= 0 ? nothing(e->arena, g->pool_bytes / 4) : NULL;
    for (BufferId b = 0; b < g->n_buffers; b++) {
        const Buffer *buffer = &g->buffers[b];
        m.count[b] = number(&m, buffer->elements);
        m.data[b] = buffer->storage != NO_STORAGE ? e->storages[buffer->storage].data
            : pool ? pool + buffer->offset / 4 : nothing(e->arena, m.count[b]);
    }
    return m;
}

/* The element of memory that holds position `at` of value v. */
static double *element(Memory *m, ValueId v, const Index *at)
{
    const Value *value = &m->e->g->values[v];
    int64_t i = number(m, value->place.offset);
    for (int a = 0; a < value->type.shape.rank; a++)
        i += at->i[a] * number(m, value->place.stride[a]);
    if (i < 0 || i >= m->count[value->place.buffer]) {
        m->outside = v;
        return &m->nowhere;
    }
    return &m->data[value->place.buffer][i];
}

static bool placed(const Memory *m, ValueId v)
{
    return m->e->g->values[v].place.buffer != NO_BUFFER;
}

static void load(Memory *m, ValueId v, Tensor *x)
{
    Index at = { 0 };
    for (int64_t i = 0; i < x->count; i++) {
        x->data[i] = *element(m, v, &at);
        index_next(&at, x);
    }
}

static void store(Memory *m, ValueId v, const Tensor *x)
{
    Index at = { 0 };
    for (int64_t i = 0; i < x->count; i++) {
        *element(m, v, &at) = x->data[i];
        index_next(&at, x);
    }
}

/* Zeroed, of the value's sizes. */
static Tensor tensor_of(const Memory *m, ValueId v)
{
    const Shape *s = &m->e->g->values[v].type.shape;
    Tensor x = { .rank = s->rank, .count = 1 };
    for (int a = 0; a < s->rank; a++)
        x.count *= x.dim[a] = number(m, s->dim[a]);
    x.data = arena_array(m->e->arena, (size_t)x.count, sizeof *x.data);
    return x;
}

/* A view of what has a place computes nothing: its place is where it is. */
static void run_node(Memory *m, const Node *n)
{
    Eval *e = m->e;
    const OpClass class = op_info(n->op)->class;
    const Tensor *in[UINT8_MAX];
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const ValueId v = node_input(e->g, n, i);
        if (placed(m, v))
            load(m, v, &e->values[v]);
        in[i] = &e->values[v];
    }
    for (unsigned i = 0; i < n->n_outputs; i++)
        e->values[n->first_output + i] = tensor_of(m, n->first_output + i);
    if ((class == CLASS_VIEW || class == CLASS_SOURCE) && placed(m, n->first_output))
        return;
    EvalNode node = { .g = e->g, .node = n, .in = in, .out = &e->values[n->first_output], .e = e,
                      .sizes = e->sizes };
    eval_rules[n->op](&node);
    for (unsigned i = 0; i < n->n_outputs; i++)
        if (placed(m, n->first_output + i))
            store(m, n->first_output + i, &e->values[n->first_output + i]);
}

bool placed_run(Eval *e, Error *err)
{
    Memory m = memory_begin(e);
    const Graph *g = e->g;
    for (NodeId n = 0; n < g->n_nodes; n++)
        run_node(&m, &g->nodes[n]);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ValueId v = g->outputs[i].value;
        if (!placed(&m, v))
            return error_set(err, "output %s has no place in memory", g->outputs[i].name);
        load(&m, v, &e->values[v]);
    }
    return m.outside == NO_VALUE
        || error_set(err, "%%%u lies outside of its buffer", m.outside);
}
