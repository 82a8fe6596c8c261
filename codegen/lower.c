/* One instruction per node, by the `lower` column of ops.def; groups go to lower_row.c. */
#include "codegen/lower.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

/* ---- operands --------------------------------------------------------------------------------- */

PlanDim plan_dim_of(Dim d)
{
    PlanDim p = { .coef = d.coef };
    memcpy(p.power, d.power, sizeof p.power);
    return p;
}

PlanOperand lower_operand(const Lower *l, ValueId v)
{
    const Value *value = &l->g->values[v];
    CHECK(value->place.buffer != NO_BUFFER, "value %%%u has no place", v);
    const Buffer *buffer = &l->g->buffers[value->place.buffer];
    PlanOperand o = { .storage = -1, .dtype = (uint32_t)value->type.dtype,
                      .rank = value->type.shape.rank, .offset = plan_dim_of(value->place.offset) };
    if (buffer->storage == NO_STORAGE)
        o.byte_offset = buffer->offset;
    else
        o.storage = (int32_t)l->storage_of[buffer->storage];
    for (int a = 0; a < value->type.shape.rank; a++) {
        o.dim[a] = plan_dim_of(value->type.shape.dim[a]);
        o.stride[a] = plan_dim_of(value->place.stride[a]);
    }
    return o;
}

static const char *node_label(const Lower *l, const Node *n)
{
    const Graph *g = l->g;
    const char *file = n->span.line && n->span.file < g->n_files ? g->files[n->span.file] : NULL;
    const char *slash = file ? strrchr(file, '/') : NULL;
    const char *space = n->path && *n->path ? " " : "";
    return file ? arena_printf(l->plan->arena, "%s %s:%u%s%s", op_info(n->op)->name,
                               slash ? slash + 1 : file, n->span.line, space,
                               *space ? n->path : "")
                : op_info(n->op)->name;
}

PlanInstr *lower_begin(Lower *l, const char *kernel, const Node *n)
{
    PlanBuilder *b = l->plan;
    PlanInstr in = { .kernel = plan_builder_string(b, kernel), .first_operand = b->n_operands,
                     .row = NO_ROW, .label = plan_builder_string(b, node_label(l, n)) };
    ARENA_PUSH(b->arena, b->instrs, b->n_instrs, b->cap_instrs, in);
    ARENA_PUSH(b->arena, b->instr_nodes, b->n_instr_nodes, b->cap_instr_nodes,
               (uint32_t)(n - l->g->nodes));
    return &b->instrs[b->n_instrs - 1];
}

void lower_add_operand(Lower *l, PlanOperand o)
{
    PlanBuilder *b = l->plan;
    ARENA_PUSH(b->arena, b->operands, b->n_operands, b->cap_operands, o);
    b->instrs[b->n_instrs - 1].n_operands++;
}

static void add_results(Lower *l, const Node *n)
{
    for (unsigned i = 0; i < n->n_outputs; i++)
        lower_add_operand(l, lower_operand(l, n->first_output + i));
}

static void add_inputs(Lower *l, const Node *n, unsigned from)
{
    for (unsigned i = from; i < n->n_inputs; i++)
        lower_add_operand(l, lower_operand(l, node_input(l->g, n, i)));
}

/* ---- the lower column ------------------------------------------------------------------------- */

static void lower_none(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    CHECK(op_info(node->op)->class == CLASS_SOURCE, "%s is to be decomposed before lowering",
          op_info(node->op)->name);
}

/* Constants of row programs; see lower_row.c. */
static void lower_extent(Lower *l, NodeId n)
{
    (void)l;
    (void)n;
}

static void lower_view(Lower *l, NodeId n)
{
    (void)l;
    (void)n;
}

static void lower_map(Lower *l, NodeId n)
{
    if (l->g->nodes[n].op != OP_constant)
        lower_rows(l, n, n + 1);
}

/* The kernel named as the op: results, then inputs.  `from` skips an input that is the result's own
 * storage. */
