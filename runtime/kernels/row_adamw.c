/* Recognising the step: the expression of the new parameter is unified with the formula, whatever
 * registers it uses and in whatever order its instructions and factors stand. */
#include "runtime/kernels/row_adamw.h"

/* The formula: each line an operation on lines before it, or on inputs (IN). */
#define IN(name) (-1 - ADAMW_##name)
static const struct {
    RowOp op;
    int a, b;
} formula[] = {
    { ROW_mul, IN(g), IN(factor) },     /* 0: g' */
    { ROW_mul, 0, IN(rest1) },
    { ROW_mul, IN(m), IN(beta1) },
    { ROW_add, 2, 1 },                  /* 3: m' */
    { ROW_mul, 0, 0 },
    { ROW_mul, 4, IN(rest2) },
    { ROW_mul, IN(v), IN(beta2) },
    { ROW_add, 6, 5 },                  /* 7: v' */
    { ROW_sqrt, 7, 7 },
    { ROW_mul, 8, IN(unbias) },
    { ROW_add, 9, IN(eps) },
    { ROW_div, 3, 10 },
    { ROW_mul, IN(step), 11 },
    { ROW_mul, IN(p), IN(keep) },
    { ROW_sub, 13, 12 },                /* p', with decay and without */
    { ROW_sub, IN(p), 12 },
};
enum { NEW_M = 3, NEW_V = 7, DECAYED = 14, PLAIN = 15, N_LINES = 16 };

/* What an instruction reads: the result of one before it, or a register that none has written. */
typedef struct Source {
    int instr;                          /* -1: none */
    int reg;
} Source;

typedef struct Match {
    const Call *call;
    const RowProgram *p;
    int line[N_LINES];                  /* line -> instruction, -1 */
    int input[N_ADAMW_INPUTS];          /* input -> register, -1 */
} Match;

static Source source_of(const Match *m, int instr, int reg)
{
    for (int i = instr; i-- > 0;)
        if (m->p->instrs[i].dst == reg)
            return (Source){ i, reg };
    return (Source){ -1, reg };
}

static bool is_run(const Match *m, int reg)
{
    return reg < m->call->n_operands
        && row_stride(m->call, reg, (int32_t)m->call->derived[ROW_AXIS]) == 1;
}

static bool is_single(const Match *m, int reg)
{
    const int32_t n = m->call->n_operands;
    if (reg >= n)
        return reg < n + m->p->n_consts;
    for (int32_t a = 0; a < m->p->rank; a++)
        if (row_stride(m->call, reg, a) != 0)
            return false;
    return true;
}

static bool unify_input(Match *m, AdamwReg input, Source s)
{
    if (s.instr >= 0 || (input <= ADAMW_p ? !is_run(m, s.reg) : !is_single(m, s.reg)))
        return false;
    if (m->input[input] < 0)
        m->input[input] = s.reg;
    return m->input[input] == s.reg;
}

static bool unify(Match *m, int line, Source s)
{
    if (line < 0)
        return unify_input(m, (AdamwReg)(-1 - line), s);
    if (s.instr < 0 || (m->line[line] >= 0 && m->line[line] != s.instr))
        return false;
    const RowInstr *in = &m->p->instrs[s.instr];
    if (in->op != formula[line].op)
        return false;
    m->line[line] = s.instr;
    const Source a = source_of(m, s.instr, in->a), b = source_of(m, s.instr, in->b);
    if (in->op == ROW_sqrt)
        return unify(m, formula[line].a, a);
    const Match before = *m;
    if (unify(m, formula[line].a, a) && unify(m, formula[line].b, b))
        return true;
    *m = before;
    return (in->op == ROW_mul || in->op == ROW_add) && unify(m, formula[line].a, b)
        && unify(m, formula[line].b, a);
}

static bool is_result(int line)
{
    return line == NEW_M || line == NEW_V || line == DECAYED || line == PLAIN;
}

/* What else there is clears a run, or writes the new parameter to one of bf16. */
static bool finish_instr(const Match *m, const RowInstr *in, int parameter, RowAdamw *out)
{
    const bool rounds = in->op == ROW_round_bf16;
    const AdamwReg to = rounds ? ADAMW_rounded : ADAMW_cleared;
    if (out->reg[to] != NO_REG || !is_run(m, in->dst))
        return false;
    out->reg[to] = (uint8_t)in->dst;
    if (rounds)
        return in->a == parameter;
    out->reg[ADAMW_clear_value] = (uint8_t)in->a;
    return in->op == ROW_copy && in->a >= m->call->n_operands && is_single(m, in->a);
}

/* Results go to memory, and nothing else does. */
static bool finish(const Match *m, int parameter, RowAdamw *out)
{
    bool known[MAX_ROW_INSTRS] = { false };
    for (int l = 0; l < N_LINES; l++) {
        if (m->line[l] < 0)
            continue;
        const int dst = m->p->instrs[m->line[l]].dst;
        known[m->line[l]] = true;
        if (is_result(l) != (dst < m->call->n_operands) || (is_result(l) && !is_run(m, dst)))
            return false;
    }
    for (int i = 0; i < m->p->n_instrs; i++)
        if (!known[i] && !finish_instr(m, &m->p->instrs[i], parameter, out))
            return false;
    return true;
}

static bool match_at(const Call *call, int root, RowAdamw *out)
{
    for (int plain = 0; plain < 2; plain++) {
        const int line = plain ? PLAIN : DECAYED;
        Match m = { .call = call, .p = call->row };
        memset(m.line, -1, sizeof m.line);
        memset(m.input, -1, sizeof m.input);
        memset(out->reg, NO_REG, sizeof out->reg);
        const int parameter = call->row->instrs[root].dst;
        if (!unify(&m, line, (Source){ root, parameter }) || !finish(&m, parameter, out))
            continue;
        for (int i = 0; i < N_ADAMW_INPUTS; i++)
            out->reg[i] = m.input[i] < 0 ? NO_REG : (uint8_t)m.input[i];
        out->reg[ADAMW_new_m] = (uint8_t)call->row->instrs[m.line[NEW_M]].dst;
        out->reg[ADAMW_new_v] = (uint8_t)call->row->instrs[m.line[NEW_V]].dst;
        out->reg[ADAMW_new_p] = (uint8_t)parameter;
        return true;
    }
    return false;
}

RowAdamw row_adamw_match(const Call *call)
{
    RowAdamw r = { 0 };
    const RowProgram *p = call->row;
    const int64_t *d = call->derived;
    if (p->n_instrs < 14 || p->n_instrs > 17 || d[ROW_ROWS] != 1 || d[ROW_N_OUTER] != 0
        || d[ROW_N] <= 1)
        return r;
    for (int i = p->n_instrs; i-- > 0 && !r.found;)
        r.found = p->instrs[i].op == ROW_sub && match_at(call, i, &r);
    return r;
}
