/* Free memory, in systems made of a few files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/free_memory.h"
#include "tests/runtime/scratch_dir.h"

#include <string.h>

static void put(const char *path, const char *text)
{
    char dir[256];
    Error err;
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (!file_make_dirs(dir, &err) || !file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.text);
}

static void test_nothing_known(void **state)
{
    (void)state;
    assert_int_equal(free_memory("."), SIZE_MAX);
}

static void test_system(void **state)
{
    (void)state;
    put("proc/meminfo", "MemTotal:       24684128 kB\nMemFree:  12 kB\nMemAvailable:   1000 kB\n");
    assert_int_equal(free_memory("."), 1024000);
}

/* A limit of the group, or of one that it is in, less what is used and no pages of files. */
static void test_groups(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/outer/inner\n");
    put("sys/fs/cgroup/outer/inner/memory.max", "max\n");
    put("sys/fs/cgroup/outer/inner/memory.current", "70000\n");
    assert_int_equal(free_memory("."), 1024000);
    put("sys/fs/cgroup/outer/memory.max", "500000\n");
    put("sys/fs/cgroup/outer/memory.current", "90000\n");
    assert_int_equal(free_memory("."), 410000);
    put("sys/fs/cgroup/outer/memory.stat", "anon 5\nactive_file 3000\ninactive_file 2000\n");
    assert_int_equal(free_memory("."), 415000);
    put("sys/fs/cgroup/outer/inner/memory.max", "80000\n");
    assert_int_equal(free_memory("."), 10000);
    put("sys/fs/cgroup/outer/inner/memory.max", "60000\n");
    assert_int_equal(free_memory("."), 0);
}

static void test_first_version(void **state)
{
    (void)state;
    put("proc/self/cgroup", "4:memory:/a\n1:cpu:/b\n0::/\n");
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "300000\n");
    put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "100000\n");
    assert_int_equal(free_memory("."), 200000);
    put("sys/fs/cgroup/memory/a/memory.stat", "active_file 7\ntotal_active_file 50000\n");
    assert_int_equal(free_memory("."), 250000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_known), cmocka_unit_test(test_system), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_first_version),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
