/* Memory that lives and dies together.  A compilation has one arena for what it makes and one
 * scratch arena reset after each pass; nothing in the compiler is freed by itself. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {
    ArenaBlock *first;          /* newest block */
    size_t used;                /* bytes handed out, all blocks */
    jmp_buf *on_out_of_memory;  /* where to go when the machine has no more; NULL: abort */
} Arena;

void arena_init(Arena *a, jmp_buf *on_out_of_memory);

/* Zeroed, aligned to 16 bytes, never NULL. */
void *arena_alloc(Arena *a, size_t bytes);

/* `count` items of `size`; the product is checked. */
void *arena_array(Arena *a, size_t count, size_t size);

/* A larger copy of an array, the new items zeroed; the old one stays valid.  Doubling from the
 * caller's side: see ARENA_PUSH. */
void *arena_grow(Arena *a, const void *old, size_t old_count, size_t new_count, size_t size);

char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *a, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

void arena_reset(Arena *a);     /* keeps one block for reuse */
void arena_free(Arena *a);

/* Appends `item` to the array `items` with fields n and cap of any integer type. */
#define ARENA_PUSH(arena, items, n, cap, item)                                               \
    do {                                                                                     \
        if ((n) == (cap)) {                                                                  \
            size_t new_cap_ = (cap) ? 2 * (size_t)(cap) : 16;                                \
            (items) = arena_grow((arena), (items), (size_t)(n), new_cap_, sizeof *(items));  \
            (cap) = (__typeof__(cap))new_cap_;                                               \
        }                                                                                    \
        (items)[(n)++] = (item);                                                             \
    } while (0)

#endif
