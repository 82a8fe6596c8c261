/* Row programs: a fused group, or one map or row reduction alone, as a straight list of instructions
 * on registers (runtime/kernels/row.h).
 *
 * Registers are numbered in three runs, operands, constants, temporaries, whose lengths are known
 * only at the end; so instructions are first written with tagged registers and renumbered then. */
#include "codegen/lower.h"

#include "base/check.h"

#include <string.h>

typedef enum RegClass { REG_OPERAND, REG_CONST, REG_TEMP } RegClass;

typedef struct Reg {
    RegClass class;
    uint16_t index;
} Reg;

/* As what a value is read: seeds, tables and ids do not have the shape of the space. */
typedef enum OperandUse { USE_ROWS, USE_SEED, USE_TABLE, USE_IDS } OperandUse;

typedef struct TaggedInstr {
    RowOp op;
    Reg dst, src[3];
    uint32_t site;
    float imm;
} TaggedInstr;

typedef struct RowLower {
    Lower *l;
    const Graph *g;
    NodeId first, last;                 /* the group's nodes [first, last) */
    Shape space;
    PlanOperand operand[MAX_OPERANDS];
    ValueId operand_value[MAX_OPERANDS];
    OperandUse operand_use[MAX_OPERANDS];
    uint32_t n_operands, outputs;
    PlanRowConst consts[MAX_ROW_CONSTS];
    uint32_t n_consts;
    uint8_t temp_per_row[MAX_ROW_REGS];
    bool temp_busy[MAX_ROW_REGS];
    uint32_t n_temps;
    TaggedInstr instrs[MAX_ROW_INSTRS];
    uint32_t n_instrs;
    Reg *reg;                           /* of the group's values, by value - first_value */
    NodeId *last_use;                   /* inside the group, likewise */
    ValueId first_value, n_values;
} RowLower;

/* ---- the space -------------------------------------------------------------------------------- */

static const Shape *node_space(const Graph *g, const Node *n)
{
    bool reduces = op_info(n->op)->class == CLASS_REDUCE;
    return &value_type(g, reduces ? node_input(g, n, 0) : n->first_output)->shape;
}

static bool last_is_one(const Shape *s)
{
    return s->rank == 0 || dim_is(s->dim[s->rank - 1], 1);
}

/* The shape of the widest member; a scalar is a row of one. */
static Shape group_space(const Graph *g, NodeId first, NodeId last)
{
    const Shape *widest = node_space(g, &g->nodes[first]);
    for (NodeId n = first + 1; n < last; n++) {
        const Shape *s = node_space(g, &g->nodes[n]);
        if (s->rank > widest->rank || (last_is_one(widest) && !last_is_one(s)))
            widest = s;
    }
    Shape space = *widest;
    if (space.rank == 0) {
        space.rank = 1;
        space.dim[0] = dim_const(1);
    }
    return space;
}

/* One value per row rather than one per element? */
static bool is_per_row(const RowLower *r, ValueId v)
{
    return last_is_one(&value_type(r->g, v)->shape) && !last_is_one(&r->space);
}

/* ---- operands --------------------------------------------------------------------------------- */

/* The value's place seen with the rank of the space: size 1 and stride 0 where it is broadcast. */
static PlanOperand align_operand(const RowLower *r, ValueId v)
{
    PlanOperand o = lower_operand(r->l, v), a = o;
    int rank = r->space.rank, missing = rank - (int)o.rank;
    CHECK(missing >= 0, "value %%%u has more axes than its group", v);
    a.rank = (uint32_t)rank;
    for (int k = 0; k < rank; k++) {
        bool there = k >= missing && !dim_is(value_type(r->g, v)->shape.dim[k - missing], 1);
        a.dim[k] = there ? o.dim[k - missing] : (PlanDim){ .coef = 1 };
        a.stride[k] = there ? o.stride[k - missing] : (PlanDim){ 0 };
    }
    return a;
}

/* The seed is two words for the whole space. */
static PlanOperand seed_operand(const RowLower *r, ValueId v)
{
    PlanOperand o = lower_operand(r->l, v), a = o;
    a.rank = r->space.rank;
    for (uint32_t k = 0; k < a.rank; k++) {
        a.dim[k] = (PlanDim){ .coef = k + 1 == a.rank ? 2 : 1 };
        a.stride[k] = (PlanDim){ .coef = k + 1 == a.rank ? 1 : 0 };
    }
    return a;
}

