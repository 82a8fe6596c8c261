/* The optimizer as graph nodes: gradient norm, clipping, SGD with momentum (Polyak 1964), AdamW
 * (Loshchilov and Hutter 2019), and sums of gradients over several runs.
 *
 * Everything that is one number per step is computed once, before the parameters; what is left for
 * each parameter is one element-wise chain that reads its gradient, itself and its moments, and
 * writes them back. */
#include "base/check.h"
#include "ir/build.h"
#include "passes/pass.h"
#include "passes/precision.h"

#include <math.h>
#include <string.h>

typedef struct Param {
    StorageId storage;
    ValueId value;                      /* the content before the step */
    ValueId gradient;
    ValueId sum;                        /* apply: the state that the gradient is read from */
    StorageId copy;                     /* the weight in bf16; NO_STORAGE where none is kept */
    bool read_by_other;                 /* another parameter's gradient still reads the content */
} Param;

typedef struct Update {
    Graph *g;
    Arena *scratch;
    Builder b;
    Param *params;
    uint32_t n;
    ValueId *late;                      /* pairs (old, new) to be assigned at the very end */
    uint32_t n_late;

    /* Numbers of the step; NO_VALUE where the optimizer has no use for one. */
    ValueId factor;                     /* what gradients are multiplied with */
    ValueId lr, keep;                   /* keep: 1 - lr * weight decay */
    ValueId step_size, unbias;          /* lr / c1, 1 / sqrt(c2) */
} Update;

/* ---- storages -------------------------------------------------------------------------------- */

static ValueId read_storage(Update *u, const char *name, StorageClass class, Type type)
{
    StorageId s = graph_find_storage(u->g, name);
    if (s == NO_STORAGE)
        s = graph_storage(u->g, (Storage){ .name = name, .class = class, .type = type });
    return build_storage(&u->b, s);
}

static ValueId read_number(Update *u, const char *name, DType dtype)
{
    return read_storage(u, name, STORAGE_INPUT, type_scalar(dtype));
}

/* "adamw.m.<path>": zeros at first, of the parameter's type. */
static ValueId read_state(Update *u, const char *kind, const Param *p)
{
    const Storage s = u->g->storages[p->storage];
    const char *name = arena_printf(u->scratch, "%s.%s", kind, s.name);
    return read_storage(u, name, STORAGE_STATE, s.type);
}

static void assign(Update *u, ValueId old, ValueId content)
{
    build2(&u->b, OP_assign, old, content);
}

/* ---- the parameters -------------------------------------------------------------------------- */

static ValueId find_output(const Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i].name, name) == 0)
            return g->outputs[i].value;
    return NO_VALUE;
}

static ValueId *find_sources(const Graph *g, Arena *scratch)
{
    ValueId *source = arena_array(scratch, g->n_storages, sizeof *source);
    for (StorageId s = 0; s < g->n_storages; s++)
        source[s] = NO_VALUE;
    for (NodeId n = 0; n < g->n_nodes; n++)
        if (g->nodes[n].op == OP_param)
            source[NODE_ATTR(&g->nodes[n], param, storage).i] = g->nodes[n].first_output;
    return source;
}

static void collect_params(Update *u)
{
    Graph *g = u->g;
    const bool sums = g->program == PROGRAM_apply;
    const uint32_t n_storages = g->n_storages;
    const ValueId *source = find_sources(g, u->scratch);
    u->params = arena_array(u->scratch, n_storages, sizeof *u->params);
    u->late = arena_array(u->scratch, 4 * (size_t)n_storages, sizeof *u->late);
    for (StorageId s = 0; s < n_storages; s++) {
        const Storage storage = g->storages[s];
        if (storage.class != STORAGE_PARAM || storage.type.dtype != DTYPE_f32)
            continue;
        Param *p = &u->params[u->n++];
        *p = (Param){ .storage = s, .value = source[s], .sum = NO_VALUE,
                      .copy = graph_find_storage(g, copy_name(u->scratch, storage.name)) };
        u->b.span = storage.span;
        if (sums)
            p->sum = p->gradient = read_state(u, "grad", p);
        else
            p->gradient = find_output(g, arena_printf(u->scratch, "grad.%s", storage.name));
        CHECK(p->gradient != NO_VALUE, "no gradient of %s", storage.name);
        if (g->program != PROGRAM_accumulate && p->value == NO_VALUE)
            p->value = build_storage(&u->b, s);
    }
}

/* ---- gradients made of other parameters ------------------------------------------------------ */

static bool is_elementwise(OpId op)
{
    const OpClass class = op_info(op)->class;
    return class == CLASS_MAP || class == CLASS_VIEW || class == CLASS_MOVE;
}

typedef struct Cone {
    NodeId *stack;
    uint32_t *seen;                     /* by node: the parameter (+ 1) that came by */
} Cone;

