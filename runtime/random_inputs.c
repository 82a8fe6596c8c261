/* Inputs for measurements. */
#include "runtime/random_inputs.h"

#include "base/check.h"
#include "base/random.h"

static void fill_input(Session *s, int32_t storage, const int64_t sizes[MAX_SYMBOLS])
{
    const PlanStorage *st = &session_plan(s)->storages[storage];
    void *data = session_storage(s, storage);
    int64_t count;
    bool ok = plan_storage_count(st, sizes, &count);
    CHECK(ok, "checked when the plan was opened");
    float *lanes = data;
    int32_t *ids = data;
    for (int64_t i = 0; i < count; i++) {
        if (st->dtype == DTYPE_f32)
            lanes[i] = (float)random_normal(1, (uint64_t)storage, (uint64_t)i);
        else if (st->dtype == DTYPE_i32 && st->index_limit > 0)
            ids[i] = (int32_t)(random_u32(1, (uint64_t)storage, (uint64_t)i)
                               % (uint64_t)st->index_limit);
    }
}

void random_inputs(Session *s, const int64_t sizes[MAX_SYMBOLS])
{
    const Plan *p = session_plan(s);
    float *lr = session_storage_named(s, "$lr"), *clip = session_storage_named(s, "$clip");
    int32_t *step = session_storage_named(s, "$step");
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (p->storages[i].class == PLAN_INPUT && session_storage(s, (int32_t)i)
            && plan_string(p, p->storages[i].name)[0] != '$')
            fill_input(s, (int32_t)i, sizes);
    if (lr)
        *lr = 1e-4f;
    if (clip)
        *clip = 1;
    if (step)
        *step = 1;
}
