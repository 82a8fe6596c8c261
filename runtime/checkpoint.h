/* A run's directory, and how it is replaced without ever being half of two checkpoints.
 *
 *   model.safetensors       parameters
 *   optimizer.safetensors   what the optimizer remembers
 *   tokenizer.json          text models
 *   trainer.json            the step, and what the run is (see run_record.h)
 *   log.jsonl               a line for every step; grows, is no part of a checkpoint
 *
 * The files are one checkpoint only together, so they change together: all are written and synced
 * into `checkpoint.next/`; renaming that to `checkpoint.ready/` is the moment when the new checkpoint
 * is the valid one; then its files move up, each over the old one.  Whatever stops us, a reader that
 * takes a file from `checkpoint.ready/` where it is still there, and else from the directory, reads
 * one whole checkpoint, the old or the new. */
#ifndef RUNTIME_CHECKPOINT_H
#define RUNTIME_CHECKPOINT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { CHECKPOINT_PATH = 4096 };

/* Path of one file of the valid checkpoint in `dir`. */
bool checkpoint_file(const char *dir, const char *name, char out[CHECKPOINT_PATH], Error *err);

/* Is there a checkpoint in `dir`? */
bool checkpoint_exists(const char *dir);

/* Begins the next one: an empty `checkpoint.next/`, for files at the paths of checkpoint_next. */
bool checkpoint_begin(const char *dir, Error *err);
bool checkpoint_next(const char *dir, const char *name, char out[CHECKPOINT_PATH], Error *err);
/* Makes it the valid one.  On failure the old one still is, unless the message says otherwise. */
bool checkpoint_commit(const char *dir, Error *err);
/* Removes what was begun. */
void checkpoint_abandon(const char *dir);

/* Finishes the moves of a commit that was interrupted; removes a beginning that was. */
bool checkpoint_recover(const char *dir, Error *err);

#endif
