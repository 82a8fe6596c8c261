/* The kernels that gain from AMX: tiles of bf16 and of bytes; the others are those of weaker sets. */
#include "runtime/kernels/amx_tiles.h"
#include "runtime/kernels/select.h"
#include "runtime/kernels/simd_avx512.h"

#include <string.h>

#define K(name) k_##name##_amx
#define GEMM16_TILES "runtime/kernels/gemm_amx.inc"
#define GEMM_TABLE kernels_own_avx512
#include "runtime/kernels/gemm_bf16.inc"

#include "runtime/kernels/math.inc"
#include "runtime/kernels/attention_amx.inc"

static KernelFn K(gemm_q), K(gemm_q_shared);
#define GEMM_Q_TILES "runtime/kernels/gemm_q_amx.inc"
#include "runtime/kernels/gemm_q.inc"
#include "runtime/kernels/probe_amx.inc"

static KernelFn K(masked_matmul);
#include "runtime/kernels/masked_matmul.inc"

const KernelTable kernels_own_amx = {
    .isa = ISA_amx,
    .probe = { .bf16 = { K(probe_bf16), PROBE_BF16_OPS }, .int8 = { K(probe_int8), PROBE_INT8_OPS } },
    .packs = { .split = LAYOUT_HALVES, .whole = LAYOUT_PAIRS },
    .run = { [KERNEL_gemm] = K(gemm), [KERNEL_gemm_shared] = K(gemm_shared),
             [KERNEL_gemm_q] = K(gemm_q), [KERNEL_gemm_q_shared] = K(gemm_q_shared),
             [KERNEL_masked_matmul] = K(masked_matmul),
             [KERNEL_attention] = K(attention), [KERNEL_attention_grad] = K(attention_grad) },
};
