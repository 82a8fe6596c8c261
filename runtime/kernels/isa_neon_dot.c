/* The kernels that gain from NEON's dot product of bytes; the others are those of NEON. */
#include "runtime/kernels/select.h"
#include "runtime/kernels/simd_neon.h"

#define K(name) k_##name##_neon_dot
static KernelFn K(gemm_q), K(gemm_q_shared);
#include "runtime/kernels/gemm_q.inc"
#include "runtime/kernels/probe_int8.inc"

static KernelFn K(masked_matmul);
#define MASKED_GEMM kernels_own_neon.run[KERNEL_gemm]
#include "runtime/kernels/masked_matmul.inc"

const KernelTable kernels_own_neon_dot = {
    .isa = ISA_neon_dot,
    .probe = { .int8 = { K(probe_int8), K(PROBE_INT8_OPS) } },
    .run = { [KERNEL_gemm_q] = K(gemm_q), [KERNEL_gemm_q_shared] = K(gemm_q_shared),
             [KERNEL_masked_matmul] = K(masked_matmul) },
};
