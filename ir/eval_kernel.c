/* Products, rotary positions, attention, cross entropy. */
#include "base/check.h"
#include "base/half.h"
#include "ir/eval_rule.h"

#include <math.h>
#include <string.h>

/* ---- matmul ----------------------------------------------------------------------------------- */

/* First element of the matrix that position `at` of the result's leading axes takes from `t`. */
static int64_t matrix_start(const Index *at, const Tensor *out, const Tensor *t)
{
    int64_t o = 0;
    for (int a = 0; a + 2 < t->rank; a++) {
        int64_t i = at->i[a + out->rank - t->rank];
        o = o * t->dim[a] + (t->dim[a] == 1 ? 0 : i);
    }
    return o * t->dim[t->rank - 2] * t->dim[t->rank - 1];
}

/* A row of one side against a column of the other: elements `step` apart. */
typedef struct Dot {
    const double *x, *y;
    int64_t x_step, y_step, depth;
} Dot;

static double dot_exact(const Dot *d)
{
    double sum = 0;
    for (int64_t k = 0; k < d->depth; k++)
        sum += d->x[k * d->x_step] * d->y[k * d->y_step];
    return sum;
}

static double to_bf16(double x)
{
    return f32_of_bf16(bf16_of_f32((float)x));
}

static double as_it_is(double x)
{
    return x;
}

static double dot_bf16(const Dot *d)
{
    double sum = 0;
    for (int64_t k = 0; k < d->depth; k++)
        sum += to_bf16(d->x[k * d->x_step]) * to_bf16(d->y[k * d->y_step]);
    return sum;
}

/* The scale of 8 bits for `n` numbers, as gemm_q in kernel.h defines it. */
static float scale_of(const double *x, int64_t step, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        const float v = fabsf((float)x[i * step]);
        if (!isfinite(v))
            return NAN;
        most = fmaxf(most, v);
    }
    const float scale = most / 127;
    return scale < 0x1p-126f ? 0 : scale;
}

enum { ROUNDED = 32 };                   /* numbers that are rounded together */

/* Sums of a row that is rounded to 8 bits against `n` columns `column` apart. */
static void dots_blocks(const Dot *d, int64_t n, int64_t column, double *out)
{
    for (int64_t j = 0; j < n; j++)
        out[j] = 0;
    for (int64_t begin = 0; begin < d->depth; begin += ROUNDED) {
        const double *x = d->x + begin * d->x_step, *y = d->y + begin * d->y_step;
        const float scale = scale_of(x, d->x_step, ROUNDED), inverse = scale == 0 ? 0 : 1 / scale;
        double rounded[ROUNDED];
        for (int64_t k = 0; k < ROUNDED; k++)
            rounded[k] = (double)rintf((float)x[k * d->x_step] * inverse);
        for (int64_t j = 0; j < n; j++) {
            double whole = 0;
            for (int64_t k = 0; k < ROUNDED; k++)
                whole += rounded[k] * y[j * column + k * d->y_step];
            out[j] += (double)scale * whole;
        }
    }
}

static int64_t right_block(const EvalNode *n)
{
    const ValueId right = node_input(n->g, n->node, 1 + (n->node->op == OP_assign_product));
    return dtype_block(value_type(n->g, right)->dtype);
}

/* The sum as the node's right side and its precision have it. */
static double dot(const EvalNode *n, int64_t precision, const Dot *d)
{
    double sum;
    if (right_block(n) == 1)
        return precision == DTYPE_bf16 ? dot_bf16(d) : dot_exact(d);
    dots_blocks(d, 1, 0, &sum);
    return sum;
}

/* Sums of a row against four columns `column` apart, each in the order of dot_exact: side by side they do not
 * wait for one another. */
