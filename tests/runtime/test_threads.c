/* Barriers: what was written before one is read behind it, with more threads than processors too, and
 * whoever sleeps is woken.  Teams: all run what is asked of them, and go home, even those that never were
 * all there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

enum { MOST = 9, ROUNDS = 300 };

typedef struct Meeting {
    Barrier barrier;
    unsigned n;
    unsigned written[MOST];             /* plain memory: only the barrier orders it */
    atomic_uint wrong;
    atomic_bool late;                   /* the last thread comes when all others sleep */
} Meeting;

typedef struct Member { Meeting *meeting; unsigned id; } Member;

static void *attend(void *arg)
{
    const Member *self = arg;
    Meeting *m = self->meeting;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        if (self->id == 0 && atomic_load(&m->late))
            while (atomic_load(&m->barrier.sleepers) < m->n - 1)
                sched_yield();
        m->written[self->id] = round;
        barrier_wait(&m->barrier, m->n, self->id);
        for (unsigned i = 0; i < m->n; i++)
            if (m->written[i] != round)
                atomic_fetch_add(&m->wrong, 1);
        barrier_wait(&m->barrier, m->n, self->id);
    }
    return NULL;
}

static void meet(unsigned n, bool late)
{
    Meeting m = { .n = n };
    atomic_store(&m.late, late);
    Member members[MOST];
    pthread_t threads[MOST];
    for (unsigned i = 0; i < n; i++) {
        members[i] = (Member){ &m, i };
        assert_int_equal(pthread_create(&threads[i], NULL, attend, &members[i]), 0);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&m.wrong), 0);
    assert_int_equal(atomic_load(&m.barrier.sleepers), 0);
    assert_int_equal(atomic_load(&m.barrier.phase), 2 * ROUNDS);
}

static void test_meeting(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= MOST; n += 2)
        meet(n, false);
}

static void test_sleepers(void **state)
{
    (void)state;
    meet(2, true);
    meet(MOST, true);
}

/* Threads that are held on one processor know that they share it. */
static void test_seats(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const int cpu = sched_getcpu();
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    Meeting m = { .n = 2 };
    Member members[2] = { { &m, 0 }, { &m, 1 } };
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, attend, &members[1]), 0);
    attend(&members[0]);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(atomic_load(&m.barrier.seat[0]), cpu + 1);
    assert_int_equal(atomic_load(&m.barrier.seat[1]), cpu + 1);
    assert_int_equal(atomic_load(&m.wrong), 0);
}

static Team *new_team(int n)
{
    const size_t bytes = (team_bytes(n) + 63) / 64 * 64;
    Team *t = aligned_alloc(64, bytes);
    assert_non_null(t);
    memset(t, 0, bytes);
    return t;
}

static void count_one(void *data, int thread)
{
    ((unsigned *)data)[thread]++;
}

static void test_team(void **state)
{
    (void)state;
    for (int n = 1; n <= MOST; n += 2) {
        Error err;
        unsigned count[MOST] = { 0 };
        Team *t = new_team(n);
        assert_true(team_open(t, n, &err));
        for (unsigned run = 1; run <= ROUNDS; run++) {
            team_run(t, count_one, count);
            for (int i = 0; i < n; i++)
                assert_int_equal(count[i], run);
        }
        team_close(t);
        free(t);
    }
}

/* Things that shares touched. */
enum { THINGS = 1000 };
typedef struct Touched { int n, of[THINGS]; } Touched;

static void touch_share(void *arg, int thread)
{
    Touched *t = arg;
    const ThreadShare share = thread_share(THINGS, thread, t->n);
    for (int64_t i = share.first; i < share.last; i++)
        t->of[i]++;
}

static void assert_each_once(int n)
{
    Touched t = { .n = n };
    threads_each(n, touch_share, &t);
    for (int i = 0; i < THINGS; i++)
        assert_int_equal(t.of[i], 1);
}

static void test_each(void **state)
{
    (void)state;
    for (int n = 1; n <= MOST; n++)
        assert_each_once(n);
    assert_each_once(7 * THINGS / 5);
    for (int i = 0; i < 3; i++) {       /* of more things than a product of two such numbers holds */
        const ThreadShare share = thread_share(INT64_MAX, i, 3);
        assert_true(share.first == INT64_MAX / 3 * i + i * (INT64_MAX % 3) / 3 && share.last > share.first);
    }
}

/* Leaves address space for a few stacks.  False where that cannot be known. */
static bool leave_few_stacks(int few, struct rlimit *before)
{
    pthread_attr_t attr;
    size_t stack;
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    const bool known = f && fscanf(f, "%lu", &pages) == 1;
    if (f)
        fclose(f);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_getstacksize(&attr, &stack), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, before), 0);
    struct rlimit less = *before;
    less.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + (unsigned)few * stack + stack / 2;
    return known && setrlimit(RLIMIT_AS, &less) == 0;
}

static void test_too_few_threads(void **state)
{
    (void)state;
    enum { MANY = 64, FEW = 3 };
#ifdef SANITIZED
    skip();                             /* address space is the sanitizer's */
#endif
    struct rlimit before;
    Error err = { 0 };
    Team *t = new_team(MANY);
    if (!leave_few_stacks(FEW, &before))
        skip();
    const bool opened = team_open(t, MANY, &err);
    assert_each_once(MANY);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_false(opened);
    assert_non_null(strstr(err.text, "cannot start thread"));
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meeting), cmocka_unit_test(test_sleepers), cmocka_unit_test(test_seats),
        cmocka_unit_test(test_team), cmocka_unit_test(test_each), cmocka_unit_test(test_too_few_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
