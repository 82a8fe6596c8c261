/* A profile as tables, as JSON, and as a Chrome trace. */
#include "runtime/profile.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a name, so that lines stay within 100. */
enum { NAME_COLUMNS = 41 };

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double share(const Profile *p, const ProfileFigures *f)
{
    return over(f->seconds, p->all.seconds);
}

/* What limits an instruction at best: a rate of operations or a level of memory. */
static const char *bound_name(const Roof *r)
{
    return r->by_flops ? r->unit : limit_level_name(r->level);
}

static const char *clock_name(const Profile *p)
{
    return p->options.cpu_clock ? "cpu" : "wall";
}

/* ---- tables ------------------------------------------------------------------------------------ */

static void print_heading(Buf *out, const char *count, const char *what)
{
    buf_printf(out, "\n%10s %6s %9s %8s %5s %9s %4s  %s\n", "ms", "share", "GFLOP/s", "GB/s", "roof",
               "over ms", count, what);
}

static void print_figures(Buf *out, const Profile *p, const ProfileFigures *f)
{
    buf_printf(out, "%10.4f %5.1f%% %9.1f %8.1f %4.0f%% %9.4f", 1e3 * f->seconds,
               100 * share(p, f), 1e-9 * over(f->flops, f->slowest),
               1e-9 * over(f->bytes, f->slowest), 100 * over(f->roof, f->slowest),
               1e3 * (f->slowest - f->roof));
}

static bool print_groups(Buf *out, const Profile *p, ProfileKey key, const char *what, uint32_t top)
{
    uint32_t n;
    ProfileGroup *groups = profile_groups(p, key, &n);
    print_heading(out, "n", what);
    for (uint32_t i = 0; groups && i < n && i < top; i++) {
        print_figures(out, p, &groups[i].f);
        buf_printf(out, " %4" PRIu32 "  %.*s\n", groups[i].count, NAME_COLUMNS, groups[i].name);
    }
    if (groups && n > top)
        buf_printf(out, "%10s and %" PRIu32 " more\n", "", n - top);
    free(groups);
    return groups;
}

static int by_time(const void *a, const void *b)
{
    const ProfileInstr *x = *(const ProfileInstr *const *)a, *y = *(const ProfileInstr *const *)b;
    return (x->f.seconds < y->f.seconds) - (x->f.seconds > y->f.seconds);
}

static int by_wait(const void *a, const void *b)
{
    const ProfileInstr *x = *(const ProfileInstr *const *)a, *y = *(const ProfileInstr *const *)b;
    return (x->f.wait < y->f.wait) - (x->f.wait > y->f.wait);
}

/* Pointers to the instructions, in the order of `compare`; the caller's to free. */
static const ProfileInstr **sorted_instrs(const Profile *p, int (*compare)(const void *, const void *))
{
    const ProfileInstr **order = malloc((p->n_instrs + 1) * sizeof(const ProfileInstr *));
    for (uint32_t k = 0; order && k < p->n_instrs; k++)
        order[k] = &p->instr[k];
    if (order)
        qsort(order, p->n_instrs, sizeof(const ProfileInstr *), compare);
    return order;
}

static void instr_name(char *out, size_t cap, const ProfileInstr *in)
{
    const char *colon = memchr(in->line.p, ':', (size_t)in->line.n);
    const int line = colon ? (int)(in->line.p + in->line.n - colon) : 0;
    snprintf(out, cap, "%.*s%.*s %.*s %s", in->op.n, in->op.p, line, colon ? colon : "", in->path.n,
             in->path.p, in->shape);
}

static bool print_instrs(Buf *out, const Profile *p, uint32_t top)
{
    char name[256];
    const ProfileInstr **order = sorted_instrs(p, by_time);
    print_heading(out, "by", "instruction: op:line, path, shape");
    for (uint32_t i = 0; order && i < p->n_instrs && i < top; i++) {
        print_figures(out, p, &order[i]->f);
        instr_name(name, sizeof name, order[i]);
        buf_printf(out, " %4.4s  %.*s\n", bound_name(&order[i]->roof), NAME_COLUMNS, name);
    }
    if (p->n_instrs > top)
        buf_printf(out, "%10s and %" PRIu32 " more\n", "", p->n_instrs - top);
    free(order);
    return order;
}