static void four_dots(const Dot *d, int64_t column, double out[4])
{
    double sum[4] = { 0, 0, 0, 0 };
    for (int64_t k = 0; k < d->depth; k++) {
        const double x = d->x[k * d->x_step], *y = d->y + k * d->y_step;
        sum[0] += x * y[0];
        sum[1] += x * y[column];
        sum[2] += x * y[2 * column];
        sum[3] += x * y[3 * column];
    }
    memcpy(out, sum, sizeof sum);
}

/* A row of the result, from its first column on. */
static void multiply_row(const EvalNode *n, Dot d, int64_t columns, int64_t column, double *out)
{
    const int64_t precision = EVAL_ATTR(n, matmul, precision).i;
    int64_t j = 0;
    if (right_block(n) > 1) {
        dots_blocks(&d, columns, column, out);
        j = columns;
    } else if (precision != DTYPE_bf16) {
        for (; j + 4 <= columns; j += 4, d.y += 4 * column)
            four_dots(&d, column, out + j);
    }
    for (; j < columns; j++, d.y += column)
        out[j] = dot(n, precision, &d);
    for (j = 0; j < columns; j++)
        out[j] *= EVAL_ATTR(n, matmul, alpha).f;
}

/* The ops that are products have these attributes in this order. */
static void multiply(const EvalNode *n, const Tensor *a, const Tensor *b)
{
    Tensor *out = &n->out[0];
    const bool ta = EVAL_ATTR(n, matmul, transpose_a).i, tb = EVAL_ATTR(n, matmul, transpose_b).i;
    const int64_t a_row = ta ? 1 : a->dim[a->rank - 1], a_col = ta ? a->dim[a->rank - 1] : 1;
    const int64_t b_row = tb ? 1 : b->dim[b->rank - 1], b_col = tb ? b->dim[b->rank - 1] : 1;
    const int64_t depth = a->dim[a->rank - (ta ? 2 : 1)], columns = out->dim[out->rank - 1];
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i += columns) {
        const Dot d = {
            .x = a->data + matrix_start(&at, out, a) + at.i[out->rank - 2] * a_row,
            .y = b->data + matrix_start(&at, out, b),
            .x_step = a_col, .y_step = b_row, .depth = depth,
        };
        multiply_row(n, d, columns, b_col, out->data + i);
        at.i[out->rank - 1] = columns - 1;
        index_next(&at, out);
    }
}

void eval_matmul(EvalNode *n)
{
    multiply(n, n->in[0], n->in[1]);
}

/* Of a matrix, 64 rows at a time. */
static void square_rows(const Tensor *c, Tensor *squares)
{
    const int64_t columns = c->dim[1];
    for (int64_t i = 0; i < c->count; i++)
        squares->data[i / columns / 64 * columns + i % columns] += c->data[i] * c->data[i];
}

void eval_matmul_squares(EvalNode *n)
{
    multiply(n, n->in[0], n->in[1]);
    square_rows(&n->out[0], &n->out[1]);
}

void eval_assign_product(EvalNode *n)
{
    multiply(n, n->in[1], n->in[2]);
    for (int64_t i = 0; i < n->out[0].count; i++)
        n->out[0].data[i] += n->in[0]->data[i];
    eval_write_storage(n);
}

void eval_product(EvalNode *n)
{
    const bool bias = EVAL_ATTR(n, product, bias).i, residual = EVAL_ATTR(n, product, residual).i;
    const OpId act = (OpId)EVAL_ATTR(n, product, activation).i;
    const Tensor *last = n->in[n->node->n_inputs - 1];
    Tensor *out = &n->out[0];
    multiply(n, n->in[0], n->in[1]);
    for (int64_t i = 0; i < out->count; i++) {
        const int64_t column = i % out->dim[out->rank - 1];
        const double x = out->data[i] + (bias ? n->in[2]->data[column] : 0);
        out->data[i] = (act == OP_copy ? x : eval_scalar(act, x)) + (residual ? last->data[i] : 0);
    }
}

/* ---- masked_matmul ---------------------------------------------------------------------------- */

