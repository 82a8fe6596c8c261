/* Who reads a weight, and how; and its packing. */
#include "runtime/weight_packing.h"

#include "base/check.h"
#include "runtime/plan_check.h"

#include <stdlib.h>
#include <string.h>

/* What a bound call points to. */
typedef struct Bound {
    Call call;
    Operand operand[MAX_OPERANDS];
    RowProgram row;
    uint32_t consts[MAX_ROW_CONSTS];
} Bound;

/* The call of an instruction at its program's largest sizes; false where an operand that is `storage` does not
 * begin with it. */
static bool bind(const Plan *p, const PlanProgram *g, uint32_t index, int32_t storage, Bound *b)
{
    const PlanInstr *in = &p->instrs[index];
    Call *call = &b->call;
    *call = (Call){ .operand = b->operand };
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
    if (in->row != NO_ROW) {
        const bool ok = plan_bind_row(p, in->row, g->max, &b->row, b->consts);
        CHECK(ok, "checked when the plan was opened");
        call->row = &b->row;
    }
    return true;
}

/* Notes how operand i of the call reads the weight; false when it cannot have w's layout then. */
typedef bool Meet(const Call *call, int32_t i, PackFor packs, WeightPacking *w);

static bool meet_coded(const Call *call, int32_t i, PackFor packs, WeightPacking *w)
{
    const CodedUse use = coded_use(call, i, w->coded.rows, w->coded.columns);
    (void)packs;
    if (use == CODED_TURNED || use == CODED_STRAIGHT)
        w->layout = LAYOUT_CODED;
    if (use != CODED_STRAIGHT && w->form == CODED_BYTES_DOWN)
        w->form = CODED_BYTES;
    return use != CODED_NOT;
}

static bool meet_packed(const Call *call, int32_t i, PackFor packs, WeightPacking *w)
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
    if (here.layout == LAYOUT_STRIDES || m->k < GEMM16_STEP || m->n < GEMM16_NR || m->k * m->n != w->count)
        return false;
    if (w->layout != LAYOUT_STRIDES && (w->layout != here.layout || before->k != m->k || before->n != m->n))
        return false;
    w->layout = here.layout;
    w->matrix = here.matrix;
    return true;
}

static bool meet_instr(const Plan *p, const PlanProgram *g, uint32_t index, int32_t storage, Meet *meet,
                       PackFor packs, WeightPacking *w)
{
    const PlanInstr *in = &p->instrs[index];
    Bound b;
    bool bound = false;
    for (uint32_t i = 0; i < in->n_operands; i++) {
        if (p->operands[in->first_operand + i].storage != storage)
            continue;
        if ((!bound && !bind(p, g, index, storage, &b)) || !meet(&b.call, (int32_t)i, packs, w))
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

/* Does every instruction of the session's programs meet the weight in a way that `w` can be? */
static bool meet_all(const Plan *p, int32_t storage, uint32_t programs, Meet *meet, PackFor packs, WeightPacking *w)
{
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        if (!(programs & 1u << g->kind))
            continue;
        if (is_output(p, g, storage))
            return false;
        for (uint32_t k = 0; k < g->n_instrs; k++)
            if (!meet_instr(p, g, g->first_instr + k, storage, meet, packs, w))
                return false;
    }
    return w->layout != LAYOUT_STRIDES;
}

static WeightPacking packing(const Plan *p, int32_t storage, uint32_t programs, PackFor packs, int64_t count)
{
    const WeightPacking none = { 0 };
    const size_t plain = (size_t)count * sizeof(uint16_t);
    WeightPacking w = { .count = count };
    if (!meet_all(p, storage, programs, meet_packed, packs, &w)
        || !gemm_packed_bytes(w.matrix.k, w.matrix.n, &w.bytes) || w.bytes - plain > plain / 16)
        return none;
    return w;
}

WeightPacking weight_packing(const Plan *p, int32_t storage, uint32_t programs, PackFor packs)
{
    const PlanStorage *st = &p->storages[storage];
    const WeightPacking none = { 0 };
    const int64_t constant[MAX_SYMBOLS] = { 0 };
    int64_t count, rows, columns;
    if (st->class != PLAN_PARAM || (st->dtype != DTYPE_bf16 && st->dtype != DTYPE_f32) || st->rank != 2
        || !plan_storage_count(st, constant, &count) || !plan_dim(&st->dim[0], constant, &rows)
        || !plan_dim(&st->dim[1], constant, &columns))
        return none;
    if (st->dtype == DTYPE_bf16) {
        const WeightPacking w = packing(p, storage, programs, packs, count);
        if (w.layout != LAYOUT_STRIDES)
            return w;
    }
    /* Column after column, until a reader is met that wants rows. */
    WeightPacking w = { .coded = coded_matrix((DType)st->dtype, rows, columns, NULL), .fill = packs.fill,
                        .form = packs.form == CODED_BYTES ? CODED_BYTES_DOWN : packs.form };
    const bool codes = st->dtype == DTYPE_f32 ? packs.codes_near : packs.codes;
    return codes && coded_pays(&w.coded, 0) && meet_all(p, storage, programs, meet_coded, packs, &w) ? w : none;
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

/* A matrix that is coded from a copy of it. */
typedef struct MatrixCoding {
    int n_threads;
    CodedFill *fill;
    Coded to;
    const void *from;
} MatrixCoding;

static void code_share(void *data, int thread)
{
    const MatrixCoding *c = data;
    const ThreadShare share = thread_share(c->to.down, thread, c->n_threads);
    c->fill(&c->to, c->from, share.first, share.last);
}

static bool code(const WeightPacking *w, Team *team, int n_threads, void *data)
{
    const DType type = w->coded.halves ? DTYPE_bf16 : DTYPE_f32;
    const size_t bytes = (size_t)(w->coded.rows * w->coded.columns) * dtype_size(type);
    void *copy = malloc(bytes);
    if (!copy)
        return false;
    memcpy(copy, data, bytes);
    MatrixCoding c = { n_threads, w->fill, coded_matrix(type, w->coded.rows, w->coded.columns, data), copy };
    coded_begin(&c.to, copy, w->form);
    team_run(team, code_share, &c);
    const bool pays = coded_end(&c.to, copy);
    if (!pays)
        memcpy(data, copy, bytes);
    free(copy);
    return pays;
}

bool weight_pack(const WeightPacking *w, Team *team, int n_threads, void *data)
{
    if (w->layout == LAYOUT_CODED)
        return code(w, team, n_threads, data);
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
