/* The arena: a list of blocks, newest first, each filled from its front.
 *
 * A request that the newest block cannot hold opens a new one; what was left of the old one is
 * given up, which costs little because blocks double up to a limit.  Under AddressSanitizer the
 * unused part of every block is poisoned and a gap follows each item, so that a write past the end
 * of an item is caught as it would be with malloc. */
#include "base/arena.h"

#include "base/check.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
enum { GAP = 16 };
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { GAP = 0 };
#endif

enum {
    ALIGN = 16,
    FIRST_BLOCK = 64 << 10,
    LARGEST_STEP = 4 << 20,     /* blocks stop doubling here; a larger request gets its own size */
};

struct ArenaBlock {
    ArenaBlock *next;           /* older */
    size_t used, cap;
    _Alignas(ALIGN) unsigned char data[];
};

_Static_assert(_Alignof(max_align_t) >= ALIGN, "malloc must align blocks for us");

void arena_init(Arena *a, jmp_buf *on_out_of_memory)
{
    *a = (Arena){ .on_out_of_memory = on_out_of_memory };
}

static _Noreturn void out_of_memory(Arena *a)
{
    if (a->on_out_of_memory)
        longjmp(*a->on_out_of_memory, 1);
    fputs("out of memory\n", stderr);
    abort();
}

static ArenaBlock *add_block(Arena *a, size_t need)
{
    size_t cap = FIRST_BLOCK;
    if (a->first)
        cap = a->first->cap < LARGEST_STEP / 2 ? 2 * a->first->cap : LARGEST_STEP;
    if (cap < need)
        cap = need;
    size_t bytes;
    ArenaBlock *b = NULL;
    if (size_add(cap, sizeof(ArenaBlock), &bytes))
        b = malloc(bytes);
    if (!b)
        out_of_memory(a);
    b->next = a->first;
    b->used = 0;
    b->cap = cap;
    POISON(b->data, cap);
    a->first = b;
    return b;
}

void *arena_alloc(Arena *a, size_t bytes)
{
    size_t rounded, taken;
    if (!size_align(bytes ? bytes : 1, ALIGN, &rounded) || !size_add(rounded, GAP, &taken))
        out_of_memory(a);
    ArenaBlock *b = a->first;
    if (!b || b->cap - b->used < taken)
        b = add_block(a, taken);
    void *p = b->data + b->used;
    b->used += taken;
    a->used += rounded;
    UNPOISON(p, bytes);
    return memset(p, 0, bytes);
}

void *arena_array(Arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes))
        out_of_memory(a);
    return arena_alloc(a, bytes);
}

void *arena_grow(Arena *a, const void *old, size_t old_count, size_t new_count, size_t size)
{
    CHECK(new_count >= old_count, "from %zu to %zu items", old_count, new_count);
    void *p = arena_array(a, new_count, size);
    if (old_count)
        memcpy(p, old, old_count * size);
    return p;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    n = strnlen(s, n);
    char *p = arena_alloc(a, n + 1);
    return memcpy(p, s, n);
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0, "bad format '%s'", fmt);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

static void free_blocks(ArenaBlock *b)
{
    while (b) {
        ArenaBlock *next = b->next;
        free(b);
        b = next;
    }
}

void arena_reset(Arena *a)
{
    a->used = 0;
    ArenaBlock *kept = a->first;
    if (!kept)
        return;
    free_blocks(kept->next);
    kept->next = NULL;
    kept->used = 0;
    POISON(kept->data, kept->cap);
}

void arena_free(Arena *a)
{
    free_blocks(a->first);
    a->first = NULL;
    a->used = 0;
}
