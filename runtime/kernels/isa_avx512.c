/* Every kernel, built for AVX-512 F, BW, DQ and VL. */
#include "runtime/kernels/simd_avx512.h"

#define K(name) k_##name##_avx512
#define KERNELS_ISA ISA_avx512
#define KERNELS_TABLE kernels_own_avx512
#include "runtime/kernels/isa.inc"
