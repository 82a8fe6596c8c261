/* The kernels that gain from AMX: tiles of bf16 and of bytes; the others are those of weaker sets. */
#include "runtime/kernels/select.h"

const KernelTable kernels_own_amx = { .isa = ISA_amx };
