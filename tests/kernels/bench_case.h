/* What the benchmark of kernels runs: a bound call, made from a line of text.
 *
 * A case is a family of kernels.def and its sizes; a new row of the table does not compile without
 * its benchmark:
 *
 *     row OP ROWS N            OP: an instruction of row programs, or softmax, norm, adamw
 *     gemm M K N TYPE LAYOUT [BATCH] [packed|coded] [cold]
 *                              LAYOUT nn, nt, tn: which of A and B is transposed; TYPE of both f32 or bf16,
 *                              or: weights (A f32, B bf16, multiplied in bf16), wide (the same, multiplied
 *                              in float), rounded (both f32, multiplied in bf16); packed: B is, before, as
 *                              sessions pack weights (gemm_packed.h), where the set asks for that;
 *                              coded: or as they code them (gemm_coded.h), where that saves bytes
 *     gemm_shared P M K N TYPE LAYOUT   P products of one A; TYPE f32 or bf16
 *     gemm_q M K N TYPE [cold] TYPE of the blocks of B
 *     gemm_q_shared P M K N TYPE    P products of one A
 *     masked_matmul M K N      a quarter of the rows asked for
 *     attention H T D [GROUPS [PAST [TYPE]]] | H T D rounded
 *                              H heads of D numbers, T positions behind PAST others, causal, GROUPS heads
 *                              of keys, which a cache of TYPE keeps; attention_grad H T D [rounded]
 *     embedding V C N          N rows of C numbers out of V; embedding_grad likewise
 *     rope H T D, cache_write H T D
 *     cross_entropy N V, cross_entropy_grad N V, reduce_sum N V, reduce_max, reduce_min, copy N V (a
 *     transposition), decode N V
 *     partial_sum N, positions N
 *
 * `cold`: each run has another B, out of more than the caches hold, as weights are read for a token. */
#ifndef TESTS_BENCH_CASE_H
#define TESTS_BENCH_CASE_H

#include "runtime/kernels/row.h"
#include "runtime/kernels/select.h"

enum { BENCH_WORDS = 7, BENCH_ROW_CONSTS = 16, BENCH_ROW_INSTRS = 32 };

typedef struct BenchCase {
    Call call;                          /* prepared */
    Operand operand[MAX_OPERANDS];      /* each with memory of its own */
    int64_t m, k, n;                    /* of gemm, for those who compute the same elsewhere */
    int64_t batch;                      /* of gemm */
    PackFor packs;                      /* the set's */
    bool transposed[2];                 /* A, B */
    int cold;                           /* operand that changes with each run; 0: none does */
    char *ring;                         /* its copies */
    int64_t n_copies, copy_bytes, turn;
    RowProgram row;
    uint32_t consts[BENCH_ROW_CONSTS];
    uint8_t per_row[BENCH_ROW_CONSTS];
    RowInstr instrs[BENCH_ROW_INSTRS];
} BenchCase;

/* False when the line is no case, or none of the set's.  The caller closes what was opened. */
bool bench_case_open(BenchCase *b, const char *line, const KernelTable *table, Error *err);
void bench_case_close(BenchCase *b);
/* Before each run. */
void bench_case_turn(BenchCase *b);

/* A case of every family, then every instruction of row programs, in L1 and from memory; NULL behind the
 * last.  `buffer` holds the line. */
const char *bench_case_default(int index, char buffer[128]);
/* More of those with which work is done on products, attention and row programs. */
const char *bench_case_further(int index, char buffer[128]);

#endif
