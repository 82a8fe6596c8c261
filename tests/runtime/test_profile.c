/* A profile's parts make up its whole, what it writes can be read, and timing a run changes none of
 * its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "runtime/profile.h"
#include "runtime/random_inputs.h"
#include "runtime/text_model.h"
#include "runtime/weights.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static Plan plan;

static int open_tiny(void **state)
{
    (void)state;
    Error err;
    return plan_open(TINY_PLAN, &plan, &err) ? 0 : -1;
}

static int close_tiny(void **state)
{
    (void)state;
    plan_close(&plan);
    return 0;
}

/* A machine of 1 GB/s and no end of operations, with caches of 64 KiB, 1 MiB and 1 GiB. */
static const Limits slow = { .n_threads = 1, .fma = 1e30, .read = { 1e9, 1e9, 1e9, 1e9 },
                             .cache = { 1 << 16, 1 << 20, 1 << 30, SIZE_MAX } };

static Profile profile(PlanProgramKind program, int n_threads, bool cpu_clock)
{
    const ProfileOptions o = { .program = program, .steps = 5, .past = -1, .n_threads = n_threads,
                               .cpu_clock = cpu_clock, .overhead = true, .limits = &slow };
    Profile p;
    Error err;
    if (!profile_run(&plan, &o, &p, &err))
        fail_msg("%s", err.text);
    assert_int_equal(p.n_steps, 5);
    assert_true(p.n_instrs > 0 && isfinite(p.overhead));
    return p;
}

/* ---- spans ------------------------------------------------------------------------------------- */

/* Nanoseconds that one thread worked and waited in one run; its spans must follow one another. */
static uint64_t thread_sum(const Profile *p, int64_t step, int thread)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < p->n_instrs; k++) {
        const SessionSpan *s = profile_span(p, step, thread, k);
        assert_true(s->ready <= s->begin && s->begin <= s->end);
        if (k > 0)
            assert_int_equal(s->ready, s[-1].end);
        if (p->options.n_threads == 1 || !p->instr[k].barrier)
            assert_int_equal(s->begin, s->ready);
        sum += s->end - s->ready;
    }
    const uint64_t first = profile_span(p, step, thread, 0)->ready;
    assert_int_equal(sum, profile_span(p, step, thread, p->n_instrs - 1)->end - first);
    return sum;
}

/* No thread is at an instruction behind a barrier while another is before it. */
static void assert_barriers_hold(const Profile *p, int64_t step)
{
    for (uint32_t k = 1; k < p->n_instrs; k++)
        for (int a = 0; p->instr[k].barrier && a < p->options.n_threads; a++)
            for (int b = 0; b < p->options.n_threads; b++)
                assert_true(profile_span(p, step, a, k)->begin
                            >= profile_span(p, step, b, k)->ready);
}

static void parts_make_up_the_run(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        Profile p = profile(PLAN_train, n_threads, false);
        for (int64_t i = 0; i < p.n_steps; i++) {
            for (int t = 0; t < n_threads; t++)
                assert_true(thread_sum(&p, i, t) <= p.run_ticks[i]);
            assert_barriers_hold(&p, i);
        }
        assert_true((p.n_barriers > 0) == (n_threads > 1));
        profile_close(&p);
    }
}

/* The clock of one thread's processor time cannot run ahead of itself either. */
static void processor_time_adds_up_too(void **state)
{
    (void)state;
    Profile p = profile(PLAN_train, 1, true);
    for (int64_t i = 0; i < p.n_steps; i++)
        assert_true(thread_sum(&p, i, 0) <= p.run_ticks[i]);
    profile_close(&p);
}

/* ---- sums -------------------------------------------------------------------------------------- */

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9 * fabs(b)))
        fail_msg("%.17g, expected %.17g", a, b);
}

static void groups_make_up_the_total(void **state)
{
    (void)state;
    Profile p = profile(PLAN_train, 2, false);
    for (int key = 0; key < N_PROFILE_KEYS; key++) {
        uint32_t n, count = 0;
        ProfileFigures sum = { 0 };
        ProfileGroup *g = profile_groups(&p, (ProfileKey)key, &n);
        assert_non_null(g);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(i == 0 || g[i].f.seconds <= g[i - 1].f.seconds);
            count += g[i].count;
            sum.seconds += g[i].f.seconds;
            sum.flops += g[i].f.flops;
            sum.roof += g[i].f.roof;
        }
        free(g);
        assert_int_equal(count, p.n_instrs);
        assert_near(sum.seconds, p.all.seconds);
        assert_near(sum.flops, p.all.flops);
        assert_near(sum.roof, p.all.roof);
    }
    profile_close(&p);
}

