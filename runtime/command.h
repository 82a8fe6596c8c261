/* What the commands of smrun share: exit codes, messages, and the options that several take.
 *
 * A command reads its options, calls the module that does the work, says what came of it and returns
 * the exit code.  smrun.c and the command files are the only ones that print or choose exit codes. */
#ifndef RUNTIME_COMMAND_H
#define RUNTIME_COMMAND_H

#include "base/args.h"
#include "base/buf.h"
#include "base/status.h"
#include "runtime/plan.h"

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAULT = 1,                     /* of the world: a file, memory, data that does not fit */
    EXIT_USAGE = 2,                     /* a command line that makes no sense */
    EXIT_BY_SIGNAL = 128,               /* plus the signal */
};

#define COMMAND(name, what) int smrun_##name(int argc, char **argv);
#include "runtime/commands.def"
#undef COMMAND

/* The signal that asked us to stop, or 0; a second one ends the program at once. */
extern volatile sig_atomic_t command_stop;

/* Options that commands share. */
typedef struct Common {
    int64_t threads;                    /* 0: as many as there are processors */
    bool json;
    Error err;
} Common;

#define THREADS_OPTION(common) \
    { "--threads", "N", ARG_INT, &(common).threads, "default: the processors there are", 1, 1024, \
      NULL }

int command_threads(const Common *c);
/* What SMG_CPU narrows the instructions to, or NULL. */
const char *command_cpu(void);

/* True when the command may go on; else *code is the exit code, and --help or the mistake was
 * printed. */
bool command_parse(Args *a, int argc, char **argv, int *code);
/* Opens the plan that the one argument names; as command_parse.  It may name a plan, an imported model
 * (smrun import), or a published one, which is imported into the user's cache first; `folder` gets
 * the imported model's folder, "" for a plan.  NULL: nobody asks. */
enum { MAX_MODEL_FOLDER = 4096 };
bool command_open_model(const Args *a, Plan *plan, char folder[MAX_MODEL_FOLDER], int *code);
/* Its two halves: the folder of a model that was imported, or is now, "" where `name` is none; and the
 * plan of that folder, or at `path` where the folder is "".  `cache`, or NULL, is what a model that is imported
 * now keeps keys and values in. */
bool command_find_folder(const char *name, const char *cache, char folder[MAX_MODEL_FOLDER], Error *err);
bool command_plan_of(const char *folder, const char *path, Plan *plan, Error *err);
bool command_open_plan(const Args *a, Plan *plan, int *code);
/* Both. */
bool command_begin(Args *a, int argc, char **argv, Plan *plan, int *code);

/* A model's own name, the end of its path without .gguf, for files that are made of it. */
enum { MAX_SOURCE_NAME = 1024 };
void command_source_name(const char *source, char out[MAX_SOURCE_NAME]);

/* Messages; each returns the exit code. */

int command_fault(const Error *err);
int command_usage(const Args *a, const char *why);
/* Text to standard output; everything has been said when this returns. */
int command_deliver(const Buf *out);
/* Likewise, and takes the reference; NULL is memory that ran out. */
int command_deliver_json(json_t *j);
/* Was all that was printed written? */
int command_flushed(void);

#endif
