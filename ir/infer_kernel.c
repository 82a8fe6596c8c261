/* Shape rules of matrix products and of the ops with kernels of their own. */
#include "ir/infer_rule.h"

#include "base/check.h"

#include <math.h>

/* ---- matmul ---------------------------------------------------------------------------------- */

/* The last two axes as the product sees them. */
static Dim product_dim(const Infer *in, unsigned input, bool transposed, bool last)
{
    const Shape *s = input_shape(in, input);
    return s->dim[s->rank - (last != transposed ? 1 : 2)];
}

static Shape leading(const Shape *s)
{
    Shape r = *s;
    r.rank = (uint8_t)(s->rank - 2);
    return r;
}

static bool inner_mistake(Infer *in, bool ta, bool tb)
{
    Dim x = product_dim(in, 0, ta, true), w = product_dim(in, 1, tb, false);
    mistake(in, DIAG_E0210, "inner dimensions differ");
    note_sizes(in, x, w);
    if (dim_equal(x, product_dim(in, 1, tb, true)))
        note_text(in, "w' would fit");
    else if (dim_equal(product_dim(in, 0, ta, false), w))
        note_text(in, "x' would fit");
    return false;
}

/* f32, or what stands for it in storage. */
static bool need_weights(Infer *in, unsigned i)
{
    return !dtype_is_lane(input_type(in, i)->dtype) || need_dtype(in, i, DTYPE_f32);
}

/* f32, or that rounded. */
static bool need_left(Infer *in, unsigned i)
{
    return input_type(in, i)->dtype == DTYPE_bf16 || need_dtype(in, i, DTYPE_f32);
}

/* Blocks of the product's right side lie along what is summed over. */
static bool need_blocks(Infer *in, int64_t transposed)
{
    const DType t = input_type(in, 1)->dtype;
    if (dtype_block(t) == 1 || (transposed && input_shape(in, 1)->rank == 2))
        return true;
    return mistake(in, DIAG_E0203, "blocks of %s are read along the rows of one matrix w'",
                   dtype_name(t));
}

static bool need_precision(Infer *in, int attr)
{
    const int64_t precision = in->attr[attr].i;
    if (precision == DTYPE_f32)
        return true;
    if (precision != DTYPE_bf16)
        return mistake(in, DIAG_E0206, "precision must be f32 or bf16");
    if (dtype_block(input_type(in, 1)->dtype) > 1)
        return mistake(in, DIAG_E0206, "blocks of %s have a precision of their own",
                       dtype_name(input_type(in, 1)->dtype));
    return true;
}

bool infer_matmul(Infer *in)
{
    AttrValue *ta = &in->attr[ATTR_INDEX(matmul, transpose_a)];
    AttrValue *tb = &in->attr[ATTR_INDEX(matmul, transpose_b)];
    ta->i = ta->i != 0;
    tb->i = tb->i != 0;
    if (!need_left(in, 0) || !need_rank(in, 0, 2, MAX_RANK) ||
        !need_weights(in, 1) || !need_rank(in, 1, 2, MAX_RANK))
        return false;
    if (!need_blocks(in, tb->i) || !need_precision(in, ATTR_INDEX(matmul, precision)))
        return false;
    if (!dim_equal(product_dim(in, 0, ta->i, true), product_dim(in, 1, tb->i, false)))
        return inner_mistake(in, ta->i, tb->i);

    Shape a = leading(input_shape(in, 0)), b = leading(input_shape(in, 1)), r;
    int bad;
    if (!shape_broadcast(&a, &b, &r, &bad)) {
        mistake(in, DIAG_E0202, "leading axes do not broadcast");
        note_sizes(in, a.dim[a.rank - bad], b.dim[b.rank - bad]);
        return false;
    }
    r.dim[r.rank] = product_dim(in, 0, ta->i, false);
    r.dim[r.rank + 1] = product_dim(in, 1, tb->i, true);
    r.rank = (uint8_t)(r.rank + 2);
    return set_out(in, DTYPE_f32, &r);
}

#define AS_MATMUL(op)                                                                        \
    _Static_assert(ATTR_INDEX(op, transpose_a) == ATTR_INDEX(matmul, transpose_a)              \
                   && ATTR_INDEX(op, transpose_b) == ATTR_INDEX(matmul, transpose_b)           \
                   && ATTR_INDEX(op, alpha) == ATTR_INDEX(matmul, alpha)                       \
                   && ATTR_INDEX(op, precision) == ATTR_INDEX(matmul, precision),              \
                   "products share the attributes of matmul")
