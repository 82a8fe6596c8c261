/* CHECK and the overflow-safe sums.  A failing CHECK ends its process, so each runs in a child
 * whose last words come back through a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` with stderr caught in `said`; true when it died of SIGABRT. */
static bool aborts(void (*body)(void), char *said, size_t cap)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        close(ends[0]);         /* so that a flood of words ends in SIGPIPE, not in a wait */
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t n = 0;
    ssize_t k;
    while (n + 1 < cap && (k = read(ends[0], said + n, cap - 1 - n)) > 0)
        n += (size_t)k;
    said[n] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void one_is_two(void)
{
    int one = 1;
    CHECK(one == 2, "one is %d", one);
}

static void holds(void)
{
    CHECK(1 + 1 == 2, "arithmetic");
}

static void save(void *arg)
{
    fprintf(stderr, "saved %s\n", (const char *)arg);
    one_is_two();
}

static void with_a_hook(void)
{
    static char what[] = "the graph";
    check_set_hook(save, what);
    one_is_two();
}

static void a_failed_check_says_where_and_aborts(void **state)
{
    (void)state;
    char said[1000];
    assert_true(aborts(one_is_two, said, sizeof said));
    assert_non_null(strstr(said, "check.c:"));
    assert_non_null(strstr(said, ": internal error: one == 2: one is 1\n"));
    assert_false(aborts(holds, said, sizeof said));
    assert_string_equal(said, "");
}

/* The hook fails a CHECK of its own, and is still run only once. */
static void the_hook_runs_once(void **state)
{
    (void)state;
    char said[1000];
    assert_true(aborts(with_a_hook, said, sizeof said));
    const char *saved = strstr(said, "saved the graph\n");
    assert_non_null(saved);
    assert_null(strstr(saved + 1, "saved the graph\n"));
    assert_non_null(strstr(saved, "one is 1"));
}

static void sums_refuse_to_wrap(void **state)
{
    (void)state;
    size_t z = 9;
    assert_false(size_add(SIZE_MAX, 1, &z));
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &z));
    assert_false(size_align(SIZE_MAX - 14, 16, &z));
    assert_int_equal(z, 9);
    assert_true(size_add(SIZE_MAX - 1, 1, &z) && z == SIZE_MAX);
    assert_true(size_mul(SIZE_MAX / 2, 2, &z) && z == SIZE_MAX - 1);
    assert_true(size_align(17, 16, &z) && z == 32);
    assert_true(size_align(32, 16, &z) && z == 32);
    assert_true(size_align(0, 16, &z) && z == 0);
    assert_true(size_align(SIZE_MAX - 15, 16, &z) && z == SIZE_MAX - 15);
    int64_t i = 9;
    assert_false(i64_add(INT64_MAX, 1, &i));
    assert_false(i64_add(INT64_MIN, -1, &i));
    assert_false(i64_mul(INT64_MIN, -1, &i));
    assert_int_equal(i, 9);
    assert_true(i64_add(INT64_MAX, INT64_MIN, &i) && i == -1);
    assert_true(i64_mul(-3, 5, &i) && i == -15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_check_says_where_and_aborts),
        cmocka_unit_test(the_hook_runs_once),
        cmocka_unit_test(sums_refuse_to_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
