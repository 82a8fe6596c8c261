/* Diffs: applied to the old text they give the new one, they are as short as can be, and numbers of
 * values do not show. */
#include "codegen/diff.h"

#include "base/check.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST_LINES = 40 };

static void diff_texts(const char *a, const char *b, Buf *out)
{
    Arena scratch;
    arena_init(&scratch, NULL);
    buf_clear(out);
    graph_diff(out, "old", a, "new", b, &scratch);
    arena_free(&scratch);
}

/* ---- random lines ----------------------------------------------------------------------------- */

typedef struct Letters {
    char text[2 * MOST_LINES + 1];      /* a letter a line */
    char line[MOST_LINES];
    unsigned n;
} Letters;

static Letters random_letters(uint64_t seed, uint64_t stream, unsigned alphabet)
{
    Letters l = { .n = random_u32(seed, stream, 0) % MOST_LINES };
    for (unsigned i = 0; i < l.n; i++) {
        l.line[i] = (char)('a' + random_u32(seed, stream, i + 1) % alphabet);
        l.text[2 * i] = l.line[i];
        l.text[2 * i + 1] = '\n';
    }
    return l;
}

static unsigned longest_common(const Letters *a, const Letters *b)
{
    unsigned best[MOST_LINES + 1][MOST_LINES + 1] = { { 0 } };
    for (unsigned i = a->n; i-- > 0;)
        for (unsigned j = b->n; j-- > 0;) {
            const unsigned skip = best[i + 1][j] > best[i][j + 1] ? best[i + 1][j] : best[i][j + 1];
            best[i][j] = a->line[i] == b->line[j] ? 1 + best[i + 1][j + 1] : skip;
        }
    return best[0][0];
}

/* Follows the hunks through the old text; fails where they do not fit it. */
static unsigned apply(const char *diff, const Letters *old, Letters *out)
{
    unsigned at = 0, from, edits = 0;
    const char *s = strchr(strchr(diff, '\n') + 1, '\n') + 1;
    *out = (Letters){ 0 };
    for (; *s; s = strchr(s, '\n') + 1) {
        if (*s == '@') {
            unsigned n_old;
            assert_int_equal(sscanf(s, "@@ -%u,%u", &from, &n_old), 2);
            for (from -= n_old > 0; at < from; at++)
                out->line[out->n++] = old->line[at];
            continue;
        }
        if (*s != '+')
            assert_int_equal(s[1], old->line[at]);
        if (*s != '-')
            out->line[out->n++] = s[1];
        at += *s != '+';
        edits += *s != ' ';
    }
    while (at < old->n)
        out->line[out->n++] = old->line[at++];
    return edits;
}

static void test_applies(void **state)
{
    (void)state;
    Buf diff = { 0 };
    for (uint64_t seed = 0; seed < 3000; seed++) {
        const unsigned alphabet = 1 + (unsigned)(seed % 7);
        const Letters a = random_letters(seed, 1, alphabet), b = random_letters(seed, 2, alphabet);
        Letters got;
        diff_texts(a.text, b.text, &diff);
        if (strcmp(a.text, b.text) == 0) {
            assert_int_equal(diff.len, 0);
            continue;
        }
        const unsigned edits = apply(diff.data, &a, &got);
        if (got.n != b.n || memcmp(got.line, b.line, b.n) != 0)
            fail_msg("seed %u:\n%s\n%s\n%s", (unsigned)seed, a.text, b.text, diff.data);
        assert_int_equal(edits, a.n + b.n - 2 * longest_common(&a, &b));
    }
    buf_free(&diff);
}

/* More edits than the search goes for: right, if not short. */
static void test_all_differs(void **state)
{
    (void)state;
    Buf a = { 0 }, b = { 0 }, diff = { 0 };
    unsigned removed = 0, added = 0;
    enum { LINES = 13000 };
    for (unsigned i = 0; i < LINES; i++) {
        buf_printf(&a, "a%u\n", i);
        buf_printf(&b, i == LINES / 2 ? "a0\n" : "b%u\n", i);
    }
    diff_texts(a.data, b.data, &diff);
    for (const char *s = strstr(diff.data, "\n@@"); s; s = strchr(s + 1, '\n')) {
        removed += s[1] == '-';
        added += s[1] == '+';
    }
    assert_int_equal(removed, LINES);
    assert_int_equal(added, LINES);
    buf_free(&a);
    buf_free(&b);
    buf_free(&diff);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static void test_numbers_do_not_show(void **state)
{
    (void)state;
    Buf diff = { 0 };
    diff_texts("%0 = input() : f32[4]\n%1 = constant() value=1 : f32[]\n%2 = exp(%0) : f32[4]\n"
               "%3, %4 = cross_entropy(%2, %0) : f32[4], f32[4]\n%5 = add(%4, %2) : f32[4]\n"
               "output \"y\" %5\n",
               "%0 = input() : f32[4]\n%1 = exp(%0) : f32[4]\n"
               "%2, %3 = cross_entropy(%1, %0) : f32[4], f32[4]\n%4 = add(%3, %1) : f32[4]\n"
               "output \"y\" %4\n", &diff);
    assert_string_equal(diff.data,
                        "--- old\n+++ new\n@@ -1,5 +1,4 @@\n %0 = input() : f32[4]\n"
                        "-%1' = constant() value=1 : f32[]\n %1 = exp(%0) : f32[4]\n"
                        " %2, %3 = cross_entropy(%1, %0) : f32[4], f32[4]\n"
                        " %4 = add(%3, %1) : f32[4]\n");
    diff_texts("%0 = a() : t\n%1 = exp(%0) : t\n", "%4 = a() : t\n%7 = exp(%4) : t\n", &diff);
    assert_int_equal(diff.len, 0);
    buf_free(&diff);
}

/* Other inputs show where they are, and not at every reader. */
static void test_replaced(void **state)
{
    (void)state;
    Buf diff = { 0 };
    diff_texts("%0 = x() : t\n%1 = t(%0) : u\n%2 = matmul(%0, %1) : v\n%3 = exp(%2) : v\n",
               "%0 = x() : t\n%1 = matmul(%0, %0) transpose_b=true : v\n%2 = exp(%1) : v\n", &diff);
    assert_string_equal(diff.data,
                        "--- old\n+++ new\n@@ -1,4 +1,3 @@\n %0 = x() : t\n-%1' = t(%0) : u\n"
                        "-%1 = matmul(%0, %1') : v\n+%1 = matmul(%0, %0) transpose_b=true : v\n"
                        " %2 = exp(%1) : v\n");
    buf_free(&diff);
}

/* Places and groups are changes, but the lines are still the same ones. */
static void test_places(void **state)
{
    (void)state;
    Buf diff = { 0 };
    diff_texts("%0 = x() : t\n%1 = exp(%0) : t\n", "%0 = x() : t place=b0\n%1 = exp(%0) : t\n",
               &diff);
    assert_string_equal(diff.data, "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-%0 = x() : t\n"
                                   "+%0 = x() : t place=b0\n %1 = exp(%0) : t\n");
    buf_free(&diff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_applies),
        cmocka_unit_test(test_all_differs),
        cmocka_unit_test(test_numbers_do_not_show),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