void eval_masked_matmul(EvalNode *n)
{
    const Tensor *x = n->in[0], *w = n->in[1], *gate = n->in[2];
    const int64_t depth = w->dim[1], columns = w->dim[0];
    for (int64_t i = 0; i < n->out[0].count; i++) {
        const int64_t row = i / columns, column = i % columns;
        const Dot d = { .x = x->data + row * depth, .y = w->data + column * depth, .x_step = 1, .y_step = 1,
                        .depth = depth };
        n->out[0].data[i] = fabs(gate->data[row]) > 0 || isnan(gate->data[row]) ? dot(n, DTYPE_f32, &d) : 0;
    }
}

/* ---- rope ------------------------------------------------------------------------------------- */

/* Pair j of D: angle = position * base^(-2j / D) / factors[j]; halves pair j with j + D/2,
 * interleaved 2j with 2j + 1 (Su et al., RoFormer, 2021, section 3.2). */
void eval_turn_row(const EvalNode *n, double position, const Tensor *factors, int64_t d,
                   const double *from, double *to)
{
    const bool half = EVAL_ATTR(n, rope, style).i == STYLE_half;
    const double sign = EVAL_ATTR(n, rope, inverse).i ? -1 : 1;
    for (int64_t j = 0; j < d / 2; j++) {
        const double angle = sign * position
            * pow(EVAL_ATTR(n, rope, base).f, -2.0 * (double)j / (double)d)
            / (factors ? factors->data[j] : 1);
        const int64_t a = half ? j : 2 * j, b = half ? j + d / 2 : 2 * j + 1;
        to[a] = from[a] * cos(angle) - from[b] * sin(angle);
        to[b] = from[a] * sin(angle) + from[b] * cos(angle);
    }
}

void eval_rope(EvalNode *n)
{
    const Tensor *x = n->in[0], *factors = n->node->n_inputs > 2 ? n->in[2] : NULL;
    const int64_t d = x->dim[3], steps = x->dim[2];
    for (int64_t row = 0; row < x->count / (d ? d : 1); row++)
        eval_turn_row(n, n->in[1]->data[row % steps], factors, d, x->data + row * d,
                      n->out[0].data + row * d);
}

/* ---- attention -------------------------------------------------------------------------------- */

/* What the three ops share, seen as plain loops over (b, h, t). */
typedef struct AttentionView {
    int64_t batch, heads, groups, queries, keys, d, e;
    int64_t past, live;                 /* keys at `live` and after are not there */
    bool causal, dropped;
    int64_t window, site;
    double scale, cap, drop, seed[2];
    const double *q, *k, *v;
} AttentionView;

static AttentionView attention_view(const EvalNode *n)
{
    const Tensor *q = n->in[0], *k = n->in[1], *v = n->in[2];
    const AttrValue *attr = n->node->attr;
    AttentionView a = { q->dim[0], q->dim[1], k->dim[1], q->dim[2], k->dim[2], q->dim[3],
                        v->dim[3], .q = q->data, .k = k->data, .v = v->data };
    a.causal = attr[ATTR_INDEX(attention, causal)].i;
    a.window = attr[ATTR_INDEX(attention, window)].i;
    a.scale = attr[ATTR_INDEX(attention, scale)].f;
    if (a.scale == 0)
        a.scale = 1 / sqrt((double)a.d);
    a.cap = attr[ATTR_INDEX(attention, soft_cap)].f;
    a.live = a.keys;
    if (n->node->op == OP_attention_cached) {
        a.past = (int64_t)n->in[3]->data[0];
        a.live = a.past + a.queries < a.keys ? a.past + a.queries : a.keys;
        return a;
    }
    const unsigned seed = n->node->op == OP_attention_grad ? 6 : 3;
    if (n->node->n_inputs > seed) {
        a.dropped = true;
        a.drop = attr[ATTR_INDEX(attention, drop)].f;
        a.site = attr[ATTR_INDEX(attention, site)].i;
        a.seed[0] = n->in[seed]->data[0];
        a.seed[1] = n->in[seed]->data[1];
    }
    return a;
}

