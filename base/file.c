/* Files on POSIX.  The writer's promise rests on rename(2): the name points at the old bytes or at
 * the new ones, which were synced before. */
#include "base/file.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, MAX_TEMPS = 100 };

/* "path: cannot VERB: reason" with errno's reason. */
static bool fail(Error *err, const char *path, const char *verb)
{
    return error_set(err, "%s: cannot %s: %s", path, verb, strerror(errno));
}

bool file_map(const char *path, FileMap *out, Error *err)
{
    *out = (FileMap){ 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, path, "open");
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (!ok) {
        fail(err, path, "read");
    } else if (!S_ISREG(st.st_mode)) {
        ok = error_set(err, "%s: expected a regular file, found %s", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device or a pipe");
    } else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            ok = fail(err, path, "map");
        else
            *out = (FileMap){ p, (size_t)st.st_size };
    }
    close(fd);
    return ok;
}

bool file_map_private(const void *p, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)p / page * page;
    return mprotect((void *)from, (uintptr_t)p + n - from, PROT_READ | PROT_WRITE) == 0;
}

void file_unmap(FileMap *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (FileMap){ 0 };
}

/* Appends what `fd` still has to `out`. */
static bool read_to_end(int fd, const char *name, size_t max, Buf *out, Error *err)
{
    char chunk[CHUNK];
    size_t total = 0;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, name, "read");
        if (n == 0)
            return true;
        if ((size_t)n > max - total)
            return error_set(err, "%s: larger than %zu bytes, the most that is read", name, max);
        total += (size_t)n;
        buf_add(out, chunk, (size_t)n);
        if (out->failed)
            return error_set(err, "%s: out of memory after %zu bytes", name, total);
    }
}

bool file_read(const char *path, size_t max, Buf *out, Error *err)
{
    if (strcmp(path, "-") == 0)
        return read_to_end(STDIN_FILENO, "standard input", max, out, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, path, "open");
    bool ok = read_to_end(fd, path, max, out, err);
    close(fd);
    return ok;
}

/* Opens `w->temp`, a new file beside `w->path`; two writers of one path never share it. */
static bool open_temp(FileWriter *w, Error *err)
{
    for (int i = 0; i < MAX_TEMPS; i++) {
        snprintf(w->temp, sizeof w->temp, "%s.tmp-%ld-%d", w->path, (long)getpid(), i);
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    return fail(err, w->path, "create a temporary file beside it");
}

bool file_writer_open(FileWriter *w, const char *path, Error *err)
{
    *w = (FileWriter){ .fd = -1 };
    if (strlen(path) >= sizeof w->path)
        return error_set(err, "%.200s...: path is longer than %zu bytes", path, sizeof w->path - 1);
    strcpy(w->path, path);
    struct stat st;
    if (stat(path, &st) != 0)
        return open_temp(w, err);       /* a new file, or open_temp says why not */
    if (S_ISDIR(st.st_mode))
        return error_set(err, "%s: cannot write: is a directory", path);
    if (!S_ISREG(st.st_mode)) {
        /* A device or a pipe has no old content to protect, and must not be renamed away. */
        w->fd = open(path, O_WRONLY | O_CLOEXEC);
        return w->fd >= 0 || fail(err, path, "open");
    }
    char real[sizeof w->path];
    if (!realpath(path, real))          /* replace what a link points at, not the link */
        return fail(err, path, "resolve");
    strcpy(w->path, real);
    if (!open_temp(w, err))
        return false;
    if (fchmod(w->fd, st.st_mode & 07777) != 0) {
        fail(err, path, "keep its permissions");
        file_writer_abandon(w);
        return false;
    }
    return true;
}

static void writer_fail(FileWriter *w, const char *verb)
{
    w->failed = true;
    fail(&w->err, w->path, verb);
}

void file_writer_add(FileWriter *w, const void *data, size_t n)
{
    CHECK(w->fd >= 0, "writer of '%s' is not open", w->path);
    const char *p = data;
    while (n > 0 && !w->failed) {
        ssize_t k = write(w->fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            writer_fail(w, "write");
            return;
        }
        p += k;
        n -= (size_t)k;
    }
}

/* Makes the rename itself durable.  Not every file system can, and the file is whole without it, so
 * a failure is no error. */
static void sync_directory(const char *path)
{
    char dir[sizeof((FileWriter *)0)->path];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    memcpy(dir, path, n);
    dir[n] = 0;
    int fd = open(n ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

bool file_writer_commit(FileWriter *w, Error *err)
{
    CHECK(w->fd >= 0, "writer of '%s' is not open", w->path);
    if (!w->failed && w->temp[0] && fsync(w->fd) != 0)
        writer_fail(w, "write");
    int closed = close(w->fd);
    w->fd = -1;
    if (!w->failed && closed != 0)
        writer_fail(w, "write");
    if (!w->failed && w->temp[0] && rename(w->temp, w->path) != 0)
        writer_fail(w, "replace");
    if (w->failed) {
        if (w->temp[0])
            unlink(w->temp);
        return error_set(err, "%s", w->err.text);
    }
    if (w->temp[0])
        sync_directory(w->path);
    return true;
}

void file_writer_abandon(FileWriter *w)
{
    if (w->fd < 0)
        return;
    close(w->fd);
    w->fd = -1;
    if (w->temp[0])
        unlink(w->temp);
}

bool file_replace(const char *path, const void *data, size_t n, Error *err)
{
    FileWriter w;
    if (!file_writer_open(&w, path, err))
        return false;
    file_writer_add(&w, data, n);
    return file_writer_commit(&w, err);
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_same(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool make_dir(const char *path, Error *err)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return true;
    int reason = errno;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    errno = reason == EEXIST ? ENOTDIR : reason;
    return fail(err, path, "make the directory");
}

bool file_make_dirs(const char *path, Error *err)
{
    char part[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return error_set(err, "a directory's path has %zu bytes, expected 1 to %zu", n,
                         sizeof part - 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i < n; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = 0;
        if (!make_dir(part, err))
            return false;
        part[i] = '/';
    }
    return make_dir(part, err);
}

bool path_join(char *out, size_t cap, const char *dir, const char *name, Error *err)
{
    size_t n = strlen(dir);
    const char *slash = n > 0 && dir[n - 1] != '/' ? "/" : "";
    int wrote = snprintf(out, cap, "%s%s%s", dir, slash, name);
    if (wrote < 0 || (size_t)wrote >= cap)
        return error_set(err, "%.200s/%.200s: path is longer than %zu bytes", dir, name,
                         cap ? cap - 1 : 0);
    return true;
}
