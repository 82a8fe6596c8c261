/* Random errors of the size that arithmetic may make, op by op. */
#include "bisect/noise.h"

#include "passes/norm.h"

#include <math.h>
#include <string.h>

static double largest(const Tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < t->count; i++)
        if (isfinite(t->data[i]))
            most = fmax(most, fabs(t->data[i]));
    return most;
}

/* The node evaluated on the absolute values of its inputs: sum |a||b| for products, sum |x| for
 * sums. */
static Tensor magnitude(Eval *e, const Node *n, const Noise *noise)
{
    Tensor in[2], out = e->values[n->first_output];
    const Tensor *pointers[2] = { &in[0], &in[1] };
    for (unsigned i = 0; i < n->n_inputs; i++) {
        in[i] = e->values[node_input(e->g, n, i)];
        double *data = arena_array(noise->arena, (size_t)in[i].count, sizeof *data);
        for (int64_t k = 0; k < in[i].count; k++)
            data[k] = fabs(in[i].data[k]);
        in[i].data = data;
    }
    out.data = arena_array(noise->arena, (size_t)out.count, sizeof *out.data);
    EvalNode node = { .g = e->g, .node = n, .in = pointers, .out = &out, .e = e,
                      .sizes = e->sizes };
    eval_rules[n->op == OP_matmul_squares ? OP_matmul : n->op == OP_sum_squares ? OP_sum : n->op](&node);
    return out;
}

/* Terms that are added up for one element of the result. */
static double terms(const Eval *e, const Node *n)
{
    const Tensor *in = &e->values[node_input(e->g, n, 0)];
    const Tensor *out = &e->values[n->first_output];
    if (n->op == OP_matmul || n->op == OP_matmul_squares)
        return (double)in->dim[in->rank - (NODE_ATTR(n, matmul, transpose_a).i ? 2 : 1)];
    return out->count ? (double)in->count / (double)out->count : 1;
}

/* Ops whose error is told by the sum of what they add. */
static bool is_sum(OpId op)
{
    return op == OP_matmul || op == OP_matmul_squares || op == OP_sum || op == OP_sum_squares
        || op == OP_column_sums || op == OP_mean || op == OP_partial_sum;
}

static double largest_input(const Eval *e, const Node *n, unsigned i)
{
    return largest(&e->values[node_input(e->g, n, i)]);
}

/* The largest sum of absolute values of what attention_grad adds up for one element of result k: row
 * weights P sum to 1 or less, their slopes are P (dP - sum P dP) with dP a product of E channels, and
 * dk and dv add up the queries of every head of their group. */
static double attention_grad_sum(const Eval *e, const Node *n, unsigned k)
{
    const Tensor *q = &e->values[node_input(e->g, n, 0)], *kt = &e->values[node_input(e->g, n, 1)];
    const Tensor *v = &e->values[node_input(e->g, n, 2)];
    const double scale = NODE_ATTR(n, attention, scale).f, drop = NODE_ATTR(n, attention, drop).f;
    const double kept = 1 / (1 - drop), dout = largest_input(e, n, 5) * kept;
    const double rows = (double)(q->dim[2] * (q->dim[1] / kt->dim[1]));
    const double slope = (fabs(scale) > 0 ? fabs(scale) : 1 / sqrt((double)q->dim[3]))
        * 2 * dout * largest(v) * (double)v->dim[3];
    return k == 0 ? slope * largest(kt) : k == 1 ? rows * slope * largest(q) : rows * dout;
}

/* The same for a result of the output matrix with the cross entropy: of gradients a row of slopes sums
 * to 2 or less. */
static double linear_loss_sum(const Eval *e, const Node *n, unsigned k)
{
    const bool grad = n->op == OP_linear_cross_entropy_grad;
    const Tensor *x = &e->values[node_input(e->g, n, 0)];
    const double alpha = fabs(NODE_ATTR(n, linear_cross_entropy, alpha).f);
    const double gain = fabs(NODE_ATTR(n, linear_cross_entropy, gain).f);
    const double w = largest_input(e, n, 1), rows = (double)x->dim[0];
    const double slope = grad ? 2 * gain * largest_input(e, n, 3) : 0;
    if (!grad || k == 2 || k == 3)      /* logits */
        return gain * (alpha * largest(x) * w * (double)x->dim[1]
                       + (n->n_inputs > (grad ? 4 : 3) ? largest_input(e, n, n->n_inputs - 1u) : 0));
    return k == 0 ? alpha * slope * w : k == 1 ? rows * alpha * slope * largest(x) : rows * slope;
}

