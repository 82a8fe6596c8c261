/* A model's parameters where they were published: a .safetensors file, or the files that an imported
 * model's weights.json names.
 *
 *     weights_file_open -> session_open, given weights_file_given -> weights_file_load -> runs
 *                       -> session_close -> weights_file_close
 *
 * A tensor that the file has as a session keeps it (of the plan's type, no blocks, aligned to its element)
 * is not copied: the session reads it from a map of the file, whose pages the system can share between
 * programs and drop at need.  The rest is copied: blocks, which become panels, and other types.
 *
 * The map is private: what a program of a plan may write there stays in memory.  A file is as long as its
 * tensors say when it is opened; one that is cut short later ends the program with SIGBUS at the first page
 * that is gone, as any mapped file does.  One that is replaced by renaming keeps its old content. */
#ifndef RUNTIME_WEIGHTS_FILE_H
#define RUNTIME_WEIGHTS_FILE_H

#include "runtime/session.h"

typedef struct WeightsFile WeightsFile;

/* What became of panels that are kept on disk, packed.bin beside weights.json. */
typedef enum PackedState {
    PACKED_OFF,                         /* nobody asked, or the plan has no blocks, or they are not imported */
    PACKED_USED,                        /* they were there and sound */
    PACKED_WRITTEN,                     /* they were not, and are now */
    PACKED_FAILED                       /* they were not, and could not be written */
} PackedState;

/* Checks the files whole.  `path` as weights_load takes it; the plan must outlive the result.  With
 * `keep_packed`, weights in blocks come from panels kept before (packed_weights.h), and are kept. */
bool weights_file_open(const Plan *p, const char *path, bool keep_packed, WeightsFile **out, Error *err);
void weights_file_close(WeightsFile *f);

/* For SessionOptions.given. */
void *const *weights_file_given(const WeightsFile *f);
/* Bytes that stay in the files. */
size_t weights_file_bytes(const WeightsFile *f);

/* After weights_file_load; `why` (may be NULL) gets what was wrong with the file, or the disk. */
PackedState weights_file_packed(const WeightsFile *f, const char **why);

/* Fills the parameters that were not given.  A missing or misshapen one is an error that names it. */
bool weights_file_load(WeightsFile *f, Session *s, Error *err);

#endif
