/* Axes of an operation between two tensors of one shape, put in order and joined where memory
 * allows, so that bodies meet few axes and long ones.  Kept in a Call's derived words. */
#ifndef KERNELS_AXES_H
#define KERNELS_AXES_H

#include "runtime/kernels/operand.h"

typedef struct Axis {
    int64_t dim, out, in;       /* size, and the strides of the two tensors */
} Axis;

typedef struct Axes {
    int32_t n;
    Axis axis[MAX_RANK];
} Axes;

enum { AXES_WORDS = 1 + 3 * MAX_RANK };

static inline void axes_add(Axes *a, int64_t dim, int64_t out, int64_t in)
{
    if (dim != 1)
        a->axis[a->n++] = (Axis){ dim, out, in };
}

/* Largest strides of the output (of the input, where equal) first: what is written is written in
 * order. */
static inline void axes_sort(Axes *a)
{
    for (int32_t i = 1; i < a->n; i++)
        for (int32_t j = i; j > 0; j--) {
            Axis *x = &a->axis[j - 1], *y = &a->axis[j];
            if (x->out > y->out || (x->out == y->out && x->in >= y->in))
                break;
            Axis t = *x;
            *x = *y;
            *y = t;
        }
}

/* Joins neighbours that are one axis in both tensors. */
static inline void axes_join(Axes *a)
{
    int32_t n = 0;
    for (int32_t i = 0; i < a->n; i++) {
        Axis x = a->axis[i];
        Axis *outer = n > 0 ? &a->axis[n - 1] : NULL;
        if (outer && outer->out == x.out * x.dim && outer->in == x.in * x.dim)
            *outer = (Axis){ outer->dim * x.dim, x.out, x.in };
        else
            a->axis[n++] = x;
    }
    a->n = n;
}

static inline int64_t axes_count(const Axes *a, int32_t n)
{
    int64_t count = 1;
    for (int32_t i = 0; i < n; i++)
        count *= a->axis[i].dim;
    return count;
}

/* Offsets of element `index` of the row-major order over the first `n` axes. */
static inline void axes_offsets(const Axes *a, int32_t n, int64_t index, int64_t *out, int64_t *in)
{
    *out = *in = 0;
    for (int32_t i = n - 1; i >= 0; i--) {
        const Axis *x = &a->axis[i];
        int64_t at = i > 0 ? index % x->dim : index;
        *out += at * x->out;
        *in += at * x->in;
        index /= x->dim;
    }
}

static inline void axes_save(const Axes *a, int64_t words[AXES_WORDS])
{
    words[0] = a->n;
    for (int32_t i = 0; i < a->n; i++) {
        words[1 + 3 * i] = a->axis[i].dim;
        words[2 + 3 * i] = a->axis[i].out;
        words[3 + 3 * i] = a->axis[i].in;
    }
}

static inline Axes axes_load(const int64_t words[AXES_WORDS])
{
    Axes a = { .n = (int32_t)words[0] };
    for (int32_t i = 0; i < a.n; i++)
        a.axis[i] = (Axis){ words[1 + 3 * i], words[2 + 3 * i], words[3 + 3 * i] };
    return a;
}

#endif
