/* Attention and its gradient in double, one query at a time. */
#include "tests/kernels/attention_problem.h"

static double *doubles(int64_t n)
{
    double *p = calloc((size_t)n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

int64_t q_rows(const Problem *p)
{
    return p->batch * p->heads * p->queries;
}

int64_t k_rows(const Problem *p)
{
    return p->batch * p->groups * p->keys;
}

void problem_alloc(Problem *p)
{
    p->q = doubles(q_rows(p) * p->d);
    p->k = doubles(k_rows(p) * p->d);
    p->v = doubles(k_rows(p) * p->e);
    p->dout = doubles(q_rows(p) * p->e);
    p->out = doubles(q_rows(p) * p->e);
    p->out_off = doubles(q_rows(p) * p->e);
    p->lse = doubles(q_rows(p));
    p->lse_off = doubles(q_rows(p));
    p->dq = doubles(q_rows(p) * p->d);
    p->dq_off = doubles(q_rows(p) * p->d);
    p->dk = doubles(k_rows(p) * p->d);
    p->dk_off = doubles(k_rows(p) * p->d);
    p->dv = doubles(k_rows(p) * p->e);
    p->dv_off = doubles(k_rows(p) * p->e);
}

void problem_free(Problem *p)
{
    double *all[] = { p->q, p->k, p->v, p->dout, p->out, p->out_off, p->lse, p->lse_off,
                      p->dq, p->dq_off, p->dk, p->dk_off, p->dv, p->dv_off };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]);
}

static bool sees(const Problem *p, int64_t t, int64_t s)
{
    int64_t position = p->past + t;
    if (p->has_past && s >= p->past + p->queries)
        return false;
    return !p->causal || (s <= position && (p->window == 0 || s > position - p->window));
}

/* Relative error of a product of two numbers, each rounded by 2^-9 of it. */
static double of_rounding(const Problem *p)
{
    return p->rounded ? 0x1.01p-8 : 0;
}

/* What a row of weights is made of; arrays of `keys`. */
typedef struct Row {
    double *score, *slope, *weight, *keep;
    double off;                 /* relative, of every weight */
    int64_t k_row;              /* of key 0 */
} Row;

static Row row_alloc(const Problem *p)
{
    return (Row){ doubles(p->keys), doubles(p->keys), doubles(p->keys), doubles(p->keys), 0, 0 };
}

static void row_free(Row *r)
{
    free(r->score);
    free(r->slope);
    free(r->weight);
    free(r->keep);
}

/* Of what key `s` gives to query `i`, 0 where it is dropped. */
static double kept(const Problem *p, int64_t i, int64_t s)
{
    if (p->drop == 0)
        return 1;
    const uint32_t random = random_u32(p->seed, p->site, (uint64_t)(i * p->keys + s));
    return random < (uint64_t)(p->drop * 0x1p32) ? 0 : 1 / (1 - p->drop);
}

/* The score of query `i` and key `s` into the row; returns what float may be off by. */
static double score(const Problem *p, int64_t i, int64_t s, Row *r)
{
    const double *q = p->q + i * p->d, *k = p->k + (r->k_row + s) * p->d;
    double x = 0, size = 0;
    for (int64_t j = 0; j < p->d; j++) {
        x += q[j] * k[j];
        size += fabs(q[j] * k[j]);
    }
    x *= p->scale;
    const double tanh_x = p->cap > 0 ? tanh(x / p->cap) : 0;
    r->slope[s] = 1 - tanh_x * tanh_x;
    r->score[s] = p->cap > 0 ? p->cap * tanh_x : x;
    return (ULP * ((double)p->d + 4) + of_rounding(p)) * fabs(p->scale) * size
        + ULP * (8 + 4 * fabs(r->score[s]));
}

