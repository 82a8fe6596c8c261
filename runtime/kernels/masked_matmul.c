/* The family masked_matmul: products of the rows that are asked for, and zeros for the others, whose
 * weights are not read: the experts of a mixture. */
#include "runtime/kernels/masked_matmul.h"

#include "runtime/kernels/panel.h"
#include "runtime/kernels/row.h"

enum { GRAIN = 65536, LINE = 64 };
enum { OUT, X, W, GATE };

/* derived: 0 rows, 1 columns a task, 2 columns. */
static void prepare(Call *call)
{
    const Operand *out = &call->operand[OUT], *w = &call->operand[W];
    const int64_t rows = count_leading(out, out->rank - 1), columns = w->dim[0];
    const int64_t per_task = ceil_div(items_per_task(w->dim[1], GRAIN), MASKED_COLUMNS) * MASKED_COLUMNS;
    call->derived[0] = rows;
    call->derived[1] = min_i64(per_task, max_i64(columns, 1));
    call->derived[2] = columns;
    call->n_tasks = rows > 0 ? ceil_div(columns, call->derived[1]) : 0;
}

static Operand matrix(void *data, DType dtype, int64_t rows, int64_t columns, int64_t stride)
{
    return (Operand){ .data = data, .dim = { rows, columns }, .stride = { stride, 1 }, .rank = 2,
                      .dtype = dtype };
}

/* Rows [n0, n1) of the weights; n0 begins a panel of blocks. */
static Operand weights_of(const Operand *w, int64_t n0, int64_t n1)
{
    int64_t bytes;
    const bool ok = dtype_block(w->dtype) > 1 ? panel_bytes(w->dtype, n0, w->dim[1], &bytes)
                                              : dtype_offset(w->dtype, n0 * w->stride[0], &bytes);
    CHECK(ok, "inside of its buffer");
    return matrix((char *)w->data + bytes, w->dtype, n1 - n0, w->dim[1], w->stride[0]);
}

static void swap_axes(Operand *o)
{
    const Operand was = *o;
    for (int i = 0; i < 2; i++) {
        o->dim[i] = was.dim[1 - i];
        o->stride[i] = was.stride[1 - i];
    }
}

static Call product_of(const Call *call, const MaskedPart *part, Operand operand[3])
{
    const Operand *w = &call->operand[W];
    const bool blocks = dtype_block(w->dtype) > 1;
    operand[0] = matrix(part->c, DTYPE_f32, part->rows, part->n1 - part->n0, part->stride_c);
    operand[1] = matrix(part->a, DTYPE_f32, part->rows, w->dim[1], part->stride_a);
    operand[2] = weights_of(w, part->n0, part->n1);
    if (!blocks)
        swap_axes(&operand[2]);
    return (Call){ .kernel = blocks ? KERNEL_gemm_q : KERNEL_gemm, .n_operands = 3, .operand = operand,
                   .i = { [3] = ROW_copy }, .f = { 1 } };
}

Call masked_product(const Call *call, const MaskedPart *part, Operand operand[3])
{
    Call product = product_of(call, part, operand);
    kernel_prepare(&product);
    return product;
}

/* The weights must be what the product takes. */
static bool check_product(const Call *call, Error *err)
{
    const Operand *w = &call->operand[W];
    const MaskedPart one = { .rows = 1, .n1 = w->dim[0], .stride_c = w->dim[0], .stride_a = w->dim[1] };
    Operand operand[3];
    const Call product = product_of(call, &one, operand);
    return kernel_check(&product, err);
}

static bool check(const Call *call, Error *err)
{
    if (!operand_check_count(call, 4, err) ||
        !operand_check_rows(call, OUT, DTYPE_f32, RANK_ANY, err) ||
        !operand_check_rows(call, X, DTYPE_f32, call->operand[OUT].rank, err) ||
        !operand_check(call, GATE, DTYPE_f32, call->operand[OUT].rank, err) ||
        !operand_check_output(call, OUT, err))
        return false;
    const Operand *out = &call->operand[OUT], *x = &call->operand[X], *w = &call->operand[W];
    const int32_t last = out->rank - 1;
    const DType t = w->dtype == DTYPE_bf16 || dtype_block(w->dtype) > 1 ? w->dtype : DTYPE_f32;
    if (!operand_check_rows(call, W, t, 2, err) || !operand_check_leading(call, OUT, X, last, err)
        || !operand_check_leading(call, OUT, GATE, last, err))
        return false;
    if (out->dim[last] != w->dim[0] || x->dim[last] != w->dim[1] || call->operand[GATE].dim[last] != 1)
        return error_set(err, "rows of %lld by weights [%lld, %lld] give no rows of %lld",
                         (long long)x->dim[last], (long long)w->dim[0], (long long)w->dim[1],
                         (long long)out->dim[last]);
    return check_product(call, err);
}

static size_t aligned(size_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

int64_t masked_most(const Call *call)
{
    return dtype_block(call->operand[W].dtype) > 1 ? call->derived[2] : call->derived[1];
}

MaskedScratch masked_scratch(const Call *call)
{
    const Operand *out = &call->operand[OUT], *w = &call->operand[W];
    const size_t tile = (size_t)min_i64(count_leading(out, out->rank - 1), MASKED_TILE);
    MaskedScratch s = { .rows = 0 };
    s.a = aligned(tile * sizeof(int64_t));
    s.c = s.a + aligned(tile * (size_t)w->dim[1] * sizeof(float));
    s.product = s.c + aligned(tile * (size_t)masked_most(call) * sizeof(float));
    return s;
}

static size_t scratch(const Call *call)
{
    Call bound = *call;
    Operand operand[3];
    prepare(&bound);
    const int64_t tile = min_i64(bound.derived[0], MASKED_TILE), n = masked_most(&bound);
    if (tile == 0 || bound.derived[2] == 0)
        return 0;
    const MaskedPart whole = { .rows = tile, .n1 = n, .stride_c = n, .stride_a = call->operand[W].dim[1] };
    const Call product = masked_product(&bound, &whole, operand);
    return masked_scratch(&bound).product + kernel_scratch(&product);
}

/* As if every row were asked for. */
static KernelCost cost(const Call *call)
{
    const Operand *out = &call->operand[OUT], *w = &call->operand[W];
    const double rows = (double)count_leading(out, out->rank - 1);
    const double weights = (double)count_elements(w);
    const double bytes = (double)dtype_block_bytes(w->dtype) / (double)dtype_block(w->dtype);
    return (KernelCost){ .flops = 2 * rows * weights,
                         .bytes = bytes * weights + 4 * rows * (double)(w->dim[0] + w->dim[1]),
                         .unit = w->dtype == DTYPE_f32  ? UNIT_bf16_six
                               : w->dtype == DTYPE_bf16 ? UNIT_bf16_three
                                                        : UNIT_int8 };
}

const KernelFamily family_masked_matmul = { "masked_matmul", 4, 4, check, prepare, scratch, cost };
