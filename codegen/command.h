/* What the commands of smc have in common.  Private to the files of the program smc. */
#ifndef CODEGEN_COMMAND_H
#define CODEGEN_COMMAND_H

#include "base/arena.h"
#include "base/args.h"
#include "base/progress.h"
#include "codegen/compile.h"
#include "frontend/frontend.h"
#include "ir/diag.h"

#include <setjmp.h>

enum { EXIT_DONE = 0, EXIT_FAULT = 1, EXIT_USAGE = 2 };

typedef struct Compilation {
    Arena arena, scratch;
    DiagSink diags;
    Sources sources;
    Progress progress;
    double search_began;                /* seconds, of clock_seconds */
    SearchWatch watch;                  /* shows on standard error how a search goes that takes long */
    jmp_buf out_of_memory;
} Compilation;

/* "smc: " and the message on standard error; EXIT_FAULT. */
int fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same of a command line that makes no sense; EXIT_USAGE. */
int misuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The program that --program names.  Else EXIT_USAGE, and it has been said which there are. */
int program_asked(const char *name, Program *out);
/* The pass that is named, or NULL, with the nearest to it. */
const PassInfo *pass_asked(const char *name);
/* A SearchWatch of a Compilation. */
void search_tell(void *compilation, Program program, int64_t tried, int64_t most);
/* Shows the diagnostics that were collected; the exit code that they amount to. */
int report(Compilation *c, bool json);
/* To a file, or to standard output (NULL or "-").  Frees the buffer. */
int deliver(Buf *out, const char *path);
/* NULL with diagnostics. */
Graph *read_model(Compilation *c, const char *path, const ArgList *defines);
/* After args_parse, when there is nothing to run: the help, or what is wrong. */
int usage_or_help(Args *a, bool parsed, const Error *err);

/* Every program of the model, or the named one, through every pass, one after the other.  Programs
 * for which the model does not allow are left out unless they are named.  `visit` sees each; its
 * exit code ends the walk when it is not EXIT_DONE. */
typedef int ProgramVisit(void *arg, Compilation *c, const CompileOptions *options, const Graph *g);
int each_program(Compilation *c, const Graph *model, const char *program,
                 const CompileOptions *options, ProgramVisit *visit, void *arg);

/* What fusion did to these programs, as text. */
int dump_fusion(Compilation *c, const Graph *model, const char *program,
                const CompileOptions *options, const char *out);

int command_bisect(Compilation *c, int argc, char **argv);      /* of room bisect */
int command_expect(Compilation *c, int argc, char **argv);
int command_pool(Compilation *c, int argc, char **argv);
int command_report(Compilation *c, int argc, char **argv);
int command_summary(Compilation *c, int argc, char **argv);

#endif
