/* A model of models/ compiled in memory, and storages filled: where most end-to-end tests begin. */
#ifndef TESTS_E2E_COMPILED_H
#define TESTS_E2E_COMPILED_H

#include "codegen/compile.h"
#include "runtime/session.h"

/* Which model at which sizes. */
typedef struct ModelSpec {
    const char *name;                   /* models/NAME.smg */
    const char *defines[24];            /* up to the first NULL */
} ModelSpec;

typedef struct Compiled {
    Buf bytes;
    Plan plan;
} Compiled;

/* Bytes of the plan; diagnostics fail the test.  `out` begins empty. */
void compile_bytes(const ModelSpec *spec, const CompileOptions *options, Buf *out);

void compiled_open(Compiled *c, const ModelSpec *spec, const CompileOptions *options);
void compiled_close(Compiled *c);

/* A session of the programs in `programs` (bits); a failure fails the test. */
Session *compiled_session(const Compiled *c, uint32_t programs, int n_threads, const char *cpu);

/* A number for every element of storage `id`, the same for the same seed and name: ids below their
 * limit, weights around their first values, no state, a small rate and a clipping norm of 1.
 * `programs` are those that the session was opened for. */
void fill_storage(Session *s, uint32_t programs, int32_t id, uint64_t seed);
void fill_storages(Session *s, uint32_t programs, uint64_t seed);

/* Bytes of a storage at its largest in the programs that the bits name; 0 when none uses it. */
size_t storage_bytes(const Plan *p, int32_t id, uint32_t programs);

/* Every symbol at its largest in the program. */
void largest_sizes(const Plan *p, PlanProgramKind program, int64_t sizes[MAX_SYMBOLS]);

/* Binds at these sizes or fails the test. */
void bind(Session *s, PlanProgramKind program, const int64_t sizes[MAX_SYMBOLS]);

/* An output or a failed test. */
Operand output(const Session *s, PlanProgramKind program, const char *name);

/* Appends the bytes of every output of the program, of every storage that the session holds. */
void record_outputs(Buf *out, const Session *s, PlanProgramKind program);
void record_storages(Buf *out, Session *s, uint32_t programs);

#endif
