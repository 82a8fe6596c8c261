/* Which kernels this processor runs.  The table is chosen once, when a session opens. */
#ifndef KERNELS_SELECT_H
#define KERNELS_SELECT_H

#include "runtime/kernels/gemm_coded.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/probe.h"
#include "runtime/kernels/row.h"

typedef enum Isa {
#define ISA(name) ISA_##name,
#include "runtime/kernels/isas.def"
    N_ISAS
} Isa;

/* Where values of a row instruction lie: element (r, j) at p[r * row + j * col], col 0 or 1. */
typedef struct Lane {
    float *p;
    ptrdiff_t row, col;
} Lane;

/* dst (r, j) for r < rows, j < n; the destination's col is 1 unless n is 1. */
typedef void Map1Fn(size_t rows, size_t n, Lane dst, Lane a);
typedef void Map2Fn(size_t rows, size_t n, Lane dst, Lane a, Lane b);
typedef void Map3Fn(size_t rows, size_t n, Lane dst, Lane a, Lane b, Lane c);
/* dst (r, 0) from row r of a, in the canonical tree. */
typedef void ReduceFn(size_t rows, size_t n, Lane dst, Lane a);

typedef union RowFn {
    Map1Fn *map1;
    Map2Fn *map2;
    Map3Fn *map3;
    ReduceFn *reduce;
} RowFn;

/* How products would have a matrix of bf16 that they alone read, as B, packed before (gemm_packed.h): by
 * whether A keeps its floats (`split`) or is, or becomes, bf16 (`whole`).  LAYOUT_STRIDES: as it is.  `codes`: do
 * they read coded matrices of bf16 (gemm_coded.h), in `form`, which `fill` makes?  `codes_near`: do they decode faster
 * than the last cache brings plain weights, so that what it holds is coded as well, floats among it? */
typedef struct PackFor {
    OperandLayout split, whole;
    bool codes, codes_near;
    CodedForm form;
    CodedFill *fill;
} PackFor;

/* In a set's own table, what is NULL is the next weaker set's. */
typedef struct KernelTable {
    Isa isa;
    ProbeFns probe;
    PackFor packs;
    KernelFn *run[N_KERNELS];
    RowFn row[N_ROW_OPS];
} KernelTable;

#define ISA(name) extern const KernelTable kernels_own_##name;
#include "runtime/kernels/isas.def"

/* The set's table with everything that it has from weaker ones. */
const KernelTable *kernels_table(Isa isa);

/* Has the set a function of its own for the family?  Else it is that of a weaker set. */
bool kernels_own(Isa isa, KernelId id);

const char *isa_name(Isa isa);
bool isa_supported(Isa isa);            /* by processor and operating system */

/* The strongest table that the processor supports, at most `narrow` (a name of isas.def, NULL for no
 * limit; the environment's SMG_CPU is the caller's to pass).  An unknown or unsupported name is an
 * error that lists the names. */
const KernelTable *kernels_select(const char *narrow, Error *err);

/* Sizes of the data caches of one core in bytes, from the processor; sensible guesses where it does
 * not tell. */
typedef struct CacheSizes { size_t l1, l2, l3; } CacheSizes;
CacheSizes cpu_caches(void);

/* "Intel(R) Xeon(R) ...", as the system names it; in out, always terminated. */
void cpu_model(char *out, size_t cap);

#endif
