/* The least time that the machine's limits allow each instruction of a program: its operations at the rate
 * of what does them at best, or its bytes at the bandwidth of the level they come from, whichever takes
 * longer.  Memory writes while it reads: bytes read take their time at the read bandwidth, and all bytes at
 * the greatest that was seen of any mixture.
 *
 * An operand comes from the smallest cache that holds all that was touched since the operand itself
 * was touched last, in this run or in the one before; the caches are taken to forget what was used
 * longest ago.  What moves is what kernel_cost says. */
#ifndef RUNTIME_ROOFLINE_H
#define RUNTIME_ROOFLINE_H

#include "runtime/limits.h"
#include "runtime/session.h"

typedef struct Roof {
    KernelCost cost;
    double seconds;                     /* at least, with the limits' threads */
    bool by_flops;                      /* bound by operations, else by bytes */
    const char *unit;                   /* what would do the operations: limits_rate */
    LimitLevel level;                   /* where the bytes that take longest come from */
} Roof;

/* The program must be bound; `out` takes one for each of its instructions.  False when memory runs
 * out. */
bool roofline(const Session *s, PlanProgramKind program, const Limits *l, Roof *out, Error *err);

#endif
