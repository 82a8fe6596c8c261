/* Every kernel, built for C alone. */
#include "runtime/kernels/simd_scalar.h"

#define K(name) k_##name##_scalar
#define KERNELS_ISA ISA_scalar
#define KERNELS_TABLE kernels_own_scalar
#include "runtime/kernels/isa.inc"
