/* What threads cost where there is one: nothing.
 *
 * The linker sends a session's calls of barrier_wait and of team_run through counters (--wrap).  With one
 * thread nobody waits; with more, every thread meets as often as session_barriers says.  Either way a run
 * is one region. */
#include "tests/e2e/compiled.h"

#include "runtime/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <cmocka.h>

static atomic_uint n_waits, n_regions;

void __real_barrier_wait(Barrier *b, unsigned n, unsigned self);
void __wrap_barrier_wait(Barrier *b, unsigned n, unsigned self);

void __wrap_barrier_wait(Barrier *b, unsigned n, unsigned self)
{
    atomic_fetch_add(&n_waits, 1);
    __real_barrier_wait(b, n, self);
}

void __real_team_run(Team *t, TeamFn *run, void *data);
void __wrap_team_run(Team *t, TeamFn *run, void *data);

void __wrap_team_run(Team *t, TeamFn *run, void *data)
{
    atomic_fetch_add(&n_regions, 1);
    __real_team_run(t, run, data);
}

static void run_once(const Compiled *c, PlanProgramKind program, int n_threads)
{
    int64_t sizes[MAX_SYMBOLS];
    Session *s = compiled_session(c, 1u << program, n_threads, NULL);
    fill_storages(s, 1u << program, 3);
    largest_sizes(&c->plan, program, sizes);
    bind(s, program, sizes);
    n_waits = n_regions = 0;
    session_run(s, program);
    const unsigned waits = n_waits, regions = n_regions, barriers = session_barriers(s, program);
    print_message("%s, %d threads: %u barriers, %u waits, %u regions\n", plan_program_name(program),
                  n_threads, barriers, waits, regions);
    assert_true((barriers > 0) == (n_threads > 1));
    assert_int_equal(waits, barriers * (unsigned)n_threads);
    assert_int_equal(regions, 1);
    session_close(s);
}

static void test_one_thread_waits_for_nobody(void **state)
{
    static const ModelSpec llama = { "llama", { "vocab=67", "context=40", "width=64", "depth=2",
                                                "heads=4", "kv_heads=2", "hidden=160" } };
    const CompileOptions o = { .level = 2, .batch = 2, .sequence = 16 };
    Compiled c;
    (void)state;
    compiled_open(&c, &llama, &o);
    for (uint32_t i = 0; i < c.plan.n_programs; i++)
        for (int n = 1; n <= 3; n++)
            run_once(&c, (PlanProgramKind)c.plan.programs[i].kind, n);
    compiled_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_thread_waits_for_nobody) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
