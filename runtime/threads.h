/* The threads of a session, and where they meet.
 *
 * One region runs a whole program; between instructions whose data cross threads they meet at a barrier.
 * Instructions take microseconds, so whoever waits spins; but for nothing where the thread that is waited
 * for needs this very processor, as happens where others want processors too: then it sleeps at once.
 * So it does when the others take long. */
#ifndef RUNTIME_THREADS_H
#define RUNTIME_THREADS_H

#include "base/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { BARRIER_SEATS = 64 };

typedef struct Barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint phase;     /* how often all have met */
    atomic_uint sleepers;               /* threads that sleep, or are about to */
    /* One more than the processor that each thread was last seen on, 0: none yet; of as many threads as
     * there are seats. */
    _Alignas(64) atomic_short seat[BARRIER_SEATS];
} Barrier;

/* The last of `n` threads to arrive releases the others; what each wrote before is seen by all
 * after.  `self`: 0 .. n - 1. */
void barrier_wait(Barrier *b, unsigned n, unsigned self);

/* `n` threads that run the same at the same time: the one that asks, which is number 0, and n - 1 that
 * wait for it, spinning for a moment and then asleep. */
typedef void TeamFn(void *data, int thread);

typedef struct Team {
    Barrier barrier;                    /* for team_run's own use, and for `run`'s between */
    TeamFn *run;
    void *data;
    int n;
    struct TeamMember { struct Team *team; int thread; pthread_t id; } member[];
} Team;

/* What team_open needs, aligned to 64. */
size_t team_bytes(int n);
/* In memory of the caller's that holds zeros; n >= 1.  False when the system gives no more threads. */
bool team_open(Team *t, int n, Error *err);
void team_close(Team *t);

/* Returns when all have run it.  A team of one meets nobody. */
void team_run(Team *t, TeamFn *run, void *data);

/* Outside of sessions: `run` for each of 0 .. n - 1 on threads that live as long, 0 on the one that asks; one
 * after another where the system gives no more. */
void threads_each(int n, TeamFn *run, void *data);

/* Number i of n shares of `count` things: from `first` up to, not including, `last`. */
typedef struct ThreadShare { int64_t first, last; } ThreadShare;
static inline ThreadShare thread_share(int64_t count, int i, int n)
{
    return (ThreadShare){ count / n * i + count % n * i / n, count / n * (i + 1) + count % n * (i + 1) / n };
}

/* Processors that this process may run on, by its affinity mask; at least 1. */
int threads_available(void);

#endif