/* Of the squares of a table that rows are added to: the sum of g (old + new) over 32 columns of all rows.
 * Of those of result k of the output matrix with the cross entropy: 64, which are off by twice their size. */
static double squares_size(const Eval *e, const Node *n, unsigned k)
{
    if (n->op == OP_embedding_grad) {
        const Tensor *ids = &e->values[node_input(e->g, n, 1)];
        const double g = largest_input(e, n, 2), rows = (double)ids->count;
        return 32 * rows * g * (2 * largest_input(e, n, 0) + 2 * rows * g);
    }
    const double of = largest(&e->values[n->first_output + k]);
    return 64 * 2 * fmax(of, linear_loss_sum(e, n, k)) * of
        + largest(&e->values[norm_squares(e->g, n->first_output + k)]);
}

/* What the error of result k of a kernel is relative to: its largest element, or what went into that
 * where it may cancel, to nothing even. */
static double kernel_size(const Eval *e, const Node *n, unsigned k)
{
    const double most = largest(&e->values[n->first_output + k]);
    for (unsigned i = 0; i < n->n_outputs; i++)
        if (norm_squares(e->g, n->first_output + i) == n->first_output + k)
            return squares_size(e, n, i);
    switch (n->op) {
    case OP_attention_grad:
        return fmax(most, attention_grad_sum(e, n, k));
    case OP_attention: case OP_attention_cached:
        return k == 0 ? fmax(most, largest_input(e, n, 2)) : most + 1;
    case OP_logsumexp: case OP_cross_entropy:
        return most + largest_input(e, n, 0);
    case OP_cross_entropy_grad:
        return fmax(most, largest_input(e, n, 3));
    case OP_linear_cross_entropy: case OP_linear_cross_entropy_grad:
        return fmax(most, linear_loss_sum(e, n, k));
    case OP_embedding_grad:
        return most + largest_input(e, n, 0) + largest_input(e, n, 2);
    case OP_rope:
        return fmax(most, 2 * largest_input(e, n, 0));
    case OP_masked_matmul: {
        const Tensor *x = &e->values[node_input(e->g, n, 0)];
        return (double)x->dim[x->rank - 1] * largest(x) * largest_input(e, n, 1);
    }
    default:
        return most;
    }
}

/* Error bound of a kernel's results in units, relative to kernel_size: sums over keys and channels,
 * and exponentials whose argument is off by units of itself. */
static double kernel_units(const Eval *e, const Node *n)
{
    const Tensor *a = &e->values[node_input(e->g, n, 0)];
    const Tensor *b = n->n_inputs > 1 ? &e->values[node_input(e->g, n, 1)] : a;
    switch (n->op) {
    case OP_attention: case OP_attention_cached: case OP_attention_grad: {
        const double score = largest(a) * largest(b) * (double)a->dim[3];
        return (double)(a->dim[3] + b->dim[2] + 8) * (1 + score);
    }
    case OP_softmax: case OP_logsumexp: case OP_cross_entropy: case OP_cross_entropy_grad:
        return 16 + (double)a->dim[a->rank - 1] + 4 * largest(a);
    case OP_linear_cross_entropy: case OP_linear_cross_entropy_grad: {
        const double logit = largest(a) * largest(b) * (double)a->dim[1];
        return (double)(a->dim[0] + a->dim[1] + b->dim[0] + b->dim[1] + 16) * (1 + logit);
    }
    case OP_embedding_grad:
        return (double)b->count + 4;
    default:
        return 4;
    }
}

static double map_units(OpId op)
{
    return op == OP_pow ? 32 : op_info(op)->class == CLASS_MAP ? 6 : 0;
}

/* A product that rounds its operands may find one of them on the other side of the middle between two
 * steps, when it is not exactly what the evaluator has: in float with probability 2^-12 or less, as
 * errors are that small beside the steps; in double never.  Of K operands one is allowed for, and
 * K / 128 more. */
static double flipped(const Eval *e, const Node *n, double unit)
{
    if (n->op != OP_matmul || unit < UNIT_FLOAT)
        return 0;
    double step = 0;                    /* of the side times the largest of the other */
    const double most[2] = { largest(&e->values[node_input(e->g, n, 0)]),
                             largest(&e->values[node_input(e->g, n, 1)]) };
    for (unsigned i = 0; i < 2; i++) {
        const Node *source = value_def(e->g, node_input(e->g, n, i));
        const bool exact = op_info(source->op)->class == CLASS_SOURCE;
        if (!exact && NODE_ATTR(n, matmul, precision).i == DTYPE_bf16)
            step += 0x1p-8 * most[0] * most[1];
        if (!exact && i == 0 && dtype_block(value_type(e->g, node_input(e->g, n, 1))->dtype) > 1)
            step += most[0] / 127 * most[1];
    }
    return step * (1 + terms(e, n) / 128);
}

