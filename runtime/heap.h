/* What the process asks of the heap: a counter in front of malloc and its kin.
 *
 * A program that uses this header has its allocations counted, those of libraries included; so "no
 * allocation in a step" can be measured and not only promised. */
#ifndef RUNTIME_HEAP_H
#define RUNTIME_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes asked for since the program began, and in how many calls. */
uint64_t heap_bytes(void);
uint64_t heap_calls(void);

/* False where the counter cannot stand in front of malloc: other C libraries than glibc, and
 * sanitizers, which stand there themselves. */
bool heap_is_counted(void);

#endif
