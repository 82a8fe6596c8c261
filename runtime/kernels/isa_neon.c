/* Every kernel, built for NEON of 64-bit Arm. */
#include "runtime/kernels/simd_neon.h"

#define K(name) k_##name##_neon
#define KERNELS_ISA ISA_neon
#define KERNELS_TABLE kernels_own_neon
#include "runtime/kernels/isa.inc"
