/* Problems as calls of kernels. */
#include "tests/kernels/attention_problem.h"

void case_load(const Case *c, int operand, double *dst)
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

Case forward_case(const Problem *p)
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

void check_results(Problem *p, Case *c)
{
    problem_forward(p);
    CASE_EACH_ISA(c, 3, table) {
        compare("out", c, 0, p->out, p->out_off);
        compare("lse", c, 1, p->lse, p->lse_off);
    }
    case_free(c);
    problem_free(p);
}

void check_forward(Problem p, float spread)
{
    problem_alloc(&p);
    Case c = forward_case(&p);
    for (int64_t i = 0; i < elements(&c.operand[2]); i++)
        *element(&c, 2, i) *= spread;
    case_load(&c, 2, p.q);
    case_load(&c, 3, p.k);
    case_load(&c, 4, p.v);
    check_results(&p, &c);
}

Case backward_case(const Problem *p)
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

void backward_inputs(Case *c, Problem *p)
{
    case_load(c, 3, p->q);
    case_load(c, 4, p->k);
    case_load(c, 5, p->v);
    case_load(c, 8, p->dout);
    problem_forward(p);
    store(c, 6, p->out);
    store(c, 7, p->lse);
}

void check_backward(Problem p)
{
    problem_alloc(&p);
    Case c = backward_case(&p);
    backward_inputs(&c, &p);
    problem_backward(&p);
    CASE_EACH_ISA(&c, 7, table) {
        compare("dq", &c, 0, p.dq, p.dq_off);
        compare("dk", &c, 1, p.dk, p.dk_off);
        compare("dv", &c, 2, p.dv, p.dv_off);
    }
    case_free(&c);
    problem_free(&p);
}

const Problem attention_problems[N_PROBLEMS] = {
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
