/* The output matrix with the cross entropy: for each chunk of rows the product and the row program of
 * what follows it, which make its logits, their loss, their gradient in place, its sum over the rows
 * for a bias, and its products with the rows and with the weights.  All chunks use the same room; how
 * many there are depends on the largest sizes, and at smaller ones the last are cut short or empty. */
#include "codegen/lower.h"

#include "base/check.h"

#include <string.h>

/* Operands of the whole call; those that have rows are cut per chunk. */
typedef struct LossCall {
    const Node *node;
    PlanOperand x, w, targets, g, bias, dx, dw, loss, lse, room, dbias, squares, dbias_squares;
    bool grad, transpose_w, biased, squared;
    double alpha, gain;
    OpId act;
    int64_t chunk, ignore;
    DType precision;
} LossCall;

/* [V] as [1, V]. */
static PlanOperand as_row(PlanOperand o)
{
    o.rank = 2;
    o.dim[1] = o.dim[0];
    o.stride[1] = o.stride[0];
    o.dim[0] = (PlanDim){ .coef = 1 };
    o.stride[0] = (PlanDim){ 0 };
    return o;
}

static LossCall bind_loss(const Lower *l, const Node *n)
{
    const ValueId out = n->first_output;
    LossCall c = { .node = n, .grad = n->op == OP_linear_cross_entropy_grad,
                   .transpose_w = NODE_ATTR(n, linear_cross_entropy, transpose_w).i,
                   .alpha = NODE_ATTR(n, linear_cross_entropy, alpha).f,
                   .chunk = NODE_ATTR(n, linear_cross_entropy, chunk).i,
                   .ignore = NODE_ATTR(n, linear_cross_entropy, ignore).i,
                   .act = (OpId)NODE_ATTR(n, linear_cross_entropy, activation).i,
                   .gain = NODE_ATTR(n, linear_cross_entropy, gain).f,
                   .precision = (DType)NODE_ATTR(n, linear_cross_entropy, precision).i };
    c.x = lower_operand(l, node_input(l->g, n, 0));
    c.w = lower_operand(l, node_input(l->g, n, 1));
    c.targets = lower_operand(l, node_input(l->g, n, 2));
    if (c.grad) {
        c.g = lower_operand(l, node_input(l->g, n, 3));
        c.dx = lower_operand(l, out);
        c.dw = lower_operand(l, out + 1);
    }
    c.biased = n->n_inputs > (c.grad ? 4 : 3);
    if (c.biased)
        c.bias = as_row(lower_operand(l, node_input(l->g, n, n->n_inputs - 1u)));
    if (c.biased && c.grad)
        c.dbias = as_row(lower_operand(l, out + 5));
    c.squared = c.grad && NODE_ATTR(n, linear_cross_entropy_grad, squares).i;
    if (c.squared)
        c.squares = lower_operand(l, out + n->n_outputs - 1);
    if (c.squared && c.biased)
        c.dbias_squares = lower_operand(l, out + 6);
    c.loss = lower_operand(l, out + (c.grad ? 2 : 0));
    c.lse = lower_operand(l, out + (c.grad ? 3 : 1));
    c.room = lower_operand(l, out + (c.grad ? 4 : 2));
    c.room.dim[0] = c.x.dim[0];         /* cut to the chunk like the rest */
    return c;
}

/* Rows [first, first + chunk) of an operand; of the room, the same number from its beginning. */
static PlanOperand rows_of(const LossCall *c, PlanOperand o, int64_t first, bool moves)
{
    o.cut = (PlanCut){ .axis = 0, .skip = first, .most = c->chunk, .from = moves ? first : 0 };
    return o;
}

static PlanOperand turned(PlanOperand o)
{
    lower_swap_last_axes(&o);
    o.cut.axis = o.cut.most ? 1 - o.cut.axis : 0;
    return o;
}

static void add_product(Lower *l, const LossCall *c, PlanOperand to, PlanOperand a, PlanOperand b,
                        bool accumulate)
{
    PlanInstr *in = lower_begin_product(l, c->node, (DType)b.dtype, c->alpha, c->precision);
    in->i[0] = accumulate;
    lower_add_operand(l, to);
    lower_add_operand(l, a);
    lower_add_operand(l, b);
}

static RowOp row_op_of(OpId op)
{
    RowOp row;
    const bool known = row_op_from_name(op_info(op)->name, &row);
    CHECK(known, "no row instruction %s", op_info(op)->name);
    return row;
}

/* room = gain act(room + bias), as far as there are such.  Operands are the room and the bias, then
 * come the gain and a temporary. */
