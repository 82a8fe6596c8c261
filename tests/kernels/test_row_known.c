/* Programs that the kernel knows and runs with loops of their own, norms, their gradients and AdamW's step: the bits
 * of their instructions one by one, whichever registers they use; and what only looks like them is left alone. */
#include "tests/kernels/row_program.h"

#include "runtime/kernels/row_adamw.h"
#include "runtime/kernels/row_norm.h"

/* A norm of the sum of as many inputs as `variant` says, with what else it says; x, z and r are kept or not. */
enum { INPUTS = 3, CENTRED = 4, BIASED = 8, KEEPS = 16, N_NORMS = 32 };

static Case norm(Program *r, int64_t rows, int64_t n, int variant)
{
    enum { A, B, C, Y, X, Z, RSTD, WEIGHT, BIAS, SCALE, EPS, T, V, TEMP_X, TEMP_Z, TEMP_RSTD };
    const int inputs = 1 + (variant & INPUTS) % 3;
    const bool keeps = variant & KEEPS, centred = variant & CENTRED;
    const int made = keeps ? X : TEMP_X, x = inputs > 1 ? made : A;
    const int z = !centred ? x : keeps ? Z : TEMP_Z, rstd = keeps ? RSTD : TEMP_RSTD;
    Case c = program_case(r, rows, n, 6, 1u << Y | (uint32_t)keeps << RSTD | (uint32_t)(keeps && centred) << Z
                                             | (uint32_t)(keeps && inputs > 1) << X);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, 1 }, ROWS);
    c.operand[RSTD].stride[1] = 0;
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, n }, ROWS);
    program_const(r, 1.0f / (float)n);
    program_const(r, 1e-5f);
    r->p.n_temps = 5;
    r->per_row[1] = r->per_row[4] = 1;
    if (inputs > 1)
        program_add(r, ROW_add, inputs > 2 ? T : x, A, B);
    if (inputs > 2)
        program_add(r, ROW_add, x, C, T);
    if (centred) {
        program_add(r, ROW_sum, V, x, 0);
        program_add(r, ROW_mul, V, V, SCALE);
        program_add(r, ROW_sub, z, x, V);
    }
    program_add(r, ROW_mul, T, z, z);
    program_add(r, ROW_sum, V, T, 0);
    program_add(r, ROW_mul, V, V, SCALE);
    program_add(r, ROW_add, V, V, EPS);
    program_add(r, ROW_rsqrt, rstd, V, 0);
    program_add(r, ROW_mul, T, z, rstd);
    program_add(r, ROW_mul, variant & BIASED ? T : Y, T, WEIGHT);
    if (variant & BIASED)
        program_add(r, ROW_add, Y, T, BIAS);
    return c;
}

/* The gradient of a norm, of operands 0 to 4 (z, g, a residual, the weight, what rows are scaled with), with its
 * sums of columns and the norm's output; as compilers make it, but of copies of z and g, or with what `variant` says:
 * without the residual, with a bias and the sums of its columns, or without the output, and then u stands first, or
 * with the output rounded to bf16. */
enum { RESIDUAL = 1, BIAS = 2, FIRST_U = 4, ROUNDS_Y = 8, N_GRADIENTS = 16 };

static Case norm_gradient(Program *r, int64_t rows, int64_t n, int variant)
{
    enum { X, D, BESIDE, WEIGHT, RSTD, NORMED, OUT, SUMS, SHIFT, GAINS, HALF, SCALE, T, U, MEAN, SLOPE, Z, G };
    const bool bias = variant & BIAS, first_u = variant & FIRST_U, rounded = variant & ROUNDS_Y && !first_u;
    const int MADE = rounded ? U : NORMED;
    Case c = program_case(r, rows, n, 3,
                          (first_u ? 0u : 1u << NORMED) | 1 << OUT | 1 << SUMS | (uint32_t)bias << GAINS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, 1 }, ROWS);
    case_add(&c, rounded ? DTYPE_bf16 : DTYPE_f32, 2, r->p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, r->p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 2, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, bias ? (int64_t[]){ 2, n } : r->p.dim, ROWS);
    program_const(r, -0.5f);
    program_const(r, 1.0f / (float)n);
    r->p.n_temps = 6;
    r->per_row[2] = r->per_row[3] = 1;
    program_add(r, ROW_copy, Z, X, 0);
    program_add(r, ROW_copy, G, D, 0);
    if (first_u && bias)
        program_add(r, ROW_column_sums, GAINS, G, 0);
    if (first_u)
        program_add(r, ROW_mul, U, G, WEIGHT);
