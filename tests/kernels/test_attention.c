/* attention and attention_grad against softmax(scale Q K^T) V written out in double, and the gradient
 * against central differences of that.
 *
 * Tolerances, with u = 2^-24: a score of D products is off by s = u (D + 4) scale sum |q k| and the
 * rounding of its neighbours, u (4 + 2 |score|); a weight by the relative r = 2 max s + u (2 n + 16)
 * for n keys; an output by r sum |weight v|.  The gradient's products carry the same through, term
 * by term (see backward).  Where operands may be rounded to bf16, each product of two is off by 2^-8 more. */
#include "tests/kernels/harness.h"

typedef struct Problem {
    int64_t batch, heads, groups, queries, keys, d, e;
    bool causal, has_past, rounded;
    int64_t window, past;
    double scale, cap, drop;
    uint64_t seed, site;
    double *q, *k, *v, *dout;               /* dense, as in the contract */
    double *out, *lse, *out_off, *lse_off;  /* results, and what float may be off by */
    double *dq, *dk, *dv, *dq_off, *dk_off, *dv_off;
} Problem;

static double *doubles(int64_t n)
{
    double *p = calloc((size_t)n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static int64_t q_rows(const Problem *p)
{
    return p->batch * p->heads * p->queries;
}

static int64_t k_rows(const Problem *p)
{
    return p->batch * p->groups * p->keys;
}

static void problem_alloc(Problem *p)
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

static void problem_free(Problem *p)
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

/* Row `i` of [B, H, T]: scores, weights and lse. */
static void row_softmax(Problem *p, int64_t i, Row *r)
{
    int64_t t = i % p->queries, h = i / p->queries % p->heads, b = i / p->queries / p->heads;
    double max = -INFINITY, sum = 0, off = 0, n = 0;
    r->k_row = (b * p->groups + h * p->groups / p->heads) * p->keys;
    for (int64_t s = 0; s < p->keys; s++) {
        double x = 0, size = 0;
        for (int64_t j = 0; j < p->d; j++) {
            double product = p->q[i * p->d + j] * p->k[(r->k_row + s) * p->d + j];
            x += product;
            size += fabs(product);
        }
        x *= p->scale;
        double tanh_x = p->cap > 0 ? tanh(x / p->cap) : 0;
        r->slope[s] = 1 - tanh_x * tanh_x;
        r->score[s] = p->cap > 0 ? p->cap * tanh_x : x;
        uint64_t index = (uint64_t)(i * p->keys + s);
        bool drop = random_u32(p->seed, p->site, index) < (uint64_t)(p->drop * 0x1p32);
        r->keep[s] = p->drop == 0 ? 1 : drop ? 0 : 1 / (1 - p->drop);
        if (!sees(p, t, s))
            continue;
        max = fmax(max, r->score[s]);
        off = fmax(off, (ULP * ((double)p->d + 4) + of_rounding(p)) * fabs(p->scale) * size +
                            ULP * (8 + 4 * fabs(r->score[s])));
        n++;
    }
    for (int64_t s = 0; s < p->keys; s++) {
        r->weight[s] = sees(p, t, s) ? exp(r->score[s] - max) : 0;
        sum += r->weight[s];
    }
    for (int64_t s = 0; s < p->keys && sum > 0; s++)
        r->weight[s] /= sum;
    r->off = 2 * off + ULP * (2 * n + 16);
    p->lse[i] = n > 0 ? max + log(sum) : -INFINITY;
    p->lse_off[i] = r->off + (n > 0 ? ULP * 2 * fabs(p->lse[i]) : 0);
}

static void forward(Problem *p)
{
    Row r = row_alloc(p);
    for (int64_t i = 0; i < q_rows(p); i++) {
        row_softmax(p, i, &r);
        for (int64_t j = 0; j < p->e; j++) {
            double sum = 0, size = 0;
            for (int64_t s = 0; s < p->keys; s++) {
                double w = r.weight[s] * r.keep[s] * p->v[(r.k_row + s) * p->e + j];
                sum += w;
                size += fabs(w);
            }
            p->out[i * p->e + j] = sum;
            p->out_off[i * p->e + j] = (r.off + of_rounding(p)) * size + 1e-37;
        }
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

static void backward(Problem *p)
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

static void load(const Case *c, int operand, double *dst)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        dst[i] = *element(c, operand, i);
}

static void store(Case *c, int operand, const double *src)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        *element(c, operand, i) = (float)src[i];
}

static void compare(const char *what, const Case *c, int operand, const double *want,
                    const double *off)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        expect_near(what, *element(c, operand, i), want[i], off[i] + 1e-37);
}

static void add_seed(Case *c, const Problem *p)
{
    int i = case_add(c, DTYPE_i32, 1, (int64_t[]){ 2 }, ANY);
    *element_i32(c, i, 0) = (int32_t)(uint32_t)p->seed;
    *element_i32(c, i, 1) = (int32_t)(uint32_t)(p->seed >> 32);
}

static void set_immediates(Case *c, const Problem *p)
{
    c->call.i[0] = p->causal;
    c->call.i[1] = p->window;
    c->call.i[2] = p->has_past;
    c->call.i[3] = (int64_t)p->site;
    c->call.i[4] = p->drop > 0;
    c->call.i[5] = p->rounded;
    c->call.f[0] = p->scale;
    c->call.f[1] = p->cap;
    c->call.f[2] = p->drop;
}

typedef struct Dims {
    int64_t out[4], q[4], k[4], v[4];
} Dims;

static Dims dims_of(const Problem *p)
{
    return (Dims){
        { p->batch, p->heads, p->queries, p->e }, { p->batch, p->heads, p->queries, p->d },
        { p->batch, p->groups, p->keys, p->d }, { p->batch, p->groups, p->keys, p->e },
    };
}

static Case forward_case(const Problem *p)
{
    Dims dim = dims_of(p);
    Case c = case_new(KERNEL_attention);
    case_add(&c, DTYPE_f32, 4, dim.out, ROWS);
    case_add(&c, DTYPE_f32, 3, dim.out, ANY);
    case_add(&c, DTYPE_f32, 4, dim.q, ROWS);
    case_add(&c, DTYPE_f32, 4, dim.k, ROWS);
    case_add(&c, DTYPE_f32, 4, dim.v, ROWS);
    if (p->has_past)
        case_scalar_i32(&c, (int32_t)p->past);
    if (p->drop > 0)
        add_seed(&c, p);
    set_immediates(&c, p);
    return c;
}

/* What every instruction set makes of operands that are drawn; ends the case. */
static void check_results(Problem *p, Case *c)
{
    forward(p);
    CASE_EACH_ISA(c, 3, table) {
        compare("out", c, 0, p->out, p->out_off);
        compare("lse", c, 1, p->lse, p->lse_off);
    }
    case_free(c);
    problem_free(p);
}

static void check_forward(Problem p, float spread)
{
    problem_alloc(&p);
    Case c = forward_case(&p);
    for (int64_t i = 0; i < elements(&c.operand[2]); i++)
        *element(&c, 2, i) *= spread;
    load(&c, 2, p.q);
    load(&c, 3, p.k);
    load(&c, 4, p.v);
    check_results(&p, &c);
}

static Case backward_case(const Problem *p)
{
    Dims dim = dims_of(p);
    const int64_t *shape[] = { dim.q, dim.k, dim.v, dim.q, dim.k, dim.v, dim.out, dim.out, dim.out };
    Case c = case_new(KERNEL_attention_grad);
    for (int i = 0; i < 9; i++)
        case_add(&c, DTYPE_f32, i == 7 ? 3 : 4, shape[i], i == 7 ? ANY : ROWS);
    if (p->drop > 0)
        add_seed(&c, p);
    set_immediates(&c, p);
    return c;
}

/* Loads what is drawn, and gives the kernel the out and lse that belong to it. */
static void backward_inputs(Case *c, Problem *p)
{
    load(c, 3, p->q);
    load(c, 4, p->k);
    load(c, 5, p->v);
    load(c, 8, p->dout);
    forward(p);
    store(c, 6, p->out);
    store(c, 7, p->lse);
}

static void check_backward(Problem p)
{
    problem_alloc(&p);
    Case c = backward_case(&p);
    backward_inputs(&c, &p);
    backward(&p);
    CASE_EACH_ISA(&c, 7, table) {
        compare("dq", &c, 0, p.dq, p.dq_off);
        compare("dk", &c, 1, p.dk, p.dk_off);
        compare("dv", &c, 2, p.dv, p.dv_off);
    }
    case_free(&c);
    problem_free(&p);
}

/* batch, heads, groups, queries, keys, d, e */
#define SIZES(b, h, g, t, s, d_, e_) \
    .batch = b, .heads = h, .groups = g, .queries = t, .keys = s, .d = d_, .e = e_, .scale = 0.3

static const Problem problems[] = {
    { SIZES(1, 1, 1, 1, 1, 1, 1) },
    { SIZES(2, 3, 3, 7, 7, 5, 3), .causal = true },
    { SIZES(1, 4, 2, 16, 16, 16, 16), .causal = true },
    { SIZES(1, 2, 1, 64, 64, 64, 64), .causal = true },
    { SIZES(1, 2, 2, 65, 65, 33, 40), .causal = true },
    { SIZES(1, 6, 2, 150, 150, 24, 8), .causal = true },
    { SIZES(1, 1, 1, 40, 131, 20, 70) },
    { SIZES(1, 1, 1, 90, 30, 20, 20), .causal = true },
    { SIZES(1, 2, 1, 100, 100, 32, 32), .causal = true, .window = 1 },
    { SIZES(1, 2, 1, 150, 150, 32, 32), .causal = true, .window = 37 },
    { SIZES(1, 2, 1, 200, 200, 16, 16), .causal = true, .window = 70, .cap = 0.7 },
    { SIZES(2, 2, 1, 37, 37, 8, 8), .causal = true, .cap = 5 },
    { SIZES(1, 1, 1, 30, 60, 8, 8), .cap = 2, .drop = 0.25, .seed = 77, .site = 3 },
    { SIZES(2, 4, 2, 70, 70, 16, 24), .causal = true, .drop = 0.1, .seed = 0x123456789abcdef,
      .site = 9 },
    { SIZES(1, 2, 2, 1, 71, 16, 16), .drop = 0.5, .seed = 5 },
    { SIZES(1, 1, 1, 129, 129, 128, 128), .causal = true },
    { SIZES(1, 8, 1, 1, 300, 64, 64) },
    { SIZES(2, 6, 2, 1, 700, 40, 33) },
    { SIZES(1, 3, 3, 1, 5, 128, 128), .cap = 1 },
    { SIZES(1, 2, 2, 1, 30, 17, 1), .causal = true },
    /* Sizes that tiles of bf16 are used for: edges of panels, strips and blocks. */
    { SIZES(1, 2, 1, 256, 256, 64, 64), .causal = true },
    { SIZES(1, 2, 2, 300, 300, 33, 40), .causal = true },
    { SIZES(2, 4, 2, 270, 270, 32, 48), .causal = true, .drop = 0.2, .seed = 3, .site = 1 },
    { SIZES(1, 1, 1, 40, 389, 80, 70) },
    { SIZES(1, 2, 1, 530, 257, 32, 32), .causal = true },
    { SIZES(1, 2, 1, 350, 350, 40, 32), .causal = true, .window = 101, .cap = 2 },
    { SIZES(1, 1, 1, 290, 290, 128, 130), .causal = true, .window = 32 },
    { SIZES(0, 2, 2, 4, 4, 8, 8) },
    { SIZES(1, 2, 2, 0, 4, 8, 8) },
    { SIZES(1, 2, 2, 4, 0, 8, 8) },
    { SIZES(1, 2, 2, 1, 0, 8, 8) },
    { SIZES(1, 2, 2, 4, 4, 0, 8) },
    { SIZES(1, 2, 2, 4, 4, 8, 0) },
};

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(problems); i++)
        for (int round = 0; round < 3; round++)
            check_forward(problems[i], round == 0 ? 1 : round == 1 ? 10 : 1000);
}

