/* Calling the compiler, which is a program of its own: smrun links none.
 *
 * smc is $SMC, or beside this program, or where this build has it; models/ is $SMALLMIND_MODELS, or
 * ../share/smallmind/models beside this program, or the source tree's. */
#ifndef RUNTIME_HUB_COMPILER_H
#define RUNTIME_HUB_COMPILER_H

#include "base/status.h"

#include <stdint.h>

/* models/NAME.smg with these defines, as a plan at `out`.  On failure the message holds what smc said
 * last. */
bool compiler_run(const char *model, const char *const *define, uint32_t n_defines, const char *out,
                  Error *err);

/* XXH3 over the .smg, the compiler and this program's plan version: what a cached plan depends on. */
bool compiler_hash(const char *model, uint64_t *out, Error *err);

#endif
