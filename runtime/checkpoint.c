/* The two directories and the renames between them. */
#include "runtime/checkpoint.h"

#include "base/check.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT "checkpoint.next"
#define READY "checkpoint.ready"

/* trainer.json is the last to move: while it lies in `checkpoint.ready/` there is work to do. */
static const char *const parts[] = {
    "tokenizer.json", "model.safetensors", "optimizer.safetensors", "trainer.json",
};

static bool join(char out[CHECKPOINT_PATH], const char *dir, const char *sub, const char *name,
                 Error *err)
{
    char folder[CHECKPOINT_PATH];
    return path_join(folder, sizeof folder, dir, sub, err)
        && path_join(out, CHECKPOINT_PATH, folder, name, err);
}

bool checkpoint_file(const char *dir, const char *name, char out[CHECKPOINT_PATH], Error *err)
{
    if (!join(out, dir, READY, name, err))
        return false;
    return file_exists(out) || path_join(out, CHECKPOINT_PATH, dir, name, err);
}

bool checkpoint_exists(const char *dir)
{
    char path[CHECKPOINT_PATH];
    return checkpoint_file(dir, "trainer.json", path, NULL) && file_exists(path);
}

bool checkpoint_next(const char *dir, const char *name, char out[CHECKPOINT_PATH], Error *err)
{
    return join(out, dir, NEXT, name, err);
}

/* Removes the files that we may have put there, and the folder where it is then empty. */
static void clear(const char *dir, const char *sub)
{
    char path[CHECKPOINT_PATH];
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (join(path, dir, sub, parts[i], NULL))
            unlink(path);
    if (path_join(path, sizeof path, dir, sub, NULL))
        rmdir(path);
}

void checkpoint_abandon(const char *dir)
{
    clear(dir, NEXT);
}

static void sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);                          /* a file system that cannot is no reason to stop */
    close(fd);
}

static bool rename_or_say(const char *from, const char *to, Error *err)
{
    return rename(from, to) == 0 || error_set(err, "%s: cannot move it to %s: %s", from, to,
                                              strerror(errno));
}

/* Moves what is in `checkpoint.ready/` up. */
static bool move_up(const char *dir, Error *err)
{
    char from[CHECKPOINT_PATH], to[CHECKPOINT_PATH];
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!join(from, dir, READY, parts[i], err)
            || !path_join(to, sizeof to, dir, parts[i], err))
            return false;
        if (file_exists(from) && !rename_or_say(from, to, err))
            return error_prefix(err, "the checkpoint is whole, and will be moved when the run is "
                                "resumed");
    }
    sync_folder(dir);
    clear(dir, READY);
    return true;
}

bool checkpoint_begin(const char *dir, Error *err)
{
    char path[CHECKPOINT_PATH];
    checkpoint_abandon(dir);
    return path_join(path, sizeof path, dir, NEXT, err) && file_make_dirs(path, err);
}

bool checkpoint_commit(const char *dir, Error *err)
{
    char next[CHECKPOINT_PATH], ready[CHECKPOINT_PATH];
    if (!path_join(next, sizeof next, dir, NEXT, err)
        || !path_join(ready, sizeof ready, dir, READY, err))
        return false;
    sync_folder(next);
    if (!rename_or_say(next, ready, err)) {
        checkpoint_abandon(dir);
        return false;
    }
    sync_folder(dir);
    return move_up(dir, err);
}

bool checkpoint_recover(const char *dir, Error *err)
{
    checkpoint_abandon(dir);
    return move_up(dir, err);
}
