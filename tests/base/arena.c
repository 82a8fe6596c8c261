/* The arena: what it hands out, and where it goes when memory ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* Every size around the alignment and the blocks: aligned, zeroed, and disjoint from its
 * neighbours, also after a reset left old bytes behind. */
static void items_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 65535, 65536, 65537, 9000000, 3 };
    enum { N = sizeof sizes / sizeof *sizes };
    Arena a;
    arena_init(&a, NULL);
    for (int round = 0; round < 3; round++) {
        unsigned char *items[N];
        size_t total = 0;
        for (size_t i = 0; i < N; i++) {
            items[i] = arena_alloc(&a, sizes[i]);
            assert_non_null(items[i]);
            assert_int_equal((uintptr_t)items[i] % 16, 0);
            assert_true(all_zero(items[i], sizes[i]));
            memset(items[i], (int)i + 1, sizes[i]);
            total += sizes[i];
        }
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                if (items[i][k] != i + 1)
                    fail_msg("item %zu was overwritten at byte %zu", i, k);
        assert_true(a.used >= total);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_free(&a);
    assert_null(a.first);
}

static void two_empty_items_differ(void **state)
{
    (void)state;
    Arena a;
    arena_init(&a, NULL);
    assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
    arena_free(&a);
}

/* Asks for what cannot be had and tells whether the arena jumped. */
static bool jumps(size_t count, size_t size)
{
    jmp_buf out;
    Arena a;
    arena_init(&a, &out);
    volatile bool jumped = false;
    char *before = arena_strdup(&a, "kept");
    if (setjmp(out) == 0)
        arena_array(&a, count, size);
    else
        jumped = true;
    assert_string_equal(before, "kept");
    assert_string_equal(arena_strdup(&a, "still works"), "still works");
    arena_free(&a);
    return jumped;
}

static void too_much_memory_jumps(void **state)
{
    (void)state;
    assert_true(jumps(SIZE_MAX / 4, 1));            /* malloc refuses */
    assert_true(jumps(SIZE_MAX / 2 + 2, 2));        /* the product wraps to a small number */
    assert_true(jumps(SIZE_MAX, SIZE_MAX));         /* the product wraps to 1 */
    for (size_t less = 0; less < 100; less++)       /* rounding, gap or header wraps */
        assert_true(jumps(SIZE_MAX - less, 1));
    assert_false(jumps(1000, 1000));
}

static void an_array_grows_and_keeps_the_old(void **state)
{
    (void)state;
    struct {
        int *items;
        uint16_t n, cap;
    } list = { 0 };
    Arena a;
    arena_init(&a, NULL);
    ARENA_PUSH(&a, list.items, list.n, list.cap, 0);
    const int *first = list.items;
    for (int i = 1; i < 1000; i++)
        ARENA_PUSH(&a, list.items, list.n, list.cap, 7 * i);
    assert_int_equal(list.n, 1000);
    assert_int_equal(list.cap, 1024);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(list.items[i], 7 * i);
    assert_true(all_zero((const unsigned char *)(list.items + 1000), 24 * sizeof(int)));
    assert_int_equal(first[15], 7 * 15);
    arena_free(&a);
}

static void strings_are_copied(void **state)
{
    (void)state;
    Arena a;
    arena_init(&a, NULL);
    const char text[] = "abcdef";
    char *copy = arena_strdup(&a, text);
    assert_ptr_not_equal(copy, text);
    assert_string_equal(copy, "abcdef");
    assert_string_equal(arena_strndup(&a, text, 3), "abc");
    assert_string_equal(arena_strndup(&a, text, 100), "abcdef");
    assert_string_equal(arena_strndup(&a, text, 0), "");
    char wide[3000];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    char *printed = arena_printf(&a, "%d-%s", 42, wide);
    assert_memory_equal(printed, "42-", 3);
    assert_string_equal(printed + 3, wide);
    arena_free(&a);
}

static void a_write_past_an_item_is_seen(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    Arena a;
    arena_init(&a, NULL);
    char *p = arena_alloc(&a, 20);
    arena_alloc(&a, 20);
    assert_false(__asan_address_is_poisoned(p + 19));
    assert_true(__asan_address_is_poisoned(p + 20));
    assert_true(__asan_address_is_poisoned(p + 32));
    arena_reset(&a);
    assert_true(__asan_address_is_poisoned(p));
    arena_free(&a);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_aligned_zeroed_and_apart),
        cmocka_unit_test(two_empty_items_differ),
        cmocka_unit_test(too_much_memory_jumps),
        cmocka_unit_test(an_array_grows_and_keeps_the_old),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(a_write_past_an_item_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
