/* Messages: filled, prefixed, cut to fit, kept to one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

#include <string.h>

static void set_and_prefix(void **state)
{
    (void)state;
    Error err;
    assert_false(error_set(&err, "expected %d, found %s", 3, "x"));
    assert_string_equal(err.text, "expected 3, found x");
    assert_false(error_prefix(&err, "tensor '%s'", "w"));
    assert_false(error_prefix(&err, "a.safetensors"));
    assert_string_equal(err.text, "a.safetensors: tensor 'w': expected 3, found x");
}

static void nobody_need_listen(void **state)
{
    (void)state;
    assert_false(error_set(NULL, "%d", 1));
    assert_false(error_prefix(NULL, "%d", 1));
}

static void the_old_text_may_be_an_argument(void **state)
{
    (void)state;
    Error err;
    error_set(&err, "inner");
    error_set(&err, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
    error_prefix(&err, "'%s'", err.text);
    assert_string_equal(err.text, "'outer (inner)': outer (inner)");
}

static void long_text_is_cut(void **state)
{
    (void)state;
    char wide[3000];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    Error err;
    error_set(&err, "%s", wide);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "head");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "head: xxx", 9);
    error_prefix(&err, "%s", wide);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void a_message_is_one_line(void **state)
{
    (void)state;
    Error err;
    error_set(&err, "%s: no such file", "a\nb\r");
    error_prefix(&err, "c\nd");
    assert_string_equal(err.text, "c d: a b : no such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_prefix),
        cmocka_unit_test(nobody_need_listen),
        cmocka_unit_test(the_old_text_may_be_an_argument),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(a_message_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
