/* The learning rate of a step. */
#ifndef RUNTIME_SCHEDULE_H
#define RUNTIME_SCHEDULE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* SCHEDULES(name): how the rate falls from lr to min_lr between the warm-up and step decay_steps;
 * afterwards it stays. */
#define SCHEDULES(X) X(cosine) X(linear) X(constant)
typedef enum ScheduleKind {
#define X(name) SCHEDULE_##name,
    SCHEDULES(X)
#undef X
    N_SCHEDULES
} ScheduleKind;

bool schedule_from_name(const char *name, ScheduleKind *out);

typedef struct Schedule {
    ScheduleKind kind;
    double lr, min_lr;
    int64_t warmup, decay_steps;
} Schedule;

/* Of step 1, 2, ...  The warm-up rises linearly and reaches lr at step warmup + 1. */
double schedule_rate(const Schedule *s, int64_t step);

#endif
