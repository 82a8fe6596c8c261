/* Calling the compiler, which is a program of its own: smrun links none.
 *
 * smc is $SMC, or beside this program, or where this build has it; models/ is $SMALLMIND_MODELS, or
 * ../share/smallmind/models beside this program, or the source tree's. */
#ifndef RUNTIME_HUB_COMPILER_H
#define RUNTIME_HUB_COMPILER_H

#include "base/status.h"

#include <stdint.h>

/* What a plan is compiled from: models/NAME.smg, -D for each define, --weights for each rule, --chunk and --cache. */
enum { MAX_COMPILER_RULES = 200 };
typedef struct CompilerInput {
    const char *model;
    const char *const *define;
    uint32_t n_defines;
    const char *const *rule;
    uint32_t n_rules;
    int64_t chunk;
    const char *cache;                  /* type of keys and values; NULL: smc's default */
} CompilerInput;

/* As a plan at `out`.  On failure the message holds what smc said. */
bool compiler_run(const CompilerInput *in, const char *out, Error *err);

/* XXH3 over the .smg, the compiler and this program's plan version: what a cached plan depends on. */
bool compiler_hash(const char *model, uint64_t *out, Error *err);

#endif