static void test_past(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 1, 16, 63, 64, 90, 99, 100, 130, -1, -5, -40, INT32_MIN,
                                     INT32_MAX };
    static const int64_t counts[] = { 1, 7, 20, 33 };
    for (size_t i = 0; i < COUNT_OF(pasts); i++)
        for (size_t n = 0; n < COUNT_OF(counts); n++)
            for (int kind = 0; kind < 4; kind++) {
                Problem p = { SIZES(1, 4, 2, counts[n], 100, 24, 16), .causal = kind > 0,
                              .window = kind > 1 ? 21 : 0, .has_past = true, .past = pasts[i],
                              .cap = kind == 3 ? 3 : 0 };
                check_forward(p, 1);
            }
}

/* The same with keys enough for tiles of bf16. */
static void test_long_past(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 31, 200, 257, 330, 500, -10, INT32_MAX };
    for (size_t i = 0; i < COUNT_OF(pasts); i++)
        for (int kind = 0; kind < 3; kind++) {
            Problem p = { SIZES(1, 2, 1, kind == 2 ? 100 : 33, 400, 40, 33), .causal = kind > 0,
                          .window = kind == 2 ? 75 : 0, .has_past = true, .past = pasts[i] };
            check_forward(p, 1);
        }
}

/* Keys and values as a cache keeps them: exactly the numbers that they stand for, so the bounds are those
 * of floats. */