/* In [-1, 1), of element i, a function of what it is: a node that is computed again has the same bits, so it must
 * stray alike, or a maximum that is compared with what it was taken of would not be found there.  The mixing is that of
 * SplitMix64 (Steele, Lea and Flood, 2014). */
static double jitter(const Noise *noise, const Tensor *t, int64_t i)
{
    uint64_t x;
    memcpy(&x, &t->data[i], sizeof x);
    x += (noise->seed + ((uint64_t)i << 20)) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return (double)(x >> 11) * 0x1p-52 - 1;
}

static bool is_float(const Eval *e, ValueId v)
{
    return value_type(e->g, v)->dtype == DTYPE_f32;
}

static bool is_exact(const Node *n)
{
    switch (op_info(n->op)->class) {
    case CLASS_SOURCE: case CLASS_VIEW: case CLASS_WRITE: case CLASS_MOVE:
        return true;
    case CLASS_MAP: case CLASS_REDUCE: case CLASS_MATMUL: case CLASS_KERNEL:
        break;
    }
    return n->op == OP_max || n->op == OP_min || n->op == OP_neg || n->op == OP_abs
        || n->op == OP_where || n->op == OP_relu || n->op == OP_causal_mask || n->op == OP_round_bf16;
}

double noise_block_step(const Tensor *t, int64_t at)
{
    double most = 0;
    for (int64_t i = at; i < at + dtype_block(DTYPE_q8_0) && i < t->count; i++)
        if (isfinite(t->data[i]))
            most = fmax(most, fabs(t->data[i]));
    return most / 127;
}

/* What was written to a cache of bf16 or q8_0 may have gone to the other of two neighbours, in float. */
static void flip_cache(Eval *e, const Node *n, const Noise *noise)
{
    const ValueId v = n->first_output;
    const DType type = value_type(e->g, v)->dtype;
    const int64_t block = dtype_block(type);
    Tensor *t = &e->values[v];
    if (type == DTYPE_f32 || noise->unit < UNIT_FLOAT)
        return;
    for (int64_t i = 0; i < t->count; i++)
        t->data[i] += jitter(noise, t, i)
            * (block == 1 ? 0x1p-8 * fabs(t->data[i]) : noise_block_step(t, i / block * block));
}

static void round_floats(Eval *e, const Node *n)
{
    for (ValueId v = n->first_output; v < n->first_output + n->n_outputs; v++)
        for (int64_t i = 0; is_float(e, v) && i < e->values[v].count; i++)
            e->values[v].data[i] = (float)e->values[v].data[i];
}

/* Writes went to their storage already; what is read from it later must be what was perturbed. */
void noise_after(Eval *e, NodeId id, void *arg)
{
    const Noise *noise = arg;
    const Node *n = &e->g->nodes[id];
    if (noise->floats) {
        round_floats(e, n);
        return;
    }
    if (n->op == OP_cache_write)
        flip_cache(e, n, noise);
    if (is_exact(n))
        return;
    const bool sum = is_sum(n->op);
    const Tensor total = sum ? magnitude(e, n, noise) : (Tensor){ 0 };
    for (unsigned k = 0; k < n->n_outputs; k++) {
        const ValueId v = n->first_output + k;
        Tensor *t = &e->values[v];
        const bool map = op_info(n->op)->class == CLASS_MAP, is_number = is_float(e, v);
        const double flat = sum || map ? 0 : kernel_units(e, n) * kernel_size(e, n, k);
        /* Of squares: what each of 64 is off by, twice its size, and the sum's own. */
        const double squares = sum && k > 0
            ? 64 * (2 * (terms(e, n) + 2) * largest(&total) * largest(&e->values[n->first_output]))
                + 64 * largest(t)
            : 0;
        const double flips = flipped(e, n, noise->unit);
        const double each = map ? map_units(n->op) : sum ? terms(e, n) + 2 : 0;
        for (int64_t i = 0; is_number && i < t->count; i++) {
            const double units = sum && k > 0 ? squares : sum ? each * total.data[i]
                : map ? each * fabs(t->data[i]) : flat;
            if (isfinite(t->data[i]))
                t->data[i] += jitter(noise, t, i) * (noise->unit * units + flips);
        }
    }
}
