/* Copies between a session's storages and the evaluator's tensors. */
#include "bisect/held.h"

#include "base/blocks.h"
#include "base/check.h"
#include "base/half.h"

#include <string.h>

PlanProgramKind held_kind(Program p)
{
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (strcmp(plan_program_name((PlanProgramKind)k), program_name(p)) == 0)
            return (PlanProgramKind)k;
    CHECK(false, "plans have no program %s", program_name(p));
    return N_PLAN_PROGRAMS;
}

static double element(const Operand *o, const int64_t *at)
{
    int64_t offset = 0;
    for (int a = 0; a < o->rank; a++)
        offset += at[a] * o->stride[a];
    if (o->dtype == DTYPE_bf16)
        return f32_of_bf16(((const uint16_t *)o->data)[offset]);
    return o->dtype == DTYPE_i32 ? (double)((const int32_t *)o->data)[offset]
                                 : (double)((const float *)o->data)[offset];
}

Tensor held_tensor(const Operand *o, Arena *arena)
{
    Tensor t = { .rank = o->rank, .count = 1 };
    int64_t at[MAX_RANK] = { 0 };
    for (int a = 0; a < o->rank; a++)
        t.count *= t.dim[a] = o->dim[a];
    t.data = arena_array(arena, (size_t)t.count, sizeof *t.data);
    for (int64_t i = 0; i < t.count; i++) {
        t.data[i] = element(o, at);
        for (int a = o->rank; a-- > 0 && ++at[a] == o->dim[a];)
            at[a] = 0;
    }
    return t;
}

/* The numbers of a cache of blocks, which lie row after row. */
static Tensor held_blocks(const Storage *storage, const void *data, const Tensor *like, Arena *arena)
{
    Tensor t = *like;
    float *x = arena_array(arena, (size_t)t.count, sizeof *x);
    t.data = arena_array(arena, (size_t)t.count, sizeof *t.data);
    blocks_decode(storage->type.dtype, (size_t)t.count, data, x);
    for (int64_t i = 0; i < t.count; i++)
        t.data[i] = x[i];
    return t;
}

bool held_storage(Session *s, const Storage *storage, const Tensor *like, Arena *arena, Tensor *out)
{
    Operand o = { .data = session_storage_named(s, storage->name), .rank = like->rank,
                  .dtype = storage->type.dtype };
    int64_t stride = 1;
    if (o.data && dtype_block(o.dtype) > 1 && storage->class == STORAGE_STATE) {
        *out = held_blocks(storage, o.data, like, arena);
        return true;
    }
    if (!o.data || dtype_block(o.dtype) > 1)
        return false;
    for (int a = like->rank; a-- > 0;) {
        o.dim[a] = like->dim[a];
        o.stride[a] = stride;
        stride *= like->dim[a];
    }
    *out = held_tensor(&o, arena);
    return true;
}

static void fill_lanes(const Tensor *from, DType dtype, void *data)
{
    for (int64_t i = 0; i < from->count; i++)
        if (dtype == DTYPE_i32)
            ((int32_t *)data)[i] = (int32_t)from->data[i];
        else
            ((float *)data)[i] = (float)from->data[i];
}

void held_fill(Session *s, const Graph *g, const TrialInputs *in, Arena *arena)
{
    Eval e = eval_begin(g, arena, in->sizes);
    trial_fill(&e, in);
    for (StorageId id = 0; id < g->n_storages; id++) {
        const Storage *storage = &g->storages[id];
        void *data = session_storage_named(s, storage->name);
        if (!data)
            continue;
        if (dtype_is_lane(storage->type.dtype)) {
            fill_lanes(&e.storages[id], storage->type.dtype, data);
        } else {
            trial_stored(storage, in, e.storages[id].count, data);
            if (storage->class == STORAGE_PARAM)
                session_pack(s, (int32_t)plan_storage(session_plan(s), storage->name));
        }
    }
}
