/* Files on a real disk, in a directory of this run: what is read, and that a failed replacement
 * leaves the old file and nothing beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/smallmind-file-XXXXXX";

/* A fresh directory for every test, made the current one so that short names do. */
static int enter(void **state)
{
    (void)state;
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void assert_holds(const char *name, const char *text)
{
    Buf b = { 0 };
    Error err = { 0 };
    if (!file_read(name, SIZE_MAX, &b, &err))
        fail_msg("%s", err.text);
    assert_int_equal(b.len, strlen(text));
    if (b.len)
        assert_memory_equal(b.data, text, b.len);
    buf_free(&b);
}

static int n_entries(void)
{
    DIR *d = opendir(".");
    assert_non_null(d);
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Bytes of a pattern that repeats at no power of two. */
static unsigned char *pattern(size_t n)
{
    unsigned char *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(i % 251);
    return p;
}

static void replaced_file_reads_back(void **state)
{
    (void)state;
    enum { N = 1000003 };
    unsigned char *bytes = pattern(N);
    Error err;
    put("a", "old");
    assert_true(file_replace("a", bytes, N, &err));
    Buf b = { 0 };
    assert_true(file_read("a", N, &b, &err));
    assert_int_equal(b.len, N);
    assert_memory_equal(b.data, bytes, N);
    FileMap m;
    assert_true(file_map("a", &m, &err));
    assert_int_equal(m.size, N);
    assert_memory_equal(m.data, bytes, N);
    file_unmap(&m);
    assert_null(m.data);
    assert_true(file_replace("a", NULL, 0, &err));
    assert_true(file_map("a", &m, &err));
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    file_unmap(&m);
    assert_int_equal(n_entries(), 1);
    buf_free(&b);
    free(bytes);
}

/* A limit on file sizes fails a write half way, as a full disk does. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    enum { N = 100000 };
    unsigned char *bytes = pattern(N);
    put("model", "what was trained for a week");
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = { 50000, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    Error err = { 0 }, err_pieces = { 0 };
    bool whole = file_replace("model", bytes, N, &err);
    FileWriter w;
    bool opened = file_writer_open(&w, "model", &err_pieces);
    for (int i = 0; opened && i < 10; i++)
        file_writer_add(&w, bytes, N / 10);
    bool pieces = opened && file_writer_commit(&w, &err_pieces);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    free(bytes);

    assert_false(whole);
    assert_true(opened);
    assert_false(pieces);
    assert_string_equal(err.text + strlen(err.text) - 14, "File too large");
    assert_non_null(strstr(err.text, "model: cannot write: "));
    assert_string_equal(err.text, err_pieces.text);
    assert_holds("model", "what was trained for a week");
    assert_int_equal(n_entries(), 1);
}

/* Renaming over a device would take it from the whole machine.  A pipe of our own stands for one
 * here: were this test to use a device and find the mistake, it would have made it. */
static void what_is_no_file_is_written_through(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("pipe", 0600), 0);
    int in = open("pipe", O_RDONLY | O_NONBLOCK);
    assert_true(in >= 0);
    Error err;
    FileWriter w;
    assert_true(file_replace("pipe", "hello", 5, &err));
    char got[8] = { 0 };
    assert_int_equal(read(in, got, sizeof got - 1), 5);
    assert_string_equal(got, "hello");

    assert_true(file_writer_open(&w, "pipe", &err));
    close(in);
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    file_writer_add(&w, "nobody reads", 12);
    signal(SIGPIPE, handler);
    assert_false(file_writer_commit(&w, &err));
    assert_string_equal(err.text, "pipe: cannot write: Broken pipe");
    struct stat st;
    assert_int_equal(lstat("pipe", &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(n_entries(), 1);
}

static void nothing_shows_before_the_commit(void **state)
{
    (void)state;
    Error err;
    FileWriter w, other;
    put("a", "old");
    assert_true(file_writer_open(&w, "a", &err));
    assert_true(file_writer_open(&other, "a", &err));
    file_writer_add(&w, "new", 3);
    file_writer_add(&other, "other", 5);
    assert_holds("a", "old");
    file_writer_abandon(&other);
    file_writer_abandon(&other);
    assert_holds("a", "old");
    assert_true(file_writer_commit(&w, &err));
    file_writer_abandon(&w);
    assert_holds("a", "new");
    assert_int_equal(n_entries(), 1);
}

static void links_and_modes_survive(void **state)
{
    (void)state;
    Error err;
    assert_int_equal(mkdir("real", 0777), 0);
    put("real/a", "old");
    assert_int_equal(chmod("real/a", 0640), 0);
    assert_int_equal(symlink("real/a", "link"), 0);
    assert_true(file_replace("link", "new", 3, &err));
    struct stat st;
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat("real/a", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_holds("real/a", "new");

    mode_t mask = umask(027);
    assert_true(file_replace("fresh", "x", 1, &err));
    umask(mask);
    assert_int_equal(stat("fresh", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void what_cannot_be_written_is_said(void **state)
{
    (void)state;
    Error err;
    assert_false(file_replace("no/such/dir", "x", 1, &err));
    assert_non_null(strstr(err.text, "no/such/dir"));
    assert_non_null(strstr(err.text, "No such file or directory"));
    assert_false(file_replace(".", "x", 1, &err));
    assert_string_equal(err.text, ".: cannot write: is a directory");
    char path[5000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_false(file_replace(path, "x", 1, &err));
    assert_non_null(strstr(err.text, "longer than 4095 bytes"));
    assert_int_equal(n_entries(), 0);
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    Error err;
    Buf b = { 0 };
    FileMap m;
    assert_false(file_read("none", 10, &b, &err));
    assert_string_equal(err.text, "none: cannot open: No such file or directory");
    assert_false(file_map("none", &m, &err));
    assert_string_equal(err.text, "none: cannot open: No such file or directory");
    assert_false(file_read(".", 10, &b, &err));
    assert_string_equal(err.text, ".: cannot read: Is a directory");
    assert_false(file_map(".", &m, &err));
    assert_string_equal(err.text, ".: expected a regular file, found a directory");
    put("a", "0123456789");
    assert_false(file_read("a", 9, &b, &err));
    assert_string_equal(err.text, "a: larger than 9 bytes, the most that is read");
    buf_free(&b);
    assert_true(file_read("a", 10, &b, &err));
    assert_int_equal(b.len, 10);
    buf_free(&b);
}

/* /dev/zero has no end, so only the limit can stop the reading. */
static void a_file_without_end_is_stopped(void **state)
{
    (void)state;
    Error err;
    Buf b = { 0 };
    assert_false(file_read("/dev/zero", 1 << 20, &b, &err));
    assert_true(b.len <= 1 << 20);
    buf_free(&b);
}

static void standard_input_is_a_file(void **state)
{
    (void)state;
    put("in", "from a pipe");
    int saved = dup(STDIN_FILENO);
    assert_non_null(freopen("in", "r", stdin));
    assert_holds("-", "from a pipe");
    dup2(saved, STDIN_FILENO);
    close(saved);
}

static void directories_are_made(void **state)
{
    (void)state;
    Error err;
    char path[64];
    assert_true(file_make_dirs("x/y//z/", &err));
    assert_true(file_make_dirs("x/y/z", &err));
    assert_true(file_exists("x/y/z"));
    assert_false(file_exists("x/z"));
    snprintf(path, sizeof path, "%s/abs/olute", dir);
    assert_true(file_make_dirs(path, &err));
    assert_true(file_exists("abs/olute"));
    put("file", "");
    assert_false(file_make_dirs("file/sub", &err));
    assert_string_equal(err.text, "file: cannot make the directory: Not a directory");
    assert_false(file_make_dirs("file", &err));
    assert_false(file_make_dirs("", &err));
}

static void paths_are_joined(void **state)
{
    (void)state;
    Error err;
    char out[8];
    assert_true(path_join(out, sizeof out, "abc", "def", &err));
    assert_string_equal(out, "abc/def");
    assert_true(path_join(out, sizeof out, "abc/", "def", &err));
    assert_string_equal(out, "abc/def");
    assert_true(path_join(out, sizeof out, "", "def", &err));
    assert_string_equal(out, "def");
    assert_false(path_join(out, sizeof out, "abc", "defg", &err));
    assert_string_equal(err.text, "abc/defg: path is longer than 7 bytes");
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(replaced_file_reads_back),
        FILE_TEST(a_full_disk_leaves_the_old_file),
        FILE_TEST(what_is_no_file_is_written_through),
        FILE_TEST(nothing_shows_before_the_commit),
        FILE_TEST(links_and_modes_survive),
        FILE_TEST(what_cannot_be_written_is_said),
        FILE_TEST(what_cannot_be_read_is_said),
        FILE_TEST(a_file_without_end_is_stopped),
        FILE_TEST(standard_input_is_a_file),
        FILE_TEST(directories_are_made),
        FILE_TEST(paths_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