static void add_epilogue(Lower *l, const LossCall *c, PlanOperand room)
{
    const bool acts = c->act != OP_copy, scales = c->gain < 1 || c->gain > 1;
    const uint16_t constant = (uint16_t)(1 + c->biased), temp = (uint16_t)(constant + scales);
    const int n = c->biased + acts + scales;
    PlanBuilder *b = l->plan;
    RowInstr steps[3];
    int k = 0;
    if (c->biased)
        steps[k++] = (RowInstr){ .op = ROW_add, .b = 1 };
    if (acts)
        steps[k++] = (RowInstr){ .op = (uint16_t)row_op_of(c->act) };
    if (scales)
        steps[k++] = (RowInstr){ .op = ROW_mul, .b = constant };
    if (n == 0)
        return;
    PlanRow row = { .rank = 2, .first_const = b->n_row_consts, .n_consts = scales, .n_temps = n > 1,
                    .first_temp = b->n_row_temps, .first_instr = b->n_row_instrs,
                    .n_instrs = (uint32_t)n, .outputs = 1, .cut = room.cut };
    row.cut.from = 0;
    memcpy(row.dim, room.dim, sizeof row.dim);
    for (int i = 0; i < n; i++) {
        steps[i].a = i > 0 ? temp : 0;
        steps[i].dst = i + 1 < n ? temp : 0;
        ARENA_PUSH(b->arena, b->row_instrs, b->n_row_instrs, b->cap_row_instrs, steps[i]);
    }
    const float gain = (float)c->gain;
    PlanRowConst value = { 0 };
    memcpy(&value.bits, &gain, sizeof gain);
    if (scales)
        ARENA_PUSH(b->arena, b->row_consts, b->n_row_consts, b->cap_row_consts, value);
    if (n > 1)
        ARENA_PUSH(b->arena, b->row_temps, b->n_row_temps, b->cap_row_temps, 0);
    ARENA_PUSH(b->arena, b->rows, b->n_rows, b->cap_rows, row);
    lower_begin(l, "row", c->node)->row = b->n_rows - 1;
    lower_add_operand(l, room);
    if (c->biased)
        lower_add_operand(l, c->bias);
}

static void add_loss(Lower *l, const LossCall *c, int64_t first, PlanOperand room)
{
    lower_begin(l, "cross_entropy", c->node)->i[0] = c->ignore;
    lower_add_operand(l, rows_of(c, c->loss, first, true));
    lower_add_operand(l, rows_of(c, c->lse, first, true));
    lower_add_operand(l, room);
    lower_add_operand(l, rows_of(c, c->targets, first, true));
}

/* The gradient of a chunk's logits, in their place.  Where products read it as bf16 beside weights that are, it
 * is rounded as it is written: each row at the beginning of its logits. */
static PlanOperand gradient_of(const LossCall *c, PlanOperand room)
{
    if (c->precision == DTYPE_bf16 && c->w.dtype == DTYPE_bf16 && !c->biased) {
        room.dtype = DTYPE_bf16;
        room.stride[0].coef *= (int64_t)(dtype_size(DTYPE_f32) / dtype_size(DTYPE_bf16));
    }
    return room;
}

static void add_slope(Lower *l, const LossCall *c, int64_t first, PlanOperand room)
{
    PlanInstr *in = lower_begin(l, "cross_entropy_grad", c->node);
    double slope[3];
    const bool known = op_slope_of_result(c->act, slope);
    CHECK(known, "an activation whose slope its result does not tell");
    in->i[0] = c->ignore;
    in->f[0] = c->gain * slope[0];
    in->f[1] = slope[1];
    in->f[2] = slope[2] / c->gain;
    lower_add_operand(l, gradient_of(c, room));
    lower_add_operand(l, room);
    lower_add_operand(l, rows_of(c, c->lse, first, true));
    lower_add_operand(l, rows_of(c, c->targets, first, true));
    lower_add_operand(l, rows_of(c, c->g, first, true));
}

/* The bias adds to each row, so its gradient is the sum of theirs. */
static void add_column_sums(Lower *l, const LossCall *c, int64_t first, PlanOperand room, bool last)
{
    PlanInstr *in = lower_begin(l, "reduce_sum", c->node);
    in->i[0] = first > 0;
    in->i[1] = c->squared && last;
    lower_add_operand(l, c->dbias);
    lower_add_operand(l, room);
    if (c->squared && last)
        lower_add_operand(l, c->dbias_squares);
}

static void add_weights_gradient(Lower *l, const LossCall *c, int64_t first, PlanOperand room,
                                 PlanOperand x, bool last)
{
    if (c->transpose_w)
        add_product(l, c, c->dw, turned(room), x, first > 0);
    else
        add_product(l, c, c->dw, turned(x), room, first > 0);
    if (!c->squared || !last)
        return;
    l->plan->instrs[l->plan->n_instrs - 1].i[5] = 1;
    lower_add_operand(l, c->squares);
}

/* dw comes before dx, which may take the place of x.  The last chunk's gradients add up the squares of what
 * those of all chunks come to; with fewer rows than the most it has none, and still finishes them. */
static void add_chunk(Lower *l, const LossCall *c, int64_t first, bool last)
{
    const PlanOperand room = rows_of(c, c->room, first, false);
    const PlanOperand x = rows_of(c, c->x, first, true);
    const bool turn = c->transpose_w && dtype_block((DType)c->w.dtype) == 1;
    add_product(l, c, room, x, turn ? turned(c->w) : c->w, false);
    add_epilogue(l, c, room);
    add_loss(l, c, first, room);
    if (!c->grad)
        return;
    add_slope(l, c, first, room);
    if (c->biased)
        add_column_sums(l, c, first, room, last);
    add_weights_gradient(l, c, first, gradient_of(c, room), x, last);
    add_product(l, c, rows_of(c, c->dx, first, true), gradient_of(c, room), c->transpose_w ? c->w : turned(c->w),
                false);
}

void lower_linear_cross_entropy(Lower *l, NodeId n)
{
    const LossCall c = bind_loss(l, &l->g->nodes[n]);
    int64_t rows;
    const bool known = plan_dim(&c.x.dim[0], l->max, &rows);
    CHECK(known, "more rows than can be counted");
    for (int64_t first = 0; first < rows; first += c.chunk)
        add_chunk(l, &c, first, rows - first <= c.chunk);
}
