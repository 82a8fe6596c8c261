/* A directory of the test's own, made the current one; removed afterwards. */
#ifndef TESTS_RUNTIME_SCRATCH_DIR_H
#define TESTS_RUNTIME_SCRATCH_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_dir[] = "/tmp/smallmind-runtime-XXXXXX";

static int enter_scratch(void **state)
{
    (void)state;
    strcpy(scratch_dir + sizeof scratch_dir - 7, "XXXXXX");
    return mkdtemp(scratch_dir) && chdir(scratch_dir) == 0 ? 0 : -1;
}

static int leave_scratch(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", scratch_dir);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

#endif
