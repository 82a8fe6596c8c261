/* Nesting is counted outside strings, and the first bracket too many is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json_depth.h"

#include <string.h>

static void counts_brackets(void **state)
{
    char text[2 * MAX_JSON_DEPTH + 2];
    Error err = { "" };
    (void)state;
    memset(text, '[', MAX_JSON_DEPTH);
    memset(text + MAX_JSON_DEPTH, ']', MAX_JSON_DEPTH);
    assert_true(json_depth_check(text, 2 * MAX_JSON_DEPTH, &err));
    text[MAX_JSON_DEPTH] = '{';
    assert_false(json_depth_check(text, MAX_JSON_DEPTH + 1, &err));
    assert_non_null(strstr(err.text, "byte 64"));
}

static void skips_strings(void **state)
{
    char text[128];
    Error err = { "" };
    (void)state;
    memset(text, '[', sizeof text);
    memcpy(text, "\"\\\"", 3);          /* a string that an escaped quote does not end */
    assert_true(json_depth_check(text, sizeof text, &err));
    text[1] = ' ';                      /* now it does */
    assert_false(json_depth_check(text, sizeof text, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_brackets), cmocka_unit_test(skips_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
