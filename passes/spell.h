/* Ops spelled from simpler ones, where two passes need the same spelling. */
#ifndef PASSES_SPELL_H
#define PASSES_SPELL_H

#include "ir/build.h"

/* How many elements one result of a reduction over `axes` is made of. */
Dim spell_reduced(const Shape *shape, int64_t axes);

/* x / n, as a multiplication by what is computed once. */
ValueId spell_divide(Builder *b, ValueId x, Dim n);

/* bool [T, S] for scores [.., T, S]: key s stands at or before query t. */
ValueId spell_visible(Builder *b, const Shape *scores);

#endif