static void check_stored(Problem p, DType t)
{
    problem_alloc(&p);
    Case c = forward_case(&p);
    load(&c, 2, p.q);
    case_store(&c, 3, t, p.k);
    case_store(&c, 4, t, p.v);
    check_results(&p, &c);
}

static void test_stored(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 1, 63, 90, 300, 700, -1, INT32_MIN, INT32_MAX };
    static const int64_t counts[] = { 1, 7, 33, 64 };
    static const struct { DType type; int64_t heads, groups, d, e; } stored[] = {
        { DTYPE_bf16, 2, 1, 24, 33 }, { DTYPE_bf16, 1, 1, 3, 5 }, { DTYPE_bf16, 6, 1, 64, 64 },
        { DTYPE_q8_0, 4, 2, 32, 96 }, { DTYPE_q8_0, 5, 1, 64, 32 }, { DTYPE_q8_0, 2, 2, 128, 128 },
    };
    for (size_t i = 0; i < COUNT_OF(pasts); i++)
        for (size_t n = 0; n < COUNT_OF(counts); n++)
            for (size_t k = 0; k < COUNT_OF(stored); k++) {
                Problem p = { SIZES(2, stored[k].heads, stored[k].groups, counts[n], 400, stored[k].d,
                                    stored[k].e), .causal = true, .window = n % 2 ? 0 : 150,
                              .has_past = true, .past = pasts[i], .cap = k == 4 ? 3 : 0 };
                check_stored(p, stored[k].type);
            }
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(problems); i++)
        check_backward(problems[i]);
}

