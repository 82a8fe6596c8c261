/* Options and messages that the commands of smrun share. */
#include "runtime/command.h"

#include "base/file.h"
#include "runtime/hub/import.h"
#include "runtime/hub/source.h"
#include "runtime/hub/weights_index.h"
#include "runtime/threads.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t command_stop;

int command_fault(const Error *err)
{
    fprintf(stderr, "smrun: %s\n", err->text);
    return EXIT_FAULT;
}

int command_threads(const Common *c)
{
    return c->threads ? (int)c->threads : threads_available();
}

const char *command_cpu(void)
{
    const char *cpu = getenv("SMG_CPU");
    return cpu && *cpu ? cpu : NULL;
}

void command_source_name(const char *source, char out[MAX_SOURCE_NAME])
{
    char real[PATH_MAX];
    const char *path = realpath(source, real) ? real : source, *slash = strrchr(path, '/');
    const char *last = slash && slash[1] ? slash + 1 : path;
    const size_t n = strlen(last);
    const bool gguf = n > 5 && strcmp(last + n - 5, ".gguf") == 0;
    snprintf(out, MAX_SOURCE_NAME, "%.*s", (int)(gguf ? n - 5 : n), last);
}

int command_deliver(const Buf *out)
{
    if (!out->failed && fwrite(out->data, 1, out->len, stdout) == out->len && fflush(stdout) == 0)
        return EXIT_DONE;
    fprintf(stderr, "smrun: standard output: %s\n", out->failed ? "out of memory" : strerror(errno));
    return EXIT_FAULT;
}

int command_flushed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    fprintf(stderr, "smrun: standard output: %s\n", strerror(errno));
    return EXIT_FAULT;
}

int command_deliver_json(json_t *j)
{
    Buf out = { 0 };
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    buf_printf(&out, "%s\n", text ? text : "");
    out.failed = out.failed || !text;
    const int code = command_deliver(&out);
    buf_free(&out);
    free(text);
    json_decref(j);
    return code;
}

int command_usage(const Args *a, const char *why)
{
    fprintf(stderr, "smrun: %s\nusage: %s\n", why, a->usage);
    return EXIT_USAGE;
}

bool command_parse(Args *a, int argc, char **argv, int *code)
{
    Error err;
    Buf help = { 0 };
    const bool parsed = args_parse(a, argc, argv, &err);
    if (parsed && !a->help)
        return true;
    if (parsed) {
        args_help(&help, a);
        *code = command_deliver(&help);
        buf_free(&help);
    } else {
        *code = command_usage(a, err.text);
    }
    return false;
}

bool command_find_folder(const char *name, const char *cache, char folder[MAX_MODEL_FOLDER], Error *err)
{
    char index[MAX_MODEL_FOLDER];
    Buf faults = { 0 };
    bool fresh = false;
    *folder = '\0';
    if (path_join(index, sizeof index, name, WEIGHTS_INDEX, NULL) && file_exists(index)) {
        snprintf(folder, MAX_MODEL_FOLDER, "%s", name);
        return true;
    }
    if (!source_is_there(name))
        return true;
    const bool ok = import_cached(name, &(ImportOptions){ .cache = cache }, folder, &fresh, &faults, err);
    fputs(faults.len ? faults.data : "", stderr);
    if (ok && fresh)
        fprintf(stderr, "imported into %s\n", folder);
    buf_free(&faults);
    return ok;
}

bool command_plan_of(const char *folder, const char *path, Plan *plan, Error *err)
{
    char inside[MAX_MODEL_FOLDER];
    if (!*folder)                       /* a better message, where there is one */
        return plan_open(path, plan, err) || (source_mistaken(path, err) && false);
    return path_join(inside, sizeof inside, folder, "model.smp", err) && plan_open(inside, plan, err);
}

bool command_open_model(const Args *a, Plan *plan, char folder[MAX_MODEL_FOLDER], int *code)
{
    Error err;
    if (a->n_positional != 1) {
        *code = command_usage(a, "which plan?");
        return false;
    }
    const bool ok = command_find_folder(a->positional[0], NULL, folder, &err)
        && command_plan_of(folder, a->positional[0], plan, &err);
    if (!ok)
        *code = command_fault(&err);
    return ok;
}

bool command_open_plan(const Args *a, Plan *plan, int *code)
{
    char folder[MAX_MODEL_FOLDER];
    return command_open_model(a, plan, folder, code);
}

bool command_begin(Args *a, int argc, char **argv, Plan *plan, int *code)
{
    return command_parse(a, argc, argv, code) && command_open_plan(a, plan, code);
}
