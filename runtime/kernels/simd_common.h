/* What the vocabularies share: names that follow from the others.  Included by each simd_<isa>.h,
 * where the words are explained (simd_scalar.h). */
#ifndef KERNELS_SIMD_COMMON_H
#define KERNELS_SIMD_COMMON_H

/* v_max gives b where either is a NaN, so only a NaN in a has to be put back. */
static inline vf v_max_nan(vf a, vf b) { return v_select(v_ne(a, a), a, v_max(a, b)); }
static inline vf v_min_nan(vf a, vf b) { return v_select(v_ne(a, a), a, v_min(a, b)); }

#endif
