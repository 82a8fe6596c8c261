/* A session: a plan at work, in one block of memory.
 *
 * The block holds storages (weights, state, inputs), the TensorPool that the programs share, the
 * bound instructions, and scratch for each thread.  Its size is known before it is taken
 * (session_bytes); nothing is allocated afterwards, and a run cannot fail.
 *
 *     session_open -> fill weights -> session_bind(program, sizes) -> fill inputs -> session_run
 *
 * The same inputs give the same bits for any number of threads. */
#ifndef RUNTIME_SESSION_H
#define RUNTIME_SESSION_H

#include "runtime/kernels/select.h"
#include "runtime/plan.h"
#include "runtime/threads.h"

typedef struct SessionOptions {
    int n_threads;                      /* >= 1 */
    const char *cpu;                    /* narrows the instruction set; NULL: the best there is */
    uint32_t programs;                  /* bit per PlanProgramKind; storages and pool of others are
                                           not taken */
    void *const *given;                 /* per storage of the plan, NULL or where its content lies
                                           already, such as in a copy-on-write map of a file: as a
                                           session keeps it, aligned to its element, there as long
                                           as the session.  NULL: nothing is given */
    bool pack;                          /* weights that are not given and that its programs only
                                           multiply with are kept as its kernels read them best
                                           (weight_packing.h); not for one that is saved */
    bool near;                          /* the last cache holds the weights: they are coded where
                                           PackFor.codes_near, and so are floats; else bf16 alone is */
} SessionOptions;

/* Where the bytes of a session go; the sum of all is `total`. */
typedef struct SessionSize {
    size_t params, state, inputs, pool, scratch, instrs, total;
} SessionSize;

typedef struct Session Session;

bool session_size(const Plan *p, const SessionOptions *o, SessionSize *out, Error *err);

/* The plan must outlive the session.  Storages start as zeros; parameters too (see weights_init). */
bool session_open(const Plan *p, const SessionOptions *o, Session **out, Error *err);
void session_close(Session *s);

const Plan *session_plan(const Session *s);
const KernelTable *session_kernels(const Session *s);
int session_threads(const Session *s);
/* Runs it on each of the session's threads, for work between runs: other threads would spin beside these. */
void session_each_thread(Session *s, TeamFn *run, void *data);

/* Data of a storage, dense and row-major, aligned to 64 where it was not given; NULL when the session
 * does not hold it.  Who asks for a parameter may write it: before the next run the session makes anew
 * what it keeps of that in bf16 (PlanStorage.rounded_of).  Who writes again behind that run asks again. */
void *session_storage(Session *s, int32_t storage);
void *session_storage_named(Session *s, const char *name);
/* To be called when a parameter has been written as files have it, row after row: brings one of blocks into
 * the panels that kernels read (kernels/panel.h), one that `pack` is about into its layout, in place; others
 * stay.  May be written whole and packed again. */
void session_pack(Session *s, int32_t storage);
/* How a storage lies now. */
OperandLayout session_layout(const Session *s, int32_t storage);

/* Sets the sizes of a program's symbols, 1 .. max each; cheap when they are as before. */
bool session_bind(Session *s, PlanProgramKind program, const int64_t sizes[MAX_SYMBOLS],
                  Error *err);
/* Runs the program as bound. */
void session_run(Session *s, PlanProgramKind program);

/* Where the time of a run goes, by a clock of the caller's. */
typedef uint64_t ClockFn(void);
typedef struct SessionSpan {
    uint64_t ready, begin, end;         /* the thread came to the instruction, had met the others
                                           where they meet, was done with its share */
} SessionSpan;
/* As session_run; thread t's span of instruction k goes to spans[t * n_instrs + k].  A span is ready
 * the moment the one before it ends, so the spans of a thread leave no gap. */
void session_run_timed(Session *s, PlanProgramKind program, ClockFn *now, SessionSpan *spans);

/* Instruction `k` of the program as bound; borrowed, valid until the next session_bind. */
const Call *session_call(const Session *s, PlanProgramKind program, uint32_t k);

/* Do the threads meet before instruction `k` of the program as bound?  How often in a run? */
bool session_meets_before(const Session *s, PlanProgramKind program, uint32_t k);
uint32_t session_barriers(const Session *s, PlanProgramKind program);

/* An output of the last run, valid until the next; false when there is none of that name. */
bool session_output(const Session *s, PlanProgramKind program, const char *name, Operand *out);

/* Every id of an index input within its limit?  For `count` elements of the storage. */
bool session_check_ids(const Session *s, int32_t storage, size_t count, Error *err);

#endif
