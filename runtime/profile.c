/* Timing runs of a program, and boiling the spans down to figures. */
#include "runtime/profile.h"

#include "base/check.h"
#include "runtime/random_inputs.h"
#include "runtime/text_model.h"
#include "runtime/weights.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FEWEST_STEPS = 5, MOST_STEPS = 200 };
static const double default_seconds = 2;

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t wall_clock(void)
{
    return nanoseconds(CLOCK_MONOTONIC);
}

static uint64_t cpu_clock(void)
{
    return nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

static double seconds_of(uint64_t ticks)
{
    return 1e-9 * (double)ticks;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int64_t n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

static double clock_cost(ClockFn *now)
{
    enum { READS = 2000 };
    const uint64_t from = now();
    for (int i = 0; i < READS; i++)
        now();
    return seconds_of(now() - from) / READS;
}

/* ---- what runs --------------------------------------------------------------------------------- */

static bool choose_sizes(Profile *p, Error *err)
{
    ProfileOptions *o = &p->options;
    const PlanProgram *g = plan_program(p->plan, o->program);
    const int batch = plan_symbol(p->plan, PLAN_BATCH), seq = plan_symbol(p->plan, PLAN_SEQUENCE);
    if (!g)
        return error_set(err, "the plan of %s has no program %s",
                         plan_string(p->plan, p->plan->header->model),
                         plan_program_name(o->program));
    plan_largest_sizes(p->plan, o->program, p->sizes);
    if (o->seq == 0 && o->program == PLAN_generate)
        o->seq = 1;
    if ((o->batch && batch < 0) || (o->seq > 1 && seq < 0))
        return error_set(err, "this model has no %s", o->batch && batch < 0 ? "batch" : "sequence");
    if (batch >= 0)
        o->batch = p->sizes[batch] = o->batch ? o->batch : p->sizes[batch];
    if (seq >= 0)
        o->seq = p->sizes[seq] = o->seq ? o->seq : p->sizes[seq];
    return true;
}

/* Positions that stand in the cache already. */
static bool set_past(Profile *p, Session *s, Error *err)
{
    ProfileOptions *o = &p->options;
    int32_t *past = session_storage_named(s, "$past");
    const int64_t most = p->plan->header->context - o->seq;
    if (!past) {
        o->past = 0;
        return true;
    }
    if (o->past > most)
        return error_set(err, "%" PRId64 " positions behind %" PRId64 " in the cache do not fit the "
                         "context of %" PRId64, o->seq, o->past, p->plan->header->context);
    if (o->past < 0)
        o->past = most < p->plan->header->context / 2 ? most : p->plan->header->context / 2;
    *past = (int32_t)o->past;
    return true;
}

/* Grids that the steps' spans go into; what does not fit the memory there is, is refused. */
static bool take_memory(Profile *p, Error *err)
{
    size_t n, bytes;
    if (!size_mul((size_t)p->n_steps, (size_t)p->options.n_threads * p->n_instrs, &n)
        || !size_mul(n, sizeof *p->spans, &bytes))
        return error_set(err, "too many steps to keep the times of");
    p->run_ticks = calloc((size_t)p->n_steps, sizeof *p->run_ticks);
    p->spans = calloc(n ? n : 1, sizeof *p->spans);
    if (p->run_ticks && p->spans)
        return true;
    return error_set(err, "out of memory: the times of %" PRId64 " steps take %zu bytes", p->n_steps,
                     bytes);
}

static void time_one(Profile *p, Session *s, ClockFn *now, int64_t step)
{
    const size_t n = (size_t)p->options.n_threads * p->n_instrs;
    const uint64_t from = now();
    session_run_timed(s, p->options.program, now, p->spans + (size_t)step * n);
    p->run_ticks[step] = now() - from;
}

/* A run with the clock and one without, in turn before and after each other: the ratio of what they
 * take of the processor, which others cannot disturb as they can the time of day. */
static double time_pair(Profile *p, Session *s, ClockFn *now, int64_t step)
{
    double spent[2];
    for (int i = 0; i < 2; i++) {
        const bool timed = (step + i) % 2;
        const uint64_t from = cpu_clock();
        if (timed)
            time_one(p, s, now, step);
        else
            session_run(s, p->options.program);
        spent[timed] = seconds_of(cpu_clock() - from);
    }
    return spent[1] / fmax(spent[0], 1e-9);
}

static bool time_runs(Profile *p, Session *s, Error *err)
{
    const bool pairs = p->options.overhead;
    ClockFn *now = p->options.cpu_clock ? cpu_clock : wall_clock;
    session_run(s, p->options.program);
    const uint64_t from = wall_clock();
    session_run(s, p->options.program);
    const double one = seconds_of(wall_clock() - from) * (pairs ? 2 : 1);
    const double fit = default_seconds / fmax(one, 1e-6);
    p->n_steps = p->options.steps ? p->options.steps
               : (int64_t)fmin(fmax(fit, FEWEST_STEPS), MOST_STEPS);
    double *ratio = calloc((size_t)p->n_steps, sizeof *ratio);
    if (!ratio)
        return error_set(err, "out of memory");
    if (!take_memory(p, err)) {
        free(ratio);
        return false;
    }
    p->clock_cost = clock_cost(now);
    for (int64_t i = 0; i < p->n_steps; i++) {
        if (pairs)
            ratio[i] = time_pair(p, s, now, i);
        else
            time_one(p, s, now, i);
    }
    p->overhead = pairs ? median(ratio, p->n_steps) - 1 : NAN;
    free(ratio);
    return true;
}

/* ---- what came of it --------------------------------------------------------------------------- */

static ProfileWord next_word(const char **text, bool rest)
{
    *text += strspn(*text, " ");
    const ProfileWord w = { *text, (int)(rest ? strlen(*text) : strcspn(*text, " ")) };
    *text += w.n;
    return w;
}

static void describe_shape(char *out, size_t cap, const Call *call)
{
    const Operand *o = &call->operand[0];
    int64_t dims[MAX_RANK + 1];
    int n = 0;
    if (call->row) {
        for (; n < call->row->rank; n++)
            dims[n] = call->row->dim[n];
    } else {
        for (; n < o->rank; n++)
            dims[n] = o->dim[n];
        if (call->kernel == KERNEL_gemm)
            dims[n++] = call->operand[1].dim[call->operand[1].rank - 1];
    }
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < n && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%" PRId64, i ? "x" : "", dims[i]);
}

/* Medians of an instruction over the steps; x: 3 * n_steps doubles. */
static void boil_down(const Profile *p, uint32_t k, double *x, ProfileFigures *f)
{
    double *work = x, *wait = x + p->n_steps, *slowest = wait + p->n_steps;
    const int n_threads = p->options.n_threads;
    for (int64_t i = 0; i < p->n_steps; i++) {
        work[i] = wait[i] = slowest[i] = 0;
        for (int t = 0; t < n_threads; t++) {
            const SessionSpan *s = profile_span(p, i, t, k);
            const double seconds = seconds_of(s->end - s->begin);
            work[i] += seconds / n_threads;
            wait[i] += seconds_of(s->begin - s->ready) / n_threads;
            slowest[i] = fmax(slowest[i], seconds);
        }
    }
    f->seconds = median(work, p->n_steps);
    f->wait = median(wait, p->n_steps);
    f->slowest = median(slowest, p->n_steps);
}

static void add_figures(ProfileFigures *sum, const ProfileFigures *f)
{
    sum->seconds += f->seconds;
    sum->wait += f->wait;
    sum->slowest += f->slowest;
    sum->flops += f->flops;
    sum->bytes += f->bytes;
    sum->roof += f->roof;
}

static void describe_instr(const Profile *p, Session *s, uint32_t k, ProfileInstr *out)
{
    const PlanProgram *g = plan_program(p->plan, p->options.program);
    const PlanInstr *in = &p->plan->instrs[g->first_instr + k];
    const char *label = plan_string(p->plan, in->label);
    out->kernel = plan_string(p->plan, in->kernel);
    out->label = label;
    out->op = next_word(&label, false);
    out->line = next_word(&label, false);
    out->path = next_word(&label, true);
    out->barrier = session_meets_before(s, p->options.program, k);
    describe_shape(out->shape, sizeof out->shape, session_call(s, p->options.program, k));
}

static bool sum_up(Profile *p, Session *s, Error *err)
{
    Roof *roofs = calloc(p->n_instrs + 1, sizeof *roofs);
    double *x = malloc(3 * (size_t)p->n_steps * sizeof *x);
    p->instr = calloc(p->n_instrs + 1, sizeof *p->instr);
    bool ok = roofs && x && p->instr;
    if (!ok)
        error_set(err, "out of memory");
    ok = ok && roofline(s, p->options.program, &p->limits, roofs, err);
    for (uint32_t k = 0; ok && k < p->n_instrs; k++) {
        ProfileInstr *in = &p->instr[k];
        describe_instr(p, s, k, in);
        in->roof = roofs[k];
        in->f = (ProfileFigures){ .flops = roofs[k].cost.flops, .bytes = roofs[k].cost.bytes,
                                  .roof = roofs[k].seconds };
        boil_down(p, k, x, &in->f);
        add_figures(&p->all, &in->f);
        p->n_barriers += in->barrier;
    }
    for (int64_t i = 0; ok && i < p->n_steps; i++)
        x[i] = seconds_of(p->run_ticks[i]);
    p->run = ok ? median(x, p->n_steps) : 0;
    for (int64_t i = 0; ok && i < p->n_steps; i++)
        if (seconds_of(p->run_ticks[i]) == p->run)
            p->typical = i;
    free(roofs);
    free(x);
    return ok;
}

static bool measure_limits(Profile *p, const KernelTable *kernels, Error *err)
{
    if (p->options.progress)
        progress_line(p->options.progress, "the machine's limits, then runs of %s ...",
                      plan_program_name(p->options.program));
    return limits_measure(kernels, p->options.n_threads, &p->limits, err);
}

bool profile_run(const Plan *p, const ProfileOptions *o, Profile *out, Error *err)
{
    *out = (Profile){ .plan = p, .options = *o, .overhead = NAN };
    Session *s = NULL;
    const SessionOptions so = { .n_threads = o->n_threads, .cpu = o->cpu,
                                .programs = 1u << o->program,
                                .pack = o->program == PLAN_generate || o->program == PLAN_score };
    if (!choose_sizes(out, err) || !session_open(p, &so, &s, err))
        return false;
    out->n_instrs = plan_program(p, o->program)->n_instrs;
    bool ok = session_bind(s, o->program, out->sizes, err) && set_past(out, s, err);
    if (ok && o->limits)
        out->limits = *o->limits;
    else if (ok)
        ok = measure_limits(out, session_kernels(s), err);
    if (ok) {
        weights_init(s, 1);
        random_inputs(s, out->sizes);
        ok = time_runs(out, s, err) && sum_up(out, s, err);
    }
    session_close(s);
    if (!ok)
        profile_close(out);
    return ok;
}

void profile_close(Profile *p)
{
    free(p->instr);
    free(p->run_ticks);
    free(p->spans);
    *p = (Profile){ 0 };
}

/* ---- groups ------------------------------------------------------------------------------------ */

/* The name of an instruction's group. */
static void group_name(const ProfileInstr *in, ProfileKey key, char *out, size_t cap)
{
    ProfileWord w = { "", 0 };
    switch (key) {
    case PROFILE_BY_op: w = in->op; break;
    case PROFILE_BY_kernel: w = (ProfileWord){ in->kernel, (int)strlen(in->kernel) }; break;
    case PROFILE_BY_line: w = in->line; break;
    case PROFILE_BY_path: w = in->path; break;
    case N_PROFILE_KEYS: break;
    }
    size_t n = 0;
    for (int i = 0; i < w.n && n + 1 < cap; i++) {
        /* A number between dots: the index of a layer. */
        const bool starts = key == PROFILE_BY_path && isdigit((unsigned char)w.p[i])
                         && i > 0 && w.p[i - 1] == '.';
        out[n++] = starts ? '*' : w.p[i];
        while (starts && i + 1 < w.n && isdigit((unsigned char)w.p[i + 1]))
            i++;
    }
    out[n] = '\0';
    if (n == 0)
        snprintf(out, cap, "(none)");
}

static int by_time(const void *a, const void *b)
{
    const ProfileGroup *x = a, *y = b;
    return (x->f.seconds < y->f.seconds) - (x->f.seconds > y->f.seconds);
}

ProfileGroup *profile_groups(const Profile *p, ProfileKey key, uint32_t *n)
{
    ProfileGroup *groups = calloc(p->n_instrs + 1, sizeof *groups);
    *n = 0;
    for (uint32_t k = 0; groups && k < p->n_instrs; k++) {
        char name[sizeof groups->name];
        uint32_t at = 0;
        group_name(&p->instr[k], key, name, sizeof name);
        while (at < *n && strcmp(groups[at].name, name) != 0)
            at++;
        if (at == *n)
            memcpy(groups[(*n)++].name, name, sizeof name);
        groups[at].count++;
        add_figures(&groups[at].f, &p->instr[k].f);
    }
    if (groups)
        qsort(groups, *n, sizeof *groups, by_time);
    return groups;
}