static PlanInstr *lower_named(Lower *l, NodeId n, const char *kernel, unsigned from)
{
    const Node *node = &l->g->nodes[n];
    lower_begin(l, kernel, node);
    add_results(l, node);
    add_inputs(l, node, from);
    return &l->plan->instrs[l->plan->n_instrs - 1];
}

static void lower_kernel(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    PlanInstr *in = lower_named(l, n, op_info(node->op)->name, node->op == OP_cache_write ? 1 : 0);
    const bool turned = node->op == OP_cache_write && node->n_inputs > 3;
    if (node->op == OP_rope || turned) {
        in->i[0] = NODE_ATTR(node, rope, style).i;
        in->i[1] = NODE_ATTR(node, rope, inverse).i;
        in->f[0] = NODE_ATTR(node, rope, base).f;
    } else if (node->op == OP_cross_entropy) {
        in->i[0] = NODE_ATTR(node, cross_entropy, ignore).i;
    } else if (node->op == OP_cross_entropy_grad) {
        in->i[0] = NODE_ATTR(node, cross_entropy_grad, ignore).i;
        in->f[0] = 1;
    }
}

/* The table is the result's own storage; squares come last. */
static void lower_embedding_grad(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    lower_begin(l, "embedding_grad", node)->i[0] = NODE_ATTR(node, embedding_grad, squares).i;
    lower_add_operand(l, lower_operand(l, node->first_output));
    add_inputs(l, node, 1);
    if (node->n_outputs > 1)
        lower_add_operand(l, lower_operand(l, node->first_output + 1));
}

static void lower_sum_squares(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    lower_begin(l, "reduce_sum", node)->i[1] = 1;
    lower_add_operand(l, lower_operand(l, node->first_output));
    add_inputs(l, node, 0);
    lower_add_operand(l, lower_operand(l, node->first_output + 1));
}

static void lower_positions(Lower *l, NodeId n)
{
    lower_named(l, n, "positions", 0);
}

static void lower_partial_sum(Lower *l, NodeId n)
{
    lower_named(l, n, "partial_sum", 0)->i[0] = NODE_ATTR(&l->g->nodes[n], partial_sum, square).i;
}

/* What the three attention ops have in common; the attributes stand in the same order in all. */
static void lower_attention(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    const bool cached = node->op == OP_attention_cached;
    const bool grad = node->op == OP_attention_grad;
    const AttrValue *attr = node->attr;
    PlanInstr *in = lower_named(l, n, grad ? "attention_grad" : "attention", 0);
    const Dim head = value_type(l->g, node_input(l->g, node, 0))->shape.dim[3];
    CHECK(dim_is_const(head), "attention's head has a fixed size");
    in->i[0] = attr[ATTR_INDEX(attention, causal)].i;
    in->i[1] = attr[ATTR_INDEX(attention, window)].i;
    in->i[2] = cached;
    in->f[0] = attr[ATTR_INDEX(attention, scale)].f;
    if (in->f[0] == 0)
        in->f[0] = 1 / sqrt((double)head.coef);
    in->f[1] = attr[ATTR_INDEX(attention, soft_cap)].f;
    in->i[5] = !cached && attr[ATTR_INDEX(attention, precision)].i == DTYPE_bf16;
    if (!cached && node->n_inputs > (grad ? 6 : 3)) {
        in->f[2] = attr[ATTR_INDEX(attention, drop)].f;
        in->i[3] = attr[ATTR_INDEX(attention, site)].i;
        in->i[4] = 1;
    }
}

void lower_swap_last_axes(PlanOperand *o)
{
    uint32_t a = o->rank - 2, b = o->rank - 1;
    PlanDim dim = o->dim[a], stride = o->stride[a];
    o->dim[a] = o->dim[b];
    o->stride[a] = o->stride[b];
    o->dim[b] = dim;
    o->stride[b] = stride;
}

