/* Between the files of the benchmark's cases: the words of a line, the operands that they ask for, and one function
 * for each family, which builds its call and is false when the words are no case of it. */
#ifndef TESTS_BENCH_BUILD_H
#define TESTS_BENCH_BUILD_H

#include "tests/kernels/bench_case.h"

/* The words behind the family's name. */
typedef struct Words {
    int n;
    char word[BENCH_WORDS][24];
} Words;

/* Word i as a size, 1 where it is none. */
int64_t size_at(const Words *w, int i);
bool word_is(const Words *w, int i, const char *word);

/* Zeros in large pages, as a session's block is; for free(). */
void *bench_memory(size_t bytes);

/* Adds an operand that is filled: row-major, of sizes x, y, z with leading ones left out. */
Operand *bench_add(BenchCase *b, DType t, int64_t x, int64_t y, int64_t z, int rank);
void bench_floats(BenchCase *b, int64_t rows, int64_t columns);
void bench_ids(BenchCase *b, int64_t n);
/* [1, h, rows, columns] */
void bench_heads(BenchCase *b, int64_t h, int64_t rows, int64_t columns);

/* The same memory, transposed. */
void bench_transpose(Operand *o);

/* Operand `i` comes from a ring of copies of what it has in `bytes`. */
void bench_make_cold(BenchCase *b, int i, int64_t bytes);

#define KERNEL(name, min, max) bool build_##name(BenchCase *b, const Words *w);
#include "runtime/kernels/kernels.def"

#endif