static void test_rounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(problems); i++) {
        Problem p = problems[i];
        p.rounded = true;
        check_forward(p, 1);
        check_backward(p);
    }
}

/* sum of dout * out. */
static double objective(Problem *p)
{
    double sum = 0;
    forward(p);
    for (int64_t i = 0; i < q_rows(p) * p->e; i++)
        sum += p->dout[i] * p->out[i];
    return sum;
}

static void differences(Problem *p, const Case *c, int operand, double *x)
{
    const double h = 1e-5;
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++) {
        double old = x[i];
        x[i] = old + h;
        double up = objective(p);
        x[i] = old - h;
        double down = objective(p);
        x[i] = old;
        expect_near("difference", *element(c, operand, i), (up - down) / (2 * h), 2e-5);
    }
}

static void test_differences(void **state)
{
    (void)state;
    static const Problem small[] = {
        { SIZES(1, 2, 1, 6, 6, 5, 4), .causal = true },
        { SIZES(1, 2, 2, 5, 7, 3, 4), .cap = 0.5 },
        { SIZES(2, 2, 1, 9, 9, 4, 4), .causal = true, .window = 3, .cap = 1 },
        { SIZES(1, 4, 2, 6, 6, 4, 4), .causal = true, .drop = 0.3, .seed = 8, .site = 2 },
    };
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        Problem p = small[i];
        problem_alloc(&p);
        Case c = backward_case(&p);
        backward_inputs(&c, &p);
        CASE_EACH_ISA(&c, 7, table) {
            differences(&p, &c, 0, p.q);
            differences(&p, &c, 1, p.k);
            differences(&p, &c, 2, p.v);
        }
        case_free(&c);
        problem_free(&p);
    }
}

/* Queries that see one key each, and rows with a single 1, make products that are numbers as they were given:
 * no bit of one may be missing. */
enum { EXACT_LENGTH = 288, EXACT_SIZE = 64 };

