/* Parameters as kernels want them: packed where a generation only reads them, and copies in bf16. */
#include "runtime/session_parts.h"

#include "base/check.h"
#include "base/half.h"
#include "runtime/kernels/panel.h"

#include <string.h>
#include <sys/mman.h>

/* A matrix of blocks that is brought into panels; each thread takes panels of its own, by way of its
 * scratch. */
typedef struct BlockPacking {
    Session *session;
    DType type;
    int64_t rows, k, panel;             /* bytes of one */
    char *data;
} BlockPacking;

static void pack_blocks_share(void *data, int thread)
{
    const BlockPacking *p = data;
    Session *s = p->session;
    const int64_t n = (p->rows + PANEL_ROWS - 1) / PANEL_ROWS, last = (thread + 1) * n / s->n_threads;
    for (int64_t i = thread * n / s->n_threads; i < last; i++) {
        const int64_t left = p->rows - i * PANEL_ROWS;
        panel_pack(p->type, left < PANEL_ROWS ? left : PANEL_ROWS, p->k, p->data + i * p->panel,
                   s->scratch + (size_t)thread * s->scratch_stride);
    }
}

static void pack_blocks(Session *s, int32_t storage)
{
    const PlanStorage *st = &s->plan->storages[storage];
    const int64_t none[MAX_SYMBOLS] = { 0 };
    BlockPacking p = { .session = s, .type = (DType)st->dtype, .data = s->storage[storage] };
    int64_t count;
    p.k = st->dim[st->rank - 1].coef;
    bool ok = plan_storage_count(st, none, &count) && panel_bytes(p.type, 1, p.k, &p.panel);
    CHECK(ok, "checked when the plan was opened");
    p.rows = count / p.k;
    team_run(s->team, pack_blocks_share, &p);
}

/* Large pages that a coded matrix has left free behind it go back to the system, which fills them with zeros when
 * they are written again.  Parts of one stay: taking it apart would cost what it is there for. */
static void give_back(Session *s, int32_t storage)
{
#ifdef MADV_HUGEPAGE
    const PlanStorage *st = &s->plan->storages[storage];
    const Coded *c = &s->packing[storage].coded;
    char *data = s->storage[storage];
    const CodedHead *head = (const void *)data;
    size_t used, bytes;
    const bool ok = coded_bytes(c, head->n_plain, &used) && plan_storage_bytes(s->plan, st, UINT32_MAX, &bytes);
    CHECK(ok, "counted before");
    const size_t ahead = (LARGE_PAGE - (uintptr_t)(data + used) % LARGE_PAGE) % LARGE_PAGE;
    if (used + ahead + LARGE_PAGE <= bytes)
        (void)madvise(data + used + ahead, (bytes - used - ahead) / LARGE_PAGE * LARGE_PAGE, MADV_DONTNEED);
#else
    (void)s, (void)storage;
#endif
}

void session_pack(Session *s, int32_t storage)
{
    const OperandLayout before = s->layout[storage];
    if (!s->storage[storage])
        return;
    if (dtype_block((DType)s->plan->storages[storage].dtype) > 1)
        pack_blocks(s, storage);
    else if (s->packing[storage].layout != LAYOUT_STRIDES)
        s->layout[storage] = weight_pack(&s->packing[storage], s->team, s->n_threads, s->storage[storage])
                           ? s->packing[storage].layout : LAYOUT_STRIDES;
    if (s->layout[storage] == LAYOUT_CODED)
        give_back(s, storage);
    for (int i = 0; i < N_PLAN_PROGRAMS && s->layout[storage] != before; i++)
        if (s->program[i].bound)
            program_bind(s, &s->program[i]);
}

OperandLayout session_layout(const Session *s, int32_t storage)
{
    return s->layout[storage];
}

/* ---- copies of parameters ---------------------------------------------------------------------- */

static void round_share(void *data, int thread)
{
    Session *s = data;
    const Plan *p = s->plan;
    const int64_t none[MAX_SYMBOLS] = { 0 };
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const uint32_t of = p->storages[i].rounded_of;
        int64_t n;
        if (!of || !s->storage[i] || !s->changed[of - 1])
            continue;
        bool ok = plan_storage_count(&p->storages[i], none, &n);
        CHECK(ok, "checked when the plan was opened");
        const float *from = (const float *)(const void *)s->storage[of - 1];
        uint16_t *to = (uint16_t *)(void *)s->storage[i];
        for (int64_t k = thread * n / s->n_threads; k < (thread + 1) * n / s->n_threads; k++)
            to[k] = bf16_of_f32(from[k]);
    }
}

void session_round_changed(Session *s)
{
    if (!s->any_changed)
        return;
    team_run(s->team, round_share, s);
    memset(s->changed, 0, s->plan->n_storages * sizeof *s->changed);
    s->any_changed = false;
}