/* Means over the runs: of one thread, working and waiting. */
static void thread_sums(const Profile *p, int thread, double *work, double *wait)
{
    *work = *wait = 0;
    for (int64_t i = 0; i < p->n_steps; i++)
        for (uint32_t k = 0; k < p->n_instrs; k++) {
            const SessionSpan *s = profile_span(p, i, thread, k);
            *work += 1e-9 * (double)(s->end - s->begin) / (double)p->n_steps;
            *wait += 1e-9 * (double)(s->begin - s->ready) / (double)p->n_steps;
        }
}

static bool print_threads(Buf *out, const Profile *p, uint32_t top)
{
    char name[256];
    buf_printf(out, "\n%10s %10s  thread (means; %" PRIu32 " barriers a run)\n", "work ms", "wait ms",
               p->n_barriers);
    for (int t = 0; t < p->options.n_threads; t++) {
        double work, wait;
        thread_sums(p, t, &work, &wait);
        buf_printf(out, "%10.4f %10.4f  %d\n", 1e3 * work, 1e3 * wait, t);
    }
    const ProfileInstr **order = sorted_instrs(p, by_wait);
    buf_printf(out, "\n%10s  waiting before\n", "wait ms");
    for (uint32_t i = 0; order && i < p->n_instrs && i < top && order[i]->f.wait > 0; i++) {
        instr_name(name, sizeof name, order[i]);
        buf_printf(out, "%10.4f  %.80s\n", 1e3 * order[i]->f.wait, name);
    }
    free(order);
    return order;
}

static void print_limits(Buf *out, const Limits *l)
{
    buf_printf(out, "\nlimits: FMA %.1f", 1e-9 * l->fma);
    if (l->bf16 > 0)
        buf_printf(out, ", bf16 %.1f", 1e-9 * l->bf16);
    if (l->int8 > 0)
        buf_printf(out, ", int8 %.1f", 1e-9 * l->int8);
    buf_puts(out, " GFLOP/s");
    for (LimitLevel k = LIMIT_L1; k < N_LIMIT_LEVELS; k++)
        buf_printf(out, "%s%s %.1f (%.1f)", k > 0 ? ", " : "\n        read (and written) ",
                   limit_level_name(k), 1e-9 * l->read[k], 1e-9 * limits_both_ways(l, k));
    buf_puts(out, " GB/s\n");
}

static void print_summary(Buf *out, const Profile *p)
{
    const ProfileFigures *a = &p->all;
    buf_printf(out, "%s, program %s:", plan_string(p->plan, p->plan->header->model),
               plan_program_name(p->options.program));
    for (uint32_t s = 0; s < p->plan->n_symbols; s++)
        buf_printf(out, " %s=%" PRId64, plan_string(p->plan, p->plan->symbols[s].name), p->sizes[s]);
    if (p->options.past > 0)
        buf_printf(out, " behind %" PRId64 " positions", p->options.past);
    buf_printf(out, "; %d thread%s, %s\n", p->options.n_threads, p->options.n_threads > 1 ? "s" : "",
               isa_name(p->limits.isa));
    buf_printf(out, "%" PRId64 " runs, medians, %s time; reading the clock takes %.0f ns", p->n_steps,
               p->options.cpu_clock ? "processor" : "wall", 1e9 * p->clock_cost);
    if (!isnan(p->overhead))
        buf_printf(out, "; profiling costs %.2f%%", 100 * p->overhead);
    print_limits(out, &p->limits);
    buf_printf(out, "\nrun          %10.4f ms\ninstructions %10.4f ms: %.3f GFLOP at %.1f GFLOP/s, "
               "%.1f MB at %.1f GB/s\n", 1e3 * p->run, 1e3 * a->seconds, 1e-9 * a->flops,
               1e-9 * over(a->flops, a->seconds), 1e-6 * a->bytes,
               1e-9 * over(a->bytes, a->seconds));
    if (p->options.n_threads > 1)
        buf_printf(out, "waiting      %10.4f ms\n", 1e3 * a->wait);
    buf_printf(out, "roof         %10.4f ms: the least the limits allow, %.0f%% of the "
               "instructions' time\n", 1e3 * a->roof, 100 * over(a->roof, a->seconds));
}

