/* Every kernel, built for AVX2, FMA and F16C. */
#include "runtime/kernels/simd_avx2.h"

#define K(name) k_##name##_avx2
#define KERNELS_ISA ISA_avx2
#define KERNELS_TABLE kernels_own_avx2
#define GEMM_Q_TILES "runtime/kernels/gemm_q_pairs.inc"
#include "runtime/kernels/isa.inc"