static int64_t group_of(const AttentionView *a, int64_t h)
{
    return h * a->groups / a->heads;
}

static bool key_seen(const AttentionView *a, int64_t t, int64_t s)
{
    const int64_t p = a->past + t;
    if (s >= a->live)
        return false;
    if (!a->causal)
        return true;
    return s <= p && (a->window == 0 || s > p - a->window);
}

static double score_of(const AttentionView *a, int64_t b, int64_t h, int64_t t, int64_t s)
{
    const double *q = a->q + ((b * a->heads + h) * a->queries + t) * a->d;
    const double *k = a->k + ((b * a->groups + group_of(a, h)) * a->keys + s) * a->d;
    double dot = 0;
    for (int64_t i = 0; i < a->d; i++)
        dot += q[i] * k[i];
    dot *= a->scale;
    return a->cap != 0 ? a->cap * tanh(dot / a->cap) : dot;
}

/* log sum exp of a query's scores; -inf when it sees no key. */
static double row_lse(const AttentionView *a, int64_t b, int64_t h, int64_t t)
{
    double max = -INFINITY, sum = 0;
    for (int64_t s = 0; s < a->keys; s++)
        if (key_seen(a, t, s))
            max = fmax(max, score_of(a, b, h, t, s));
    for (int64_t s = 0; s < a->keys; s++)
        if (key_seen(a, t, s))
            sum += exp(score_of(a, b, h, t, s) - max);
    return sum > 0 ? max + log(sum) : -INFINITY;
}

/* What dropout makes of a weight: 0, or the factor 1 / (1 - p). */
static double keep_factor(const AttentionView *a, int64_t b, int64_t h, int64_t t, int64_t s)
{
    if (!a->dropped)
        return 1;
    const int64_t element = ((b * a->heads + h) * a->queries + t) * a->keys + s;
    return eval_keep(a->seed[0], a->seed[1], a->site, element, a->drop) ? 1 / (1 - a->drop) : 0;
}

static void attention_row(const AttentionView *a, int64_t b, int64_t h, int64_t t, double *out,
                          double *lse)
{
    *lse = row_lse(a, b, h, t);
    for (int64_t s = 0; s < a->keys; s++) {
        if (!key_seen(a, t, s))
            continue;
        const double w = exp(score_of(a, b, h, t, s) - *lse) * keep_factor(a, b, h, t, s);
        const double *v = a->v + ((b * a->groups + group_of(a, h)) * a->keys + s) * a->e;
        for (int64_t i = 0; i < a->e; i++)
            out[i] += w * v[i];
    }
}

void eval_attention(EvalNode *n)
{
    AttentionView a = attention_view(n);
    for (int64_t r = 0; r < a.batch * a.heads * a.queries; r++)
        attention_row(&a, r / (a.heads * a.queries), r / a.queries % a.heads, r % a.queries,
                      n->out[0].data + r * a.e, &n->out[1].data[r]);
}

/* Gradient through one weight w of query (b, h, t) and key s:
 *     dv += keep w dout;  dw = keep dout.v;  dscore = w (dw - sum_s w dw);
 *     through the soft cap: (1 - (score / cap)^2);  dq += scale dscore k;  dk += scale dscore q */