AS_MATMUL(product);
AS_MATMUL(assign_product);
AS_MATMUL(matmul_squares);

/* One sum of squares for `each` of `n` elements. */
static bool square_groups(Infer *in, Dim n, int64_t each, Type *squares)
{
    if (!dim_is_const(n))
        return mistake(in, DIAG_E0202, "squares of an axis whose size is not fixed");
    n.coef = (n.coef + each - 1) / each;
    *squares = type_of(DTYPE_f32, 1, &n);
    return true;
}

/* One for each column and 64 rows of a matrix. */
static bool square_rows(Infer *in, const Type *matrix, Type *squares)
{
    *squares = *matrix;
    if (squares->shape.rank != 2 || !dim_is_const(squares->shape.dim[0]))
        return mistake(in, DIAG_E0202, "the product has other axes than a fixed number of rows and one");
    squares->shape.dim[0].coef = (squares->shape.dim[0].coef + 63) / 64;
    return true;
}

bool infer_matmul_squares(Infer *in)
{
    return infer_matmul(in) && square_rows(in, &in->out[0], &in->out[1]);
}

_Static_assert(ATTR_INDEX(sum_squares, axes) == ATTR_INDEX(sum, axes), "axes");

bool infer_sum_squares(Infer *in)
{
    Dim left = dim_const(1);
    if (!infer_reduce(in))
        return false;
    const Shape *sum = &in->out[0].shape;
    for (int a = 0; a < sum->rank; a++) {
        if (dim_is(sum->dim[a], 1))
            continue;
        if (!dim_is(left, 1))
            return mistake(in, DIAG_E0202, "squares of a sum with more than one axis");
        left = sum->dim[a];
    }
    return square_groups(in, left, 64, &in->out[1]);
}

/* As a matmul of f32, then what the attributes say is there. */
bool infer_product(Infer *in)
{
    const bool bias = in->attr[ATTR_INDEX(product, bias)].i;
    const bool residual = in->attr[ATTR_INDEX(product, residual)].i;
    const unsigned n = 2u + bias + residual;
    if (in->spec->n_inputs != n)
        return mistake(in, DIAG_E0200, "%u inputs where its attributes say %u", in->spec->n_inputs,
                       n);
    if (!infer_matmul(in))
        return false;
    const Shape *out = &in->out[0].shape;
    if (bias && (!need_dtype(in, 2, DTYPE_f32) || !need_rank(in, 2, 1, 1)))
        return false;
    if (bias && !dim_equal(input_dim(in, 2, 0), out->dim[out->rank - 1])) {
        mistake(in, DIAG_E0202, "the bias has another length than the rows");
        note_sizes(in, input_dim(in, 2, 0), out->dim[out->rank - 1]);
        return false;
    }
    if (residual && (!need_dtype(in, n - 1, DTYPE_f32)
                     || !shape_equal(input_shape(in, n - 1), out)))
        return mistake(in, DIAG_E0202, "the residual has another shape than the product");
    return true;
}

/* old, and a matmul of the same shape. */
bool infer_assign_product(Infer *in)
{
    NodeSpec matmul = *in->spec;
    Infer product = *in;
    matmul.inputs = in->spec->inputs + 1;
    matmul.n_inputs = 2;
    product.spec = &matmul;
    if (!need_dtype(in, 0, DTYPE_f32) || !infer_matmul(&product))
        return false;
    in->out[0] = product.out[0];
    if (!shape_equal(input_shape(in, 0), &in->out[0].shape))
        return mistake(in, DIAG_E0202, "the product has another shape than what it is added to");
    return true;
}

/* ---- masked_matmul ---------------------------------------------------------------------------- */

bool infer_masked_matmul(Infer *in)
{
    if (!need_dtype(in, 0, DTYPE_f32) || !need_rank(in, 0, 1, MAX_RANK) ||
        !need_weights(in, 1) || !need_rank(in, 1, 2, 2) || !need_dtype(in, 2, DTYPE_f32))
        return false;
    Shape r = *input_shape(in, 0);
    const int last = r.rank - 1;
    if (!need_equal(in, 0, last, 1, 1) || !need_rank(in, 2, r.rank, r.rank))
        return false;
    r.dim[last] = dim_const(1);
    if (!need_type(in, 2, (Type){ .dtype = DTYPE_f32, .shape = r }))
        return false;
    r.dim[last] = input_dim(in, 1, 0);
    return set_out(in, DTYPE_f32, &r);
}

