/* The log of a run's steps. */
#include "runtime/run_log.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LOG = INT32_MAX };

/* Bytes of the lines up to step `done`; what the last of them says about the time. */
static size_t keep(const Buf *text, int64_t done, double *seconds)
{
    size_t at = 0;
    while (at < text->len) {
        const char *line = text->data + at, *end = memchr(line, '\n', text->len - at);
        json_t *json = end ? json_loadb(line, (size_t)(end - line), 0, NULL) : NULL;
        const json_t *step = json_object_get(json, "step");
        const bool kept = json_is_integer(step) && json_integer_value(step) <= done;
        if (kept)
            *seconds = json_number_value(json_object_get(json, "seconds"));
        json_decref(json);
        if (!kept)
            break;
        at += (size_t)(end - line) + 1;
    }
    return at;
}

bool run_log_open(RunLog *log, const char *path, int64_t done, Error *err)
{
    Buf text = { 0 };
    size_t kept = 0;
    *log = (RunLog){ .fd = -1 };
    snprintf(log->path, sizeof log->path, "%s", path);
    if (done > 0 && file_exists(path)) {
        bool ok = file_read(path, MAX_LOG, &text, err);
        if (ok)
            kept = keep(&text, done, &log->seconds);
        buf_free(&text);
        if (!ok)
            return false;
    }
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd < 0 || ftruncate(log->fd, (off_t)kept) != 0) {
        error_set(err, "%s: cannot open it for writing: %s", path, strerror(errno));
        run_log_close(log);
        return false;
    }
    return true;
}

bool run_log_add(RunLog *log, const StepLine *s, Error *err)
{
    char line[512], val[64] = "";
    if (!isnan(s->val_loss))
        snprintf(val, sizeof val, ", \"val_loss\": %.9g", s->val_loss);
    const int n = snprintf(line, sizeof line,
        "{\"step\": %" PRId64 ", \"loss\": %.9g, \"lr\": %.9g, \"grad_norm\": %.9g, "
        "\"tokens_per_s\": %.1f, \"seconds\": %.3f%s}\n",
        s->step, s->loss, s->lr, s->grad_norm, s->tokens_per_s, s->seconds, val);
    for (int at = 0; at < n;) {
        const ssize_t wrote = write(log->fd, line + at, (size_t)(n - at));
        if (wrote < 0 && errno != EINTR)
            return error_set(err, "%s: cannot write: %s", log->path, strerror(errno));
        at += wrote > 0 ? (int)wrote : 0;
    }
    return true;
}

void run_log_close(RunLog *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}