/* One id to a row: the axes of the ids, then one of size 1. */
static PlanOperand ids_operand(const RowLower *r, ValueId v)
{
    PlanOperand o = lower_operand(r->l, v), a = o;
    const uint32_t rank = r->space.rank, missing = rank - 1 - o.rank;
    CHECK(o.rank < rank, "ids with more axes than their group has rows");
    a.rank = rank;
    for (uint32_t k = 0; k < rank; k++) {
        const bool there = k >= missing && k + 1 < rank;
        a.dim[k] = there ? o.dim[k - missing] : (PlanDim){ .coef = 1 };
        a.stride[k] = there ? o.stride[k - missing] : (PlanDim){ 0 };
    }
    return a;
}

/* [parts, 1, .., N] as [parts, N]. */
static PlanOperand columns_operand(const RowLower *r, ValueId v)
{
    PlanOperand o = lower_operand(r->l, v), a = o;
    a.rank = 2;
    a.dim[1] = o.dim[o.rank - 1];
    a.stride[1] = o.stride[o.rank - 1];
    for (uint32_t k = 2; k < o.rank; k++)
        a.dim[k] = a.stride[k] = (PlanDim){ 0 };
    return a;
}

static PlanOperand operand_for(const RowLower *r, ValueId v, OperandUse use)
{
    switch (use) {
    case USE_ROWS:
        return align_operand(r, v);
    case USE_SEED:
        return seed_operand(r, v);
    case USE_TABLE:
        return lower_operand(r->l, v);
    case USE_IDS:
        return ids_operand(r, v);
    }
    return (PlanOperand){ 0 };
}

static Reg add_operand(RowLower *r, ValueId v, PlanOperand o, bool output)
{
    CHECK(r->n_operands < MAX_OPERANDS, "a group with more operands than an instruction has");
    r->operand[r->n_operands] = o;
    r->operand_value[r->n_operands] = v;
    r->operand_use[r->n_operands] = USE_ROWS;
    if (output)
        r->outputs |= 1u << r->n_operands;
    return (Reg){ REG_OPERAND, (uint16_t)r->n_operands++ };
}

static Reg input_operand(RowLower *r, ValueId v, OperandUse use)
{
    for (uint32_t i = 0; i < r->n_operands; i++)
        if (r->operand_value[i] == v && r->operand_use[i] == use)
            return (Reg){ REG_OPERAND, (uint16_t)i };
    const Reg reg = add_operand(r, v, operand_for(r, v, use), false);
    r->operand_use[reg.index] = use;
    return reg;
}

/* ---- constants -------------------------------------------------------------------------------- */

static Reg add_const(RowLower *r, PlanRowConst c)
{
    for (uint32_t i = 0; i < r->n_consts; i++)
        if (memcmp(&r->consts[i], &c, sizeof c) == 0)
            return (Reg){ REG_CONST, (uint16_t)i };
    CHECK(r->n_consts < MAX_ROW_CONSTS, "a group with too many constants");
    r->consts[r->n_consts] = c;
    return (Reg){ REG_CONST, (uint16_t)r->n_consts++ };
}

static Reg float_const(RowLower *r, double value)
{
    float f = (float)value;
    PlanRowConst c = { 0 };
    memcpy(&c.bits, &f, sizeof f);
    return add_const(r, c);
}

static Reg const_reg(RowLower *r, const Node *n)
{
    if (n->op == OP_extent)
        return add_const(r, (PlanRowConst){ .is_size = 1,
                                            .size = plan_dim_of(NODE_ATTR(n, extent, size).dim) });
    double value = NODE_ATTR(n, constant, value).f;
    if (NODE_ATTR(n, constant, dtype).i == DTYPE_i32)
        return add_const(r, (PlanRowConst){ .bits = (uint32_t)(int32_t)value });
    return float_const(r, value);
}

/* ---- registers of values ---------------------------------------------------------------------- */

static bool in_group(const RowLower *r, ValueId v)
{
    return v - r->first_value < r->n_values;
}

static Reg source_reg(RowLower *r, ValueId v, OperandUse use)
{
    if (in_group(r, v))
        return r->reg[v - r->first_value];
    const Node *constant = value_constant(r->g, v);
    return constant ? const_reg(r, constant) : input_operand(r, v, use);
}

static Reg take_temp(RowLower *r, bool per_row)
{
    uint16_t i = 0;
    while (i < r->n_temps && (r->temp_busy[i] || (r->temp_per_row[i] != 0) != per_row))
        i++;
    CHECK(i < MAX_ROW_REGS, "a group with too many live values");
    if (i == r->n_temps)
        r->temp_per_row[r->n_temps++] = per_row;
    r->temp_busy[i] = true;
    return (Reg){ REG_TEMP, i };
}

static void free_dead_inputs(RowLower *r, NodeId n)
{
    const Node *node = &r->g->nodes[n];
    for (unsigned i = 0; i < node->n_inputs; i++) {
        ValueId v = node_input(r->g, node, i);
        if (!in_group(r, v) || r->last_use[v - r->first_value] != n)
            continue;
        Reg reg = r->reg[v - r->first_value];
        if (reg.class == REG_TEMP)
            r->temp_busy[reg.index] = false;
    }
}

