/* Who reads a weight, and how; and its packing. */
#include "runtime/weight_packing.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* The call of an instruction at its program's largest sizes, but for rows; false where an operand that is
 * `storage` does not begin with it. */
static bool bind(const Plan *p, const PlanProgram *g, uint32_t index, int32_t storage, Call *call)
{
    const PlanInstr *in = &p->instrs[index];
    call->kernel = p->kernels[index];
    call->n_operands = (int32_t)in->n_operands;
    for (int k = 0; k < MAX_IMM; k++)
        call->i[k] = in->i[k];
    for (uint32_t i = 0; i < in->n_operands; i++) {
        const PlanOperand *o = &p->operands[in->first_operand + i];
        int64_t start;
        const bool ok = plan_bind_operand(o, g->max, &call->operand[i], &start);
        CHECK(ok, "checked when the plan was opened");
        if (o->storage == storage && start != 0)
            return false;
    }
    return true;
}

/* Notes how operand i of the call reads the weight of `count` numbers; false when not as those before. */
static bool meet(const Call *call, int32_t i, int64_t count, PackFor packs, WeightPacking *w)
{
    const Operand *o = &call->operand[i];
    bool split;
    if (!gemm_reads_as_b(call, i, &split))
        return false;
    const WeightPacking here = {
        .layout = split ? packs.split : packs.whole,
        .matrix = { NULL, o->dim[o->rank - 2], o->dim[o->rank - 1] },
    };
    const GemmUnpacked *m = &here.matrix, *before = &w->matrix;
    if (here.layout == LAYOUT_STRIDES || m->k < GEMM16_STEP || m->n < GEMM16_NR || m->k * m->n != count)
        return false;
    if (w->layout != LAYOUT_STRIDES && (w->layout != here.layout || before->k != m->k || before->n != m->n))
        return false;
    *w = here;
    return true;
}

static bool meet_instr(const Plan *p, const PlanProgram *g, uint32_t index, int32_t storage, int64_t count,
                       PackFor packs, WeightPacking *w)
{
    const PlanInstr *in = &p->instrs[index];
    Operand operands[MAX_OPERANDS];
    Call call = { .operand = operands };
    bool bound = false;
    for (uint32_t i = 0; i < in->n_operands; i++) {
        if (p->operands[in->first_operand + i].storage != storage)
            continue;
        if ((!bound && !bind(p, g, index, storage, &call)) || !meet(&call, (int32_t)i, count, packs, w))
            return false;
        bound = true;
    }
    return true;
}

static bool is_output(const Plan *p, const PlanProgram *g, int32_t storage)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (p->operands[p->outputs[g->first_output + i].operand].storage == storage)
            return true;
    return false;
}

WeightPacking weight_packing(const Plan *p, int32_t storage, uint32_t programs, PackFor packs)
{
    const PlanStorage *st = &p->storages[storage];
    const WeightPacking none = { 0 };
    const int64_t constant[MAX_SYMBOLS] = { 0 };
    WeightPacking w = none;
    int64_t count;
    if (st->class != PLAN_PARAM || st->dtype != DTYPE_bf16 || st->rank != 2
        || (packs.split == LAYOUT_STRIDES && packs.whole == LAYOUT_STRIDES)
        || !plan_storage_count(st, constant, &count))
        return none;
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        if (!(programs & 1u << g->kind))
            continue;
        if (is_output(p, g, storage))
            return none;
        for (uint32_t k = 0; k < g->n_instrs; k++)
            if (!meet_instr(p, g, g->first_instr + k, storage, count, packs, &w))
                return none;
    }
    const size_t plain = (size_t)count * sizeof(uint16_t);
    if (w.layout == LAYOUT_STRIDES || !gemm_packed_bytes(w.matrix.k, w.matrix.n, &w.bytes)
        || w.bytes - plain > plain / 16)
        return none;
    return w;
}

/* ---- packing ---------------------------------------------------------------------------------- */

/* A matrix that is packed from a copy of it. */
typedef struct MatrixPacking {
    int n_threads;
    OperandLayout layout;
    GemmUnpacked from;
    uint16_t *to;
} MatrixPacking;

static void pack_share(void *data, int thread)
{
    const MatrixPacking *p = data;
    const ThreadShare share = thread_share(ceil_div(p->from.n, GEMM16_NR), thread, p->n_threads);
    gemm_packed_fill(&p->from, p->layout, share.first, share.last, p->to);
}

bool weight_pack(const WeightPacking *w, Team *team, int n_threads, void *data)
{
    const int64_t count = w->matrix.k * w->matrix.n;
    uint16_t *copy = gemm_packed_is_finite(data, count) ? malloc((size_t)count * sizeof *copy) : NULL;
    if (!copy)
        return false;
    memcpy(copy, data, (size_t)count * sizeof *copy);
    MatrixPacking p = { n_threads, w->layout, w->matrix, data };
    p.from.data = copy;
    team_run(team, pack_share, &p);
    free(copy);
    return true;
}
