/* Our own bugs stop here, and sums over numbers that came from outside.
 *
 * CHECK is for what only a mistake of ours can break; it names file and line and aborts.  Nothing
 * that a file, a user or the machine can cause may reach a CHECK.  A program may install a hook
 * that saves what reproduces the failure (the compiler saves its graph).
 *
 *     CHECK(i < g->n_nodes, "node %zu of %zu", i, g->n_nodes)     the message is compulsory */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECK(cond, ...) \
    ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond, __VA_ARGS__))

/* Prints `file:line: internal error: cond: message`, runs the hook once, aborts. */
_Noreturn void check_failed(const char *file, int line, const char *cond, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Called once before the abort of a failed CHECK; NULL removes it. */
void check_set_hook(void (*hook)(void *), void *arg);

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Overflow-safe sums on sizes and signed extents: false, and *out untouched, when the result does
 * not fit. */
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Rounds up to a multiple of `align`, a power of two. */
static inline bool size_align(size_t a, size_t align, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, align - 1, &r))
        return false;
    *out = r & ~(align - 1);
    return true;
}

static inline bool i64_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool i64_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

#endif