/* An assign in the group whose storage the value may be written to at once: nobody in the group
 * reads the old content after the value's node. */
static ValueId direct_assign(const RowLower *r, NodeId def, ValueId v)
{
    const Graph *g = r->g;
    for (NodeId n = def + 1; n < r->last; n++) {
        const Node *node = &g->nodes[n];
        if (node->op != OP_assign || node_input(g, node, 1) != v)
            continue;
        ValueId old = node_input(g, node, 0);
        for (NodeId m = def + 1; m < r->last; m++)
            for (unsigned i = 0; m != n && i < g->nodes[m].n_inputs; i++)
                if (node_input(g, &g->nodes[m], i) == old)
                    return NO_VALUE;
        return type_equal(value_type(g, old), value_type(g, v)) ? old : NO_VALUE;
    }
    return NO_VALUE;
}

static Reg result_reg(RowLower *r, NodeId n)
{
    const Node *node = &r->g->nodes[n];
    const ValueId v = node->first_output;
    if (node->op == OP_column_sums)
        return add_operand(r, v, columns_operand(r, v), true);
    if (r->g->values[v].place.buffer != NO_BUFFER)
        return add_operand(r, v, align_operand(r, v), true);
    ValueId assigned = direct_assign(r, n, v);
    if (assigned != NO_VALUE)
        return add_operand(r, v, align_operand(r, assigned), true);
    return take_temp(r, is_per_row(r, v));
}

/* ---- instructions ----------------------------------------------------------------------------- */

static RowOp row_op(const char *prefix, const char *name)
{
    char full[48];
    size_t n = strlen(prefix);
    RowOp op;
    memcpy(full, prefix, n + 1);
    strncat(full, name, sizeof full - n - 1);
    bool known = row_op_from_name(full, &op);
    CHECK(known, "no row instruction %s", full);
    return op;
}

static RowOp cast_op(RowLower *r, DType from, DType to, TaggedInstr *in)
{
    if (to == DTYPE_bool && from != DTYPE_bool) {
        in->src[1] = from == DTYPE_i32 ? add_const(r, (PlanRowConst){ 0 }) : float_const(r, 0);
        return from == DTYPE_i32 ? ROW_i32_ne : ROW_ne;
    }
    if (from == DTYPE_i32 && to == DTYPE_f32)
        return ROW_i32_to_f32;
    if (from != DTYPE_i32 && to == DTYPE_i32)
        return ROW_f32_to_i32;
    return ROW_copy;
}

static RowOp instr_op(RowLower *r, const Node *n, TaggedInstr *in)
{
    const DType from = n->n_inputs ? value_type(r->g, node_input(r->g, n, 0))->dtype : DTYPE_f32;
    switch (op_info(n->op)->class) {
    case CLASS_MAP:
        if (n->op == OP_cast)
            return cast_op(r, from, value_type(r->g, n->first_output)->dtype, in);
        if (n->op == OP_where || n->op == OP_dropout)
            break;
        return row_op(from == DTYPE_i32 ? "i32_" : "", op_info(n->op)->name);
    case CLASS_REDUCE:
        return row_op("", op_info(n->op)->name);
    case CLASS_MOVE:
        return n->op == OP_embedding ? ROW_gather : ROW_copy;
    case CLASS_WRITE:
        return ROW_copy;
    case CLASS_SOURCE:
    case CLASS_VIEW:
    case CLASS_MATMUL:
    case CLASS_KERNEL:
        CHECK(false, "%s cannot be part of a row program", op_info(n->op)->name);
    }
    return n->op == OP_where ? ROW_where : ROW_dropout;
}

static void add_instr(RowLower *r, TaggedInstr in)
{
    CHECK(r->n_instrs < MAX_ROW_INSTRS, "a group with too many instructions");
    r->instrs[r->n_instrs++] = in;
}

/* assign(old, new), which a state of bf16 keeps rounded: nothing when `new` was computed into the storage already. */
static void lower_assign(RowLower *r, NodeId n)
{
    const Node *node = &r->g->nodes[n];
    const ValueId old = node_input(r->g, node, 0), new_ = node_input(r->g, node, 1);
    if (!in_group(r, new_) || direct_assign(r, r->g->values[new_].def, new_) != old
        || r->g->values[new_].place.buffer != NO_BUFFER) {
        const bool rounds = value_type(r->g, old)->dtype == DTYPE_bf16;
        TaggedInstr in = { .op = rounds ? ROW_round_bf16 : ROW_copy,
                           .src = { source_reg(r, new_, USE_ROWS) } };
        in.dst = add_operand(r, node->first_output, align_operand(r, old), true);
        add_instr(r, in);
    }
    free_dead_inputs(r, n);
}