/* Gives an operand the leading axes of `like`: stride 0 where it lacks them or has 1. */
static PlanOperand broadcast_leading(PlanOperand o, const PlanOperand *like)
{
    PlanOperand r = o;
    uint32_t missing = like->rank - o.rank;
    r.rank = like->rank;
    for (uint32_t a = 0; a < like->rank; a++) {
        if (a >= missing) {
            r.dim[a] = o.dim[a - missing];
            r.stride[a] = o.stride[a - missing];
        }
        bool stretched = a + 2 < like->rank
            && (a < missing || memcmp(&r.dim[a], &like->dim[a], sizeof r.dim[a]) != 0);
        if (stretched) {
            r.dim[a] = like->dim[a];
            r.stride[a] = (PlanDim){ 0 };
        }
    }
    return r;
}

PlanInstr *lower_begin_product(Lower *l, const Node *n, DType b, double alpha, DType precision)
{
    PlanInstr *in = lower_begin(l, dtype_block(b) > 1 ? "gemm_q" : "gemm", n);
    in->f[0] = alpha;
    in->i[4] = precision == DTYPE_bf16;
    return in;
}

static bool same_place(const Graph *g, ValueId a, ValueId b)
{
    const Value *x = &g->values[a], *y = &g->values[b];
    if (x->place.buffer != y->place.buffer || !dim_equal(x->place.offset, y->place.offset))
        return false;
    for (int k = 0; k < x->type.shape.rank; k++)
        if (!dim_equal(x->place.stride[k], y->place.stride[k]))
            return false;
    return true;
}

/* A residual that lies where the result goes is what the product adds to. */
static void lower_epilogue(Lower *l, const Node *node)
{
    PlanInstr *in = &l->plan->instrs[l->plan->n_instrs - 1];
    const bool bias = NODE_ATTR(node, product, bias).i;
    const bool residual = NODE_ATTR(node, product, residual).i;
    const ValueId last = node_input(l->g, node, node->n_inputs - 1u);
    const bool onto = residual && same_place(l->g, last, node->first_output);
    RowOp act;
    bool known = row_op_from_name(op_info((OpId)NODE_ATTR(node, product, activation).i)->name, &act);
    CHECK(known && !(onto && act != ROW_copy), "an epilogue that gemm does not have");
    in->i[0] = onto;
    in->i[1] = bias;
    in->i[2] = residual && !onto;
    in->i[3] = act;
    if (bias)
        lower_add_operand(l, lower_operand(l, node_input(l->g, node, 2)));
    if (residual && !onto)
        lower_add_operand(l, lower_operand(l, last));
}

/* C, A and B of a product. */
typedef struct Factors { PlanOperand c, a, b; } Factors;

static Factors factors_of(const Lower *l, const Node *node)
{
    Factors f = { .c = lower_operand(l, node->first_output),
                  .a = lower_operand(l, node_input(l->g, node, 0)),
                  .b = lower_operand(l, node_input(l->g, node, 1)) };
    const bool blocks = dtype_block((DType)f.b.dtype) > 1;
    if (NODE_ATTR(node, matmul, transpose_a).i)
        lower_swap_last_axes(&f.a);
    if (NODE_ATTR(node, matmul, transpose_b).i && !blocks)
        lower_swap_last_axes(&f.b);
    f.a = broadcast_leading(f.a, &f.c);
    if (!blocks)
        f.b = broadcast_leading(f.b, &f.c);
    return f;
}

static void lower_gemm(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    const Factors f = factors_of(l, node);
    lower_begin_product(l, node, (DType)f.b.dtype, NODE_ATTR(node, matmul, alpha).f,
                        (DType)NODE_ATTR(node, matmul, precision).i);
    lower_add_operand(l, f.c);
    lower_add_operand(l, f.a);
    lower_add_operand(l, f.b);
    if (node->op == OP_product)
        lower_epilogue(l, node);
}

/* A group of products that read one input. */
static void lower_shared(Lower *l, NodeId first, NodeId last)
{
    const Node *node = &l->g->nodes[first];
    const Factors f = factors_of(l, node);
    PlanInstr *in = lower_begin_product(l, node, (DType)f.b.dtype, NODE_ATTR(node, matmul, alpha).f,
                                        (DType)NODE_ATTR(node, matmul, precision).i);
    in->kernel = plan_builder_string(l->plan, dtype_block((DType)f.b.dtype) > 1 ? "gemm_q_shared"
                                                                                 : "gemm_shared");
    for (NodeId n = first; n < last; n++)
        lower_add_operand(l, factors_of(l, &l->g->nodes[n]).c);
    lower_add_operand(l, f.a);
    for (NodeId n = first; n < last; n++)
        lower_add_operand(l, factors_of(l, &l->g->nodes[n]).b);
}

