/* A centralised sense-reversing barrier (Mellor-Crummey and Scott, "Algorithms for scalable
 * synchronization on shared-memory multiprocessors", TOCS 1991, section 3.1), the phase number
 * being the sense; a thread that spun in vain sleeps on the phase (futex(2)). */
#include "runtime/threads.h"

#include <limits.h>
#include <sched.h>
#include <stddef.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Some hundred microseconds: longer than threads with even shares wait for one another, shorter than
 * anyone notices of a processor that belongs to another. */
enum { SPINS_BEFORE_SLEEP = 4000 };

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

/* A thread counts itself among the sleepers before the system looks at the phase; the last one changes
 * the phase before it looks at the sleepers.  In one order of all four (seq_cst), either the last sees
 * a sleeper or the sleeper sees the new phase: nobody is left asleep. */
void barrier_wait(Barrier *b, unsigned n)
{
    unsigned phase = atomic_load_explicit(&b->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == n) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store(&b->phase, phase + 1);
        if (atomic_load(&b->sleepers) > 0)
            wake_all(&b->phase);
        return;
    }
    for (int spins = 0; spins < SPINS_BEFORE_SLEEP; spins++) {
        if (atomic_load_explicit(&b->phase, memory_order_acquire) != phase)
            return;
        relax();
    }
    atomic_fetch_add(&b->sleepers, 1);
    while (atomic_load(&b->phase) == phase)
        sleep_in(&b->phase, phase);
    atomic_fetch_sub(&b->sleepers, 1);
}

int threads_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}
