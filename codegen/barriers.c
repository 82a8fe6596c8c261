/* Where threads must meet.
 *
 * Threads take their shares of each instruction without waiting, so a barrier is needed before an
 * instruction that reads what another thread may have written since the last one, or writes what
 * another thread may still read or write.  Which bytes an operand touches is taken from the plan
 * itself at the largest sizes: the range from its first to its last element. */
#include "codegen/lower.h"

#include "base/check.h"
#include "runtime/kernels/kernel.h"

typedef struct Range {
    int32_t storage;                    /* -1: the pool */
    int64_t begin, end;                 /* bytes */
    bool write;
} Range;

typedef struct Pending {
    Range *ranges;
    uint32_t n, cap;
} Pending;

static Range operand_range(const PlanBuilder *b, const PlanProgram *p, uint32_t operand, bool write)
{
    const PlanOperand *o = &b->operands[operand];
    Operand bound;
    int64_t start, bytes, last = 0;
    bool ok = plan_bind_operand(o, p->max, &bound, &start);
    for (int a = 0; a < bound.rank; a++)
        last += (bound.dim[a] - 1) * bound.stride[a];
    ok = ok && dtype_offset(bound.dtype, last + 1, &bytes);
    CHECK(ok, "a size of the program does not fit");
    return (Range){ o->storage, start, start + bytes, write };
}

static bool writes_operand(const PlanBuilder *b, const PlanInstr *in, uint32_t operand)
{
    KernelId kernel;
    if (in->row != NO_ROW)
        return b->rows[in->row].outputs >> operand & 1;
    const bool known = kernel_from_name(b->strings.data + in->kernel, &kernel);
    CHECK(known, "kernel %s", b->strings.data + in->kernel);
    return operand < (uint32_t)kernel_results(kernel, (int32_t)in->n_operands)
        || (kernel_squares(kernel, in->i) && operand + 1 == in->n_operands);
}

static bool conflicts(const Pending *p, const Range *r)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const Range *q = &p->ranges[i];
        if ((q->write || r->write) && q->storage == r->storage && q->begin < r->end
            && r->begin < q->end)
            return true;
    }
    return false;
}

uint32_t mark_barriers(PlanBuilder *b, const PlanProgram *program)
{
    Pending pending = { 0 };
    uint32_t n_barriers = 0;
    for (uint32_t k = 0; k < program->n_instrs; k++) {
        PlanInstr *in = &b->instrs[program->first_instr + k];
        Range ranges[MAX_OPERANDS];
        bool meet = false;
        for (uint32_t i = 0; i < in->n_operands; i++) {
            ranges[i] = operand_range(b, program, in->first_operand + i,
                                      writes_operand(b, in, i));
            meet = meet || conflicts(&pending, &ranges[i]);
        }
        if (meet) {
            in->flags |= INSTR_BARRIER;
            n_barriers++;
            pending.n = 0;
        }
        for (uint32_t i = 0; i < in->n_operands; i++)
            ARENA_PUSH(b->arena, pending.ranges, pending.n, pending.cap, ranges[i]);
    }
    return n_barriers;
}
