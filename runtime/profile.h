/* Where the time of a program goes: every instruction of every run is timed on every thread, and set
 * against what the machine's limits allow.
 *
 * The figures of an instruction are medians over the runs.  Its time is the mean over the threads, so
 * the times and waits of all instructions add up to the run; its rates are those of the slowest
 * thread.  Weights and inputs are random. */
#ifndef RUNTIME_PROFILE_H
#define RUNTIME_PROFILE_H

#include "base/buf.h"
#include "base/progress.h"
#include "runtime/roofline.h"

typedef struct ProfileOptions {
    PlanProgramKind program;
    int64_t steps;                      /* runs to time; 0: two seconds' worth, 5 to 200 */
    int64_t batch, seq;                 /* 0: the plan's largest; 1 position for generate */
    int64_t past;                       /* positions in the cache; negative: half the context */
    int n_threads;
    const char *cpu;
    bool cpu_clock;                     /* processor time of each thread instead of wall time */
    bool overhead;                      /* an untimed run beside each timed one */
    const Limits *limits;               /* NULL: measured first */
    Progress *progress;                 /* or NULL */
} ProfileOptions;

/* Seconds of one run, and the work done in them. */
typedef struct ProfileFigures {
    double seconds, wait;               /* working, and waiting before: means over the threads */
    double slowest;                     /* working: the thread that took longest */
    double flops, bytes;
    double roof;                        /* least seconds that the limits allow */
} ProfileFigures;

/* The parts of a label "matmul gpt2.smg:37 h.0.attn"; borrowed from the plan, empty if not there. */
typedef struct ProfileWord {
    const char *p;
    int n;
} ProfileWord;

typedef struct ProfileInstr {
    const char *kernel, *label;         /* borrowed from the plan */
    ProfileWord op, line, path;
    char shape[64];                     /* "768x512x128": M, N, K of a product, else of its result */
    bool barrier;
    Roof roof;
    ProfileFigures f;
} ProfileInstr;

typedef struct Profile {
    const Plan *plan;                   /* borrowed */
    ProfileOptions options;             /* steps, batch and seq as they were */
    int64_t sizes[MAX_SYMBOLS];
    Limits limits;
    uint32_t n_instrs, n_barriers;      /* barriers that threads meet at in a run */
    ProfileInstr *instr;                /* owned */
    ProfileFigures all;                 /* the sum over the instructions */
    double run;                         /* median seconds of a run */
    double clock_cost;                  /* seconds to read the clock once */
    double overhead;                    /* processor time of thread 0, timed over untimed run, less
                                           1, median; NAN: not asked for */
    int64_t n_steps, typical;           /* the run whose time is the median */
    uint64_t *run_ticks;                /* of each run, nanoseconds; owned */
    SessionSpan *spans;                 /* [n_steps][n_threads][n_instrs], nanoseconds; owned */
} Profile;

/* The plan must outlive the profile.  On failure there is nothing to close. */
bool profile_run(const Plan *p, const ProfileOptions *o, Profile *out, Error *err);
void profile_close(Profile *p);

static inline const SessionSpan *profile_span(const Profile *p, int64_t step, int thread, uint32_t k)
{
    const size_t row = (size_t)step * (size_t)p->options.n_threads + (size_t)thread;
    return &p->spans[row * p->n_instrs + k];
}

/* ---- sums over instructions that have something in common -------------------------------------- */

#define PROFILE_KEYS(X) X(op) X(kernel) X(line) X(path)
typedef enum ProfileKey {
#define X(name) PROFILE_BY_##name,
    PROFILE_KEYS(X)
#undef X
    N_PROFILE_KEYS
} ProfileKey;

typedef struct ProfileGroup {
    char name[96];                      /* of a path, numbers are *: layers of a kind are one group */
    uint32_t count;
    ProfileFigures f;
} ProfileGroup;

/* Longest first; *n of them, the caller's to free.  NULL when memory runs out. */
ProfileGroup *profile_groups(const Profile *p, ProfileKey key, uint32_t *n);

/* ---- for people and machines -------------------------------------------------------------------
 * Each adds text to `out`; false when memory runs out. */

/* Tables of at most 100 columns, the `top` longest rows of each. */
bool profile_print(Buf *out, const Profile *p, uint32_t top);
bool profile_json(Buf *out, const Profile *p);
/* The typical run for Perfetto and chrome://tracing: a track for each thread. */
bool profile_trace(Buf *out, const Profile *p);

#endif
