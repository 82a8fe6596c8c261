/* A program's calls: sizes, strides and addresses filled in. */
#include "runtime/session_parts.h"

#include "base/check.h"
#include "runtime/plan_check.h"

#include <string.h>

bool call_bind(const Plan *p, uint32_t index, const int64_t sizes[MAX_SYMBOLS], Call *call, Operand *operands,
               int64_t *starts, RowProgram *row, uint32_t *consts)
{
    const PlanInstr *in = &p->instrs[index];
    *call = (Call){ .kernel = p->kernels[index], .n_operands = (int32_t)in->n_operands,
                    .operand = operands };
    for (int k = 0; k < MAX_IMM; k++) {
        call->i[k] = in->i[k];
        call->f[k] = in->f[k];
    }
    for (uint32_t i = 0; i < in->n_operands; i++)
        if (!plan_bind_operand(&p->operands[in->first_operand + i], sizes, &operands[i],
                               &starts[i]))
            return false;
    if (in->row != NO_ROW) {
        if (!plan_bind_row(p, in->row, sizes, row, consts))
            return false;
        call->row = row;
    }
    return true;
}

char *session_operand_base(const Session *s, const PlanOperand *o)
{
    return o->storage < 0 ? s->pool : s->storage[o->storage];
}

void program_bind(Session *s, BoundProgram *b)
{
    const Plan *p = s->plan;
    Operand *operands = b->operands;
    RowProgram *row = b->rows;
    uint32_t *consts = b->consts;
    int64_t starts[MAX_OPERANDS];
    for (uint32_t k = 0; k < b->plan->n_instrs; k++) {
        uint32_t index = b->plan->first_instr + k;
        const PlanInstr *in = &p->instrs[index];
        Call *call = &b->calls[k];
        bool ok = call_bind(p, index, b->sizes, call, operands, starts, row, consts);
        CHECK(ok, "sizes only shrink from what the plan was checked at");
        for (uint32_t i = 0; i < in->n_operands; i++) {
            const PlanOperand *o = &p->operands[in->first_operand + i];
            operands[i].data = session_operand_base(s, o) + starts[i];
            operands[i].layout = o->storage < 0 ? LAYOUT_STRIDES : s->layout[o->storage];
        }
        kernel_prepare(call);
        operands += in->n_operands;
        if (in->row != NO_ROW) {
            consts += row->n_consts;
            row++;
        }
    }
    b->n_barriers = barriers_keep(p->instrs + b->plan->first_instr, b->calls, b->plan->n_instrs,
                                  s->n_threads, b->extents, b->meet);
    b->bound = true;
}

bool session_bind(Session *s, PlanProgramKind program, const int64_t sizes[MAX_SYMBOLS],
                  Error *err)
{
    BoundProgram *b = &s->program[program];
    CHECK(b->plan, "session without program %s", plan_program_name(program));
    if (!plan_takes(s->plan, program, sizes, err))
        return false;
    session_round_changed(s);
    if (b->bound && memcmp(b->sizes, sizes, sizeof b->sizes) == 0)
        return true;
    memcpy(b->sizes, sizes, sizeof b->sizes);
    program_bind(s, b);
    return true;
}
