/* Row programs of the benchmark. */
#include "tests/kernels/bench_build.h"

#include <string.h>

static int in(BenchCase *b, RowOp op, int dst, int x, int y)
{
    b->instrs[b->row.n_instrs++] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)dst,
                                               .a = (uint16_t)x, .b = (uint16_t)y };
    return dst;
}

static int constant(BenchCase *b, float value)
{
    memcpy(&b->consts[b->row.n_consts], &value, sizeof value);
    return b->call.n_operands + b->row.n_consts++;
}

/* Parameters, gradient, two moments: three of them in place. */
static void build_adamw(BenchCase *b)
{
    enum { P, G, M, V };
    b->row.outputs = 1 << P | 1 << M | 1 << V;
    int beta1 = constant(b, 0.9f), rest1 = constant(b, 0.1f), beta2 = constant(b, 0.999f);
    int rest2 = constant(b, 0.001f), eps = constant(b, 1e-8f), rate = constant(b, 1e-3f);
    int decay = constant(b, 0.9999f), unbias = constant(b, 1.1f), factor = constant(b, 0.5f);
    int t = b->call.n_operands + b->row.n_consts, u = t + 1;
    b->row.n_temps = 3;
    in(b, ROW_mul, t, G, factor);
    in(b, ROW_mul, u, t, rest1);
    in(b, ROW_mul, t, t, t);
    in(b, ROW_mul, t, t, rest2);
    in(b, ROW_mul, t + 2, M, beta1);
    in(b, ROW_add, M, t + 2, u);
    in(b, ROW_mul, u, V, beta2);
    in(b, ROW_add, V, u, t);
    in(b, ROW_sqrt, t, V, 0);
    in(b, ROW_mul, t, t, unbias);
    in(b, ROW_add, t, t, eps);
    in(b, ROW_div, t, M, t);
    in(b, ROW_mul, t, rate, t);
    in(b, ROW_mul, u, P, decay);
    in(b, ROW_sub, P, u, t);
}

static void build_softmax(BenchCase *b)
{
    enum { X, Y, MAX, E, SUM };
    b->row.outputs = 1 << Y;
    b->row.n_temps = 3;
    b->per_row[0] = b->per_row[2] = 1;
    in(b, ROW_max, MAX, X, 0);
    in(b, ROW_sub, E, X, MAX);
    in(b, ROW_exp, E, E, 0);
    in(b, ROW_sum, SUM, E, 0);
    in(b, ROW_recip, SUM, SUM, 0);
    in(b, ROW_mul, Y, E, SUM);
}

static void build_norm(BenchCase *b, int64_t n)
{
    enum { X, Y, WEIGHT, BIAS };
    b->row.outputs = 1 << Y;
    int scale = constant(b, 1.0f / (float)n), eps = constant(b, 1e-5f);
    int mean = b->call.n_operands + b->row.n_consts, d = mean + 1, square = d + 1, rstd = square + 1;
    b->row.n_temps = 4;
    b->per_row[0] = b->per_row[3] = 1;
    in(b, ROW_sum, mean, X, 0);
    in(b, ROW_mul, mean, mean, scale);
    in(b, ROW_sub, d, X, mean);
    in(b, ROW_mul, square, d, d);
    in(b, ROW_sum, rstd, square, 0);
    in(b, ROW_mul, rstd, rstd, scale);
    in(b, ROW_add, rstd, rstd, eps);
    in(b, ROW_rsqrt, rstd, rstd, 0);
    in(b, ROW_mul, d, d, rstd);
    in(b, ROW_mul, d, d, WEIGHT);
    in(b, ROW_add, Y, d, BIAS);
}

/* The gradient of a norm without bias that stands before a residual: of its input, beside the sums for its weight's.
 * What the norm makes itself is made again. */
static void build_norm_grad(BenchCase *b, int64_t rows, int64_t n)
{
    enum { Z, G, BESIDE, NORMED, OUT, RSTD, WEIGHT, SUMS, HALF, SCALE, T, U, MEAN, SLOPE, MADE = NORMED };
    bench_add(b, DTYPE_f32, 0, rows, 1, 2)->stride[1] = 0;
    bench_add(b, DTYPE_f32, 0, rows, n, 2)->stride[0] = 0;
    bench_floats(b, 48, n);
    b->row.outputs = 1 << NORMED | 1 << OUT | 1 << SUMS;
    constant(b, -0.5f);
    constant(b, 1.0f / (float)n);
    b->row.n_temps = 4;
    b->per_row[2] = b->per_row[3] = 1;
#define INSTR(op, dst, x, y) in(b, ROW_##op, dst, x, y);
#define MADE_BEFORE INSTR
#define SHIFTED(op, dst, x, y)
#define ROUND SHIFTED
#define JOINED INSTR
#include "tests/kernels/norm_gradient.def"
}

static bool build_op(BenchCase *b, RowOp op)
{
    const int n = row_op_inputs(op), out = n;
    const bool reduces = row_op_kind(op) == ROW_REDUCE;
    if (op == ROW_dropout || op == ROW_gather)
        return false;
    b->instrs[0] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)out, .b = n > 1, .c = n > 2 ? 2 : 0 };
    b->row.n_instrs = 1;
    b->row.outputs = 1u << out;
    if (reduces) {
        b->operand[out].dim[1] = 1;
        b->operand[out].stride[1] = 0;
    }
    return true;
}

bool build_row(BenchCase *b, const Words *w)
{
    const int64_t rows = size_at(w, 1), n = size_at(w, 2);
    RowOp op = ROW_copy;
    const bool adamw = word_is(w, 0, "adamw"), softmax = word_is(w, 0, "softmax");
    const bool norm = word_is(w, 0, "norm"), norm_grad = word_is(w, 0, "norm_grad");
    if (w->n != 3 || (!adamw && !softmax && !norm && !norm_grad && !row_op_from_name(w->word[0], &op)))
        return false;
    const int operands = norm_grad ? 5 : adamw ? 4 : softmax || norm ? 2 : row_op_inputs(op) + 1;
    for (int i = 0; i < operands; i++)
        bench_floats(b, rows, n);
    for (int i = 0; norm && i < 2; i++)
        bench_add(b, DTYPE_f32, 0, rows, n, 2)->stride[0] = 0;
    b->row.rank = 2;
    b->row.dim[0] = rows;
    b->row.dim[1] = n;
    b->row.consts = b->consts;
    b->row.temp_per_row = b->per_row;
    b->row.instrs = b->instrs;
    b->call.row = &b->row;
    if (adamw)
        build_adamw(b);
    else if (softmax)
        build_softmax(b);
    else if (norm)
        build_norm(b, n);
    else if (norm_grad)
        build_norm_grad(b, rows, n);
    else
        return build_op(b, op);
    return true;
}
