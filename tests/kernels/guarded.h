/* What every kernel test stands on: draws, memory whose end is the end of the world, where the elements of
 * an operand lie, and the instruction sets that this processor has.
 *
 * Draws are one sequence a program, from its start: the same at every run. */
#ifndef TESTS_KERNELS_GUARDED_H
#define TESTS_KERNELS_GUARDED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "runtime/kernels/operand.h"
#include "runtime/kernels/select.h"

/* Half the distance from 1 to the next float. */
#define ULP (0x1p-24)

/* Has the processor the instruction set, and the set a kernel of this family for itself? */
bool isa_brings(int isa, KernelId family);

/* Uniform in 0..n-1. */
int64_t draw(int64_t n);

/* Uniform in (-1, 1). */
float draw_float(void);

/* Memory that ends where a page that may not be touched begins. */
typedef struct Guarded {
    void *map;
    size_t mapped, bytes;
    float *p;
} Guarded;

Guarded guarded(size_t bytes);
void release(Guarded *g);

/* Where element `index` of the row-major order lies. */
static inline int64_t at(const Operand *o, int64_t index)
{
    int64_t offset = 0;
    for (int i = o->rank - 1; i >= 0; i--) {
        offset += index % o->dim[i] * o->stride[i];
        index /= o->dim[i];
    }
    return offset;
}

static inline int64_t elements(const Operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->rank; i++)
        n *= o->dim[i];
    return n;
}

/* Numbers of memory from the first element of `o` to its last. */
int64_t extent(const Operand *o);

#endif