static Problem exact_problem(void)
{
    Problem p = { SIZES(1, 1, 1, EXACT_LENGTH, EXACT_LENGTH, EXACT_SIZE, EXACT_SIZE), .causal = true,
                  .window = 1 };
    p.scale = 1;
    return p;
}

static void keep_every(Case *c, int operand, int64_t first, int64_t step)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        if (i % step != first)
            *element(c, operand, i) = 0;
}

static void make_diagonal(Case *c, int operand)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        *element(c, operand, i) = i % EXACT_SIZE == i / EXACT_SIZE % EXACT_SIZE;
}

static void fill(Case *c, int operand, float value)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        *element(c, operand, i) = value;
}

/* Element of row `row` that its diagonal has. */
static float hot(const Case *c, int operand, int64_t row)
{
    return *element(c, operand, row * EXACT_SIZE + row % EXACT_SIZE);
}

static void expect_same(const Case *c, int operand, int other)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        expect_near("exact", *element(c, operand, i), *element(c, other, i), 0);
}

static void test_exact_forward(void **state)
{
    (void)state;
    const Problem p = exact_problem();
    for (int unit = 2; unit < 4; unit++) {      /* of q and k the other is drawn */
        Case c = forward_case(&p);
        make_diagonal(&c, unit);
        CASE_EACH_ISA(&c, 3, table) {
            expect_same(&c, 0, 4);
            for (int64_t i = 0; i < EXACT_LENGTH; i++)
                expect_near("lse", *element(&c, 1, i), hot(&c, 5 - unit, i), 0);
        }
        case_free(&c);
    }
}

/* As it was given, or rounded to the nearest bf16. */
static void expect_rounded(float value, float given)
{
    const float nearest = f32_of_bf16(bf16_of_f32(given));
    expect_near("rounded", value, value == given ? given : nearest, 0);
}

static void test_exact_rounded(void **state)
{
    (void)state;
    Problem p = exact_problem();
    p.rounded = true;
    for (int unit = 2; unit < 4; unit++) {
        Case c = forward_case(&p);
        make_diagonal(&c, unit);
        CASE_EACH_ISA(&c, 3, table) {
            for (int64_t i = 0; i < EXACT_LENGTH; i++)
                expect_rounded(*element(&c, 1, i), hot(&c, 5 - unit, i));
            for (int64_t i = 0; i < elements(&c.operand[0]); i++)
                expect_rounded(*element(&c, 0, i), *element(&c, 4, i));
        }
        case_free(&c);
    }
}

/* All weights are 1 and dot is 0, so dscores are the diagonal of dout V^T. */
static void test_exact_backward(void **state)
{
    (void)state;
    const Problem p = exact_problem();
    for (int drawn = 5; drawn <= 8; drawn += 3) {       /* v or dout */
        Case c = backward_case(&p);
        fill(&c, 6, 0);
        fill(&c, 7, 1);
        for (int i = 3; i <= 8; i++)
            if (i != drawn && i != 6 && i != 7)
                make_diagonal(&c, i);
        CASE_EACH_ISA(&c, 7, table) {
            expect_same(&c, 2, 8);
            for (int64_t i = 0; i < EXACT_LENGTH; i++) {
                expect_near("dq", hot(&c, 0, i), hot(&c, drawn, i), 0);
                expect_near("dk", hot(&c, 1, i), hot(&c, drawn, i), 0);
            }
        }
        case_free(&c);
    }
    Case c = backward_case(&p);
    fill(&c, 6, 0);
    fill(&c, 7, 0);
    keep_every(&c, 3, 0, 2);                            /* so that all scores are 0 */
    keep_every(&c, 4, 1, 2);
    make_diagonal(&c, 5);
    make_diagonal(&c, 8);
    CASE_EACH_ISA(&c, 7, table) {
        expect_same(&c, 0, 4);
        expect_same(&c, 1, 3);
    }
    case_free(&c);
}

/* A NaN or an infinity reaches the queries that see it, and those alone: no key of a later tile. */
static void check_strange(int64_t length, int64_t at, float value)
{
    const bool huge = isfinite(value);
    Problem p = { SIZES(1, 1, 1, length, length, 32, 32), .causal = true };
    problem_alloc(&p);
    Case c = forward_case(&p);
    for (int64_t e = 0; e < p.e; e++)
        *element(&c, 4, at * p.e + e) = value;
    CASE_EACH_ISA(&c, 3, table) {
        for (int64_t i = 0; i < length; i++) {
            if (i < at / 32 * 32 - 32)
                assert_true(isfinite(*element(&c, 0, i * p.e)));
            if (i >= at && isinf(value))
                assert_true(isinf(*element(&c, 0, i * p.e)));
            else if (i >= at)
                assert_true((isfinite(*element(&c, 0, i * p.e)) != 0) == huge);
            assert_true(isfinite(*element(&c, 1, i)));
        }
    }
    case_free(&c);
    problem_free(&p);
}

