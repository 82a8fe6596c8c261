/* For every op that has a gradient, small graphs that use it: each case gives its op's result from
 * parameters.  Shared by the tests that take each op through a pass. */
#ifndef TESTS_PASSES_OPS_CASES_H
#define TESTS_PASSES_OPS_CASES_H

#include "lab.h"

typedef struct OpCase {
    OpId op;
    const char *name;
    ValueId (*build)(Lab *l);
} OpCase;

extern const OpCase op_cases[];
extern const int n_op_cases;

/* Has the op's row a gradient that is neither `none` nor `zero`? */
bool op_has_gradient(OpId op);

/* A graph of program train with the case's result as output `y` and a weighted sum of it as `loss`,
 * evaluated at symbol sizes 2 and 3. */
void op_case_begin(Lab *l, const OpCase *c);

#endif