static void attention_grad_row(const AttentionView *a, int64_t b, int64_t h, int64_t t,
                               const double *dout, EvalNode *n)
{
    const double lse = row_lse(a, b, h, t);
    const int64_t group = b * a->groups + group_of(a, h);
    const int64_t row = (b * a->heads + h) * a->queries + t;
    double *dq = n->out[0].data + row * a->d;
    double total = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t s = 0; s < a->keys; s++) {
            if (!key_seen(a, t, s))
                continue;
            const double score = score_of(a, b, h, t, s), w = exp(score - lse);
            const double keep = keep_factor(a, b, h, t, s);
            const int64_t key = group * a->keys + s;
            double dw = 0;
            for (int64_t i = 0; i < a->e; i++)
                dw += keep * dout[i] * a->v[key * a->e + i];
            if (pass == 0) {
                total += w * dw;
                continue;
            }
            const double bend = a->cap != 0 ? 1 - score / a->cap * (score / a->cap) : 1;
            const double ds = w * (dw - total) * bend * a->scale;
            for (int64_t i = 0; i < a->e; i++)
                n->out[2].data[key * a->e + i] += keep * w * dout[i];
            for (int64_t i = 0; i < a->d; i++) {
                dq[i] += ds * a->k[key * a->d + i];
                n->out[1].data[key * a->d + i] += ds * a->q[row * a->d + i];
            }
        }
    }
}

void eval_attention_grad(EvalNode *n)
{
    AttentionView a = attention_view(n);
    for (int64_t r = 0; r < a.batch * a.heads * a.queries; r++)
        attention_grad_row(&a, r / (a.heads * a.queries), r / a.queries % a.heads, r % a.queries,
                           n->in[5]->data + r * a.e, n);
}

/* ---- cross entropy ---------------------------------------------------------------------------- */

void eval_cross_entropy(EvalNode *n)
{
    const Tensor *logits = n->in[0], *targets = n->in[1];
    const int64_t width = logits->dim[logits->rank - 1];
    const double ignored = (double)EVAL_ATTR(n, cross_entropy, ignore).i;
    for (int64_t r = 0; r < targets->count; r++) {
        const double *x = logits->data + r * width, target = targets->data[r];
        double max = -INFINITY, sum = 0;
        for (int64_t v = 0; v < width; v++)
            max = fmax(max, x[v]);
        for (int64_t v = 0; v < width; v++)
            sum += exp(x[v] - max);
        const double lse = max + log(sum);
        const bool known = target >= 0 && target < (double)width;
        n->out[1].data[r] = lse;
        n->out[0].data[r] = target == ignored ? 0 : known ? lse - x[(int64_t)target] : NAN;
    }
}

void eval_cross_entropy_grad(EvalNode *n)
{
    const Tensor *logits = n->in[0], *lse = n->in[1], *targets = n->in[2], *g = n->in[3];
    const int64_t width = logits->dim[logits->rank - 1];
    const double ignored = (double)EVAL_ATTR(n, cross_entropy_grad, ignore).i;
    for (int64_t r = 0; r < targets->count; r++)
        for (int64_t v = 0; v < width; v++) {
            const int64_t i = r * width + v;
            const double slope = exp(logits->data[i] - lse->data[r])
                - ((double)v == targets->data[r]);
            n->out[0].data[i] = targets->data[r] == ignored ? 0 : slope * g->data[r];
        }
}

/* ---- the output matrix with the cross entropy -------------------------------------------------- */

static double dot_column(const EvalNode *n, int64_t row, int64_t column)
{
    const Tensor *x = n->in[0], *w = n->in[1];
    const bool turned = EVAL_ATTR(n, linear_cross_entropy, transpose_w).i;
    const Dot d = { .x = x->data + row * x->dim[1], .x_step = 1,
                    .y = w->data + (turned ? column * w->dim[1] : column),
                    .y_step = turned ? 1 : w->dim[1], .depth = x->dim[1] };
    return EVAL_ATTR(n, linear_cross_entropy, alpha).f
        * dot(n, EVAL_ATTR(n, linear_cross_entropy, precision).i, &d);
}

static int64_t n_columns(const EvalNode *n)
{
    return n->in[1]->dim[EVAL_ATTR(n, linear_cross_entropy, transpose_w).i ? 0 : 1];
}

/* The bias of the logits; NULL when there is none. */
static const Tensor *logit_bias(const EvalNode *n)
{
    const unsigned at = n->node->op == OP_linear_cross_entropy ? 3 : 4;
    return n->node->n_inputs > at ? n->in[at] : NULL;
}

