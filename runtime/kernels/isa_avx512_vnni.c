/* The kernels that gain from AVX-512 with VNNI and BF16; the others are those of weaker sets. */
#include "runtime/kernels/select.h"

const KernelTable kernels_own_avx512_vnni = { .isa = ISA_avx512_vnni };
