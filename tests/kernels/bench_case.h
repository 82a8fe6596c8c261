/* What the benchmark of kernels runs: a bound call, made from a line of text.
 *
 * A case is a family of kernels.def and its sizes; a new row of the table does not compile without
 * its benchmark:
 *
 *     row OP ROWS N            OP: an instruction of row programs, or softmax, norm, adamw
 *     gemm M K N TYPE LAYOUT   TYPE f32 or bf16, of A and B; LAYOUT nn, nt, tn: which is transposed
 *     gemm_shared P M K N TYPE LAYOUT   P products of one A, likewise
 *     gemm_q M K N TYPE        TYPE of the blocks of B
 *     gemm_q_shared P M K N TYPE    P products of one A
 *     masked_matmul M K N      a quarter of the rows asked for
 *     attention H T D          H heads of D numbers, T positions, causal; attention_grad likewise
 *     embedding V C N          N rows of C numbers out of V; embedding_grad likewise
 *     rope H T D, cache_write H T D
 *     cross_entropy N V, cross_entropy_grad N V, reduce_sum N V, reduce_max, reduce_min, copy N V (a
 *     transposition), decode N V
 *     partial_sum N, positions N */
#ifndef TESTS_BENCH_CASE_H
#define TESTS_BENCH_CASE_H

#include "runtime/kernels/row.h"
#include "runtime/kernels/select.h"

enum { BENCH_WORDS = 6, BENCH_ROW_CONSTS = 16, BENCH_ROW_INSTRS = 32 };

typedef struct BenchCase {
    Call call;                          /* prepared */
    Operand operand[MAX_OPERANDS];      /* each with memory of its own */
    int64_t m, k, n;                    /* of gemm, for those who compute the same elsewhere */
    bool transposed[2];                 /* A, B */
    RowProgram row;
    uint32_t consts[BENCH_ROW_CONSTS];
    uint8_t per_row[BENCH_ROW_CONSTS];
    RowInstr instrs[BENCH_ROW_INSTRS];
} BenchCase;

/* False when the line is no case.  The caller closes what was opened. */
bool bench_case_open(BenchCase *b, const char *line, Error *err);
void bench_case_close(BenchCase *b);

/* A case of every family, then every instruction of row programs, in L1 and from memory; NULL behind the
 * last.  `buffer` holds the line. */
const char *bench_case_default(int index, char buffer[128]);

#endif