static void mark_reads(Update *u, Cone *c, uint32_t own, Param *const *of_storage)
{
    const Graph *g = u->g;
    uint32_t depth = 0;
    c->stack[depth++] = g->values[u->params[own].gradient].def;
    while (depth) {
        const NodeId n = c->stack[--depth];
        const Node *node = &g->nodes[n];
        if (c->seen[n] == own + 1)
            continue;
        c->seen[n] = own + 1;
        if (node->op == OP_param && of_storage[node->attr[0].i] &&
            of_storage[node->attr[0].i] != &u->params[own])
            of_storage[node->attr[0].i]->read_by_other = true;
        for (unsigned i = 0; is_elementwise(node->op) && i < node->n_inputs; i++)
            if (c->seen[g->values[node_input(g, node, i)].def] != own + 1)
                c->stack[depth++] = g->values[node_input(g, node, i)].def;
    }
}

/* The gradient of sum(a * b) by a is b: algebra may come to read b itself where its product with
 * one was read, after the step on b.  Such a b is assigned when all parameters are computed. */
static void find_entangled(Update *u)
{
    Cone c = {
        .stack = arena_array(u->scratch, (size_t)u->g->n_edges + 1, sizeof(NodeId)),
        .seen = arena_array(u->scratch, u->g->n_nodes, sizeof(uint32_t)),
    };
    Param **of_storage = arena_array(u->scratch, u->g->n_storages, sizeof *of_storage);
    for (uint32_t i = 0; i < u->n; i++)
        of_storage[u->params[i].storage] = &u->params[i];
    for (uint32_t i = 0; i < u->n; i++)
        mark_reads(u, &c, i, of_storage);
}

/* ---- numbers of the step --------------------------------------------------------------------- */

/* sqrt of the sum of squares over all gradients: partial sums on the fixed grid, added up in the
 * order of the parameters. */
static ValueId gradient_norm(Update *u)
{
    ValueId total = NO_VALUE;
    for (uint32_t i = 0; i < u->n; i++) {
        u->b.span = u->g->storages[u->params[i].storage].span;
        NodeSpec spec = node_spec(OP_partial_sum, &u->params[i].gradient, 1, u->b.span, u->b.path);
        spec.attr[ATTR_INDEX(partial_sum, square)].i = true;
        ValueId squares = graph_add(u->g, &spec, NULL);
        total = i == 0 ? squares : build2(&u->b, OP_add, total, squares);
    }
    u->b.span = u->g->optimizer.span;
    if (total == NO_VALUE)
        return build_constant(&u->b, 0);
    const Shape scalar = { .rank = 0 };
    ValueId sum = build_reshape(&u->b, build_sum(&u->b, total, 1), &scalar);
    const ValueId none = build_constant(&u->b, 0);      /* squares may be sums that cancel: passes/norm.c */
    return build1(&u->b, OP_sqrt, build2(&u->b, OP_maximum, sum, none));
}

/* min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_; an infinite $clip is none. */
static ValueId clip_factor(Update *u, ValueId norm)
{
    ValueId clip = read_number(u, "$clip", DTYPE_f32);
    ValueId some = build_constant(&u->b, 1e-6);
    ValueId ratio = build2(&u->b, OP_div, clip, build2(&u->b, OP_add, norm, some));
    return build2(&u->b, OP_minimum, build_constant(&u->b, 1), ratio);
}

/* 1 - beta^step: exact in float where beta^step would be near 1. */
static ValueId bias_correction(Update *u, ValueId step, double beta)
{
    ValueId exponent = build_scale(&u->b, step, log(beta));
    return build1(&u->b, OP_neg, build1(&u->b, OP_expm1, exponent));
}

static void step_numbers(Update *u)
{
    Builder *b = &u->b;
    const Optimizer *o = &u->g->optimizer;
    u->lr = read_number(u, "$lr", DTYPE_f32);
    Storage *lr = &b->g->storages[value_def(b->g, u->lr)->attr[0].i];
    lr->init = INIT_constant;           /* what the author wrote, for whoever is given no other */
    lr->init_value = o->lr;
    if (o->kind == OPTIMIZER_sgd)
        return;
    ValueId one = build_constant(b, 1);
    u->keep = build2(b, OP_sub, one, build_scale(b, u->lr, o->weight_decay));
    ValueId step = read_number(u, "$step", DTYPE_i32);
    step = build1(b, OP_cast, step);                    /* the default is f32 */
    u->step_size = build2(b, OP_div, u->lr, bias_correction(u, step, o->beta1));
    u->unbias = build1(b, OP_rsqrt, bias_correction(u, step, o->beta2));
}

/* ---- one parameter --------------------------------------------------------------------------- */

static bool decays(const Update *u, const Param *p)
{
    return u->g->optimizer.weight_decay != 0 && u->g->storages[p->storage].type.shape.rank >= 2;
}

/* a x + y */
static ValueId blend(Builder *b, double a, ValueId x, ValueId y)
{
    return build2(b, OP_add, build_scale(b, x, a), y);
}

