/* The formulas of norms and of their gradients, in the order in which compilers write them. */
#include "runtime/kernels/row_norm.h"

#include <string.h>

/* What is nobody else's. */
enum {
    PART = N_NORM_REGS, TOTAL, MEAN, SQUARE, SQUARES, VARIANCE, BIASED, SCALED, WEIGHED,
    N_SYMBOLS
};

static const RowLine two[] = { { ROW_add, NORM_x, NORM_a, NORM_b } };
static const RowLine three[] = { { ROW_add, PART, NORM_a, NORM_b }, { ROW_add, NORM_x, NORM_c, PART } };
static const RowLine centre[] = {
    { ROW_sum, TOTAL, NORM_x, 0 },
    { ROW_mul, MEAN, TOTAL, NORM_c0 },
    { ROW_sub, NORM_z, NORM_x, MEAN },
};
#define SCALE(z)                            \
    { ROW_mul, SQUARE, z, z },              \
    { ROW_sum, SQUARES, SQUARE, 0 },        \
    { ROW_mul, VARIANCE, SQUARES, NORM_c1 },\
    { ROW_add, BIASED, VARIANCE, NORM_c2 }, \
    { ROW_rsqrt, NORM_r, BIASED, 0 },       \
    { ROW_mul, SCALED, z, NORM_r }
static const RowLine scale[2][6] = { { SCALE(NORM_x) }, { SCALE(NORM_z) } };
static const RowLine weigh[] = { { ROW_mul, NORM_y, SCALED, NORM_w } };
static const RowLine weigh_bias[] = { { ROW_mul, WEIGHED, SCALED, NORM_w }, { ROW_add, NORM_y, WEIGHED, NORM_bias } };

/* The gradient's own. */
enum {
    X = N_GRAD_REGS, XW, G_PART, U, V, UZ, SUM, R_2, R_3, HALF_3, SLOPE, S, SZ, ONCE, TWICE, MINUS, BESIDE, BACK,
    BACK_MEAN,
    N_GRAD_SYMBOLS
};
_Static_assert((int)N_SYMBOLS <= (int)MAX_ROW_SYMBOLS && (int)N_GRAD_SYMBOLS <= (int)MAX_ROW_SYMBOLS,
               "a match has as many");

static const RowLine normed[] = { { ROW_mul, X, GRAD_z, GRAD_r } };
static const RowLine again[] = { { ROW_mul, GRAD_y, X, GRAD_w } };
static const RowLine again_bias[] = { { ROW_mul, XW, X, GRAD_w }, { ROW_add, GRAD_y, XW, GRAD_bias } };
static const RowLine rounded[] = { { ROW_round_bf16, GRAD_rounded, GRAD_y, 0 } };
static const RowLine gains[] = { { ROW_column_sums, GRAD_gains, GRAD_g, 0 } };
static const RowLine weighed[] = { { ROW_mul, U, GRAD_g, GRAD_w } };
static const RowLine weighed_first[] = { { ROW_mul, U, GRAD_g, GRAD_w }, { ROW_mul, X, GRAD_z, GRAD_r } };
static const RowLine joined[] = { { ROW_add, GRAD_g, GRAD_first, GRAD_second } };
static const RowLine joined_three[] = {
    { ROW_add, G_PART, GRAD_first, GRAD_second }, { ROW_add, GRAD_g, GRAD_third, G_PART },
};
static const RowLine back[] = {
    { ROW_mul, V, GRAD_g, X },
    { ROW_column_sums, GRAD_columns, V, 0 },
    { ROW_mul, GRAD_t, U, GRAD_r },
    { ROW_mul, UZ, U, GRAD_z2 },
};
static const RowLine slope[] = {
    { ROW_sum, SUM, UZ, 0 },
    { ROW_mul, R_2, GRAD_r2, GRAD_r2 },
    { ROW_mul, R_3, GRAD_r, R_2 },
    { ROW_mul, HALF_3, R_3, GRAD_half },
    { ROW_mul, SLOPE, SUM, HALF_3 },
    { ROW_mul, S, SLOPE, GRAD_c },
    { ROW_mul, SZ, S, GRAD_z2 },
};
static const RowLine twice[] = {
    { ROW_add, ONCE, GRAD_t, SZ },
    { ROW_add, TWICE, ONCE, SZ },
    { ROW_neg, MINUS, TWICE, 0 },
};
static const RowLine beside[] = { { ROW_add, BESIDE, GRAD_d, TWICE } };
static const RowLine beside_first[] = { { ROW_add, BESIDE, GRAD_d, GRAD_t } };
#define PLAIN(from) { ROW_add, ONCE, from, SZ }, { ROW_add, GRAD_out, ONCE, SZ }
static const RowLine plain[2][2] = { { PLAIN(GRAD_t) }, { PLAIN(BESIDE) } };
#define APART(from)                             \
    { ROW_sum, BACK, MINUS, 0 },                \
    { ROW_mul, BACK_MEAN, BACK, GRAD_c },       \
    { ROW_add, GRAD_out, from, BACK_MEAN }