/* Layers are one part of the model, whatever their number. */
static void layers_share_a_group(void **state)
{
    (void)state;
    Profile p = profile(PLAN_score, 1, false);
    uint32_t n, found = 0;
    ProfileGroup *g = profile_groups(&p, PROFILE_BY_path, &n);
    assert_non_null(g);
    for (uint32_t i = 0; i < n; i++) {
        assert_null(strstr(g[i].name, "h.1"));
        found += strcmp(g[i].name, "h.*.mlp.c_fc") == 0 ? g[i].count : 0;
    }
    assert_true(found >= 2 && found % 2 == 0);
    free(g);
    profile_close(&p);
}

/* ---- what is written --------------------------------------------------------------------------- */

static json_t *parsed(bool (*write)(Buf *, const Profile *), const Profile *p)
{
    Buf out = { 0 };
    json_error_t e;
    assert_true(write(&out, p));
    json_t *j = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        fail_msg("line %d: %s", e.line, e.text);
    buf_free(&out);
    return j;
}

static double real(const json_t *j, const char *key)
{
    const json_t *x = json_object_get(j, key);
    assert_true(json_is_number(x));
    return json_number_value(x);
}

static void json_holds_every_instruction(void **state)
{
    (void)state;
    Profile p = profile(PLAN_generate, 2, false);
    json_t *j = parsed(profile_json, &p), *in;
    const json_t *instrs = json_object_get(j, "instructions");
    size_t k;
    double share = 0;
    assert_int_equal(json_array_size(instrs), p.n_instrs);
    json_array_foreach((json_t *)(uintptr_t)instrs, k, in) {
        assert_int_equal(real(in, "index"), (double)k);
        assert_string_equal(json_string_value(json_object_get(in, "label")), p.instr[k].label);
        share += real(in, "share");
    }
    assert_true(fabs(share - 1) < 1e-6);
    assert_int_equal(json_array_size(json_object_get(j, "per_thread")), 2);
    assert_true(real(json_object_get(j, "sizes"), "T") == 1);
    assert_true(real(json_object_get(j, "limits"), "flops_per_second") > 0);
    assert_true(json_array_size(json_object_get(j, "by_kernel")) > 1);
    json_decref(j);
    profile_close(&p);
}

/* An event for each instruction and thread, each track in order and without overlap. */
static void trace_has_a_track_for_each_thread(void **state)
{
    (void)state;
    for (int cpu = 0; cpu < 2; cpu++) {
        Profile p = profile(PLAN_train, 2, cpu);
        json_t *j = parsed(profile_trace, &p), *e;
        double end[2] = { 0 };
        uint32_t n_events[2] = { 0 }, names = 0;
        size_t i;
        json_array_foreach(json_object_get(j, "traceEvents"), i, e) {
            const int t = (int)real(e, "tid");
            assert_in_range(t, 0, 1);
            if (strcmp(json_string_value(json_object_get(e, "ph")), "M") == 0) {
                names++;
                continue;
            }
            /* Nine digits of microseconds. */
            assert_true(real(e, "ts") >= end[t] - 1e-3);
            end[t] = real(e, "ts") + real(e, "dur");
            const json_t *args = json_object_get(e, "args");
            if (strcmp(json_string_value(json_object_get(e, "cat")), "barrier") == 0)
                continue;
            const ProfileInstr *in = &p.instr[n_events[t]];
            assert_int_equal(real(args, "instruction"), n_events[t]++);
            assert_string_equal(json_string_value(json_object_get(args, "label")), in->label);
            assert_near(real(args, "bytes"), in->f.bytes);
            assert_near(real(args, "flops"), in->f.flops);
        }
        assert_int_equal(names, 2);
        assert_int_equal(n_events[0], p.n_instrs);
        assert_int_equal(n_events[1], p.n_instrs);
        json_decref(j);
        profile_close(&p);
    }
}

static void tables_fit_a_hundred_columns(void **state)
{
    (void)state;
    Profile p = profile(PLAN_train, 2, false);
    Buf out = { 0 };
    memset(p.instr[0].shape, '9', sizeof p.instr[0].shape - 1);
    assert_true(profile_print(&out, &p, 1000));
    for (const char *line = out.data; *line;) {
        const size_t n = strcspn(line, "\n");
        if (n > 100)
            fail_msg("%zu columns: %.*s", n, (int)n, line);
        line += n + (line[n] == '\n');
    }
    assert_non_null(strstr(out.data, "attention_grad"));
    buf_free(&out);
    profile_close(&p);
}