static void test_strange(void **state)
{
    (void)state;
    static const float values[] = { NAN, INFINITY, FLT_MAX };
    for (size_t n = 0; n < COUNT_OF(values); n++) {
        check_strange(200, 130, values[n]);
        check_strange(400, 330, values[n]);
    }
}

/* A value that is no number makes none of the gradients of its own key and of the queries that see it. */
static void test_strange_backward(void **state)
{
    (void)state;
    enum { LENGTH = 300, AT = 290, SIZE = 32 };
    Problem p = { SIZES(1, 1, 1, LENGTH, LENGTH, SIZE, SIZE), .causal = true };
    problem_alloc(&p);
    Case c = backward_case(&p);
    backward_inputs(&c, &p);
    for (int64_t e = 0; e < SIZE; e++)
        *element(&c, 5, AT * SIZE + e) = NAN;
    CASE_EACH_ISA(&c, 7, table) {
        for (int64_t i = 0; i < LENGTH; i++) {
            if (i < AT - 32)
                assert_true(isfinite(*element(&c, 0, i * SIZE)));
            if (i >= AT)
                assert_true(!isfinite(*element(&c, 0, i * SIZE)));
            assert_true((isfinite(*element(&c, 1, i * SIZE)) != 0) == (i != AT));
            assert_true(isfinite(*element(&c, 2, i * SIZE)));
        }
    }
    case_free(&c);
    problem_free(&p);
}

static void test_check(void **state)
{
    (void)state;
    Problem p = { SIZES(2, 4, 2, 5, 9, 8, 6), .causal = true };
    Case c = forward_case(&p);
    case_keep(&c);
    case_expect_legal(&c);
    static const double wrong[][4] = {
        /* immediate, value */
        { 0, 2 }, { 1, -1 }, { 2, 1 }, { 3, -1 }, { 4, 1 }, { 5, 2 }, { 6, NAN }, { 7, -1 }, { 8, 1 },
        { 8, 0.5 }, { 8, NAN },
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        Call kept = c.call;
        if (wrong[i][0] < 6)
            c.call.i[(int)wrong[i][0]] = (int64_t)wrong[i][1];
        else
            c.call.f[(int)wrong[i][0] - 6] = wrong[i][1];
        case_expect_illegal(&c);
        c.call = kept;
    }
    for (int i = 0; i < c.call.n_operands; i++)
        for (int axis = 0; axis < c.operand[i].rank; axis++) {
            c.operand[i].dim[axis]++;
            case_expect_illegal(&c);
            c.operand[i].dim[axis]--;
        }
    case_free(&c);
    Problem past = { SIZES(1, 2, 2, 5, 9, 32, 64), .causal = true, .has_past = true };
    double numbers[2 * 9 * 64];
    c = forward_case(&past);
    case_store(&c, 3, DTYPE_q8_0, numbers);
    case_expect_illegal(&c);                /* k alone */
    case_store(&c, 4, DTYPE_q8_0, numbers);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[3].stride[2] += 16;           /* half a block */
    case_expect_illegal(&c);
    c.operand[3].stride[2] -= 16;
    c.call.i[2] = 0;
    c.call.n_operands--;
    case_expect_illegal(&c);                /* no cache without a past */
    c.call.n_operands++;
    case_free(&c);
    c = backward_case(&p);
    case_keep(&c);
    case_expect_legal(&c);
    for (int i = 0; i < c.call.n_operands; i++)
        for (int axis = 0; axis < c.operand[i].rank; axis++) {
            c.operand[i].dim[axis]++;
            case_expect_illegal(&c);
            c.operand[i].dim[axis]--;
        }
    c.call.i[2] = 1;
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_long_past),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_rounded),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_exact_forward),
        cmocka_unit_test(test_exact_rounded),
        cmocka_unit_test(test_exact_backward),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_strange_backward),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
