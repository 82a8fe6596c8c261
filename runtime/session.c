/* Opening sessions, their storages, and running programs. */
#include "runtime/session_parts.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool check_options(const Plan *p, const SessionOptions *o, Error *err)
{
    CHECK(o->n_threads >= 1, "threads are the caller's to choose");
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (o->programs & 1u << k && !plan_program(p, (PlanProgramKind)k))
            return error_set(err, "model %s has no program %s", plan_string(p, p->header->model),
                             plan_program_name((PlanProgramKind)k));
    return true;
}

bool session_size(const Plan *p, const SessionOptions *o, SessionSize *out, Error *err)
{
    *out = (SessionSize){ 0 };
    const KernelTable *kernels = kernels_select(o->cpu, err);
    if (!kernels || !check_options(p, o, err))
        return false;
    Session *none;
    if (!session_lay_out(NULL, p, o, kernels, &none, out))
        return error_set(err, "the model needs more memory than can be counted");
    return true;
}

/* A step walks over all of the block, and large pages spare it most of the TLB's misses.  A wish: the
 * system may say no, and small blocks keep their pages. */
static void ask_large_pages(char *block, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t ahead = (LARGE_PAGE - (uintptr_t)block % LARGE_PAGE) % LARGE_PAGE;
    if (bytes >= ahead + LARGE_PAGE)
        (void)madvise(block + ahead, (bytes - ahead) / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#else
    (void)block;
    (void)bytes;
#endif
}

bool session_open(const Plan *p, const SessionOptions *o, Session **out, Error *err)
{
    *out = NULL;
    SessionSize size;
    const KernelTable *kernels = kernels_select(o->cpu, err);
    if (!kernels || !session_size(p, o, &size, err))
        return false;
    char *block = aligned_alloc(PLAN_ALIGN, size.total);
    if (!block)
        return error_set(err, "out of memory: the session takes one block of %zu bytes",
                         size.total);
    ask_large_pages(block, size.total);
    memset(block, 0, size.total);
    bool ok = session_lay_out(block, p, o, kernels, out, &size);
    CHECK(ok, "counted before");
    if (team_open((*out)->team, o->n_threads, err))
        return true;
    free(block);
    *out = NULL;
    return false;
}

void session_close(Session *s)
{
    if (s)
        team_close(s->team);
    free(s);
}

void session_each_thread(Session *s, TeamFn *run, void *data)
{
    team_run(s->team, run, data);
}

const Plan *session_plan(const Session *s)
{
    return s->plan;
}

const KernelTable *session_kernels(const Session *s)
{
    return s->kernels;
}

int session_threads(const Session *s)
{
    return s->n_threads;
}

void *session_storage(Session *s, int32_t storage)
{
    if (storage < 0)
        return NULL;
    if (s->plan->storages[storage].class == PLAN_PARAM)
        s->changed[storage] = s->any_changed = true;
    return s->storage[storage];
}

void *session_storage_named(Session *s, const char *name)
{
    return session_storage(s, plan_storage(s->plan, name));
}

bool session_check_ids(const Session *s, int32_t storage, size_t count, Error *err)
{
    const PlanStorage *st = &s->plan->storages[storage];
    const int32_t *ids = (const int32_t *)(const void *)s->storage[storage];
    if (st->index_limit == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if ((ids[i] < 0 || ids[i] >= st->index_limit) && ids[i] != st->index_ignore)
            return error_set(err, "%s holds id %" PRId32 " at element %zu; the model knows 0 to "
                             "%" PRId64, plan_string(s->plan, st->name), ids[i], i,
                             st->index_limit - 1);
    return true;
}

/* A program that all threads walk over. */
typedef struct Walk {
    Session *session;
    const BoundProgram *program;
    ClockFn *now;                       /* walk_timed's */
    SessionSpan *spans;
} Walk;

static void walk(void *data, int thread)
{
    const Walk *w = data;
    Session *s = w->session;
    const BoundProgram *b = w->program;
    void *scratch = s->scratch + (size_t)thread * s->scratch_stride;
    for (uint32_t k = 0; k < b->plan->n_instrs; k++) {
        const Call *call = &b->calls[k];
        if (b->meet[k])
            barrier_wait(&s->team->barrier, (unsigned)s->n_threads, (unsigned)thread);
        const KernelShare share = kernel_share(call, thread, s->n_threads);
        if (share.first < share.last)
            s->kernels->run[call->kernel](call, share.first, share.last, scratch);
    }
}

void session_run(Session *s, PlanProgramKind program)
{
    Walk w = { .session = s, .program = &s->program[program] };
    CHECK(w.program->bound, "session_bind comes first");
    session_round_changed(s);
    team_run(s->team, walk, &w);
}

/* `walk` with a clock in hand; apart from it, so that a run nobody times pays nothing. */
static void walk_timed(void *data, int thread)
{
    const Walk *w = data;
    Session *s = w->session;
    const BoundProgram *b = w->program;
    SessionSpan *spans = w->spans + (size_t)thread * b->plan->n_instrs;
    void *scratch = s->scratch + (size_t)thread * s->scratch_stride;
    uint64_t t = w->now();
    for (uint32_t k = 0; k < b->plan->n_instrs; k++) {
        const Call *call = &b->calls[k];
        spans[k].ready = t;
        if (b->meet[k]) {
            barrier_wait(&s->team->barrier, (unsigned)s->n_threads, (unsigned)thread);
            t = w->now();
        }
        spans[k].begin = t;
        const KernelShare share = kernel_share(call, thread, s->n_threads);
        if (share.first < share.last)
            s->kernels->run[call->kernel](call, share.first, share.last, scratch);
        t = w->now();
        spans[k].end = t;
    }
}

void session_run_timed(Session *s, PlanProgramKind program, ClockFn *now, SessionSpan *spans)
{
    Walk w = { .session = s, .program = &s->program[program], .now = now, .spans = spans };
    CHECK(w.program->bound, "session_bind comes first");
    session_round_changed(s);
    team_run(s->team, walk_timed, &w);
}

const Call *session_call(const Session *s, PlanProgramKind program, uint32_t k)
{
    const BoundProgram *b = &s->program[program];
    CHECK(b->bound && k < b->plan->n_instrs, "instruction %" PRIu32 " of a bound program", k);
    return &b->calls[k];
}

bool session_meets_before(const Session *s, PlanProgramKind program, uint32_t k)
{
    const BoundProgram *b = &s->program[program];
    CHECK(b->bound && k < b->plan->n_instrs, "instruction %" PRIu32 " of a bound program", k);
    return b->meet[k];
}

uint32_t session_barriers(const Session *s, PlanProgramKind program)
{
    CHECK(s->program[program].bound, "session_bind comes first");
    return s->program[program].n_barriers;
}

bool session_output(const Session *s, PlanProgramKind program, const char *name, Operand *out)
{
    const BoundProgram *b = &s->program[program];
    const Plan *p = s->plan;
    for (uint32_t i = 0; b->plan && i < b->plan->n_outputs; i++) {
        const PlanOutput *o = &p->outputs[b->plan->first_output + i];
        if (strcmp(plan_string(p, o->name), name) != 0)
            continue;
        int64_t start;
        const PlanOperand *op = &p->operands[o->operand];
        bool ok = plan_bind_operand(op, b->sizes, out, &start);
        CHECK(ok, "checked at the largest sizes");
        out->data = session_operand_base(s, op) + start;
        return true;
    }
    return false;
}