static void lower_gemm_squares(Lower *l, NodeId n)
{
    lower_gemm(l, n);
    l->plan->instrs[l->plan->n_instrs - 1].i[5] = 1;
    lower_add_operand(l, lower_operand(l, l->g->nodes[n].first_output + 1));
}

static void lower_assign_product(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    PlanOperand c = lower_operand(l, node->first_output);
    PlanOperand a = lower_operand(l, node_input(l->g, node, 1));
    PlanOperand b = lower_operand(l, node_input(l->g, node, 2));
    if (NODE_ATTR(node, assign_product, transpose_a).i)
        lower_swap_last_axes(&a);
    if (NODE_ATTR(node, assign_product, transpose_b).i)
        lower_swap_last_axes(&b);
    lower_begin_product(l, node, (DType)b.dtype, NODE_ATTR(node, assign_product, alpha).f,
                        (DType)NODE_ATTR(node, assign_product, precision).i)->i[0] = 1;
    lower_add_operand(l, c);
    lower_add_operand(l, broadcast_leading(a, &c));
    lower_add_operand(l, broadcast_leading(b, &c));
}

/* Over the last axis a reduction is a row program; over others a kernel of its own. */
static void lower_reduce(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    const Type *in = value_type(l->g, node_input(l->g, node, 0));
    const int64_t axes = node->attr[0].i;
    CHECK(axes != ALL_AXES, "sums over everything are decomposed");
    if (axes == (int64_t)1 << (in->shape.rank - 1)) {
        lower_rows(l, n, n + 1);
        return;
    }
    lower_named(l, n, node->op == OP_sum ? "reduce_sum"
                      : node->op == OP_max ? "reduce_max" : "reduce_min", 0);
}

static void lower_copy(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    ValueId from = node_input(l->g, node, 0);
    if (l->g->values[from].place.buffer == NO_BUFFER)
        lower_rows(l, n, n + 1);
    else if (!same_place(l->g, from, node->first_output))
        lower_named(l, n, "copy", 0);
}

/* The part of `o` from element `start` of `axis` on, as long as `dim`. */
static PlanOperand operand_part(const Lower *l, ValueId whole, int axis, int64_t start, Dim dim)
{
    PlanOperand o = lower_operand(l, whole);
    const Place *place = &l->g->values[whole].place;
    Dim step;
    bool ok = dim_mul(place->stride[axis], dim_const(start), &step);
    CHECK(ok, "inside the whole");
    o.dim[axis] = plan_dim_of(dim);
    if (step.coef == 0)
        return o;
    if (place->offset.coef == 0) {
        o.offset = plan_dim_of(step);
        return o;
    }
    CHECK(memcmp(step.power, place->offset.power, sizeof step.power) == 0,
          "offset of a part is not a monomial");
    step.coef += place->offset.coef;
    o.offset = plan_dim_of(step);
    return o;
}

