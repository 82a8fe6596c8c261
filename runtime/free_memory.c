/* Reading what the system says of its memory. */
#include "runtime/free_memory.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MOST_PATH = 1024 };

/* The files of a version of control groups. */
typedef struct Version {
    const char *controller;             /* as /proc/self/cgroup names it */
    const char *folder, *limit, *used;
    const char *cached[2];              /* of memory.stat: pages of files */
} Version;

static const Version versions[] = {
    { "", "/sys/fs/cgroup", "memory.max", "memory.current", { "active_file", "inactive_file" } },
    { "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
      { "total_active_file", "total_inactive_file" } },
};

/* The number behind `word` in a file of lines of words and numbers, or the file's first word when that is
 * NULL; false when it is not there, or no number ("max"). */
static bool read_number(const char *path, const char *word, uint64_t *out)
{
    char line[256], first[64];
    FILE *f = fopen(path, "r");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f))
        found = word ? sscanf(line, "%63[^: ]%*[: ]%" SCNu64, first, out) == 2 && strcmp(first, word) == 0
                     : sscanf(line, "%" SCNu64, out) == 1;
    if (f)
        fclose(f);
    return found;
}

static bool read_of_group(const char *folder, const char *file, const char *word, uint64_t *out)
{
    char path[MOST_PATH];
    const int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    return n > 0 && n < MOST_PATH && read_number(path, word, out);
}

/* What one group leaves. */
static uint64_t left_by_group(const Version *v, const char *folder)
{
    uint64_t limit, used, cached;
    if (!read_of_group(folder, v->limit, NULL, &limit) || !read_of_group(folder, v->used, NULL, &used))
        return UINT64_MAX;
    for (int i = 0; i < 2; i++)
        if (read_of_group(folder, "memory.stat", v->cached[i], &cached))
            used -= cached < used ? cached : used;
    return limit > used ? limit - used : 0;
}

/* And the groups that it is in: `path` is cut shorter, a name at a time. */
static uint64_t left_by_groups(const char *root, const Version *v, char *path)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char folder[MOST_PATH];
        const int n = snprintf(folder, sizeof folder, "%s%s%s", root, v->folder, path);
        const uint64_t left = n > 0 && n < MOST_PATH ? left_by_group(v, folder) : UINT64_MAX;
        least = left < least ? left : least;
        char *slash = strrchr(path, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: a number, controllers, the group's path. */
static uint64_t left_by_control(const char *root)
{
    char path[MOST_PATH], line[MOST_PATH];
    uint64_t least = UINT64_MAX;
    const int n = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = n > 0 && n < MOST_PATH ? fopen(path, "r") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        for (size_t i = 0; i < COUNT_OF(versions); i++) {
            if (strcmp(controllers + 1, versions[i].controller) != 0)
                continue;
            const uint64_t left = left_by_groups(root, &versions[i], group);
            least = left < least ? left : least;
        }
    }
    if (f)
        fclose(f);
    return least;
}

size_t free_memory(const char *root)
{
    char path[MOST_PATH];
    uint64_t kib, least = left_by_control(root);
    const int n = snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (n > 0 && n < MOST_PATH && read_number(path, "MemAvailable", &kib) && kib < least / 1024)
        least = kib * 1024;
    return least < SIZE_MAX ? (size_t)least : SIZE_MAX;
}