#define INSTR(op, dst, x, y) program_add(r, ROW_##op, dst, x, y);
#define MADE_BEFORE(op, dst, x, y) if (!first_u) INSTR(op, dst, x, y)
#define SHIFTED(op, dst, x, y) if (bias) MADE_BEFORE(op, dst, x, y)
#define ROUND(op, dst, x, y) if (rounded) INSTR(op, dst, x, y)
#define JOINED(op, dst, x, y) if (variant & RESIDUAL) INSTR(op, dst, x, y)
#include "tests/kernels/norm_gradient.def"
    return c;
}

/* The gradient of a norm that is not centred, of z, the weight, what rows are scaled with, a residual or none, and
 * one to three gradients of its output, which is wanted or not, or rounded to bf16. */
enum { JOINS = 3, BESIDE = 4, MAKES_Y = 8, IN_BF16 = 16, N_PLAIN_GRADIENTS = 32 };

static Case plain_gradient(Program *r, int64_t rows, int64_t n, int variant)
{
    enum { Z, G, H, I, JOINED, OUT, Y, WEIGHT, RSTD, SUMS, HALF, SCALE, X, U, GRAD, TOTAL, SLOPE, N_REGS };
    const int joins = 1 + (variant & JOINS) % 3, g = joins > 1 ? GRAD : G;
    const bool makes = variant & MAKES_Y, rounded = makes && variant & IN_BF16;
    Case c = program_case(r, rows, n, 6, (uint32_t)makes << Y | 1 << OUT | 1 << SUMS);
    case_add(&c, rounded ? DTYPE_bf16 : DTYPE_f32, 2, r->p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, 1 }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 2, n }, ROWS);
    program_const(r, -0.5f);
    program_const(r, 1.0f / (float)n);
    r->p.n_temps = N_REGS - X;
    r->per_row[TOTAL - X] = r->per_row[SLOPE - X] = 1;
    if (makes) {
        program_add(r, ROW_mul, X, Z, RSTD);
        program_add(r, ROW_mul, rounded ? U : Y, X, WEIGHT);
    }
    if (rounded)
        program_add(r, ROW_round_bf16, Y, U, 0);
    if (joins > 1)
        program_add(r, ROW_add, g, G, H);
    if (joins > 2)
        program_add(r, ROW_add, g, g, I);
    program_add(r, ROW_mul, U, g, WEIGHT);
    if (!makes)
        program_add(r, ROW_mul, X, Z, RSTD);
    program_add(r, ROW_mul, X, g, X);
    program_add(r, ROW_column_sums, SUMS, X, 0);
    program_add(r, ROW_mul, X, U, RSTD);
    program_add(r, ROW_mul, U, U, Z);
    if (variant & BESIDE)
        program_add(r, ROW_add, X, JOINED, X);
    program_add(r, ROW_sum, TOTAL, U, 0);
    program_add(r, ROW_mul, SLOPE, RSTD, RSTD);
    program_add(r, ROW_mul, SLOPE, RSTD, SLOPE);
    program_add(r, ROW_mul, SLOPE, SLOPE, HALF);
    program_add(r, ROW_mul, TOTAL, TOTAL, SLOPE);
    program_add(r, ROW_mul, TOTAL, TOTAL, SCALE);
    program_add(r, ROW_mul, U, TOTAL, Z);
    program_add(r, ROW_add, X, X, U);
    program_add(r, ROW_add, OUT, X, U);
    return c;
}

