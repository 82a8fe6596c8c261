/* Reductions and softmax. */
#include "base/check.h"
#include "ir/eval_rule.h"

#include <math.h>

typedef enum Reduction { REDUCE_sum, REDUCE_max, REDUCE_min } Reduction;

static double start_of(Reduction r)
{
    return r == REDUCE_sum ? 0 : r == REDUCE_max ? -INFINITY : INFINITY;
}

static double join(Reduction r, double a, double b)
{
    if (r == REDUCE_sum)
        return a + b;
    if (isnan(a) || isnan(b))
        return NAN;
    return r == REDUCE_max ? fmax(a, b) : fmin(a, b);
}

/* Where element `at` of the input goes: axes in the mask collapse to 0; ALL_AXES, to a scalar. */
static int64_t target_of(const Index *at, const Tensor *in, const Tensor *out, int64_t axes)
{
    int64_t o = 0;
    if (axes == ALL_AXES)
        return 0;
    for (int a = 0; a < in->rank; a++)
        o = o * out->dim[a] + (axes >> a & 1 ? 0 : at->i[a]);
    return o;
}

static void reduce(const Tensor *in, Tensor *out, int64_t axes, Reduction r)
{
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i++)
        out->data[i] = start_of(r);
    for (int64_t i = 0; i < in->count; i++) {
        double *to = &out->data[target_of(&at, in, out, axes)];
        *to = join(r, *to, in->data[i]);
        index_next(&at, in);
    }
}

void eval_sum(EvalNode *n)
{
    reduce(n->in[0], &n->out[0], n->node->attr[0].i, REDUCE_sum);
}

void eval_sum_squares(EvalNode *n)
{
    eval_sum(n);
    for (int64_t i = 0; i < n->out[0].count; i++)
        n->out[1].data[i / 64] += n->out[0].data[i] * n->out[0].data[i];
}

void eval_max(EvalNode *n)
{
    reduce(n->in[0], &n->out[0], n->node->attr[0].i, REDUCE_max);
}

void eval_min(EvalNode *n)
{
    reduce(n->in[0], &n->out[0], n->node->attr[0].i, REDUCE_min);
}

void eval_mean(EvalNode *n)
{
    eval_sum(n);
    for (int64_t i = 0; i < n->out[0].count; i++)
        n->out[0].data[i] *= (double)n->out[0].count / (double)n->in[0]->count;
}

/* log(exp a + exp b) without overflow. */
static double log_add(double a, double b)
{
    double max = join(REDUCE_max, a, b);
    return isinf(max) ? max : max + log(exp(a - max) + exp(b - max));
}

void eval_logsumexp(EvalNode *n)
{
    const Tensor *in = n->in[0];
    Tensor *out = &n->out[0];
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i++)
        out->data[i] = -INFINITY;
    for (int64_t i = 0; i < in->count; i++) {
        double *to = &out->data[target_of(&at, in, out, n->node->attr[0].i)];
        *to = log_add(*to, in->data[i]);
        index_next(&at, in);
    }
}

void eval_softmax(EvalNode *n)
{
    const Tensor *in = n->in[0];
    AxisSplit s = axis_split(in, (int)EVAL_ATTR(n, softmax, axis).i);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++) {
            const double *x = in->data + o * s.length * s.inner + i;
            double *y = n->out[0].data + o * s.length * s.inner + i;
            double max = -INFINITY, sum = 0;
            for (int64_t k = 0; k < s.length; k++)
                max = join(REDUCE_max, max, x[k * s.inner]);
            for (int64_t k = 0; k < s.length; k++)
                sum += y[k * s.inner] = exp(x[k * s.inner] - max);
            for (int64_t k = 0; k < s.length; k++)
                y[k * s.inner] /= sum;
        }
}

void eval_column_sums(EvalNode *n)
{
    const Tensor *in = n->in[0];
    const int64_t parts = EVAL_ATTR(n, column_sums, parts).i, width = in->dim[in->rank - 1];
    const int64_t rows = width > 0 ? in->count / width : 0;
    for (int64_t p = 0; p < parts; p++)
        for (int64_t i = p * rows / parts * width; i < (p + 1) * rows / parts * width; i++)
            n->out[0].data[p * width + i % width] += in->data[i];
}

void eval_partial_sum(EvalNode *n)
{
    const Tensor *in = n->in[0];
    const bool square = EVAL_ATTR(n, partial_sum, square).i;
    for (int64_t p = 0; p < N_PARTIALS; p++)
        for (int64_t i = p * in->count / N_PARTIALS; i < (p + 1) * in->count / N_PARTIALS; i++)
            n->out[0].data[p] += square ? in->data[i] * in->data[i] : in->data[i];
}