/* As torch.optim.SGD: the decay is part of the gradient. */
static ValueId sgd(Update *u, const Param *p, ValueId g)
{
    Builder *b = &u->b;
    const Optimizer *o = &u->g->optimizer;
    if (decays(u, p))
        g = blend(b, o->weight_decay, p->value, g);
    if (o->momentum != 0) {
        ValueId old = read_state(u, "sgd.buf", p);
        g = blend(b, o->momentum, old, g);
        assign(u, old, g);
    }
    return build2(b, OP_sub, p->value, build2(b, OP_mul, u->lr, g));
}

/* As torch.optim.AdamW: the decay is apart from the gradient. */
static ValueId adamw(Update *u, const Param *p, ValueId g)
{
    Builder *b = &u->b;
    const Optimizer *o = &u->g->optimizer;
    ValueId old_m = read_state(u, "adamw.m", p), old_v = read_state(u, "adamw.v", p);
    ValueId m = blend(b, o->beta1, old_m, build_scale(b, g, 1 - o->beta1));
    ValueId v = blend(b, o->beta2, old_v, build_scale(b, build2(b, OP_mul, g, g), 1 - o->beta2));
    ValueId root = build2(b, OP_mul, build1(b, OP_sqrt, v), u->unbias);
    ValueId ratio = build2(b, OP_div, m, build2(b, OP_add, root, build_constant(b, o->eps)));
    ValueId x = decays(u, p) ? build2(b, OP_mul, p->value, u->keep) : p->value;
    x = build2(b, OP_sub, x, build2(b, OP_mul, u->step_size, ratio));
    assign(u, old_m, m);
    assign(u, old_v, v);
    return x;
}

static void assign_param(Update *u, const Param *p, ValueId old, ValueId x)
{
    if (p->read_by_other) {
        u->late[u->n_late++] = old;
        u->late[u->n_late++] = x;
    } else {
        assign(u, old, x);
    }
}

static void update_param(Update *u, const Param *p)
{
    u->b.span = u->g->storages[p->storage].span;
    ValueId g = build2(&u->b, OP_mul, p->gradient, u->factor);
    ValueId x = u->g->optimizer.kind == OPTIMIZER_sgd ? sgd(u, p, g) : adamw(u, p, g);
    assign_param(u, p, p->value, x);
    if (p->copy != NO_STORAGE)
        assign_param(u, p, build_storage(&u->b, p->copy), x);
    if (p->sum != NO_VALUE) {
        const Type type = u->g->storages[p->storage].type;
        assign(u, p->sum, build_zeros(&u->b, &type));
    }
}

/* ---- the programs ---------------------------------------------------------------------------- */

/* Outputs are read when the program has run, so none may be a parameter's old content. */
static void keep_outputs(Update *u)
{
    Graph *g = u->g;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        Output o = g->outputs[i];
        if (strncmp(o.name, "grad.", 5) == 0)
            continue;
        const OpClass class = op_info(value_def(g, o.value)->op)->class;
        if (class == CLASS_SOURCE || class == CLASS_VIEW)
            o.value = build1(&u->b, OP_copy, o.value);
        g->outputs[n++] = o;
    }
    g->n_outputs = n;
}

static void accumulate(Update *u)
{
    for (uint32_t i = 0; i < u->n; i++) {
        const Param *p = &u->params[i];
        u->b.span = u->g->storages[p->storage].span;
        ValueId old = read_state(u, "grad", p);
        assign(u, old, build2(&u->b, OP_add, old, p->gradient));
    }
}

/* With $scale = 1 / K the sums of K runs become means; the norm is of the means. */
static void step(Update *u)
{
    ValueId norm = gradient_norm(u), scale = NO_VALUE;
    if (u->g->program == PROGRAM_apply) {
        scale = read_number(u, "$scale", DTYPE_f32);
        norm = build2(&u->b, OP_mul, norm, scale);
    }
    u->factor = clip_factor(u, norm);
    if (scale != NO_VALUE)
        u->factor = build2(&u->b, OP_mul, u->factor, scale);
    step_numbers(u);
    for (uint32_t i = 0; i < u->n; i++)
        update_param(u, &u->params[i]);
    for (uint32_t i = 0; i < u->n_late; i += 2)
        assign(u, u->late[i], u->late[i + 1]);
    graph_output(u->g, "grad_norm", norm, u->g->optimizer.span);
}

/* Weights of which the model keeps a copy in bf16 (passes/copies.c) are written there too.
 *
 * needs  outputs `grad.<path>` of all float parameters (train, accumulate), or no node (apply)
 * keeps  what stands in the graph, which the update follows; `loss`
 * Afterwards the gradients are no outputs any more, and train and apply have the output `grad_norm`.
 * train: inputs $lr, $clip f32[], $step i32[]; apply: $scale f32[] besides. */
bool pass_update(Graph *g, PassContext *cx)
{
    Update u = {
        .g = g, .scratch = cx->scratch,
        .b = { .g = g, .span = g->optimizer.span, .path = "" },
    };
    CHECK(g->optimizer.kind != OPTIMIZER_none, "update without an optimizer");
    collect_params(&u);
    keep_outputs(&u);
    if (g->program == PROGRAM_accumulate) {
        accumulate(&u);
    } else {
        find_entangled(&u);
        step(&u);
    }
    return true;
}
