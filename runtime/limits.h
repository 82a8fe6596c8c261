/* What this machine can do at most: operations on floats, bf16 and bytes, bytes read and copied at each
 * level of its memory.  A kernel's time against these is its share of the roofline (Williams, Waterman, Patterson,
 * "Roofline", CACM 2009).
 *
 * Figures are medians of short rounds, in processor time of the threads that ran them, since
 * machines are shared: what others take away is not counted as a limit of this machine.  Where the
 * threads do not run at the same time, the bandwidth of several threads is therefore an upper bound. */
#ifndef RUNTIME_LIMITS_H
#define RUNTIME_LIMITS_H

#include "base/buf.h"
#include "base/status.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/select.h"

#define LIMIT_LEVELS(X) X(L1) X(L2) X(L3) X(memory)
typedef enum LimitLevel {
#define X(name) LIMIT_##name,
    LIMIT_LEVELS(X)
#undef X
    N_LIMIT_LEVELS
} LimitLevel;
const char *limit_level_name(LimitLevel level);

typedef struct Limits {
    Isa isa;
    int n_threads;
    double fma, bf16, int8;             /* operations a second, all threads; a multiply-add counts two; 0
                                         * where the set has no products of bf16 or bytes */
    double read[N_LIMIT_LEVELS];        /* bytes a second, all threads */
    double copy[N_LIMIT_LEVELS];        /* bytes read and bytes written, a second, all threads, by the
                                         * stores that are faster there */
    double update[N_LIMIT_LEVELS];      /* the same of four runs read, three of them written back */
    size_t cache[N_LIMIT_LEVELS];       /* bytes: L1 and L2 of all threads, L3; memory: SIZE_MAX */
    size_t probed[N_LIMIT_LEVELS];      /* bytes that a thread read over and over */
} Limits;

/* Takes about a half a second.  False when there is no memory to measure with. */
struct json_t;
bool limits_measure(const KernelTable *kernels, int n_threads, Limits *out, Error *err);

/* The most operations of a unit in a second, and what does so many: "FMA", "bf16" or "int8". */
typedef struct LimitRate {
    double rate;
    const char *by;
} LimitRate;
LimitRate limits_rate(const Limits *l, KernelUnit unit);

/* The most bytes a second, read and written together, of all mixtures that were measured. */
double limits_both_ways(const Limits *l, LimitLevel level);

struct json_t *limits_json(const Limits *l);        /* the caller's; NULL when memory runs out */

/* `smrun bench --limits`: every instruction set that runs here, on one thread and on n_threads. */
typedef struct LimitsReport {
    int n_threads;                      /* of column 1; column 0 is one thread */
    double computing[3][N_ISAS][2];     /* PROBE_fma to PROBE_int8; 0 where the set does not run here */
    Limits best[2];                     /* of the set in use */
} LimitsReport;
bool limits_report(const KernelTable *kernels, int n_threads, LimitsReport *out, Error *err);
void limits_print(Buf *out, const LimitsReport *r);
bool limits_report_json(Buf *out, const LimitsReport *r);       /* false when memory runs out */

#endif
