/* Problems of attention and attention_grad: softmax(scale Q K^T) V and its gradient written out in double, and the
 * calls that compute the same.
 *
 * Tolerances, with u = 2^-24: a score of D products is off by s = u (D + 4) scale sum |q k| and the
 * rounding of its neighbours, u (4 + 2 |score|); a weight by the relative r = 2 max s + u (2 n + 16)
 * for n keys; an output by r sum |weight v|.  The gradient's products carry the same through, term
 * by term (see backward).  Where operands may be rounded to bf16, each product of two is off by 2^-8 more. */
#ifndef TESTS_KERNELS_ATTENTION_PROBLEM_H
#define TESTS_KERNELS_ATTENTION_PROBLEM_H

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

/* batch, heads, groups, queries, keys, d, e */
#define SIZES(b, h, g, t, s, d_, e_) \
    .batch = b, .heads = h, .groups = g, .queries = t, .keys = s, .d = d_, .e = e_, .scale = 0.3

/* Sizes around every tile, with each of the options. */
enum { N_PROBLEMS = 33 };
extern const Problem attention_problems[N_PROBLEMS];

/* Arrays of zeros for inputs and results. */
void problem_alloc(Problem *p);
void problem_free(Problem *p);

/* Computes out and lse of q, k and v; then dq, dk and dv of these and dout. */
void problem_forward(Problem *p);
void problem_backward(Problem *p);

int64_t q_rows(const Problem *p);
int64_t k_rows(const Problem *p);

/* The problem's call, with operands that are drawn: out, lse, q, k, v, .. */
Case forward_case(const Problem *p);

/* The gradient's call: dq, dk, dv, q, k, v, out, lse, dout, .. */
Case backward_case(const Problem *p);

/* Takes what is drawn for the problem, and gives the kernel the out and lse that belong to it. */
void backward_inputs(Case *c, Problem *p);

void case_load(const Case *c, int operand, double *dst);

/* What every instruction set makes of the case's operands is near what the problem, whose inputs they are, has;
 * ends the case. */
void check_results(Problem *p, Case *c);

/* Draws inputs for a problem, queries in (-spread, spread), and checks every instruction set. */
void check_forward(Problem p, float spread);
void check_backward(Problem p);

#endif
