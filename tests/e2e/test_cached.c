/* Generation with a cache against recomputation of everything: for every causal model in models/,
 * however the prompt is cut into chunks, 500 greedy tokens are the same and so are their logits.
 *
 * What generation wrote is recomputed from its beginning, at lengths STEP apart: each gives the logits of the
 * positions that the one before lacked. */
#include "tests/e2e/compiled.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { VOCAB = 48, PROMPT = 41, NEW = 500, CONTEXT = PROMPT + NEW, STEP = 11 };
static const double tolerance = 1e-5;

static const ModelSpec models[] = {
    { "gpt2", { "vocab=48", "context=541", "width=32", "depth=2", "heads=2" } },
    { "llama", { "vocab=48", "context=541", "width=32", "depth=2", "heads=4", "kv_heads=2",
                 "hidden=40" } },
    { "chargpt", { "vocab=48", "context=541", "width=32", "depth=2", "heads=2" } },
    { "profile", { "vocab=48", "context=541", "width=32", "depth=2", "heads=2", "hidden=40" } },
};

/* What greedy generation wrote, and the logits that each token was chosen from. */
typedef struct Trace {
    int32_t ids[CONTEXT];
    float logits[NEW][VOCAB];
} Trace;

static int32_t largest(const float *logits)
{
    int32_t best = 0;
    for (int32_t v = 1; v < VOCAB; v++)
        if (logits[v] > logits[best])
            best = v;
    return best;
}

/* Logits of position `at` of the only sequence; generation has the last one alone. */
static void take_logits(const Session *s, PlanProgramKind program, int64_t at, float *out)
{
    const Operand o = output(s, program, "logits");
    assert_int_equal(o.rank, 3);
    assert_true(program == PLAN_generate ? o.dim[1] == 1 && at == 0 : at < o.dim[1]);
    assert_int_equal(o.dim[2], VOCAB);
    for (int64_t v = 0; v < VOCAB; v++)
        out[v] = ((const float *)o.data)[at * o.stride[1] + v * o.stride[2]];
}

/* Runs `program` on ids [first, first + n) of the sequence so far. */
static void run(Session *s, PlanProgramKind program, const int32_t *ids, int64_t n)
{
    const Plan *p = session_plan(s);
    int64_t sizes[MAX_SYMBOLS];
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = 1;
    sizes[plan_symbol(p, PLAN_SEQUENCE)] = n;
    bind(s, program, sizes);
    memcpy(session_storage_named(s, "tokens"), ids, (size_t)n * sizeof *ids);
    session_run(s, program);
}

static Session *open(const Compiled *c, PlanProgramKind program, const char *cpu)
{
    Session *s = compiled_session(c, 1u << program, 1, cpu);
    fill_storages(s, 1u << program, 11);
    return s;
}

static void begin(Trace *t)
{
    memset(t, 0, sizeof *t);
    for (int32_t i = 0; i < PROMPT; i++)
        t->ids[i] = (i * i * 7 + 3 * i) % VOCAB;
}

/* The logits of a sequence that was written, and the ids that they choose. */
static void recompute(const ModelSpec *m, const char *cpu, const Trace *written, Trace *t)
{
    const CompileOptions co = { .level = 2, .batch = 1, .sequence = CONTEXT,
                                .programs = 1u << PROGRAM_score };
    Compiled c;
    compiled_open(&c, m, &co);
    Session *s = open(&c, PLAN_score, cpu);
    begin(t);
    for (int i = 0, n = PROMPT; i < NEW; n = n + STEP < CONTEXT - 1 ? n + STEP : CONTEXT - 1) {
        run(s, PLAN_score, written->ids, n);
        for (; PROMPT + i <= n; i++) {
            take_logits(s, PLAN_score, PROMPT + i - 1, t->logits[i]);
            t->ids[PROMPT + i] = largest(t->logits[i]);
        }
    }
    session_close(s);
    compiled_close(&c);
}

static void generate(const ModelSpec *m, const char *cpu, int64_t chunk, Trace *t)
{
    const CompileOptions co = { .level = 2, .batch = 1, .chunk = chunk,
                                .programs = 1u << PROGRAM_generate };
    Compiled c;
    compiled_open(&c, m, &co);
    Session *s = open(&c, PLAN_generate, cpu);
    int32_t *past = session_storage_named(s, "$past");
    begin(t);
    for (int i = 0, n; i < NEW; i++) {
        const int32_t end = PROMPT + i;
        for (; *past < end; *past += n) {
            n = end - *past < (int32_t)chunk ? end - *past : (int)chunk;
            run(s, PLAN_generate, t->ids + *past, n);
            take_logits(s, PLAN_generate, 0, t->logits[i]);
        }
        t->ids[end] = largest(t->logits[i]);
    }
    session_close(s);
    compiled_close(&c);
}

static double largest_magnitude(const float *x)
{
    double most = 0;
    for (int v = 0; v < VOCAB; v++)
        most = fmax(most, fabs((double)x[v]));
    return most;
}

static void expect_equal(const ModelSpec *m, int64_t chunk, const Trace *want, const Trace *got)
{
    double worst = 0;
    for (int i = 0; i < NEW; i++) {
        const double unit = largest_magnitude(want->logits[i]);
        for (int v = 0; v < VOCAB; v++) {
            const double off = fabs((double)got->logits[i][v] - (double)want->logits[i][v]) / unit;
            if (!(off <= tolerance))
                fail_msg("%s, chunk %d, token %d, logit %d: %.9g, recomputed %.9g", m->name,
                         (int)chunk, i, v, (double)got->logits[i][v],
                         (double)want->logits[i][v]);
            worst = fmax(worst, off);
        }
        if (got->ids[PROMPT + i] != want->ids[PROMPT + i])
            fail_msg("%s, chunk %d, token %d: id %d, recomputed %d", m->name, (int)chunk, i,
                     got->ids[PROMPT + i], want->ids[PROMPT + i]);
    }
    print_message("%s, chunk %d: logits within %.1e\n", m->name, (int)chunk, worst);
}

static int n_different(const Trace *t)
{
    bool seen[VOCAB] = { false };
    int n = 0;
    for (int i = PROMPT; i < CONTEXT; i++) {
        n += !seen[t->ids[i]];
        seen[t->ids[i]] = true;
    }
    return n;
}

static void check_model(const ModelSpec *m, const char *cpu)
{
    static const int64_t chunks[] = { 1, 7, 64 };
    static Trace want, got;
    generate(m, cpu, chunks[0], &got);
    recompute(m, cpu, &got, &want);
    print_message("%s on %s wrote %d different ids\n", m->name, cpu, n_different(&want));
    assert_true(n_different(&want) > 2);        /* else it would show little */
    for (size_t k = 0; k < sizeof chunks / sizeof *chunks; k++) {
        if (k > 0)
            generate(m, cpu, chunks[k], &got);
        expect_equal(m, chunks[k], &want, &got);
    }
}

static void test_cached(void **state)
{
    (void)state;
    for (Isa isa = 0; isa < N_ISAS; isa++)
        for (size_t i = 0; i < sizeof models / sizeof *models && isa_supported(isa); i++)
            check_model(&models[i], isa_name(isa));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cached) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
