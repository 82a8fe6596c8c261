/* Files: read whole, mapped, and replaced so that a reader sees the old one or the new one, never
 * a half.  Every message names the path and the system's reason. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A read-only view of a file's bytes.  `data` is NULL for an empty file. */
typedef struct FileMap {
    const uint8_t *data;
    size_t size;
} FileMap;

bool file_map(const char *path, FileMap *out, Error *err);
/* Makes the pages of a map that hold n bytes at p writable: what is written stays in memory and reaches no
 * file.  False when the system refuses. */
bool file_map_private(const void *p, size_t n);
void file_unmap(FileMap *m);

/* Reads a regular file, a pipe or standard input ("-") to the end, at most `max` bytes. */
bool file_read(const char *path, size_t max, Buf *out, Error *err);

/* Writes `path` by way of a temporary file beside it: written, synced, renamed.  On failure (a full
 * disk, say) the temporary is removed and what stood at `path` is as it was.
 * A link stays a link, the mode stays the mode; a device or a pipe is written to directly. */
bool file_replace(const char *path, const void *data, size_t n, Error *err);

/* The same for what is too large to hold: writes go to the temporary until the commit. */
typedef struct FileWriter {
    char path[4096];
    char temp[4128];
    int fd;                     /* -1 when not open */
    bool failed;
    Error err;                  /* the first failure; later writes are dropped */
} FileWriter;

bool file_writer_open(FileWriter *w, const char *path, Error *err);
void file_writer_add(FileWriter *w, const void *data, size_t n);
bool file_writer_commit(FileWriter *w, Error *err);     /* or removes the temporary and says why */
void file_writer_abandon(FileWriter *w);

bool file_exists(const char *path);
bool file_same(const char *a, const char *b);           /* both are there, and one file by two names */
bool file_make_dirs(const char *path, Error *err);      /* like mkdir -p */

/* `dir/name` into out; false when it does not fit. */
bool path_join(char *out, size_t cap, const char *dir, const char *name, Error *err);

#endif
