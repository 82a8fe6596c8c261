/* The instructions of a program beside the lines of a formula: which symbol each register holds. */
#include "runtime/kernels/row_match.h"

RowMatch row_match_begin(const RowProgram *p, int32_t at)
{
    RowMatch m = { .p = p, .begin = at, .end = at };
    for (int i = 0; i < MAX_ROW_SYMBOLS; i++)
        m.reg[i] = NO_ROW_REG;
    return m;
}

/* May the register be what the symbol stands for? */
static bool fits(const RowMatch *m, int symbol, uint16_t reg)
{
    if (m->held[reg] != 0)
        return m->held[reg] == symbol + 1;
    return m->reg[symbol] == NO_ROW_REG || m->reg[symbol] == reg;
}

static bool reads(RowMatch *m, const RowLine *line, uint16_t a, uint16_t b)
{
    if (!fits(m, line->a, a) || !fits(m, line->b, b) || (line->a == line->b && a != b))
        return false;
    m->reg[line->a] = a;
    m->reg[line->b] = b;
    return true;
}

static bool match_line(RowMatch *m, const RowLine *line)
{
    const RowInstr *in = &m->p->instrs[m->end];
    const bool one = row_op_inputs((RowOp)in->op) == 1, commutes = in->op == ROW_add || in->op == ROW_mul;
    const RowLine alone = { line->op, line->dst, line->a, line->a };
    if (one ? !reads(m, &alone, in->a, in->a)
            : !reads(m, line, in->a, in->b) && !(commutes && reads(m, line, in->b, in->a)))
        return false;
    m->reg[line->dst] = in->dst;
    m->held[in->dst] = (uint8_t)(line->dst + 1);
    m->end++;
    return true;
}

bool row_match(RowMatch *m, int32_t n_lines, const RowLine *line)
{
    if (n_lines > m->p->n_instrs - m->end)
        return false;
    for (int32_t i = 0; i < n_lines; i++)
        if (m->p->instrs[m->end + i].op != line[i].op)
            return false;
    const RowMatch before = *m;
    for (int32_t i = 0; i < n_lines; i++)
        if (!match_line(m, &line[i])) {
            *m = before;
            return false;
        }
    return true;
}

/* Is what the register holds behind the match read by anyone? */
static bool is_read(const RowMatch *m, int32_t n_operands, uint16_t reg)
{
    for (int32_t i = m->end; reg >= n_operands && i < m->p->n_instrs; i++) {
        const RowInstr *in = &m->p->instrs[i];
        const int n = row_op_inputs((RowOp)in->op);
        if (in->a == reg || (n > 1 && in->b == reg) || (n > 2 && in->c == reg))
            return true;
        if (in->dst == reg)
            return false;
    }
    return reg < n_operands;
}

bool row_match_hides(const RowMatch *m, int32_t n_operands, uint32_t stored)
{
    for (int32_t i = m->begin; i < m->end; i++) {
        const uint16_t reg = m->p->instrs[i].dst;
        const int symbol = m->held[reg] - 1;
        if ((symbol >= 32 || !(stored >> symbol & 1)) && is_read(m, n_operands, reg))
            return false;
    }
    return true;
}