/* ---- embedding, rope ------------------------------------------------------------------------- */

bool infer_embedding(Infer *in)
{
    if (!need_weights(in, 0) || !need_rank(in, 0, 2, 2) ||
        !need_dtype(in, 1, DTYPE_i32) || !need_rank(in, 1, 0, MAX_RANK - 1))
        return false;
    Shape r = *input_shape(in, 1);
    r.dim[r.rank++] = input_dim(in, 0, 1);
    return set_out(in, DTYPE_f32, &r);
}

/* Input i has the axes of input j and one more. */
static bool need_one_more_axis(Infer *in, unsigned i, unsigned j)
{
    int rank = input_shape(in, j)->rank;
    if (!need_rank(in, i, rank + 1, rank + 1))
        return false;
    for (int a = 0; a < rank; a++)
        if (!need_equal(in, i, a, j, a))
            return false;
    return true;
}

bool infer_embedding_grad(Infer *in)
{
    AttrValue *squares = &in->attr[ATTR_INDEX(embedding_grad, squares)];
    squares->i = squares->i != 0;
    in->out[0] = *input_type(in, 0);
    return need_dtype(in, 0, DTYPE_f32) && need_rank(in, 0, 2, 2) &&
           need_dtype(in, 1, DTYPE_i32) && need_rank(in, 1, 0, MAX_RANK - 1) &&
           need_dtype(in, 2, DTYPE_f32) && need_one_more_axis(in, 2, 1) &&
           need_equal(in, 0, 1, 2, input_shape(in, 1)->rank) &&
           (!squares->i || square_groups(in, input_dim(in, 0, 1), 32, &in->out[1]));
}

_Static_assert(ATTR_INDEX(rope, base) == ATTR_INDEX(cache_write, base), "base");
_Static_assert(ATTR_INDEX(rope, style) == ATTR_INDEX(cache_write, style), "style");
_Static_assert(ATTR_INDEX(rope, inverse) == ATTR_INDEX(cache_write, inverse), "inverse");

bool need_turn(Infer *in, unsigned x, unsigned positions)
{
    const unsigned factors = positions + 1;
    AttrValue *style = &in->attr[ATTR_INDEX(rope, style)];
    AttrValue *inverse = &in->attr[ATTR_INDEX(rope, inverse)];
    CHECK(style->i >= 0 && style->i < N_STYLES, "style %lld", (long long)style->i);
    inverse->i = inverse->i != 0;
    if (!need_dtype(in, x, DTYPE_f32) || !need_rank(in, x, 4, 4) ||
        !need_dtype(in, positions, DTYPE_i32) || !need_rank(in, positions, 1, 1) ||
        !need_equal(in, x, 2, positions, 0))
        return false;
    Dim pairs = input_dim(in, x, 3);
    if (pairs.coef % 2 != 0) {
        mistake(in, DIAG_E0214, "the last axis of x holds pairs, so its size must be even");
        note_sizes(in, pairs, dim_const(0));
        return false;
    }
    Dim half = pairs;
    half.coef /= 2;
    if (in->spec->n_inputs > factors &&
        !need_type(in, factors,
                   (Type){ .dtype = DTYPE_f32, .shape = { .rank = 1, .dim = { half } } }))
        return false;
    double base = in->attr[ATTR_INDEX(rope, base)].f;
    if (!(base > 0) || isinf(base))
        return mistake(in, DIAG_E0206, "base must be a finite number above 0, not %g", base);
    return true;
}

bool infer_rope(Infer *in)
{
    return need_turn(in, 0, 1) && set_out(in, DTYPE_f32, input_shape(in, 0));
}

/* ---- attention ------------------------------------------------------------------------------- */

/* The three rows spell their common attributes alike and in the same order. */
#define SAME_PLACE(a, b, name) _Static_assert(ATTR_INDEX(a, name) == ATTR_INDEX(b, name), #name)
SAME_PLACE(attention, attention_grad, causal);
SAME_PLACE(attention, attention_grad, window);
SAME_PLACE(attention, attention_grad, scale);
SAME_PLACE(attention, attention_grad, soft_cap);
SAME_PLACE(attention, attention_grad, drop);
SAME_PLACE(attention, attention_grad, site);
SAME_PLACE(attention, attention_grad, precision);
SAME_PLACE(attention, attention_cached, causal);
SAME_PLACE(attention, attention_cached, window);
SAME_PLACE(attention, attention_cached, scale);
SAME_PLACE(attention, attention_cached, soft_cap);

