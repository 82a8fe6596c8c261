/* smc as a child. */
#include "runtime/hub/compiler.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "runtime/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_ARGUMENTS = 600, KEPT = 600 };

/* The folder of the running program; "" when the system does not say it. */
static void program_folder(char out[PATH_MAX])
{
    const ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

static bool find_smc(char out[PATH_MAX], Error *err)
{
    char folder[PATH_MAX];
    const char *set = getenv("SMC");
    program_folder(folder);
    const char *const tries[] = { set ? set : "", "smc", "../codegen/smc" };
    for (size_t i = set && *set ? 0 : 1; i < sizeof tries / sizeof *tries; i++) {
        if (i == 0)
            snprintf(out, PATH_MAX, "%s", set);
        else if (!path_join(out, PATH_MAX, folder, tries[i], NULL))
            continue;
        if (access(out, X_OK) == 0)
            return true;
        if (i == 0)
            return error_set(err, "SMC is %s: %s", out, strerror(errno));
    }
    return error_set(err, "the compiler smc is not beside smrun in %s; SMC=PATH says where it is",
                     folder);
}

static bool find_model(const char *model, char out[PATH_MAX], Error *err)
{
    char folder[PATH_MAX], dir[PATH_MAX], name[64];
    const char *set = getenv("SMALLMIND_MODELS");
    program_folder(folder);
    snprintf(name, sizeof name, "%.48s.smg", model);
    if (set && *set)
        return path_join(out, PATH_MAX, set, name, err)
            && (file_exists(out) || error_set(err, "there is no %s; SMALLMIND_MODELS says to look "
                                              "there", out));
    if (path_join(dir, sizeof dir, folder, "../share/smallmind/models", NULL)
        && path_join(out, PATH_MAX, dir, name, NULL) && file_exists(out))
        return true;
    return path_join(out, PATH_MAX, SMALLMIND_MODELS_DIR, name, err)
        && (file_exists(out) || error_set(err, "there is no %s; SMALLMIND_MODELS=DIR says where the "
                                          "models are", out));
}

/* All that comes from `fd`, the end of it kept. */
static void read_end(int fd, Buf *out)
{
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && out->len < 1 << 20)
            buf_add(out, part, (size_t)n);
}

/* Its exit status, -1 when it could not be started; `said` gets its standard error. */
static int run(char *const *argv, Buf *said)
{
    int ends[2], status = 0;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    const int failed = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (!failed)
        read_end(ends[0], said);
    close(ends[0]);
    if (failed) {
        errno = failed;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* `option` before each of the words. */
static size_t add_words(const char *argv[MAX_ARGUMENTS], size_t n, const char *option,
                        const char *const *word, uint32_t n_words)
{
    for (uint32_t i = 0; i < n_words; i++) {
        CHECK(n + 3 < MAX_ARGUMENTS, "%u words behind %s", n_words, option);
        argv[n++] = option;
        argv[n++] = word[i];
    }
    return n;
}

bool compiler_run(const CompilerInput *in, const char *out, Error *err)
{
    char smc[PATH_MAX], path[PATH_MAX], chunk[24];
    const char *argv[MAX_ARGUMENTS] = { smc, "compile", path, "-o", out };
    Buf said = { 0 };
    if (!find_smc(smc, err) || !find_model(in->model, path, err))
        return false;
    snprintf(chunk, sizeof chunk, "%" PRId64, in->chunk);
    const char *const chunks[] = { chunk };
    size_t n = add_words(argv, 5, "-D", in->define, in->n_defines);
    n = add_words(argv, n, "--weights", in->rule, in->n_rules);
    n = add_words(argv, n, "--chunk", chunks, 1);
    add_words(argv, n, "--cache", &in->cache, in->cache ? 1 : 0);
    const int status = run((char *const *)(uintptr_t)argv, &said);
    if (status < 0)
        error_set(err, "%s: %s", smc, strerror(errno));
    else if (status > 0)
        error_set(err, "%s does not compile %s with these settings (exit %d): %.*s", smc, path, status,
                  KEPT, said.len ? said.data : "it said nothing");
    buf_free(&said);
    return status == 0;
}

bool compiler_hash(const char *model, uint64_t *out, Error *err)
{
    char smc[PATH_MAX], path[PATH_MAX];
    Buf text = { 0 };
    struct stat st;
    if (!find_smc(smc, err) || !find_model(model, path, err)
        || !file_read(path, 1 << 20, &text, err))
        return false;
    *out = hash_seeded(text.len ? text.data : "", text.len, PLAN_VERSION);
    buf_free(&text);
    if (stat(smc, &st) != 0)
        return error_set(err, "%s: %s", smc, strerror(errno));
    const int64_t facts[] = { st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
    *out = hash_seeded(facts, sizeof facts, *out);
    return true;
}
