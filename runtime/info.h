/* What a plan holds and what it needs, for people and for machines. */
#ifndef RUNTIME_INFO_H
#define RUNTIME_INFO_H

#include "base/buf.h"
#include "base/status.h"
#include "runtime/plan.h"

typedef struct InfoOptions {
    const char *path;                   /* of the plan */
    int n_threads;
    const char *cpu;
    bool json;
} InfoOptions;

bool info(const Plan *p, const InfoOptions *o, Buf *out, Error *err);

#endif