static OperandUse use_of(const Node *n, unsigned input)
{
    if (n->op == OP_embedding)
        return input == 0 ? USE_TABLE : USE_IDS;
    return n->op == OP_dropout && input == 1 ? USE_SEED : USE_ROWS;
}

static void lower_member(RowLower *r, NodeId n)
{
    const Node *node = &r->g->nodes[n];
    if (node->op == OP_assign) {
        lower_assign(r, n);
        return;
    }
    TaggedInstr in = { 0 };
    for (unsigned i = 0; i < node->n_inputs; i++)
        in.src[i] = source_reg(r, node_input(r->g, node, i), use_of(node, i));
    in.op = instr_op(r, node, &in);
    if (node->op == OP_dropout) {
        in.imm = (float)NODE_ATTR(node, dropout, p).f;
        in.site = (uint32_t)NODE_ATTR(node, dropout, site).i;
    }
    free_dead_inputs(r, n);
    in.dst = result_reg(r, n);
    r->reg[node->first_output - r->first_value] = in.dst;
    add_instr(r, in);
}

static void find_last_uses(RowLower *r)
{
    for (NodeId n = r->first; n < r->last; n++) {
        const Node *node = &r->g->nodes[n];
        for (unsigned i = 0; i < node->n_inputs; i++) {
            ValueId v = node_input(r->g, node, i);
            if (in_group(r, v))
                r->last_use[v - r->first_value] = n;
        }
    }
}

/* ---- into the plan ---------------------------------------------------------------------------- */

static uint16_t number_of(const RowLower *r, Reg reg)
{
    switch (reg.class) {
    case REG_OPERAND:
        return reg.index;
    case REG_CONST:
        return (uint16_t)(r->n_operands + reg.index);
    case REG_TEMP:
        return (uint16_t)(r->n_operands + r->n_consts + reg.index);
    }
    return 0;
}

static void emit(RowLower *r)
{
    PlanBuilder *b = r->l->plan;
    PlanRow row = { .rank = r->space.rank, .outputs = r->outputs,
                    .first_const = b->n_row_consts, .n_consts = r->n_consts,
                    .first_temp = b->n_row_temps, .n_temps = r->n_temps,
                    .first_instr = b->n_row_instrs, .n_instrs = r->n_instrs };
    for (int a = 0; a < r->space.rank; a++)
        row.dim[a] = plan_dim_of(r->space.dim[a]);
    for (uint32_t i = 0; i < r->n_consts; i++)
        ARENA_PUSH(b->arena, b->row_consts, b->n_row_consts, b->cap_row_consts, r->consts[i]);
    for (uint32_t i = 0; i < r->n_temps; i++)
        ARENA_PUSH(b->arena, b->row_temps, b->n_row_temps, b->cap_row_temps, r->temp_per_row[i]);
    for (uint32_t i = 0; i < r->n_instrs; i++) {
        const TaggedInstr *t = &r->instrs[i];
        const int n = row_op_inputs(t->op);
        RowInstr in = { .op = (uint16_t)t->op, .dst = number_of(r, t->dst), .site = t->site,
                        .imm = t->imm };
        in.a = n > 0 ? number_of(r, t->src[0]) : 0;
        in.b = n > 1 ? number_of(r, t->src[1]) : 0;
        in.c = n > 2 ? number_of(r, t->src[2]) : 0;
        ARENA_PUSH(b->arena, b->row_instrs, b->n_row_instrs, b->cap_row_instrs, in);
    }
    ARENA_PUSH(b->arena, b->rows, b->n_rows, b->cap_rows, row);
    lower_begin(r->l, "row", &r->g->nodes[r->last - 1])->row = b->n_rows - 1;
    for (uint32_t i = 0; i < r->n_operands; i++)
        lower_add_operand(r->l, r->operand[i]);
}

void lower_rows(Lower *l, NodeId first, NodeId last)
{
    const Graph *g = l->g;
    RowLower r = { .l = l, .g = g, .first = first, .last = last,
                   .space = group_space(g, first, last),
                   .first_value = g->nodes[first].first_output };
    const Node *end = &g->nodes[last - 1];
    r.n_values = end->first_output + end->n_outputs - r.first_value;
    r.reg = arena_array(l->plan->arena, r.n_values, sizeof *r.reg);
    r.last_use = arena_array(l->plan->arena, r.n_values, sizeof *r.last_use);
    find_last_uses(&r);
    for (NodeId n = first; n < last; n++)
        lower_member(&r, n);
    if (r.n_instrs > 0)
        emit(&r);
}
