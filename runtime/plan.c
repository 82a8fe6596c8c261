/* Opening a plan and finding things in it.  What makes one valid stands in plan_check.c. */
#include "runtime/plan.h"

#include "base/check.h"
#include "runtime/kernels/panel.h"
#include "runtime/plan_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const program_names[] = {
#define X(name) #name,
    PLAN_PROGRAMS(X)
#undef X
};

const char *plan_program_name(PlanProgramKind k)
{
    return program_names[k];
}

bool plan_view(const void *data, size_t n, Plan *out, Error *err)
{
    *out = (Plan){ .file = { .data = data, .size = n } };
    return plan_check(out, err);
}

bool plan_open(const char *path, Plan *out, Error *err)
{
    FileMap map;
    if (!file_map(path, &map, err))
        return false;
    if (plan_view(map.data, map.size, out, err)) {
        out->mapped = true;
        return true;
    }
    file_unmap(&map);
    *out = (Plan){ 0 };
    return error_prefix(err, "%s", path);
}

void plan_close(Plan *p)
{
    free(p->kernels);
    if (p->mapped)
        file_unmap(&p->file);
    *p = (Plan){ 0 };
}

const PlanProgram *plan_program(const Plan *p, PlanProgramKind kind)
{
    for (uint32_t i = 0; i < p->n_programs; i++)
        if (p->programs[i].kind == (uint32_t)kind)
            return &p->programs[i];
    return NULL;
}

int32_t plan_storage(const Plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (strcmp(plan_string(p, p->storages[i].name), name) == 0)
            return (int32_t)i;
    return -1;
}

int plan_symbol(const Plan *p, PlanRole role)
{
    for (uint32_t i = 0; i < p->n_symbols; i++)
        if (p->symbols[i].role == (uint32_t)role)
            return (int)i;
    return -1;
}

/* What of `smc compile` sets the largest size of a symbol in a program; NULL for the model's own bounds. */
static const char *size_option(PlanProgramKind kind, PlanRole role)
{
    switch (role) {
    case PLAN_BATCH:
        return "--batch";
    case PLAN_SEQUENCE:
        return kind == PLAN_generate ? "--chunk" : "--seq";
    case PLAN_FREE: case N_PLAN_ROLES:
        break;
    }
    return NULL;
}

bool plan_takes(const Plan *p, PlanProgramKind kind, const int64_t sizes[MAX_SYMBOLS], Error *err)
{
    const int64_t *max = plan_program(p, kind)->max;
    for (uint32_t i = 0; i < p->n_symbols; i++) {
        const char *option = size_option(kind, (PlanRole)p->symbols[i].role);
        char mend[64] = "";
        if (sizes[i] >= 1 && sizes[i] <= max[i])
            continue;
        if (sizes[i] > max[i] && option)
            snprintf(mend, sizeof mend, "; smc compile %s %" PRId64 " makes room", option, sizes[i]);
        return error_set(err, "%s is %" PRId64 "; this plan's %s takes 1 to %" PRId64 "%s",
                         plan_string(p, p->symbols[i].name), sizes[i], plan_program_name(kind), max[i], mend);
    }
    return true;
}

bool plan_dim(const PlanDim *d, const int64_t sizes[MAX_SYMBOLS], int64_t *out)
{
    int64_t r = d->coef;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        for (int k = 0; k < d->power[s]; k++)
            if (!i64_mul(r, sizes[s], &r) || r > INT64_MAX / 2)
                return false;
    *out = r;
    return true;
}

bool plan_storage_count(const PlanStorage *s, const int64_t sizes[MAX_SYMBOLS], int64_t *out)
{
    int64_t count = 1, n;
    for (uint32_t a = 0; a < s->rank; a++)
        if (!plan_dim(&s->dim[a], sizes, &n) || !i64_mul(count, n, &count))
            return false;
    *out = count;
    return true;
}

/* Blocks lie in panels, whole ones (kernels/panel.h). */
static bool bytes_of(const PlanStorage *s, int64_t count, int64_t *out)
{
    if (dtype_block((DType)s->dtype) == 1 || count == 0)
        return dtype_offset((DType)s->dtype, count, out);
    const int64_t row = s->dim[s->rank - 1].coef;
    return panel_bytes((DType)s->dtype, count / row, row, out);
}

bool plan_storage_bytes(const Plan *p, const PlanStorage *s, uint32_t programs, size_t *out)
{
    size_t most = 0;
    for (uint32_t i = 0; i < p->n_programs; i++) {
        uint32_t bit = 1u << p->programs[i].kind;
        int64_t count, bytes;
        if (!(s->programs & programs & bit))
            continue;
        if (!plan_storage_count(s, p->programs[i].max, &count)
            || !bytes_of(s, count, &bytes))
            return false;
        if ((size_t)bytes > most)
            most = (size_t)bytes;
    }
    *out = most;
    return true;
}

int64_t plan_cut(const PlanCut *c, int64_t size)
{
    return size <= c->skip ? 0 : size - c->skip < c->most ? size - c->skip : c->most;
}

/* Cuts the axis, and moves *start (elements) to the first that is left. */
static bool bind_cut(const PlanCut *c, Operand *o, int64_t *start)
{
    if (c->most == 0)
        return true;
    int64_t moved;
    o->dim[c->axis] = plan_cut(c, o->dim[c->axis]);
    return i64_mul(c->from, o->stride[c->axis], &moved) && i64_add(*start, moved, start);
}

bool plan_bind_operand(const PlanOperand *o, const int64_t sizes[MAX_SYMBOLS], Operand *out,
                       int64_t *byte_start)
{
    int64_t elements;
    *out = (Operand){ .rank = (int32_t)o->rank, .dtype = (DType)o->dtype };
    for (uint32_t a = 0; a < o->rank; a++)
        if (!plan_dim(&o->dim[a], sizes, &out->dim[a])
            || !plan_dim(&o->stride[a], sizes, &out->stride[a]))
            return false;
    return plan_dim(&o->offset, sizes, &elements) && bind_cut(&o->cut, out, &elements)
        && dtype_offset((DType)o->dtype, elements, &elements)
        && i64_add(elements, o->byte_offset, byte_start);
}
