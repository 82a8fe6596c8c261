/* A centralised sense-reversing barrier (Mellor-Crummey and Scott, "Algorithms for scalable
 * synchronization on shared-memory multiprocessors", TOCS 1991, section 3.1), the phase number
 * being the sense; a thread that spun in vain sleeps on the phase (futex(2)). */
#include "runtime/threads.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* A spin takes 10 to 50 ns.  Threads with even shares wait for one another less long than the first
 * number; and for the next run less long than the second, which is shorter than anyone notices of a
 * processor that belongs to another. */
enum { SPINS_IN_A_RUN = 4000, SPINS_BETWEEN_RUNS = 50000, SPINS_BETWEEN_LOOKS = 64, MEETINGS_A_SEAT = 16 };

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Until the phase is no longer `phase`, or for no reason at all. */
static void sleep_in(atomic_uint *word, unsigned phase)
{
#ifdef __linux__
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, phase, NULL, NULL, 0);
#else
    (void)word;
    (void)phase;
    sched_yield();
#endif
}

static void wake_all(atomic_uint *word)
{
#ifdef __linux__
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

static void take_seat(Barrier *b, unsigned self)
{
    const short seat = (short)(sched_getcpu() + 1);
    if (self < BARRIER_SEATS && atomic_load_explicit(&b->seat[self], memory_order_relaxed) != seat)
        atomic_store_explicit(&b->seat[self], seat, memory_order_relaxed);
}

/* Was another thread last seen on this processor?  A guess: the system may have moved it since. */
static bool shares_seat(const Barrier *b, unsigned n, unsigned self)
{
    const short seat = (short)(sched_getcpu() + 1);
    for (unsigned i = 0; i < n && i < BARRIER_SEATS; i++)
        if (i != self && seat > 0 && atomic_load_explicit(&b->seat[i], memory_order_relaxed) == seat)
            return true;
    return false;
}

/* Until the phase is no longer `phase`; false when that takes long, or can only take longer. */
static bool spin(const Barrier *b, unsigned phase, unsigned n, unsigned self, int most)
{
    for (int spins = 1; spins <= most; spins++) {
        if (atomic_load_explicit(&b->phase, memory_order_acquire) != phase)
            return true;
        if (spins % SPINS_BETWEEN_LOOKS == 0 && shares_seat(b, n, self))
            return false;
        relax();
    }
    return false;
}

/* A thread counts itself among the sleepers before the system looks at the phase; the last one changes
 * the phase before it looks at the sleepers.  In one order of all four (seq_cst), either the last sees
 * a sleeper or the sleeper sees the new phase: nobody is left asleep. */
static void meet(Barrier *b, unsigned n, unsigned self, int spins)
{
    unsigned phase = atomic_load_explicit(&b->phase, memory_order_relaxed);
    if (phase % MEETINGS_A_SEAT == 0)
        take_seat(b, self);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == n) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store(&b->phase, phase + 1);
        if (atomic_load(&b->sleepers) > 0)
            wake_all(&b->phase);
        return;
    }
    if (spin(b, phase, n, self, spins))
        return;
    atomic_fetch_add(&b->sleepers, 1);
    while (atomic_load(&b->phase) == phase)
        sleep_in(&b->phase, phase);
    atomic_fetch_sub(&b->sleepers, 1);
}

void barrier_wait(Barrier *b, unsigned n, unsigned self)
{
    meet(b, n, self, SPINS_IN_A_RUN);
}

size_t team_bytes(int n)
{
    return sizeof(Team) + (size_t)n * sizeof(struct TeamMember);
}

static void *attend(void *arg)
{
    const struct TeamMember *self = arg;
    Team *t = self->team;
    const unsigned n = (unsigned)t->n, i = (unsigned)self->thread;
    for (;;) {
        meet(&t->barrier, n, i, SPINS_BETWEEN_RUNS);
        if (!t->run)
            return NULL;
        t->run(t->data, self->thread);
        barrier_wait(&t->barrier, n, i);
    }
}

/* Sends threads 1 .. n - 1 home; fewer than the team's when it was never complete, so the last to arrive
 * does not know that it is. */
static void dismiss(Team *t, int n)
{
    t->run = NULL;
    while (atomic_load(&t->barrier.arrived) < (unsigned)n - 1)
        sched_yield();
    barrier_wait(&t->barrier, (unsigned)n, 0);
    for (int i = 1; i < n; i++)
        (void)pthread_join(t->member[i].id, NULL);
}

bool team_open(Team *t, int n, Error *err)
{
    sigset_t all, before;
    int failed = 0, i;
    t->n = n;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);      /* signals are the asking thread's */
    for (i = 1; i < n && failed == 0; i++) {
        t->member[i] = (struct TeamMember){ .team = t, .thread = i };
        failed = pthread_create(&t->member[i].id, NULL, attend, &t->member[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0)
        return true;
    dismiss(t, i - 1);
    return error_set(err, "cannot start thread %d of %d: %s", i, n, strerror(failed));
}

void team_close(Team *t)
{
    dismiss(t, t->n);
}

void team_run(Team *t, TeamFn *run, void *data)
{
    if (t->n == 1) {
        run(data, 0);
        return;
    }
    t->run = run;
    t->data = data;
    barrier_wait(&t->barrier, (unsigned)t->n, 0);
    run(data, 0);
    barrier_wait(&t->barrier, (unsigned)t->n, 0);
}

typedef struct Each {
    TeamFn *run;
    void *data;
    int thread;
    bool started;
    pthread_t id;
} Each;

static void *run_one(void *arg)
{
    const Each *e = arg;
    e->run(e->data, e->thread);
    return NULL;
}

void threads_each(int n, TeamFn *run, void *data)
{
    sigset_t all, before;
    Each *each = n > 1 ? calloc((size_t)n, sizeof *each) : NULL;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; each && i < n; i++) {
        each[i] = (Each){ .run = run, .data = data, .thread = i };
        each[i].started = pthread_create(&each[i].id, NULL, run_one, &each[i]) == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    run(data, 0);
    for (int i = 1; i < n; i++)
        if (each && each[i].started)
            (void)pthread_join(each[i].id, NULL);
        else
            run(data, i);
    free(each);
}

int threads_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}
