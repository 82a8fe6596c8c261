/* The text twin of a plan: what `smc compile --emit=plan` and `smrun info --plan` show. */
#include "runtime/plan.h"

#include <inttypes.h>
#include <string.h>

static const char *const class_names[N_PLAN_CLASSES] = {
    [PLAN_INPUT] = "input", [PLAN_PARAM] = "param", [PLAN_STATE] = "state"
};
static const char *const role_names[N_PLAN_ROLES] = {
    [PLAN_BATCH] = "batch", [PLAN_SEQUENCE] = "sequence", [PLAN_FREE] = "dim"
};
static const char *const init_names[N_PLAN_INITS] = {
#define X(name) [PLAN_INIT_##name] = #name,
    PLAN_INITS(X)
#undef X
};

static void print_dim(Buf *out, const Plan *p, const PlanDim *d)
{
    bool bare = true;
    for (uint32_t s = 0; s < p->n_symbols; s++)
        bare = bare && d->power[s] == 0;
    if (bare || d->coef != 1)
        buf_printf(out, "%" PRId64, d->coef);
    const char *times = bare || d->coef != 1 ? "*" : "";
    for (uint32_t s = 0; s < p->n_symbols; s++)
        for (int k = 0; k < d->power[s]; k++) {
            buf_printf(out, "%s%s", times, plan_string(p, p->symbols[s].name));
            times = "*";
        }
}

static void print_dims(Buf *out, const Plan *p, const PlanDim *d, uint32_t rank)
{
    buf_putc(out, '[');
    for (uint32_t a = 0; a < rank; a++) {
        buf_puts(out, a ? ", " : "");
        print_dim(out, p, &d[a]);
    }
    buf_putc(out, ']');
}

static void print_cut(Buf *out, const PlanCut *c)
{
    if (c->most)
        buf_printf(out, " axis %" PRIu32 " from %" PRId64 " at most %" PRId64 " past %" PRId64, c->axis,
                   c->from, c->most, c->skip);
}

static void print_operand(Buf *out, const Plan *p, const PlanOperand *o)
{
    buf_puts(out, dtype_name((DType)o->dtype));
    print_dims(out, p, o->dim, o->rank);
    if (o->storage >= 0)
        buf_printf(out, " %s", plan_string(p, p->storages[o->storage].name));
    else
        buf_printf(out, " pool+%" PRId64, o->byte_offset);
    buf_putc(out, '+');
    print_dim(out, p, &o->offset);
    buf_puts(out, " by ");
    print_dims(out, p, o->stride, o->rank);
    print_cut(out, &o->cut);
}

static void print_row_reg(Buf *out, const PlanInstr *in, const PlanRow *r, uint32_t reg)
{
    if (reg < in->n_operands)
        buf_printf(out, "o%" PRIu32, reg);
    else if (reg < in->n_operands + r->n_consts)
        buf_printf(out, "c%" PRIu32, reg - in->n_operands);
    else
        buf_printf(out, "t%" PRIu32, reg - in->n_operands - r->n_consts);
}

static void print_row(Buf *out, const Plan *p, const PlanInstr *in)
{
    const PlanRow *r = &p->rows[in->row];
    buf_puts(out, "      over ");
    print_dims(out, p, r->dim, r->rank);
    print_cut(out, &r->cut);
    for (uint32_t i = 0; i < r->n_consts; i++) {
        const PlanRowConst *c = &p->row_consts[r->first_const + i];
        float f;
        memcpy(&f, &c->bits, sizeof f);
        buf_printf(out, " c%" PRIu32 "=", i);
        if (c->is_size)
            print_dim(out, p, &c->size);
        else
            buf_printf(out, "%.9g", (double)f);
    }
    buf_putc(out, '\n');
    for (uint32_t i = 0; i < r->n_instrs; i++) {
        const RowInstr *x = &p->row_instrs[r->first_instr + i];
        const uint16_t args[] = { x->a, x->b, x->c };
        buf_puts(out, "      ");
        print_row_reg(out, in, r, x->dst);
        buf_printf(out, " = %s", row_op_name((RowOp)x->op));
        for (int k = 0; k < row_op_inputs((RowOp)x->op); k++) {
            buf_puts(out, k ? ", " : " ");
            print_row_reg(out, in, r, args[k]);
        }
        if (x->op == ROW_dropout)
            buf_printf(out, " p=%.9g site=%" PRIu32, (double)x->imm, x->site);
        buf_putc(out, '\n');
    }
}