static bool operand_equal(const PlanOperand *a, const PlanOperand *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void lower_concat(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    const int axis = (int)NODE_ATTR(node, concat, axis).i;
    int64_t start = 0;
    for (unsigned i = 0; i < node->n_inputs; i++) {
        ValueId in = node_input(l->g, node, i);
        Dim dim = value_type(l->g, in)->shape.dim[axis];
        PlanOperand to = operand_part(l, node->first_output, axis, start, dim);
        PlanOperand from = lower_operand(l, in);
        start += dim.coef;
        if (operand_equal(&to, &from))
            continue;
        lower_begin(l, "copy", node);
        lower_add_operand(l, to);
        lower_add_operand(l, from);
    }
}

/* Writes zeros over an operand: a row program of one instruction. */
static void lower_zeros(Lower *l, const Node *node, PlanOperand to)
{
    PlanBuilder *b = l->plan;
    PlanRow row = { .rank = to.rank, .first_const = b->n_row_consts, .n_consts = 1,
                    .first_temp = b->n_row_temps, .first_instr = b->n_row_instrs, .n_instrs = 1,
                    .outputs = 1 };
    memcpy(row.dim, to.dim, sizeof row.dim);
    RowInstr copy = { .op = ROW_copy, .dst = 0, .a = 1 };
    PlanRowConst zero = { .bits = 0 };
    ARENA_PUSH(b->arena, b->row_instrs, b->n_row_instrs, b->cap_row_instrs, copy);
    ARENA_PUSH(b->arena, b->row_consts, b->n_row_consts, b->cap_row_consts, zero);
    ARENA_PUSH(b->arena, b->rows, b->n_rows, b->cap_rows, row);
    lower_begin(l, "row", node)->row = b->n_rows - 1;
    lower_add_operand(l, to);
}

static void lower_pad(Lower *l, NodeId n)
{
    const Node *node = &l->g->nodes[n];
    const int axis = (int)NODE_ATTR(node, pad, axis).i;
    const int64_t before = NODE_ATTR(node, pad, before).i, after = NODE_ATTR(node, pad, after).i;
    const ValueId out = node->first_output, in = node_input(l->g, node, 0);
    const Dim dim = value_type(l->g, in)->shape.dim[axis];
    PlanOperand to = operand_part(l, out, axis, before, dim);
    PlanOperand from = lower_operand(l, in);
    if (before)
        lower_zeros(l, node, operand_part(l, out, axis, 0, dim_const(before)));
    if (after)
        lower_zeros(l, node, operand_part(l, out, axis, before + dim.coef, dim_const(after)));
    if (!operand_equal(&to, &from)) {
        lower_begin(l, "copy", node);
        lower_add_operand(l, to);
        lower_add_operand(l, from);
    }
}

static void lower_causal_mask(Lower *l, NodeId n)
{
    lower_none(l, n);
}

static LowerFn *const lower_rules[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    [OP_##name] = lower_##lower,
#include "ir/ops.def"
};

/* ---- programs --------------------------------------------------------------------------------- */

static PlanStorage plan_storage_of(PlanBuilder *b, const Storage *s)
{
    static const PlanInit inits[N_INITS] = {
#define X(name) [INIT_##name] = PLAN_INIT_##name,
        PLAN_INITS(X)
#undef X
    };
    static const PlanStorageClass classes[N_STORAGE_CLASSES] = {
        [STORAGE_INPUT] = PLAN_INPUT, [STORAGE_PARAM] = PLAN_PARAM, [STORAGE_STATE] = PLAN_STATE
    };
    PlanStorage p = { .name = plan_builder_string(b, s->name), .class = classes[s->class],
                      .dtype = (uint32_t)s->type.dtype, .rank = s->type.shape.rank,
                      .init = inits[s->init], .train_only = s->train_only,
                      .init_value = s->init_value, .index_limit = s->index_limit,
                      .index_ignore = s->index_ignore };
    for (int a = 0; a < s->type.shape.rank; a++)
        p.dim[a] = plan_dim_of(s->type.shape.dim[a]);
    return p;
}

/* A storage of this name in the plan, added when there is none; programs share by name. */
static uint32_t share_storage(Lower *l, const Storage *s)
{
    PlanBuilder *b = l->plan;
    PlanStorage p = plan_storage_of(b, s);
    if (strcmp(s->name, "$lr") == 0)
        p.init_value = l->g->optimizer.lr;
    for (uint32_t i = 0; i < b->n_storages; i++)
        if (b->storages[i].name == p.name)
            return i;
    ARENA_PUSH(b->arena, b->storages, b->n_storages, b->cap_storages, p);
    return b->n_storages - 1;
}

/* A parameter's place in the plan, by that of its copy. */
static void link_copies(Lower *l)
{
    const Graph *g = l->g;
    for (StorageId s = 0; s < g->n_storages; s++) {
        const char *of = g->storages[s].rounded_of;
        if (of)
            l->plan->storages[l->storage_of[s]].rounded_of =
                1 + l->storage_of[graph_find_storage(g, of)];
    }
}

/* Which storages does this program touch?  Those with a source node in it, and what copies are made of. */
static void use_storages(Lower *l)
{
    const Graph *g = l->g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        if (node->op != OP_input && node->op != OP_param && node->op != OP_state)
            continue;
        PlanStorage *s = &l->plan->storages[l->storage_of[node->attr[0].i]];
        s->programs |= l->program;
        if (s->rounded_of)
            l->plan->storages[s->rounded_of - 1].programs |= l->program;
    }
}

static void share_symbols(PlanBuilder *b, const Graph *g)
{
    static const PlanRole roles[N_ROLES] = {
        [ROLE_BATCH] = PLAN_BATCH, [ROLE_SEQUENCE] = PLAN_SEQUENCE, [ROLE_FREE] = PLAN_FREE
    };
    for (uint32_t i = b->n_symbols; i < g->n_symbols; i++) {
        PlanSymbol s = { .name = plan_builder_string(b, g->symbol[i].name),
                         .role = roles[g->symbol[i].role] };
        ARENA_PUSH(b->arena, b->symbols, b->n_symbols, b->cap_symbols, s);
    }
}

static void add_output(Lower *l, const Output *o)
{
    PlanBuilder *b = l->plan;
    PlanOperand operand = lower_operand(l, o->value);
    PlanOutput out = { .name = plan_builder_string(b, o->name), .operand = b->n_operands };
    ARENA_PUSH(b->arena, b->operands, b->n_operands, b->cap_operands, operand);
    ARENA_PUSH(b->arena, b->outputs, b->n_outputs, b->cap_outputs, out);
}

static PlanProgramKind plan_kind(Program p)
{
    switch (p) {
#define X(name) case PROGRAM_##name: return PLAN_##name;
        PLAN_PROGRAMS(X)
#undef X
    case PROGRAM_model:
    case N_PROGRAMS:
        break;
    }
    CHECK(false, "a model is specialised before it is lowered");
    return PLAN_score;
}

static void lower_nodes(Lower *l)
{
    const Graph *g = l->g;
    for (NodeId n = 0; n < g->n_nodes;) {
        NodeId end = n + 1;
        const uint32_t group = g->nodes[n].group;
        if (group == 0) {
            lower_rules[g->nodes[n].op](l, n);
        } else {
            while (end < g->n_nodes && g->nodes[end].group == group)
                end++;
            if (op_info(g->nodes[n].op)->class == CLASS_MATMUL)
                lower_shared(l, n, end);
            else
                lower_rows(l, n, end);
        }
        n = end;
    }
}

void lower_program(PlanBuilder *b, const Graph *g)
{
    Lower l = { .plan = b, .g = g, .program = 1u << plan_kind(g->program),
                .storage_of = arena_array(b->arena, g->n_storages + 1, sizeof(uint32_t)) };
    PlanProgram p = { .kind = plan_kind(g->program), .first_instr = b->n_instrs,
                      .first_output = b->n_outputs, .pool_bytes = g->pool_bytes,
                      .pool_bound = g->pool_bound };
    share_symbols(b, g);
    for (int s = 0; s < MAX_SYMBOLS; s++)
        p.max[s] = s < (int)g->n_symbols ? g->symbol[s].max : 1;
    for (StorageId s = 0; s < g->n_storages; s++)
        l.storage_of[s] = share_storage(&l, &g->storages[s]);
    l.max = p.max;
    link_copies(&l);
    use_storages(&l);
    lower_nodes(&l);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        add_output(&l, &g->outputs[i]);
    p.n_instrs = b->n_instrs - p.first_instr;
    p.n_outputs = b->n_outputs - p.first_output;
    p.n_barriers = mark_barriers(b, &p);
    ARENA_PUSH(b->arena, b->programs, b->n_programs, b->cap_programs, p);
}