static const RowLine apart[2][3] = { { APART(TWICE) }, { APART(BESIDE) } };

#define COUNT(lines) ((int32_t)(sizeof(lines) / sizeof *(lines)))
#define MATCH(m, lines) row_match(m, COUNT(lines), lines)

RowNorm row_norm(const RowProgram *p, int32_t n_operands, int32_t at)
{
    const uint32_t stored = 1u << NORM_x | 1u << NORM_z | 1u << NORM_r | 1u << NORM_y;
    if (p->n_instrs - at < COUNT(scale[0]) + COUNT(weigh))
        return (RowNorm){ 0 };
    RowMatch m = row_match_begin(p, at);
    RowNorm norm = { .inputs = MATCH(&m, three) ? 3 : MATCH(&m, two) ? 2 : 1 };
    norm.centred = MATCH(&m, centre);
    if (!MATCH(&m, scale[norm.centred]) || (!MATCH(&m, weigh_bias) && !MATCH(&m, weigh))
        || !row_match_hides(&m, n_operands, stored))
        return norm;
    norm.n_instrs = m.end - m.begin;
    memcpy(norm.reg, m.reg, sizeof norm.reg);
    return norm;
}

static void match_joined(RowMatch *m)
{
    if (!MATCH(m, joined_three))
        MATCH(m, joined);
}

/* x, y or what it is rounded to, gains and u; where y is not wanted, u may come first. */
static bool match_begin(RowMatch *m)
{
    MATCH(m, gains);
    match_joined(m);
    if (MATCH(m, weighed_first))
        return true;
    if (m->reg[GRAD_first] != NO_ROW_REG)
        return false;
    if (!MATCH(m, normed))
        return false;
    if (MATCH(m, again_bias) || MATCH(m, again))
        MATCH(m, rounded);
    MATCH(m, gains);
    match_joined(m);
    return MATCH(m, weighed);
}

/* The rest of a centred one. */
static bool match_centred(RowMatch *m)
{
    return m->reg[GRAD_first] == NO_ROW_REG && MATCH(m, slope) && MATCH(m, twice)
        && MATCH(m, apart[MATCH(m, beside)]);
}

/* The rest of one that is not; it has no bias, and its residual joins early. */
static bool match_plain(RowMatch *m)
{
    const bool residual = MATCH(m, beside_first);
    return m->reg[GRAD_gains] == NO_ROW_REG && m->reg[GRAD_bias] == NO_ROW_REG && MATCH(m, slope)
        && MATCH(m, plain[residual]);
}

RowNormGrad row_norm_grad(const RowProgram *p, int32_t n_operands, int32_t at)
{
    const uint32_t made = 1u << GRAD_out | 1u << GRAD_columns | 1u << GRAD_gains;
    RowNormGrad grad = { 0 };
    if (p->n_instrs - at < COUNT(back) + COUNT(slope) + COUNT(plain[0]))
        return grad;
    RowMatch m = row_match_begin(p, at);
    if (!match_begin(&m) || !MATCH(&m, back))
        return grad;
    const RowMatch begun = m;
    grad.centred = match_centred(&m);
    if (!grad.centred)
        m = begun;
    if (!grad.centred && !match_plain(&m))
        return grad;
    if (!row_match_hides(&m, n_operands, made | 1u << (m.reg[GRAD_rounded] == NO_ROW_REG ? GRAD_y : GRAD_rounded)))
        return grad;
    grad.n_instrs = m.end - m.begin;
    memcpy(grad.reg, m.reg, sizeof grad.reg);
    return grad;
}