/* False where the check refuses the program. */
static bool agrees(Program *r, Case *c, const char *what)
{
    Error err;
    c->call.operand = c->operand;
    if (!kernel_check(&c->call, &err))
        return false;
    CASE_EACH_ISA(c, r->p.outputs, table)
        check_against_naive(c, table, what);
    return true;
}

/* Rows that go in pairs, and longer ones; of any number. */
static int64_t some_columns(int i) { return i % 4 == 3 ? 257 + draw(200) : 2 + draw(200); }

static void test_norms(void **state)
{
    (void)state;
    static Program r;
    for (int i = 0; i < 2 * N_NORMS; i++) {
        Case c = norm(&r, 1 + draw(9), some_columns(i / N_NORMS + i), i % N_NORMS);
        assert_int_equal(row_norm(&r.p, c.call.n_operands, 0).n_instrs, r.p.n_instrs);
        assert_true(agrees(&r, &c, "norm"));
        case_free(&c);
    }
}

/* From instruction `first` on. */
static void check_gradients(Case build(Program *, int64_t, int64_t, int), int n, int first, const char *what)
{
    static Program r;
    for (int i = 0; i < 4 * n; i++) {
        Case c = build(&r, 1 + draw(30), some_columns(i / n), i % n);
        assert_int_equal(row_norm_grad(&r.p, c.call.n_operands, first).n_instrs, r.p.n_instrs - first);
        assert_true(agrees(&r, &c, what));
        case_free(&c);
    }
}

static void test_norm_gradient(void **state)
{
    (void)state;
    check_gradients(norm_gradient, N_GRADIENTS, 2, "norm's gradient");
    check_gradients(plain_gradient, N_PLAIN_GRADIENTS, 0, "gradient of a norm that is not centred");
}

/* What instruction `at` makes is `reg`, for all that read it. */
static void rename_result(Program *r, int at, uint16_t reg)
{
    const uint16_t was = r->instrs[at].dst;
    r->instrs[at].dst = reg;
    for (int i = at + 1; i < r->p.n_instrs; i++) {
        RowInstr *in = &r->instrs[i];
        in->a = in->a == was ? reg : in->a;
        in->b = in->b == was && row_op_inputs((RowOp)in->op) > 1 ? reg : in->b;
        if (in->dst == was)
            return;
    }
}

/* Programs with every register of every instruction another one, and every result in another one: a loop that took
 * the instructions for those that it has would be wrong.  At least `least` must be legal. */
static void check_changed(Case (*make)(Program *, int64_t, int64_t, int), int n_variants, const char *what, int least)
{
    static Program r;
    int legal = 0, changed = 0;
    for (int at = 0; changed >= 0; at++) {
        Case c = make(&r, 3, 21, (int)draw(n_variants));
        const int n_regs = c.call.n_operands + r.p.n_consts + r.p.n_temps, n = at / 2;
        const int which = n / n_regs % 4, instr = n / n_regs / 4 % r.p.n_instrs;
        RowInstr *in = &r.instrs[instr];
        uint16_t *field[3] = { &in->dst, &in->a, &in->b };
        if (which < 3)
            *field[which] = (uint16_t)(n % n_regs);
        else
            rename_result(&r, instr, (uint16_t)(n % n_regs));
        char name[40];
        snprintf(name, sizeof name, "%s %d", what, at);
        legal += agrees(&r, &c, name);
        changed = n / n_regs / 4 < r.p.n_instrs ? n : -1;
        case_free(&c);
    }
    assert_true(legal > least);
}

static void test_changed_norms(void **state)
{
    (void)state;
    check_changed(norm, N_NORMS, "norm", 300);
    check_changed(norm_gradient, N_GRADIENTS, "norm's gradient", 500);
    check_changed(plain_gradient, N_PLAIN_GRADIENTS, "plain gradient", 500);
}

/* A parameter's step, in place or apart: factors turned round at random, with what `variant` says. */
enum { DECAYS = 1, CLEARS = 2, APART = 4, SPOILED = 8, ROUNDS = 16, N_VARIANTS = 32 };