/* Row `i` of [B, H, T]: scores of the keys that it sees, weights and lse. */
static void row_softmax(Problem *p, int64_t i, Row *r)
{
    const int64_t t = i % p->queries, h = i / p->queries % p->heads, b = i / p->queries / p->heads;
    double max = -INFINITY, sum = 0, off = 0, n = 0;
    r->k_row = (b * p->groups + h * p->groups / p->heads) * p->keys;
    for (int64_t s = 0; s < p->keys; s++)
        if (sees(p, t, s)) {
            off = fmax(off, score(p, i, s, r));
            max = fmax(max, r->score[s]);
            n++;
        }
    for (int64_t s = 0; s < p->keys; s++) {
        r->keep[s] = kept(p, i, s);
        r->weight[s] = sees(p, t, s) ? exp(r->score[s] - max) : 0;
        sum += r->weight[s];
    }
    for (int64_t s = 0; s < p->keys && sum > 0; s++)
        r->weight[s] /= sum;
    r->off = 2 * off + ULP * (2 * n + 16);
    p->lse[i] = n > 0 ? max + log(sum) : -INFINITY;
    p->lse_off[i] = r->off + (n > 0 ? ULP * 2 * fabs(p->lse[i]) : 0);
}

void problem_forward(Problem *p)
{
    Row r = row_alloc(p);
    for (int64_t i = 0; i < q_rows(p); i++) {
        double *out = p->out + i * p->e, *off = p->out_off + i * p->e;
        row_softmax(p, i, &r);
        for (int64_t j = 0; j < p->e; j++)
            out[j] = off[j] = 0;
        for (int64_t s = 0; s < p->keys; s++) {
            const double w = r.weight[s] * r.keep[s], *v = p->v + (r.k_row + s) * p->e;
            for (int64_t j = 0; w != 0 && j < p->e; j++) {
                out[j] += w * v[j];
                off[j] += fabs(w * v[j]);
            }
        }
        for (int64_t j = 0; j < p->e; j++)
            off[j] = (r.off + of_rounding(p)) * off[j] + 1e-37;
    }
    row_free(&r);
}

/* Adds what query `i` and key `s` have to do with each other.  ds, of the score before the scale,
 * is w (dp - dot); its error is that of w, and w times those of dp and dot. */
static void backward_pair(Problem *p, int64_t i, const Row *r, int64_t s, double dot, double dot_off)
{
    int64_t k = r->k_row + s, d = p->d, e = p->e;
    double dp = 0, size = 0, w = r->weight[s], terms = ULP * 2 * (double)(p->queries * p->heads + p->keys);
    for (int64_t j = 0; j < e; j++) {
        dp += p->dout[i * e + j] * p->v[k * e + j];
        size += fabs(p->dout[i * e + j] * p->v[k * e + j]);
    }
    dp *= r->keep[s];
    double dp_off = (ULP * ((double)e + 4) + of_rounding(p)) * size * r->keep[s];
    double ds = w * (dp - dot) * r->slope[s] * p->scale;
    double w_off = r->off + ULP * 2 * fabs(p->lse[i]);
    /* 1 - tanh^2 keeps the absolute error of tanh, not a relative one. */
    double slope_off = p->cap > 0 ? r->off / p->cap + 8 * ULP : 0;
    double ds_off = fabs(p->scale) * w * (fabs(dp - dot) * (r->slope[s] * w_off + slope_off) +
                                          (dp_off + dot_off)) + (terms + 8 * ULP + of_rounding(p)) * fabs(ds);
    for (int64_t j = 0; j < d; j++) {
        p->dq[i * d + j] += ds * p->k[k * d + j];
        p->dk[k * d + j] += ds * p->q[i * d + j];
        p->dq_off[i * d + j] += ds_off * fabs(p->k[k * d + j]);
        p->dk_off[k * d + j] += ds_off * fabs(p->q[i * d + j]);
    }
    for (int64_t j = 0; j < e; j++) {
        double dv = w * r->keep[s] * p->dout[i * e + j];
        p->dv[k * e + j] += dv;
        p->dv_off[k * e + j] += (w_off + terms + of_rounding(p)) * fabs(dv);
    }
}

void problem_backward(Problem *p)
{
    Row r = row_alloc(p);
    for (int64_t i = 0; i < q_rows(p); i++) {
        row_softmax(p, i, &r);
        double dot = 0, size = 0;
        for (int64_t j = 0; j < p->e; j++) {
            dot += p->dout[i * p->e + j] * p->out[i * p->e + j];
            size += fabs(p->dout[i * p->e + j] * p->out[i * p->e + j]);
        }
        for (int64_t s = 0; s < p->keys; s++)
            if (r.weight[s] > 0)
                backward_pair(p, i, &r, s, dot, ULP * ((double)p->e + 4) * size);
    }
    row_free(&r);
}
