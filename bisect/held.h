/* What a session holds, and what the evaluator holds: from one to the other. */
#ifndef BISECT_HELD_H
#define BISECT_HELD_H

#include "bisect/trial.h"
#include "runtime/session.h"

/* A graph's program by its name in plans. */
PlanProgramKind held_kind(Program p);

/* The elements of an operand of lanes or bf16, in row-major order. */
Tensor held_tensor(const Operand *o, Arena *arena);

/* A storage of the graph as it stands in the session, dense; `like` has its sizes.  False when the
 * session does not hold it, or as a parameter in blocks, whose numbers stand in panels. */
bool held_storage(Session *s, const Storage *storage, const Tensor *like, Arena *arena, Tensor *out);

/* Fills every storage that the session holds with the trial's numbers; stored types as files have
 * them. */
void held_fill(Session *s, const Graph *g, const TrialInputs *in, Arena *arena);

#endif
