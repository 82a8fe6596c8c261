/* trainer.json: how far a run is, and what it is, so that it is not resumed as something else. */
#ifndef RUNTIME_RUN_RECORD_H
#define RUNTIME_RUN_RECORD_H

#include "base/status.h"
#include "runtime/hyper.h"

#include <stdint.h>

enum { RUN_NAME_SIZE = 128, RUN_CONFIGS_SIZE = 2048 };

typedef struct RunRecord {
    int64_t step;                       /* done */
    char model[RUN_NAME_SIZE];          /* name in the plan */
    Hyper hyper;
    uint64_t tokenizer;                 /* its hash; 0: none */
    uint64_t data;                      /* hash of ids or samples */
    int64_t data_size;                  /* how many of them */
    int64_t parameters;                 /* elements */
    char configs[RUN_CONFIGS_SIZE];     /* of the model, as the plan has them; "": not known */
} RunRecord;

bool run_record_save(const RunRecord *r, const char *path, Error *err);
/* A file that was altered does not match its own checksum and is refused. */
bool run_record_open(const char *path, RunRecord *out, Error *err);

/* From the text of such a file. */
bool run_record_parse(const char *text, size_t n, RunRecord *out, Error *err);

/* Is `now` the same run as `then`, hyperparameters aside?  The message says what differs. */
bool run_record_same(const RunRecord *then, const RunRecord *now, Error *err);

#endif
