/* Programs of rows, an instruction at a time. */
#include "tests/kernels/row_program.h"

void program_new(Program *r)
{
    *r = (Program){ .p = { .consts = r->consts, .temp_per_row = r->per_row, .instrs = r->instrs } };
}

Case program_case(Program *r, int64_t rows, int64_t n, int n_operands, uint32_t outputs)
{
    program_new(r);
    r->p.rank = 2;
    r->p.dim[0] = rows;
    r->p.dim[1] = n;
    r->p.outputs = outputs;
    Case c = case_new(KERNEL_row);
    for (int i = 0; i < n_operands; i++)
        case_add(&c, DTYPE_f32, 2, r->p.dim, ROWS);
    c.call.row = &r->p;
    return c;
}

void program_add(Program *r, RowOp op, int dst, int a, int b)
{
    r->instrs[r->p.n_instrs++] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)dst,
                                             .a = (uint16_t)a, .b = (uint16_t)b };
}

void program_const(Program *r, float value)
{
    memcpy(&r->consts[r->p.n_consts++], &value, sizeof value);
}

bool program_per_row(const Case *c, const RowProgram *p, int reg)
{
    const int n = c->call.n_operands;
    if (reg >= n + p->n_consts)
        return p->temp_per_row[reg - n - p->n_consts] != 0;
    return reg >= n || c->operand[reg].dim[p->rank - 1] == 1 ||
           c->operand[reg].stride[p->rank - 1] == 0;
}