static bool attention_attrs(Infer *in, bool drops)
{
    AttrValue *causal = &in->attr[ATTR_INDEX(attention, causal)];
    int window = ATTR_INDEX(attention, window);
    double scale = in->attr[ATTR_INDEX(attention, scale)].f;
    causal->i = causal->i != 0;
    if (!need_int(in, window, 0, INT32_MAX))
        return false;
    if (in->attr[window].i && !causal->i)
        return mistake(in, DIAG_E0219, "a window needs causal = true");
    if (!isfinite(scale))
        return mistake(in, DIAG_E0206, "scale must be a finite number, not %g", scale);
    return need_float(in, ATTR_INDEX(attention, soft_cap), 0, HUGE_VAL) &&
           (!drops || (need_float(in, ATTR_INDEX(attention, drop), 0, 1) &&
                       need_int(in, ATTR_INDEX(attention, site), 0, INT64_MAX) &&
                       need_precision(in, ATTR_INDEX(attention, precision))));
}

/* q [B, H, T, D], k [B, G, S, D], v [B, G, S, E], H a multiple of G; k and v of type `stored`. */
static bool attention_inputs(Infer *in, DType stored)
{
    for (unsigned i = 0; i < 3; i++)
        if (!need_dtype(in, i, i == 0 ? DTYPE_f32 : stored) || !need_rank(in, i, 4, 4))
            return false;
    if (!need_equal(in, 0, 0, 1, 0) || !need_equal(in, 0, 3, 1, 3) || !need_equal(in, 1, 0, 2, 0) ||
        !need_equal(in, 1, 1, 2, 1) || !need_equal(in, 1, 2, 2, 2))
        return false;
    Dim heads = input_dim(in, 0, 1), groups = input_dim(in, 1, 1), each;
    if (dim_div(heads, groups, &each))
        return true;
    mistake(in, DIAG_E0215, "the heads of q must be a multiple of those of k and v");
    note_sizes(in, heads, groups);
    return false;
}

static bool need_seed(Infer *in, unsigned input)
{
    Dim two = dim_const(2);
    return in->spec->n_inputs <= input || need_type(in, input, type_of(DTYPE_i32, 1, &two));
}

/* out [B, H, T, E], lse [B, H, T]. */
static void attention_results(const Infer *in, Type *out, Type *lse)
{
    *out = *input_type(in, 0);
    *lse = *out;
    lse->shape.rank = 3;
    out->shape.dim[3] = input_dim(in, 2, 3);
}

bool infer_attention(Infer *in)
{
    if (!attention_attrs(in, true) || !attention_inputs(in, DTYPE_f32) || !need_seed(in, 3))
        return false;
    attention_results(in, &in->out[0], &in->out[1]);
    return true;
}

bool infer_attention_grad(Infer *in)
{
    Type out, lse;
    if (!attention_attrs(in, true) || !attention_inputs(in, DTYPE_f32) || !need_seed(in, 6))
        return false;
    attention_results(in, &out, &lse);
    for (unsigned i = 0; i < 3; i++)
        in->out[i] = *input_type(in, i);
    return need_type(in, 3, out) && need_type(in, 4, lse) && need_type(in, 5, out);
}

bool infer_attention_cached(Infer *in)
{
    const DType k = input_type(in, 1)->dtype;
    if (!attention_attrs(in, false) || !attention_inputs(in, dtype_is_cache(k) ? k : DTYPE_f32) ||
        !need_type(in, 3, type_scalar(DTYPE_i32)))
        return false;
    attention_results(in, &in->out[0], &in->out[1]);
    return true;
}

/* ---- cross entropy --------------------------------------------------------------------------- */

bool infer_cross_entropy(Infer *in)
{
    if (!need_dtype(in, 0, DTYPE_f32) || !need_rank(in, 0, 1, MAX_RANK) ||
        !need_dtype(in, 1, DTYPE_i32) || !need_one_more_axis(in, 0, 1) ||
        !need_int(in, ATTR_INDEX(cross_entropy, ignore), INT32_MIN, INT32_MAX))
        return false;
    for (int i = 0; i < 2; i++)
        in->out[i] = (Type){ .dtype = DTYPE_f32, .shape = *input_shape(in, 1) };
    return true;
}