/* ---- the run itself ---------------------------------------------------------------------------- */

static uint64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static Session *trained(int n_threads, bool timed, SessionSpan *spans)
{
    const SessionOptions so = { .n_threads = n_threads, .programs = 1u << PLAN_train };
    int64_t sizes[MAX_SYMBOLS];
    Session *s;
    Error err;
    plan_largest_sizes(&plan, PLAN_train, sizes);
    if (!session_open(&plan, &so, &s, &err) || !session_bind(s, PLAN_train, sizes, &err))
        fail_msg("%s", err.text);
    weights_init(s, 1);
    random_inputs(s, sizes);
    for (int i = 0; i < 3; i++) {
        if (timed)
            session_run_timed(s, PLAN_train, nanoseconds, spans);
        else
            session_run(s, PLAN_train);
    }
    return s;
}

static void timing_changes_no_byte(void **state)
{
    (void)state;
    const size_t n = plan_program(&plan, PLAN_train)->n_instrs;
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        SessionSpan *spans = calloc(n * (size_t)n_threads, sizeof *spans);
        assert_non_null(spans);
        Session *a = trained(n_threads, false, NULL), *b = trained(n_threads, true, spans);
        for (uint32_t i = 0; i < plan.n_storages; i++) {
            size_t bytes;
            const void *x = session_storage(a, (int32_t)i), *y = session_storage(b, (int32_t)i);
            bool ok = plan_storage_bytes(&plan, &plan.storages[i], 1u << PLAN_train, &bytes);
            assert_true(ok && !x == !y);
            if (x)
                assert_memory_equal(x, y, bytes);
        }
        session_close(a);
        session_close(b);
        free(spans);
    }
}

/* ---- roofs ------------------------------------------------------------------------------------- */

static void roofs_are_costs_over_limits(void **state)
{
    (void)state;
    const uint32_t n = plan_program(&plan, PLAN_train)->n_instrs;
    Limits computing = slow, tiny = slow;
    Roof *by_bytes = calloc(n, sizeof *by_bytes), *by_flops = calloc(n, sizeof *by_flops);
    Roof *from_memory = calloc(n, sizeof *from_memory);
    Session *s = trained(1, false, NULL);
    Error err;
    bool in_cache = false;
    computing.fma = 1;
    for (int k = 0; k < N_LIMIT_LEVELS; k++)
        computing.read[k] = 1e30;
    tiny.cache[LIMIT_L1] = tiny.cache[LIMIT_L2] = tiny.cache[LIMIT_L3] = 0;
    assert_true(roofline(s, PLAN_train, &slow, by_bytes, &err));
    assert_true(roofline(s, PLAN_train, &computing, by_flops, &err));
    assert_true(roofline(s, PLAN_train, &tiny, from_memory, &err));
    for (uint32_t k = 0; k < n; k++) {
        const KernelCost c = kernel_cost(session_call(s, PLAN_train, k));
        assert_near(by_bytes[k].seconds, 1e-9 * c.bytes);
        if (c.flops > 0)
            assert_near(by_flops[k].seconds, c.flops);
        assert_true(c.flops == 0 || by_flops[k].by_flops);
        assert_true(!by_bytes[k].by_flops);
        assert_int_equal(from_memory[k].level, c.bytes > 0 ? LIMIT_memory : LIMIT_L1);
        in_cache |= by_bytes[k].level < LIMIT_memory;
    }
    /* The whole tiny model stays within a gigabyte. */
    assert_true(in_cache);
    free(by_bytes);
    free(by_flops);
    free(from_memory);
    session_close(s);
}

/* Ten times as many products of floats, as six of bf16 each: the roof of products is a tenth, that of sums
 * what it was. */
static void products_may_be_of_parts(void **state)
{
    (void)state;
    const uint32_t n = plan_program(&plan, PLAN_train)->n_instrs;
    Limits floats = slow, parts;
    Roof *one = calloc(n, sizeof *one), *ten = calloc(n, sizeof *ten);
    Session *s = trained(1, false, NULL);
    Error err;
    unsigned n_products = 0, n_others = 0;
    floats.fma = 1;
    floats.bf16 = 5;                    /* six of them take longer than a multiply-add */
    parts = floats;
    parts.bf16 = 60;
    assert_true(roofline(s, PLAN_train, &floats, one, &err));
    assert_true(roofline(s, PLAN_train, &parts, ten, &err));
    for (uint32_t k = 0; k < n; k++) {
        const bool product = ten[k].cost.unit == UNIT_bf16_six;
        assert_string_equal(one[k].unit, "FMA");
        assert_string_equal(ten[k].unit, product ? "bf16" : "FMA");
        assert_near(ten[k].seconds, product ? one[k].seconds / 10 : one[k].seconds);
        n_products += product;
        n_others += !product && one[k].by_flops;
    }
    assert_true(n_products > 0 && n_others > 0);
    free(one);
    free(ten);
    session_close(s);
}

