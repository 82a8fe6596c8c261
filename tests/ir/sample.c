/* A sample of every row of the op table, by its shape rule. */
#include "tests/ir/sample_rule.h"

#include <stdio.h>

Sample sample_begin(Arena *arena)
{
    Graph *g = graph_new(arena, "sample \"quoted\" \\ \xc3\xa9", PROGRAM_train);
    g->files = arena_array(arena, 2, sizeof *g->files);
    g->files[0] = arena_strdup(arena, "sample.smg");
    g->files[1] = arena_strdup(arena, "lib/blocks.smg");
    g->n_files = 2;
    g->context = 1024;
    Sample s = { .g = g };
    int b = graph_symbol(g, "B", ROLE_BATCH, 4, (Span){ 0, 3, 1, 7 });
    int t = graph_symbol(g, "T", ROLE_SEQUENCE, 16, (Span){ 0, 4, 1, 10 });
    graph_symbol(g, "n_free", ROLE_FREE, 0, (Span){ 0 });
    s.B = dim_symbol(b);
    s.T = dim_symbol(t);
    s.b = builder_at(g, NULL);
    s.b.span = (Span){ 1, 20, 5, 9 };
    s.b.path = arena_strdup(arena, "h.0.attn");
    return s;
}

ValueId sample_value(Sample *s, StorageClass class, DType dtype, int rank, const Dim *dims)
{
    static const char *const words[] = { "in", "par", "st" };
    char name[32];
    snprintf(name, sizeof name, "%s.%u", words[class], s->n_storages++);
    Storage storage = { .name = name, .class = class, .type = type_of(dtype, rank, dims) };
    if (class == STORAGE_PARAM) {
        storage.init = INIT_normal;
        storage.init_value = 0.02;
        storage.span = (Span){ 0, 9, 3, 20 };
    }
    return build_storage(&s->b, graph_storage(s->g, storage));
}

ValueId sample_input(Sample *s, DType dtype, int rank, const Dim *dims)
{
    return sample_value(s, STORAGE_INPUT, dtype, rank, dims);
}

ValueId sample_state(Sample *s, DType dtype, int rank, const Dim *dims)
{
    return sample_value(s, STORAGE_STATE, dtype, rank, dims);
}

ValueId f32_input(Sample *s, int rank, const Dim *dims)
{
    return sample_input(s, DTYPE_f32, rank, dims);
}

ValueId scalar_input(Sample *s, DType dtype)
{
    return sample_input(s, dtype, 0, NULL);
}

ValueId seed_input(Sample *s)
{
    return sample_input(s, DTYPE_i32, DIMS(C(2)));
}

NodeSpec rule_spec(Sample *s, OpId op, const ValueId *in, uint32_t n)
{
    return node_spec(op, in, n, s->b.span, s->b.path);
}

ValueId rule_add(Sample *s, const NodeSpec *spec)
{
    return graph_add(s->g, spec, NULL);
}

AttrValue *rule_attr(NodeSpec *spec, const char *name)
{
    int i = op_attr(spec->op, name);
    CHECK(i >= 0, "%s has no %s", op_info(spec->op)->name, name);
    return &spec->attr[i];
}

static void (*const samples[N_OPS])(Sample *s, OpId op) = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    [OP_##name] = sample_##shape,
#include "ir/ops.def"
};

void sample_op(Sample *s, OpId op)
{
    samples[op](s, op);
}