static void print_instr(Buf *out, const Plan *p, uint32_t index, uint32_t number)
{
    const PlanInstr *in = &p->instrs[index];
    buf_printf(out, "  %s%" PRIu32 " %s  # %s\n", in->flags & INSTR_BARRIER ? "| " : "  ", number,
               plan_string(p, in->kernel), plan_string(p, in->label));
    for (uint32_t i = 0; i < in->n_operands; i++) {
        buf_printf(out, "      o%" PRIu32 " = ", i);
        print_operand(out, p, &p->operands[in->first_operand + i]);
        buf_putc(out, '\n');
    }
    if (in->row != NO_ROW)
        print_row(out, p, in);
    for (int k = 0; k < MAX_IMM; k++)
        if (in->i[k])
            buf_printf(out, "      i%d = %" PRId64 "\n", k, in->i[k]);
    for (int k = 0; k < MAX_IMM; k++)
        if (in->f[k] != 0)
            buf_printf(out, "      f%d = %.9g\n", k, in->f[k]);
}

static void print_program(Buf *out, const Plan *p, const PlanProgram *g)
{
    buf_printf(out, "\nprogram %s: %" PRIu32 " instructions, %" PRIu32 " barriers, pool %" PRId64
               " bytes, bound %" PRId64, plan_program_name((PlanProgramKind)g->kind), g->n_instrs,
               g->n_barriers, g->pool_bytes, g->pool_bound);
    for (uint32_t s = 0; s < p->n_symbols; s++)
        buf_printf(out, ", %s <= %" PRId64, plan_string(p, p->symbols[s].name), g->max[s]);
    buf_putc(out, '\n');
    for (uint32_t k = 0; k < g->n_instrs; k++)
        print_instr(out, p, g->first_instr + k, k);
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        const PlanOutput *o = &p->outputs[g->first_output + k];
        buf_printf(out, "  output %s = ", plan_string(p, o->name));
        print_operand(out, p, &p->operands[o->operand]);
        buf_putc(out, '\n');
    }
}

void plan_print(Buf *out, const Plan *p)
{
    buf_printf(out, "plan %s, version %" PRIu32 ", %zu bytes, by %s\n",
               plan_string(p, p->header->model), p->header->version, p->file.size,
               plan_string(p, p->header->compiler));
    for (uint32_t s = 0; s < p->n_symbols; s++)
        buf_printf(out, "%s %s\n", role_names[p->symbols[s].role],
                   plan_string(p, p->symbols[s].name));
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *s = &p->storages[i];
        buf_printf(out, "%s %s : %s", class_names[s->class], plan_string(p, s->name),
                   dtype_name((DType)s->dtype));
        print_dims(out, p, s->dim, s->rank);
        if (s->class == PLAN_PARAM)
            buf_printf(out, " = %s(%.9g)", init_names[s->init], s->init_value);
        if (s->rounded_of)
            buf_printf(out, " rounded of %s", plan_string(p, p->storages[s->rounded_of - 1].name));
        if (s->index_limit)
            buf_printf(out, " ids below %" PRId64, s->index_limit);
        buf_puts(out, " in");
        for (int k = 0; k < N_PLAN_PROGRAMS; k++)
            if (s->programs & 1u << k)
                buf_printf(out, " %s", plan_program_name((PlanProgramKind)k));
        buf_putc(out, '\n');
    }
    for (uint32_t i = 0; i < p->n_programs; i++)
        print_program(out, p, &p->programs[i]);
}
