/* What rope and cache_write, which may turn what it writes, have in common. */
#ifndef KERNELS_ROPE_H
#define KERNELS_ROPE_H

#include "runtime/kernels/operand.h"

/* Operand `x` [B, G, T, D]; positions, and factors behind them when the call has that many operands. */
bool rope_check_turn(const Call *call, int32_t x, int32_t positions, Error *err);

/* The grid, for new rows in operand 1; derived: 0 positions a task. */
void rope_prepare_turn(Call *call);
size_t rope_scratch_turn(const Call *call);

#endif
