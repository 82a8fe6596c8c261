/* Command lines: one table per command says what it takes, and parsing, checking and --help all read
 * it.
 *
 *     Args a = { .usage = "smrun score PLAN --data FILE", .options = options, .n = COUNT_OF(options) };
 *     if (!args_parse(&a, argc, argv, &err)) ...
 *
 * `--name value`, `--name=value`, `-o value` and flags are understood; `--` ends the options.  An
 * unknown option is an error that names the nearest known one. */
#ifndef BASE_ARGS_H
#define BASE_ARGS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ArgKind {
    ARG_FLAG,                           /* bool */
    ARG_STRING,                         /* const char * */
    ARG_LIST,                           /* ArgList: may be given several times */
    ARG_REST,                           /* ArgList: takes every argument up to the next option */
    ARG_INT,                            /* int64_t within [lo, hi] */
    ARG_DOUBLE,                         /* double within [lo, hi] */
    ARG_BYTES,                          /* uint64_t: 700M, 1.5G */
    ARG_CHOICE,                         /* const char *: one of the words of `choices` */
} ArgKind;

enum { MAX_ARG_LIST = 256 };
typedef struct ArgList {
    const char *item[MAX_ARG_LIST];
    uint32_t n;
} ArgList;

typedef struct Arg {
    const char *name;                   /* "--batch", "-o" */
    const char *value;                  /* what stands for the value in --help; NULL for a flag */
    ArgKind kind;
    void *target;                       /* of the kind's type, holding the default */
    const char *help;
    double lo, hi;                      /* both 0: no bounds */
    const char *choices;                /* "cosine|linear|constant" */
} Arg;

typedef struct Args {
    const char *usage;                  /* one line */
    const char *about;                  /* what the command does, a paragraph and examples */
    const Arg *options;
    size_t n;
    const char *positional[256];        /* filled: what was not an option */
    uint32_t n_positional, max_positional;
    bool help;                          /* --help or -h was there */
} Args;

bool args_parse(Args *a, int argc, char **argv, Error *err);
void args_help(Buf *out, const Args *a);

#endif
