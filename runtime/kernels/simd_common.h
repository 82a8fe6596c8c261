/* What the vocabularies share: names that follow from the others.  Included by each simd_<isa>.h,
 * where the words are explained (simd_scalar.h). */
#ifndef KERNELS_SIMD_COMMON_H
#define KERNELS_SIMD_COMMON_H

#include <string.h>

#ifndef VI_HIGH_PAIR
static inline vi vi_high_pair(vi a, vi b)
{
    uint16_t half[2 * VL];
    int32_t lane[VL];
    vi_store_high(half, a);
    vi_store_high(half + VL, b);
    memcpy(lane, half, sizeof lane);
    return vi_load(lane);
}
#endif

/* v_max gives b where either is a NaN, so only a NaN in a has to be put back. */
static inline vf v_max_nan(vf a, vf b) { return v_select(v_ne(a, a), a, v_max(a, b)); }
static inline vf v_min_nan(vf a, vf b) { return v_select(v_ne(a, a), a, v_min(a, b)); }

#endif
