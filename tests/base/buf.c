/* The growing buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include <string.h>

static void pieces_add_up(void **state)
{
    (void)state;
    Buf b = { 0 };
    buf_puts(&b, "a");
    buf_putc(&b, 'b');
    buf_printf(&b, "%s=%d", "c", 12);
    buf_add(&b, "\0d", 2);
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "abc=12\0d", 9);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_puts(&b, "again");
    assert_string_equal(b.data, "again");
    buf_free(&b);
    assert_null(b.data);
}

static void it_grows(void **state)
{
    (void)state;
    Buf b = { 0 };
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "%05d", i);
    assert_int_equal(b.len, 500000);
    assert_memory_equal(b.data + 5 * 77777, "77777", 5);
    assert_int_equal(strlen(b.data), 500000);
    assert_false(b.failed);
    buf_free(&b);
}

static void align_pads_with_zeros(void **state)
{
    (void)state;
    Buf b = { 0 };
    buf_align(&b, 64);
    assert_int_equal(b.len, 0);
    buf_puts(&b, "abc");
    buf_align(&b, 8);
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "abc\0\0\0\0\0", 9);
    buf_align(&b, 8);
    assert_int_equal(b.len, 8);
    buf_putc(&b, 'x');
    buf_align(&b, 4096);
    assert_int_equal(b.len, 4096);
    buf_free(&b);
}

static void what_does_not_fit_fails_for_good(void **state)
{
    (void)state;
    static const size_t too_many[] = { SIZE_MAX, SIZE_MAX - 3, SIZE_MAX - 4, SIZE_MAX / 4 };
    for (size_t i = 0; i < sizeof too_many / sizeof *too_many; i++) {
        volatile size_t n = too_many[i];    /* hidden from the compiler, which would warn */
        Buf b = { 0 };
        buf_puts(&b, "abc");
        buf_add(&b, "", n);
        assert_true(b.failed);
        buf_puts(&b, "d");
        buf_printf(&b, "%d", 1);
        buf_align(&b, 64);
        assert_int_equal(b.len, 3);
        assert_string_equal(b.data, "abc");
        buf_clear(&b);
        assert_false(b.failed);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_add_up),
        cmocka_unit_test(it_grows),
        cmocka_unit_test(align_pads_with_zeros),
        cmocka_unit_test(what_does_not_fit_fails_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
