/* The kernels that gain from AVX-512 with VNNI and BF16; the others are those of weaker sets. */
#include "runtime/kernels/select.h"
#include "runtime/kernels/simd_avx512.h"

#include <string.h>

#define K(name) k_##name##_avx512_vnni
#define GEMM16_TILES "runtime/kernels/gemm_avx512_vnni.inc"
#define GEMM_TABLE kernels_own_avx512
#include "runtime/kernels/gemm_bf16.inc"

static KernelFn K(gemm_q), K(gemm_q_shared);
#include "runtime/kernels/gemm_q.inc"
#include "runtime/kernels/probe_dot.inc"

static KernelFn K(masked_matmul);
#include "runtime/kernels/masked_matmul.inc"

const KernelTable kernels_own_avx512_vnni = {
    .isa = ISA_avx512_vnni,
    .probe = { .bf16 = { K(probe_bf16), PROBE_BF16_OPS }, .int8 = { K(probe_int8), PROBE_INT8_OPS } },
    .packs = { .whole = LAYOUT_PAIRS },
    .run = { [KERNEL_gemm] = K(gemm), [KERNEL_gemm_shared] = K(gemm_shared),
             [KERNEL_gemm_q] = K(gemm_q), [KERNEL_gemm_q_shared] = K(gemm_q_shared),
             [KERNEL_masked_matmul] = K(masked_matmul) },
};
