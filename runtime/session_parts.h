/* What a session consists of.  Private to the files session*.c:
 *
 *     session_layout.c    the one block that everything lies in
 *     session_bind.c      a program's calls and addresses at given sizes
 *     session_weights.c   parameters packed for a generation, and their rounded copies
 *     session.c           opening, storages, running */
#ifndef RUNTIME_SESSION_PARTS_H
#define RUNTIME_SESSION_PARTS_H

#include "runtime/barriers.h"
#include "runtime/session.h"
#include "runtime/threads.h"
#include "runtime/weight_packing.h"

enum { LARGE_PAGE = 2 << 20 };

/* A program with its addresses filled in.  Calls and operands stand in the order of the plan. */
typedef struct BoundProgram {
    const PlanProgram *plan;            /* NULL: not part of this session */
    bool bound;
    int64_t sizes[MAX_SYMBOLS];
    Call *calls;                        /* n_instrs */
    Operand *operands;                  /* of all calls, one after the other */
    RowProgram *rows;                   /* one per call of family row */
    uint32_t *consts;
    Extent *extents;                    /* of operands; for barriers_keep */
    bool *meet;                         /* do all threads meet before instruction k? */
    uint32_t n_barriers;
} BoundProgram;

struct Session {
    const Plan *plan;
    const KernelTable *kernels;
    int n_threads;
    BoundProgram program[N_PLAN_PROGRAMS];
    char **storage;                     /* per storage of the plan, NULL: not held */
    WeightPacking *packing;             /* likewise: what session_pack makes of it */
    OperandLayout *layout;              /* and what it is now */
    bool *changed;                      /* per storage: a copy of it may be out of date */
    bool any_changed;
    char *pool;
    char *scratch;
    size_t scratch_stride;              /* bytes of one thread */
    Team *team;                         /* n_threads */
};

/* Lays the session out from `base` on, and returns it; with base NULL it only counts, into *size, and returns NULL.
 * False when that is more than can be counted. */
bool session_lay_out(char *base, const Plan *p, const SessionOptions *o, const KernelTable *kernels, Session **out,
                     SessionSize *size);

/* Fills a call from instruction `index` for these sizes; data pointers are NULL, and `starts` the byte offsets of
 * operands in their storages.  False when a size is none that the plan allows. */
bool call_bind(const Plan *p, uint32_t index, const int64_t sizes[MAX_SYMBOLS], Call *call, Operand *operands,
               int64_t *starts, RowProgram *row, uint32_t *consts);

/* Fills all calls of b for b->sizes. */
void program_bind(Session *s, BoundProgram *b);

/* After this, rounded copies are what the parameters are, as the optimizer keeps them from run to run. */
void session_round_changed(Session *s);

/* Where an operand's storage lies: a parameter's or input's own memory, or the pool. */
char *session_operand_base(const Session *s, const PlanOperand *o);

#endif