/* The part of a call's bytes that it only reads, taking each operand once. */
static double share_read(const Call *call)
{
    double read = 0, all = 0;
    for (int32_t i = 0; i < call->n_operands; i++) {
        const Operand *o = &call->operand[i];
        double bytes = (double)dtype_size(o->dtype);
        for (int32_t a = 0; a < o->rank; a++)
            bytes *= o->stride[a] == 0 ? 1 : (double)o->dim[a];
        all += bytes;
        read += kernel_writes(call, i) ? 0 : bytes;
    }
    return read / all;
}

/* Where a copy moves three bytes in the time that reading takes for one, what is read takes as long as it
 * would alone, or all bytes a third of that, whichever is longer. */
static void memory_writes_while_it_reads(void **state)
{
    (void)state;
    const uint32_t n = plan_program(&plan, PLAN_train)->n_instrs;
    Limits both = slow;
    Roof *roof = calloc(n, sizeof *roof);
    Session *s = trained(1, false, NULL);
    Error err;
    bool by_reading = false, by_both = false;
    both.cache[LIMIT_L1] = both.cache[LIMIT_L2] = both.cache[LIMIT_L3] = 0;
    both.copy[LIMIT_memory] = 3e9;
    assert_true(roofline(s, PLAN_train, &both, roof, &err));
    for (uint32_t k = 0; k < n; k++) {
        const Call *call = session_call(s, PLAN_train, k);
        const double read = share_read(call);
        assert_near(roof[k].seconds, 1e-9 * kernel_cost(call).bytes * fmax(read, 1.0 / 3));
        by_reading |= read > 0.4;
        by_both |= read < 0.3;
    }
    assert_true(by_reading && by_both);
    free(roof);
    session_close(s);
}

static void this_machine_has_limits(void **state)
{
    (void)state;
    const ProfileOptions o = { .program = PLAN_generate, .steps = 1, .past = -1, .n_threads = 2 };
    Profile p;
    Error err;
    if (!profile_run(&plan, &o, &p, &err))
        fail_msg("%s", err.text);
    assert_true(p.limits.fma > 0 && isfinite(p.limits.fma));
    for (int k = 0; k < N_LIMIT_LEVELS; k++) {
        assert_true(p.limits.read[k] > 0 && isfinite(p.limits.read[k]));
        assert_true(p.limits.copy[k] > 0 && isfinite(p.limits.copy[k]));
        assert_true(k == 0 || p.limits.cache[k] >= p.limits.cache[k - 1]);
    }
    assert_true(p.all.roof > 0 && isnan(p.overhead));
    profile_close(&p);
}

/* ---- what cannot be ---------------------------------------------------------------------------- */

static void impossible_sizes_are_errors(void **state)
{
    (void)state;
    static const ProfileOptions wrong[] = {
        { .program = PLAN_train, .n_threads = 1, .steps = 1, .batch = 1000 },
        { .program = PLAN_train, .n_threads = 1, .steps = 1, .seq = 1000 },
        { .program = PLAN_generate, .n_threads = 1, .steps = 1, .past = 1000 },
        { .program = PLAN_train, .n_threads = 1, .steps = 1, .cpu = "abacus" },
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        Profile p;
        Error err;
        assert_false(profile_run(&plan, &wrong[i], &p, &err));
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_up_the_run),
        cmocka_unit_test(processor_time_adds_up_too),
        cmocka_unit_test(groups_make_up_the_total),
        cmocka_unit_test(layers_share_a_group),
        cmocka_unit_test(json_holds_every_instruction),
        cmocka_unit_test(trace_has_a_track_for_each_thread),
        cmocka_unit_test(tables_fit_a_hundred_columns),
        cmocka_unit_test(timing_changes_no_byte),
        cmocka_unit_test(roofs_are_costs_over_limits),
        cmocka_unit_test(products_may_be_of_parts),
        cmocka_unit_test(memory_writes_while_it_reads),
        cmocka_unit_test(this_machine_has_limits),
        cmocka_unit_test(impossible_sizes_are_errors),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
