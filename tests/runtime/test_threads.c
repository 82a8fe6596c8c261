/* Barriers: what was written before one is read behind it, with more threads than processors too, and
 * whoever sleeps is woken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

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
        barrier_wait(&m->barrier, m->n);
        for (unsigned i = 0; i < m->n; i++)
            if (m->written[i] != round)
                atomic_fetch_add(&m->wrong, 1);
        barrier_wait(&m->barrier, m->n);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meeting), cmocka_unit_test(test_sleepers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
