/* How much memory a program could take now without others being pushed out to disk: the least of what the
 * system has (MemAvailable of /proc/meminfo) and of what the control groups that it is in leave it
 * (their limits, cgroups(7), either version, less what they use and could not give back).
 *
 * A guess that is stale at once; what it does not find, it takes for no limit. */
#ifndef RUNTIME_FREE_MEMORY_H
#define RUNTIME_FREE_MEMORY_H

#include <stddef.h>

/* Bytes; SIZE_MAX when nothing says.  `root` is where /proc and /sys are found: "" but in tests. */
size_t free_memory(const char *root);

#endif
