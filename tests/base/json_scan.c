/* What is JSON and what is not, depth, and walks that give the parts as they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/json_scan.h"

#include <stdlib.h>
#include <string.h>

/* Scans a copy of just that length, so that a byte behind it would be seen. */
static bool scan(const char *text, size_t n, Error *err)
{
    JsonText value;
    char *copy = malloc(n + 1);
    assert_non_null(copy);
    char *exact = realloc(copy, n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, text, n);
    const bool ok = json_scan(exact, n, &value, err);
    free(exact);
    return ok;
}

static void accepts_json(void **state)
{
    static const char *const good[] = {
        "0", " -1.5e+10 ", "\"\"", "true", "null", "[]", "{}", "[[], {}, [{}]]", "\t[1 , 2\n]\r\n",
        "{\"a\": {\"b\": [1, \"\\u00Fc\\\\\\\"\"]}, \"a\": false}", "[0, -0, 0.5, 1E9, 10]",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        Error err = { "" };
        if (!scan(good[i], strlen(good[i]), &err))
            fail_msg("%s: %s", good[i], err.text);
        /* No beginning of it but of a number is JSON itself. */
        const size_t n = strlen(good[i]);
        for (size_t k = 0; k + 1 < n && !strpbrk(good[i], "0 \t\n"); k++)
            assert_false(scan(good[i], k, &err));
    }
}

static void refuses_others(void **state)
{
    static const struct { const char *text, *why; } bad[] = {
        { "", "byte 0" }, { " ", "byte 1" }, { "[1, 2}", "byte 5" }, { "{\"a\" 1}", "byte 5" },
        { "{\"a\": 1,}", "byte 8" }, { "[1,]", "byte 3" }, { "[1 2]", "byte 3" }, { "{1: 2}", "byte 1" },
        { "{\"a\": }", "byte 6" }, { "\"a", "byte 2" }, { "\"\\x\"", "byte 2" }, { "\"\\u12g4\"", "byte 5" },
        { "\"\n\"", "control character" }, { "01", "byte 1" }, { "-", "byte 1" }, { "1.", "byte 2" },
        { "1e", "byte 2" }, { ".5", "byte 0" }, { "tru", "byte 0" }, { "nulls", "byte 4" }, { "[}", "byte 1" },
        { "{]", "byte 1" }, { "]", "byte 0" }, { "[[]", "byte 3" }, { "1 1", "byte 2" }, { "NaN", "byte 0" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Error err = { "" };
        if (scan(bad[i].text, strlen(bad[i].text), &err))
            fail_msg("accepted %s", bad[i].text);
        if (!strstr(err.text, bad[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].text, err.text, bad[i].why);
    }
}

static void counts_brackets(void **state)
{
    char text[2 * MAX_JSON_DEPTH + 2];
    Error err = { "" };
    (void)state;
    memset(text, '[', MAX_JSON_DEPTH);
    memset(text + MAX_JSON_DEPTH, ']', MAX_JSON_DEPTH);
    assert_true(scan(text, 2 * MAX_JSON_DEPTH, &err));
    text[MAX_JSON_DEPTH] = '{';
    assert_false(scan(text, MAX_JSON_DEPTH + 1, &err));
    assert_non_null(strstr(err.text, "byte 64: nested deeper than 64"));
}

static void expect_part(JsonWalk *w, const char *key, const char *value)
{
    JsonText k, v;
    assert_true(json_walk_next(w, &k, &v));
    assert_int_equal(k.n, strlen(key));
    assert_memory_equal(k.text, key, k.n);
    assert_int_equal(v.n, strlen(value));
    assert_memory_equal(v.text, value, v.n);
}

static void walks_parts(void **state)
{
    static const char text[] = " { \"a\" : 1 , \"b\\\"]\":[ [ \"}\" ] , -2.5e3,true ],\"\":{}} ";
    Error err = { "" };
    JsonText value, key, part;
    (void)state;
    assert_true(json_scan(text, sizeof text - 1, &value, &err));
    assert_int_equal(json_count(value), 3);
    JsonWalk w = json_walk(value);
    expect_part(&w, "\"a\"", "1");
    assert_true(json_walk_next(&w, &key, &part));
    assert_true(json_is(part, '['));
    JsonWalk inner = json_walk(part);
    expect_part(&inner, "", "[ \"}\" ]");
    expect_part(&inner, "", "-2.5e3");
    expect_part(&inner, "", "true");
    assert_false(json_walk_next(&inner, &key, &part));
    expect_part(&w, "\"\"", "{}");
    assert_false(json_walk_next(&w, &key, &part));
    assert_int_equal(json_count((JsonText){ "{ }", 3 }), 0);
    JsonWalk none = json_walk((JsonText){ "17", 2 });
    assert_false(json_walk_next(&none, &key, &part));
}

static bool equals(const char *string, const char *ascii)
{
    return json_equals((JsonText){ string, strlen(string) }, ascii);
}

static void compares_strings(void **state)
{
    (void)state;
    assert_true(equals("\"model\"", "model"));
    assert_true(equals("\"mod\\u0065l\"", "model"));
    assert_true(equals("\"\\u006D\\/\\n\\\"\"", "m/\n\""));
    assert_true(equals("\"\"", ""));
    assert_false(equals("\"model\"", "mode"));
    assert_false(equals("\"mode\"", "model"));
    assert_false(equals("\"mod\\u0165l\"", "model"));
    assert_false(equals("12", "12"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_json), cmocka_unit_test(refuses_others), cmocka_unit_test(counts_brackets),
        cmocka_unit_test(walks_parts), cmocka_unit_test(compares_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