bool profile_print(Buf *out, const Profile *p, uint32_t top)
{
    print_summary(out, p);
    bool ok = print_groups(out, p, PROFILE_BY_kernel, "kernel", top)
           && print_groups(out, p, PROFILE_BY_op, "op", top)
           && print_groups(out, p, PROFILE_BY_line, "line", top)
           && print_groups(out, p, PROFILE_BY_path, "part of the model", top)
           && print_instrs(out, p, top);
    if (ok && p->options.n_threads > 1)
        ok = print_threads(out, p, top);
    return ok && !out->failed;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static json_t *word_json(ProfileWord w)
{
    return json_stringn(w.p, (size_t)w.n);
}

/* Adds the figures to an object. */
static json_t *with_figures(json_t *j, const Profile *p, const ProfileFigures *f)
{
    json_t *figures = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "seconds", f->seconds, "share",
        share(p, f), "wait_seconds", f->wait, "slowest_thread_seconds", f->slowest, "flops", f->flops,
        "bytes", f->bytes, "flops_per_second", over(f->flops, f->slowest), "bytes_per_second",
        over(f->bytes, f->slowest), "roof_seconds", f->roof);
    json_object_set_new(j, "share_of_roof", json_real(over(f->roof, f->slowest)));
    json_object_update(j, figures);
    json_decref(figures);
    return j;
}

static json_t *instrs_json(const Profile *p)
{
    json_t *out = json_array();
    for (uint32_t k = 0; k < p->n_instrs; k++) {
        const ProfileInstr *in = &p->instr[k];
        json_t *j = json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:s, s:b, s:s}", "index", (json_int_t)k,
                              "kernel", in->kernel, "label", in->label, "op", word_json(in->op),
                              "line", word_json(in->line), "path", word_json(in->path), "shape",
                              in->shape, "barrier", in->barrier, "bound", bound_name(&in->roof));
        json_array_append_new(out, j ? with_figures(j, p, &in->f) : NULL);
    }
    return out;
}

static json_t *groups_json(const Profile *p, ProfileKey key)
{
    uint32_t n;
    ProfileGroup *groups = profile_groups(p, key, &n);
    json_t *out = groups ? json_array() : NULL;
    for (uint32_t i = 0; groups && i < n; i++) {
        json_t *j = json_pack("{s:s, s:I}", "name", groups[i].name, "count",
                              (json_int_t)groups[i].count);
        json_array_append_new(out, j ? with_figures(j, p, &groups[i].f) : NULL);
    }
    free(groups);
    return out;
}

static json_t *threads_json(const Profile *p)
{
    json_t *out = json_array();
    for (int t = 0; t < p->options.n_threads; t++) {
        double work, wait;
        thread_sums(p, t, &work, &wait);
        json_array_append_new(out, json_pack("{s:f, s:f}", "seconds", work, "wait_seconds", wait));
    }
    return out;
}

static json_t *sizes_json(const Profile *p)
{
    json_t *out = json_object();
    for (uint32_t s = 0; s < p->plan->n_symbols; s++)
        json_object_set_new(out, plan_string(p->plan, p->plan->symbols[s].name),
                            json_integer(p->sizes[s]));
    return out;
}

static bool put_json(Buf *out, json_t *j, size_t flags)
{
    char *text = j ? json_dumps(j, flags | JSON_REAL_PRECISION(9)) : NULL;
    if (text)
        buf_printf(out, "%s\n", text);
    json_decref(j);
    free(text);
    return text && !out->failed;
}

