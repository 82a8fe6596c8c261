/* log.jsonl: a line of JSON for every step of a run, in order, whatever happened in between.
 *
 * A run that is resumed goes on behind the step that it resumes from: lines of later steps, which
 * are done again, and a line cut short by a crash are removed. */
#ifndef RUNTIME_RUN_LOG_H
#define RUNTIME_RUN_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct RunLog {
    int fd;
    double seconds;                     /* that the run had taken when it was opened */
    char path[4096];
} RunLog;

typedef struct StepLine {
    int64_t step;
    double loss, lr, grad_norm, tokens_per_s;
    double seconds;                     /* since the run began, pauses not counted */
    double val_loss;                    /* NAN: not evaluated */
} StepLine;

/* After step `done`; 0 begins a new log. */
bool run_log_open(RunLog *log, const char *path, int64_t done, Error *err);
/* Allocates nothing. */
bool run_log_add(RunLog *log, const StepLine *line, Error *err);
void run_log_close(RunLog *log);

#endif
