/* Is what a pass made of a graph right?
 *
 * Most passes keep the meaning, and both graphs are evaluated.  Five derive a new program, and each
 * has a judge of its own that knows nothing of how it is done: the model itself for `specialize`,
 * central differences for `autodiff`, the optimizers' formulas for `update`, the whole sequence at
 * once for `cache`, its last position for `last`. */
#ifndef BISECT_ORACLE_H
#define BISECT_ORACLE_H

#include "bisect/trial.h"

/* False with what differs.  `before` and `after` stay as they are; `in` has the sizes to run at,
 * within those of both graphs. */
bool oracle_judge(const char *pass, const Graph *before, const Graph *after, const TrialInputs *in,
                  Arena *arena, Difference *difference);

/* The judges that are not "the same numbers", one file each or nearly. */
typedef bool OracleFn(const Graph *before, const Graph *after, const TrialInputs *in, Arena *arena,
                      Difference *difference);
OracleFn oracle_specialize, oracle_autodiff, oracle_update, oracle_cache, oracle_last;

/* |got - want| <= tolerance * size; NaN only where NaN is wanted.  Says so of `name`[i]. */
bool oracle_near(const char *name, int64_t i, double got, double want, double bound,
                 Difference *difference);

#endif