bool profile_json(Buf *out, const Profile *p)
{
    json_t *j = json_pack(
        "{s:s, s:s, s:o, s:I, s:i, s:s, s:s, s:I, s:f, s:o, s:f, s:I, s:o, s:o, s:o}", "model",
        plan_string(p->plan, p->plan->header->model), "program",
        plan_program_name(p->options.program), "sizes", sizes_json(p), "past",
        (json_int_t)p->options.past, "threads", p->options.n_threads, "isa",
        isa_name(p->limits.isa), "clock", clock_name(p), "runs", (json_int_t)p->n_steps,
        "clock_seconds", p->clock_cost, "overhead",
        isnan(p->overhead) ? json_null() : json_real(p->overhead), "run_seconds", p->run,
        "barriers", (json_int_t)p->n_barriers, "limits", limits_json(&p->limits), "per_thread",
        threads_json(p), "total", with_figures(json_object(), p, &p->all));
    static const char *const keys[N_PROFILE_KEYS] = {
#define X(name) [PROFILE_BY_##name] = "by_" #name,
        PROFILE_KEYS(X)
#undef X
    };
    for (int k = 0; j && k < N_PROFILE_KEYS; k++)
        if (json_object_set_new(j, keys[k], groups_json(p, (ProfileKey)k)) != 0) {
            json_decref(j);
            j = NULL;
        }
    if (j)
        json_object_set_new(j, "instructions", instrs_json(p));
    return put_json(out, j, JSON_INDENT(1));
}

/* ---- trace ------------------------------------------------------------------------------------- */

/* A complete event of the Trace Event Format; times in microseconds from `origin`. */
static void add_event(json_t *events, const char *name, const char *category, int thread,
                      uint64_t origin, uint64_t from, uint64_t to, json_t *args)
{
    json_array_append_new(events, json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "name", name, "cat", category, "ph", "X", "pid", 1,
        "tid", thread, "ts", 1e-3 * (double)(from - origin), "dur", 1e-3 * (double)(to - from), "args",
        args ? args : json_object()));
}

static void name_thread(json_t *events, int thread)
{
    char name[32];
    snprintf(name, sizeof name, "thread %d", thread);
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name",
                                            "ph", "M", "pid", 1, "tid", thread, "args", "name", name));
}

/* Where a thread's track begins: with processor time every thread has a clock of its own. */
static uint64_t origin(const Profile *p, int thread)
{
    uint64_t from = profile_span(p, p->typical, thread, 0)->ready;
    for (int t = 0; !p->options.cpu_clock && t < p->options.n_threads; t++) {
        const uint64_t other = profile_span(p, p->typical, t, 0)->ready;
        from = other < from ? other : from;
    }
    return from;
}

static void trace_thread(json_t *events, const Profile *p, int thread)
{
    const uint64_t zero = origin(p, thread);
    name_thread(events, thread);
    for (uint32_t k = 0; k < p->n_instrs; k++) {
        const ProfileInstr *in = &p->instr[k];
        const SessionSpan *s = profile_span(p, p->typical, thread, k);
        if (s->begin > s->ready)
            add_event(events, "wait", "barrier", thread, zero, s->ready, s->begin, NULL);
        add_event(events, in->label, in->kernel, thread, zero, s->begin, s->end, json_pack(
            "{s:I, s:s, s:s, s:s, s:f, s:f, s:f, s:s}", "instruction", (json_int_t)k, "label",
            in->label, "kernel", in->kernel, "shape", in->shape, "flops", in->f.flops, "bytes",
            in->f.bytes, "roof_us", 1e6 * in->f.roof, "bound", bound_name(&in->roof)));
    }
}

bool profile_trace(Buf *out, const Profile *p)
{
    json_t *events = json_array();
    for (int t = 0; p->n_instrs && t < p->options.n_threads; t++)
        trace_thread(events, p, t);
    return put_json(out, json_pack("{s:o, s:s, s:{s:s, s:s, s:s}}", "traceEvents", events,
                                   "displayTimeUnit", "ns", "otherData", "model",
                                   plan_string(p->plan, p->plan->header->model), "program",
                                   plan_program_name(p->options.program), "clock", clock_name(p)),
                    JSON_COMPACT);
}