static double logit_at(const EvalNode *n, int64_t row, int64_t column)
{
    const OpId act = (OpId)EVAL_ATTR(n, linear_cross_entropy, activation).i;
    const Tensor *bias = logit_bias(n);
    const double x = dot_column(n, row, column) + (bias ? bias->data[column] : 0);
    return EVAL_ATTR(n, linear_cross_entropy, gain).f * (act == OP_copy ? x : eval_scalar(act, x));
}

/* The derivative of a logit with respect to what its activation is of. */
static double logit_slope(const EvalNode *n, double logit)
{
    const double gain = EVAL_ATTR(n, linear_cross_entropy, gain).f, y = logit / gain;
    double c[3];
    const bool known = op_slope_of_result((OpId)EVAL_ATTR(n, linear_cross_entropy, activation).i, c);
    CHECK(known, "an activation whose slope its result does not tell");
    return gain * (c[0] + c[1] * y + c[2] * y * y);
}

/* The loss and the log-sum-exp of a row of logits, by the definitions above. */
static void linear_row(const EvalNode *n, int64_t row, double *loss, double *lse)
{
    const int64_t width = n_columns(n);
    const double target = n->in[2]->data[row];
    double max = -INFINITY, sum = 0, at_target = NAN;
    for (int64_t v = 0; v < width; v++)
        max = fmax(max, logit_at(n, row, v));
    for (int64_t v = 0; v < width; v++) {
        const double logit = logit_at(n, row, v);
        sum += exp(logit - max);
        at_target = (double)v == target ? logit : at_target;
    }
    *lse = max + log(sum);
    *loss = target == (double)EVAL_ATTR(n, linear_cross_entropy, ignore).i ? 0 : *lse - at_target;
}

void eval_linear_cross_entropy(EvalNode *n)
{
    for (int64_t r = 0; r < n->in[2]->count; r++)
        linear_row(n, r, &n->out[0].data[r], &n->out[1].data[r]);
}

void eval_linear_cross_entropy_grad(EvalNode *n)
{
    const Tensor *x = n->in[0], *w = n->in[1], *targets = n->in[2];
    const bool turned = EVAL_ATTR(n, linear_cross_entropy, transpose_w).i;
    const double alpha = EVAL_ATTR(n, linear_cross_entropy, alpha).f;
    const double ignored = (double)EVAL_ATTR(n, linear_cross_entropy, ignore).i;
    double (*const side)(double) =
        EVAL_ATTR(n, linear_cross_entropy, precision).i == DTYPE_bf16 ? to_bf16 : as_it_is;
    for (int64_t r = 0; r < targets->count; r++) {
        double *lse = &n->out[3].data[r];
        linear_row(n, r, &n->out[2].data[r], lse);
        for (int64_t v = 0; v < n_columns(n) && targets->data[r] != ignored; v++) {
            int64_t at = turned ? v * w->dim[1] : v;
            const int64_t step = turned ? 1 : w->dim[1];
            const double logit = logit_at(n, r, v);
            const double slope = (exp(logit - *lse) - ((double)v == targets->data[r]))
                * n->in[3]->data[r] * logit_slope(n, logit);
            const double d = alpha * side(slope);
            if (logit_bias(n))
                n->out[5].data[v] += slope;
            for (int64_t k = 0; k < x->dim[1]; k++, at += step) {
                n->out[0].data[r * x->dim[1] + k] += d * side(w->data[at]);
                n->out[1].data[at] += d * side(x->data[r * x->dim[1] + k]);
            }
        }
    }
    if (!EVAL_ATTR(n, linear_cross_entropy_grad, squares).i)
        return;
    square_rows(&n->out[1], &n->out[n->node->n_outputs - 1]);
    for (int64_t v = 0; logit_bias(n) && v < n_columns(n); v++)
        n->out[6].data[v / 64] += n->out[5].data[v] * n->out[5].data[v];
}
