/* Reductions of VL vectors at once: lane i of what is returned is the reduction of x[i], with the bits that
 * v_reduce_add or (where none of them is a NaN) v_reduce_max gives.  Changes x.
 *
 * A step makes one vector of two, with half as many lanes of each as before; so VL of them take VL - 1 steps,
 * where reducing each alone takes VL log VL.  Included by each simd_<isa>.h, which has for h = VL / 2 .. 1
 *  v_swap<h>(a)       lanes i and i ^ h exchanged
 *  v_mix<h>(a, b)     lane i of b where i & h, else of a */
#ifndef KERNELS_SIMD_EACH_H
#define KERNELS_SIMD_EACH_H

#define V_EACH_STEP(op, h)                                                                   \
    for (int i = 0; i < h; i++)                                                              \
        x[i] = op(v_mix##h(x[i], x[i + h]), v_swap##h(v_mix##h(x[i + h], x[i])));

#if VL == 16
#define V_EACH(op) V_EACH_STEP(op, 8) V_EACH_STEP(op, 4) V_EACH_STEP(op, 2) V_EACH_STEP(op, 1)
#elif VL == 8
#define V_EACH(op) V_EACH_STEP(op, 4) V_EACH_STEP(op, 2) V_EACH_STEP(op, 1)
#else
#define V_EACH(op) V_EACH_STEP(op, 2) V_EACH_STEP(op, 1)
#endif

static inline __attribute__((always_inline)) vf v_add_each(vf x[VL])
{
    V_EACH(v_add)
    return x[0];
}

static inline __attribute__((always_inline)) vf v_max_each(vf x[VL])
{
    V_EACH(v_max)
    return x[0];
}

#undef V_EACH
#undef V_EACH_STEP

#endif
