/* Packing a matrix for the products that read it. */
#include "runtime/kernels/gemm_packed.h"

#include "base/check.h"

enum { SIDE = GEMM16_SIDE, STEP = GEMM16_STEP };

bool gemm_packed_bytes(int64_t k, int64_t n, size_t *out)
{
    int64_t rows, columns, bytes;
    if (k < 0 || n < 0 || !i64_add(k, STEP - 1, &rows) || !i64_add(n, GEMM16_NR - 1, &columns)
        || !i64_mul(rows / STEP * STEP, columns / GEMM16_NR * GEMM16_NR, &bytes)
        || !i64_mul(bytes, sizeof(uint16_t), &bytes))
        return false;
    *out = (size_t)bytes;
    return true;
}

/* Element (k, n), or zero past the ends. */
static uint16_t element(const GemmUnpacked *m, int64_t k, int64_t n)
{
    return k < m->k && n < m->n ? m->data[k * m->n + n] : 0;
}

static void pack_square(const GemmUnpacked *m, OperandLayout layout, int64_t k, int64_t n, uint16_t *to)
{
    const int64_t pair = layout == LAYOUT_PAIRS ? 2 : 1, half = layout == LAYOUT_PAIRS ? 1 : SIDE;
    const bool whole = k + STEP <= m->k && n + SIDE <= m->n;
    for (int64_t j = 0; j < SIDE; j++, to += STEP) {
        const int64_t first = k + j * pair, second = first + half;
        for (int64_t c = 0; c < SIDE; c++) {
            to[2 * c] = whole ? m->data[first * m->n + n + c] : element(m, first, n + c);
            to[2 * c + 1] = whole ? m->data[second * m->n + n + c] : element(m, second, n + c);
        }
    }
}

void gemm_packed_fill(const GemmUnpacked *from, OperandLayout layout, int64_t first, int64_t last,
                      uint16_t *to)
{
    to += first * gemm_packed_panel(from->k);
    for (int64_t p = first; p < last; p++)
        for (int64_t k = 0; k < from->k; k += STEP)
            for (int64_t q = 0; q < 2; q++, to += GEMM16_SQUARE)
                pack_square(from, layout, k, p * GEMM16_NR + q * SIDE, to);
}

bool gemm_packed_is_finite(const uint16_t *x, int64_t n)
{
    bool odd = false;
    for (int64_t i = 0; i < n; i++)
        odd |= (x[i] & 0x7f80) == 0x7f80;
    return !odd;
}

bool gemm_reads_as_b(const Call *call, int32_t i, bool *split)
{
    const bool shared = call->kernel == KERNEL_gemm_shared;
    const int32_t results = kernel_results(call->kernel, call->n_operands);
    const Operand *a = &call->operand[results], *b = &call->operand[i];
    if ((call->kernel != KERNEL_gemm && !shared) || i <= results || (!shared && i != results + 1)
        || b->dtype != DTYPE_bf16)
        return false;
    for (int32_t axis = 0; axis < b->rank - 2; axis++)
        if (b->stride[axis] != 0 && b->dim[axis] != 1)
            return false;
    *split = a->dtype == DTYPE_f32 && call->i[4] == 0;
    const int64_t n = b->dim[b->rank - 1];
    return n > 1 && b->stride[b->rank - 1] == 1 && b->stride[b->rank - 2] == n;
}
