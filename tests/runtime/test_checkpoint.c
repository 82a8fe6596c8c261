/* Checkpoints: a reader sees all of the old one or all of the new one, wherever a commit stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "runtime/checkpoint.h"
#include "tests/runtime/scratch_dir.h"

#include <sys/stat.h>

static const char *const names[] = {
    "tokenizer.json", "model.safetensors", "optimizer.safetensors", "trainer.json",
};

static void put(const char *path, const char *text)
{
    Error err;
    if (!file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.text);
}

static void write_next(const char *dir, const char *text)
{
    char path[CHECKPOINT_PATH];
    Error err;
    if (!checkpoint_begin(dir, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_true(checkpoint_next(dir, names[i], path, &err));
        put(path, text);
    }
}

static void assert_all(const char *dir, const char *text)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[CHECKPOINT_PATH];
        Buf b = { 0 };
        Error err;
        assert_true(checkpoint_file(dir, names[i], path, &err));
        if (!file_read(path, 100, &b, &err))
            fail_msg("%s", err.text);
        assert_string_equal(b.data, text);
        buf_free(&b);
    }
}

static void make(const char *dir, const char *text)
{
    Error err;
    assert_true(file_make_dirs(dir, &err));
    write_next(dir, text);
    if (!checkpoint_commit(dir, &err))
        fail_msg("%s", err.text);
    assert_all(dir, text);
}

static void commits_replace(void **state)
{
    (void)state;
    assert_false(checkpoint_exists("run"));
    make("run", "one");
    assert_true(checkpoint_exists("run"));
    make("run", "two");
    assert_false(file_exists("run/checkpoint.next"));
    assert_false(file_exists("run/checkpoint.ready"));
}

static void a_beginning_changes_nothing(void **state)
{
    (void)state;
    Error err;
    make("begun", "old");
    write_next("begun", "new");
    assert_all("begun", "old");
    assert_true(checkpoint_recover("begun", &err));
    assert_all("begun", "old");
    assert_false(file_exists("begun/checkpoint.next"));
}

/* Stops after the rename and `moved` of the four moves. */
static void stop_after(int moved)
{
    char dir[32], from[96], to[96];
    Error err;
    snprintf(dir, sizeof dir, "stopped%d", moved);
    make(dir, "old");
    write_next(dir, "new");
    snprintf(from, sizeof from, "%s/checkpoint.next", dir);
    snprintf(to, sizeof to, "%s/checkpoint.ready", dir);
    assert_int_equal(rename(from, to), 0);
    for (int i = 0; i < moved; i++) {
        snprintf(from, sizeof from, "%s/checkpoint.ready/%s", dir, names[i]);
        snprintf(to, sizeof to, "%s/%s", dir, names[i]);
        assert_int_equal(rename(from, to), 0);
    }
    assert_all(dir, "new");
    assert_true(checkpoint_exists(dir));
    assert_true(checkpoint_recover(dir, &err));
    assert_all(dir, "new");
    snprintf(to, sizeof to, "%s/checkpoint.ready", dir);
    assert_false(file_exists(to));
    make(dir, "newer");
}

static void any_stop_in_a_commit_gives_the_new_one(void **state)
{
    (void)state;
    for (int moved = 0; moved <= 4; moved++)
        stop_after(moved);
}

static void failures_keep_the_old_one(void **state)
{
    (void)state;
    Error err;
    make("kept", "old");
    write_next("kept", "new");
    /* Something of the user's stands where the new one must go. */
    assert_int_equal(mkdir("kept/checkpoint.ready", 0777), 0);
    put("kept/checkpoint.ready/notes", "mine");
    assert_false(checkpoint_commit("kept", &err));
    assert_non_null(strstr(err.text, "checkpoint.ready"));
    assert_all("kept", "old");
    assert_true(file_exists("kept/checkpoint.ready/notes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_replace),
        cmocka_unit_test(a_beginning_changes_nothing),
        cmocka_unit_test(any_stop_in_a_commit_gives_the_new_one),
        cmocka_unit_test(failures_keep_the_old_one),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
