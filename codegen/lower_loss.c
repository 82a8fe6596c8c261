/* The output matrix with the cross entropy: for each chunk of rows the product that makes its
 * logits, their loss, their gradient in place, and the products of the gradient with the rows and
 * with the weights.  All chunks use the same room; how many there are depends on the largest sizes,
 * and at smaller ones the last are cut short or empty. */
#include "codegen/lower.h"

#include "base/check.h"

/* Operands of the whole call; those that have rows are cut per chunk. */
typedef struct LossCall {
    const Node *node;
    PlanOperand x, w, targets, g, dx, dw, loss, lse, room;
    bool grad, transpose_w;
    double alpha;
    int64_t chunk, ignore;
    DType precision;
} LossCall;

static LossCall bind_loss(const Lower *l, const Node *n)
{
    const ValueId out = n->first_output;
    LossCall c = { .node = n, .grad = n->op == OP_linear_cross_entropy_grad,
                   .transpose_w = NODE_ATTR(n, linear_cross_entropy, transpose_w).i,
                   .alpha = NODE_ATTR(n, linear_cross_entropy, alpha).f,
                   .chunk = NODE_ATTR(n, linear_cross_entropy, chunk).i,
                   .ignore = NODE_ATTR(n, linear_cross_entropy, ignore).i,
                   .precision = (DType)NODE_ATTR(n, linear_cross_entropy, precision).i };
    c.x = lower_operand(l, node_input(l->g, n, 0));
    c.w = lower_operand(l, node_input(l->g, n, 1));
    c.targets = lower_operand(l, node_input(l->g, n, 2));
    if (c.grad) {
        c.g = lower_operand(l, node_input(l->g, n, 3));
        c.dx = lower_operand(l, out);
        c.dw = lower_operand(l, out + 1);
    }
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

static void add_loss(Lower *l, const LossCall *c, int64_t first, PlanOperand room)
{
    lower_begin(l, "cross_entropy", c->node)->i[0] = c->ignore;
    lower_add_operand(l, rows_of(c, c->loss, first, true));
    lower_add_operand(l, rows_of(c, c->lse, first, true));
    lower_add_operand(l, room);
    lower_add_operand(l, rows_of(c, c->targets, first, true));
}

static void add_slope(Lower *l, const LossCall *c, int64_t first, PlanOperand room)
{
    lower_begin(l, "cross_entropy_grad", c->node)->i[0] = c->ignore;
    lower_add_operand(l, room);
    lower_add_operand(l, room);
    lower_add_operand(l, rows_of(c, c->lse, first, true));
    lower_add_operand(l, rows_of(c, c->targets, first, true));
    lower_add_operand(l, rows_of(c, c->g, first, true));
}

/* dw comes before dx, which may take the place of x. */
static void add_chunk(Lower *l, const LossCall *c, int64_t first)
{
    const PlanOperand room = rows_of(c, c->room, first, false);
    const PlanOperand x = rows_of(c, c->x, first, true);
    const bool turn = c->transpose_w && dtype_block((DType)c->w.dtype) == 1;
    add_product(l, c, room, x, turn ? turned(c->w) : c->w, false);
    add_loss(l, c, first, room);
    if (!c->grad)
        return;
    add_slope(l, c, first, room);
    if (c->transpose_w)
        add_product(l, c, c->dw, turned(room), x, first > 0);
    else
        add_product(l, c, c->dw, turned(x), room, first > 0);
    add_product(l, c, rows_of(c, c->dx, first, true), room, c->transpose_w ? c->w : turned(c->w),
                false);
}

void lower_linear_cross_entropy(Lower *l, NodeId n)
{
    const LossCall c = bind_loss(l, &l->g->nodes[n]);
    int64_t rows;
    const bool known = plan_dim(&c.x.dim[0], l->max, &rows);
    CHECK(known, "more rows than can be counted");
    for (int64_t first = 0; first < rows; first += c.chunk)
        add_chunk(l, &c, first);
}
