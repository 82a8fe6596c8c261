/* Warm-up, then cosine, linear or constant. */
#include "runtime/schedule.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

bool schedule_from_name(const char *name, ScheduleKind *out)
{
#define X(word)                                                                              \
    if (strcmp(name, #word) == 0) {                                                          \
        *out = SCHEDULE_##word;                                                              \
        return true;                                                                         \
    }
    SCHEDULES(X)
#undef X
    return false;
}

double schedule_rate(const Schedule *s, int64_t step)
{
    const int64_t done = step - 1;
    if (done < s->warmup)
        return s->lr * (double)step / (double)(s->warmup + 1);
    if (s->kind == SCHEDULE_constant)
        return s->lr;
    if (done >= s->decay_steps)
        return s->min_lr;
    const double part = (double)(done - s->warmup) / (double)(s->decay_steps - s->warmup);
    switch (s->kind) {
    case SCHEDULE_cosine:
        return s->min_lr + 0.5 * (1 + cos(3.14159265358979323846 * part)) * (s->lr - s->min_lr);
    case SCHEDULE_linear:
        return s->lr + part * (s->min_lr - s->lr);
    case SCHEDULE_constant:
    case N_SCHEDULES:
        break;
    }
    CHECK(false, "schedule %d", (int)s->kind);
    return s->lr;
}