bool infer_cross_entropy_grad(Infer *in)
{
    in->out[0] = *input_type(in, 0);
    return need_dtype(in, 0, DTYPE_f32) && need_rank(in, 0, 1, MAX_RANK) &&
           need_dtype(in, 1, DTYPE_f32) && need_dtype(in, 2, DTYPE_i32) &&
           need_dtype(in, 3, DTYPE_f32) && need_one_more_axis(in, 0, 2) &&
           need_same_shape(in, 1, 2) && need_same_shape(in, 3, 2) &&
           need_int(in, ATTR_INDEX(cross_entropy_grad, ignore), INT32_MIN, INT32_MAX);
}

/* Both rows have the same attributes in the same order. */
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, transpose_w);
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, alpha);
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, chunk);
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, ignore);
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, precision);
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, activation);
SAME_PLACE(linear_cross_entropy, linear_cross_entropy_grad, gain);

/* What stands between the product and the loss; input `bias`, when there is one, is [V]. */
static bool linear_epilogue(Infer *in, unsigned bias, int columns)
{
    const int64_t act = in->attr[ATTR_INDEX(linear_cross_entropy, activation)].i;
    const double gain = in->attr[ATTR_INDEX(linear_cross_entropy, gain)].f;
    double slope[3];
    if (!op_is_activation(act) || !op_slope_of_result((OpId)act, slope))
        return mistake(in, DIAG_E0206, "activation must be one whose derivative its result tells");
    if (!isfinite(gain) || gain == 0)
        return mistake(in, DIAG_E0206, "gain must be a finite number and not 0, not %g", gain);
    return in->spec->n_inputs <= bias
        || (need_dtype(in, bias, DTYPE_f32) && need_rank(in, bias, 1, 1)
            && need_equal(in, bias, 0, 1, columns));
}

/* x [R, C], w [C, V] or [V, C], targets [R]; the results from here on: loss, lse, room. */
static bool linear_loss(Infer *in, unsigned bias, Type *results)
{
    AttrValue *transpose = &in->attr[ATTR_INDEX(linear_cross_entropy, transpose_w)];
    const double alpha = in->attr[ATTR_INDEX(linear_cross_entropy, alpha)].f;
    transpose->i = transpose->i != 0;
    const int inner = transpose->i ? 1 : 0;
    if (!need_left(in, 0) || !need_rank(in, 0, 2, 2) ||
        !need_weights(in, 1) || !need_rank(in, 1, 2, 2) || !need_blocks(in, transpose->i) ||
        !need_precision(in, ATTR_INDEX(linear_cross_entropy, precision)) ||
        !need_dtype(in, 2, DTYPE_i32) || !need_rank(in, 2, 1, 1) || !need_equal(in, 0, 0, 2, 0) ||
        !need_equal(in, 0, 1, 1, inner) ||
        !need_int(in, ATTR_INDEX(linear_cross_entropy, chunk), 1, INT32_MAX) ||
        !need_int(in, ATTR_INDEX(linear_cross_entropy, ignore), INT32_MIN, INT32_MAX))
        return false;
    if (!isfinite(alpha))
        return mistake(in, DIAG_E0206, "alpha must be a finite number, not %g", alpha);
    const Dim chunk = dim_const(in->attr[ATTR_INDEX(linear_cross_entropy, chunk)].i);
    const Dim room[] = { chunk, input_dim(in, 1, 1 - inner) };
    results[0] = results[1] = (Type){ .dtype = DTYPE_f32, .shape = *input_shape(in, 2) };
    results[2] = type_of(DTYPE_f32, 2, room);
    return linear_epilogue(in, bias, 1 - inner);
}

bool infer_linear_cross_entropy(Infer *in)
{
    return linear_loss(in, 3, in->out);
}

bool infer_linear_cross_entropy_grad(Infer *in)
{
    if (!linear_loss(in, 4, in->out + 2) || !need_dtype(in, 3, DTYPE_f32) ||
        !need_same_shape(in, 3, 2))
        return false;
    for (unsigned i = 0; i < 2; i++)
        in->out[i] = (Type){ .dtype = DTYPE_f32, .shape = *input_shape(in, i) };
    AttrValue *squares = &in->attr[ATTR_INDEX(linear_cross_entropy_grad, squares)];
    const bool biased = in->spec->n_inputs > 4;
    squares->i = squares->i != 0;
    if (biased)
        in->out[5] = *input_type(in, 4);
    if (!squares->i)
        return true;
    return (!biased || square_groups(in, input_dim(in, 4, 0), 64, &in->out[6]))
        && square_rows(in, &in->out[1], &in->out[biased ? 7 : 5]);
}
