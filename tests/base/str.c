/* Did-you-mean, and numbers in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#include <locale.h>
#include <string.h>

static void distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        { "", "", 0 },
        { "", "abc", 3 },
        { "width", "width", 0 },
        { "widht", "width", 1 },            /* swap */
        { "iwdht", "width", 2 },            /* two swaps */
        { "width", "widths", 1 },
        { "width", "with", 1 },
        { "width", "wydth", 1 },
        { "kitten", "sitting", 3 },
        { "ab", "ba", 1 },
        { "abc", "ca", 3 },                 /* nothing is edited between swapped letters */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t limit = 0; limit < 6; limit++) {
            size_t want = rows[i].distance <= limit ? rows[i].distance : limit + 1;
            assert_int_equal(str_distance(rows[i].a, rows[i].b, limit), want);
            assert_int_equal(str_distance(rows[i].b, rows[i].a, limit), want);
        }
    assert_int_equal(str_distance("abc", "xyz", SIZE_MAX), 3);
}

static void long_words(void **state)
{
    (void)state;
    char a[1000], b[1000];
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    for (size_t n = 120; n < 135; n++) {
        a[n] = b[n] = 0;
        b[n - 1] = 'y';
        assert_int_equal(str_distance(a, a, 3), 0);
        assert_int_equal(str_distance(a, b, 3), n <= 127 ? 1 : 4);
        a[n] = b[n] = b[n - 1] = 'x';
    }
}

static const char *nearest(const char *wanted)
{
    static const char *const names[] = { "w", "of", "mean", "width", "hidden", "layer_norm" };
    Nearest n = nearest_of(wanted);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        nearest_try(&n, names[i]);
    return n.found;
}

static void suggestions(void **state)
{
    (void)state;
    assert_string_equal(nearest("widht"), "width");
    assert_string_equal(nearest("maen"), "mean");
    assert_string_equal(nearest("fo"), "of");
    assert_string_equal(nearest("hiden"), "hidden");
    assert_string_equal(nearest("layrnorm"), "layer_norm");
    assert_string_equal(nearest("w"), "w");
    assert_null(nearest("x"));              /* every one-letter name is one edit away */
    assert_null(nearest(""));
    assert_null(nearest("meaning"));        /* three edits, two allowed */
    assert_null(nearest("attention"));
}

static void the_best_suggestion_wins(void **state)
{
    (void)state;
    Nearest n = nearest_of("hidden_size");
    nearest_try(&n, "hidden_sz__");
    nearest_try(&n, "hiden_size");
    nearest_try(&n, "hidden_sze_");
    assert_string_equal(n.found, "hiden_size");
    assert_int_equal(n.distance, 1);
}

static void bytes_for_people(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1.0 KiB" },
        { 1536, "1.5 KiB" },
        { 1048575, "1.0 MiB" },
        { 1610612736, "1.5 GiB" },
        { UINT64_MAX, "16.0 EiB" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[32];
        str_bytes(out, sizeof out, rows[i].bytes);
        assert_string_equal(out, rows[i].text);
    }
}

static void whole_numbers(void **state)
{
    (void)state;
    int64_t v = 7;
    static const char *const wrong[] = {
        "", "-", "+", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "--1", "-6", "6", "abc",
        "9223372036854775808", "-9223372036854775809", "18446744073709551617",
        "99999999999999999999999",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (str_to_i64(wrong[i], -5, 5, &v))
            fail_msg("'%s' was read as %d", wrong[i], (int)v);
    assert_int_equal(v, 7);
    assert_true(str_to_i64("-5", -5, 5, &v) && v == -5);
    assert_true(str_to_i64("005", -5, 5, &v) && v == 5);
    assert_true(str_to_i64("-0", -5, 5, &v) && v == 0);
    assert_true(str_to_i64("9223372036854775807", INT64_MIN, INT64_MAX, &v) && v == INT64_MAX);
    assert_true(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v) && v == INT64_MIN);
    assert_false(str_to_i64("9223372036854775808", INT64_MIN, INT64_MAX, &v));
    assert_false(str_to_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &v));
}

static void numbers(void **state)
{
    (void)state;
    double v = 7;
    static const char *const wrong[] = {
        "", "-", ".", "e5", "1e", "1e+", "1 ", " 1", "nan", "inf", "-infinity", "0x1p3",
        "1e999", "1,5", "1.5.2", "1f",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (str_to_double(wrong[i], &v))
            fail_msg("'%s' was read as %g", wrong[i], v);
    assert_true(v == 7);
    assert_true(str_to_double("1e-3", &v) && v == 1e-3);
    assert_true(str_to_double("-2.5E+2", &v) && v == -250);
    assert_true(str_to_double("+.5", &v) && v == 0.5);
    assert_true(str_to_double("3.", &v) && v == 3);
    assert_true(str_to_double("0.1", &v) && v == 0.1);
    assert_true(str_to_double("1e-999", &v) && v == 0);
}

static void a_comma_in_the_locale_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR" };
    bool set = false;
    for (size_t i = 0; !set && i < sizeof names / sizeof *names; i++)
        set = setlocale(LC_ALL, names[i]) != NULL;
    if (!set)
        skip();
    double v = 0;
    assert_true(str_to_double("1.5", &v) && v == 1.5);
    assert_false(str_to_double("1,5", &v));
    setlocale(LC_ALL, "C");
}

static void byte_counts(void **state)
{
    (void)state;
    uint64_t v = 7;
    static const char *const wrong[] = {
        "", "K", "-1", "1KB", "1T", "1 K", "1.5", ".5G", "1.G", "1.5GB", "1.5.5G", "18446744073709551616", "17179869184G",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (str_to_bytes(wrong[i], &v))
            fail_msg("'%s' was read as %llu", wrong[i], (unsigned long long)v);
    assert_true(v == 7);
    assert_true(str_to_bytes("512", &v) && v == 512);
    assert_true(str_to_bytes("64K", &v) && v == 65536);
    assert_true(str_to_bytes("3m", &v) && v == 3145728);
    assert_true(str_to_bytes("1.5G", &v) && v == UINT64_C(3) << 29);
    assert_true(str_to_bytes("0.25k", &v) && v == 256);
    assert_true(str_to_bytes("1.0000000009999K", &v) && v == 1024);
    assert_true(str_to_bytes("17179869183G", &v) && v == UINT64_C(17179869183) << 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(long_words),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(the_best_suggestion_wins),
        cmocka_unit_test(bytes_for_people),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(numbers),
        cmocka_unit_test(a_comma_in_the_locale_changes_nothing),
        cmocka_unit_test(byte_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
