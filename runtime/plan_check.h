/* Is this run of bytes a plan?  Everything that a session relies on is checked here, once. */
#ifndef RUNTIME_PLAN_CHECK_H
#define RUNTIME_PLAN_CHECK_H

#include "runtime/plan.h"

/* Takes a plan with `file` set; fills the rest. */
bool plan_check(Plan *p, Error *err);

/* A bound row program; its consts go to `consts`, room for MAX_ROW_CONSTS.  False on overflow. */
bool plan_bind_row(const Plan *p, uint32_t row, const int64_t sizes[MAX_SYMBOLS], RowProgram *out,
                   uint32_t *consts);

#endif