static void add_turned(Program *r, RowOp op, int dst, int a, int b)
{
    if (draw(2))
        program_add(r, op, dst, b, a);
    else
        program_add(r, op, dst, a, b);
}

static Case adamw_case(Program *r, int64_t rows, int64_t n, int variant)
{
    enum { GRAD, M, V, P, FACTOR, UNBIAS, KEEP, STEP, N_IN };
    const int out = variant & APART ? N_IN : M;
    *r = (Program){ .p = { .rank = 2, .dim = { rows, n }, .consts = r->consts, .n_temps = 3,
                           .temp_per_row = r->per_row, .instrs = r->instrs,
                           .outputs = 7u << out | (variant & CLEARS ? 1 : 0) } };
    Case c = case_new(KERNEL_row);
    const int64_t one[] = { 1, 1 };
    for (int i = 0; i < (variant & APART ? N_IN + 3 : N_IN); i++)
        case_add(&c, DTYPE_f32, 2, i >= FACTOR && i < N_IN ? one : r->p.dim, ROWS);
    const int rounded = c.call.n_operands;
    if (variant & ROUNDS) {
        case_add(&c, DTYPE_bf16, 2, r->p.dim, ROWS);
        r->p.outputs |= 1u << rounded;
    }
    for (int i = 0; i < c.call.n_operands; i++)
        for (int a = 0; a < 2; a++)
            c.operand[i].stride[a] = c.operand[i].dim[a] == 1 ? 0 : a ? 1 : n;
    for (int64_t e = 0; e < rows * n; e++)
        *element(&c, V, e) *= *element(&c, V, e);       /* a second moment */
    static const float consts[] = { 0.9f, 0.1f, 0.95f, 0.05f, 1e-8f, 0 };
    const int k = c.call.n_operands, t = k + (int)COUNT_OF(consts);
    for (size_t i = 0; i < COUNT_OF(consts); i++)
        program_const(r, consts[i]);
    c.call.row = &r->p;
    add_turned(r, ROW_mul, t, GRAD, FACTOR);
    add_turned(r, ROW_mul, t + 1, M, k);
    add_turned(r, ROW_mul, t + 2, t, k + 1);
    add_turned(r, ROW_add, out, t + 1, t + 2);
    add_turned(r, ROW_mul, t, t, t);
    add_turned(r, ROW_mul, t, t, k + 3);
    add_turned(r, ROW_mul, t + 1, V, k + 2);
    add_turned(r, ROW_add, out + 1, t, t + 1);
    program_add(r, ROW_sqrt, t, out + 1, 0);
    add_turned(r, ROW_mul, t, t, UNBIAS);
    add_turned(r, variant & SPOILED ? ROW_sub : ROW_add, t, t, k + 4);
    program_add(r, ROW_div, t, out, t);
    add_turned(r, ROW_mul, t, STEP, t);
    if (variant & DECAYS)
        add_turned(r, ROW_mul, t + 1, P, KEEP);
    program_add(r, ROW_sub, out + 2, variant & DECAYS ? t + 1 : P, t);
    if (variant & CLEARS)
        program_add(r, ROW_copy, GRAD, k + 5, 0);
    if (variant & ROUNDS)
        program_add(r, ROW_round_bf16, rounded, out + 2, 0);
    return c;
}

/* The loop of its own gives the bits of the instructions, and takes no other program. */
static void test_adamw(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 1, 2 }, { 1, 63 }, { 5, 200 }, { 1, 6007 }, { 3, 5000 }, { 2, 4000 } };
    for (size_t i = 0; i < COUNT_OF(sizes) * N_VARIANTS; i++) {
        static Program r;
        const int variant = (int)(i % N_VARIANTS);
        Case c = adamw_case(&r, sizes[i / N_VARIANTS][0], sizes[i / N_VARIANTS][1], variant);
        CASE_EACH_ISA(&c, r.p.outputs, table) {
            assert_int_equal(row_adamw(&c.call).found, !(variant & SPOILED));
            check_against_naive(&c, table, "adamw");
        }
        case_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_norm_gradient),
        cmocka_unit_test(test_changed_norms),
        cmocka_unit_test(test_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
