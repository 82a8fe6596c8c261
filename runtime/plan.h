/* The plan: a compiled model in one file.
 *
 * The reader owns the format, so it is defined here and the compiler writes to it.  Everything is
 * little-endian, at fixed offsets, position-independent and mapped read-only; records hold no
 * pointers.  A plan is an untrusted file: plan_open checks every table, index, string, size and
 * instruction once, at the largest sizes that the plan allows, and afterwards nothing can go wrong
 * inside a run.
 *
 *     header | symbols | storages | programs | outputs | instrs | operands | rows | row consts |
 *     row temps | row instrs | strings
 *
 * Kernels are named by family, never by variant: one plan runs on every machine. */
#ifndef RUNTIME_PLAN_H
#define RUNTIME_PLAN_H

#include "base/file.h"
#include "base/status.h"
#include "runtime/kernels/row.h"

#include <stdint.h>

#define PLAN_MAGIC "smgplan\n"
enum { PLAN_VERSION = 11, PLAN_ALIGN = 64 };

/* Programs that a plan may hold, at most one of each. */
#define PLAN_PROGRAMS(X) X(score) X(eval) X(train) X(accumulate) X(apply) X(generate)
typedef enum PlanProgramKind {
#define X(name) PLAN_##name,
    PLAN_PROGRAMS(X)
#undef X
    N_PLAN_PROGRAMS
} PlanProgramKind;
const char *plan_program_name(PlanProgramKind k);

typedef enum PlanStorageClass { PLAN_INPUT, PLAN_PARAM, PLAN_STATE, N_PLAN_CLASSES } PlanStorageClass;

#define PLAN_INITS(X) X(zeros) X(ones) X(constant) X(normal) X(uniform) X(xavier) X(kaiming)
typedef enum PlanInit {
#define X(name) PLAN_INIT_##name,
    PLAN_INITS(X)
#undef X
    N_PLAN_INITS
} PlanInit;

typedef enum PlanRole { PLAN_BATCH, PLAN_SEQUENCE, PLAN_FREE, N_PLAN_ROLES } PlanRole;

typedef struct PlanTable {
    uint64_t offset;                    /* from the start of the file; a multiple of PLAN_ALIGN */
    uint64_t count;
} PlanTable;

typedef struct PlanHeader {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t file_bytes;
    uint64_t checksum;                  /* XXH3 of everything after this field */
    uint32_t model;                     /* string: name of the model */
    uint32_t compiler;                  /* string: version of the compiler, for people */
    uint32_t command;                   /* string: the command that compiles it, without -o; "" when
                                           not known */
    uint32_t configs;                   /* string: what the model's configs were, "width=64\nheads=4"; "" when
                                           not known */
    int64_t context;                    /* bound of the sequence; 0 when there is none */
    PlanTable symbols, storages, programs, outputs, instrs, operands, rows, row_consts, row_temps,
        row_instrs, strings;
} PlanHeader;

/* coef times the product of symbol sizes to their powers. */
typedef struct PlanDim {
    int64_t coef;
    uint8_t power[MAX_SYMBOLS];
} PlanDim;

typedef struct PlanSymbol {
    uint32_t name;
    uint32_t role;                      /* PlanRole */
} PlanSymbol;

typedef struct PlanStorage {
    uint32_t name;
    uint32_t class;                     /* PlanStorageClass */
    uint32_t dtype;
    uint32_t rank;
    PlanDim dim[MAX_RANK];              /* row-major, dense; constant for a parameter */
    uint32_t init;                      /* PlanInit */
    uint32_t train_only;
    double init_value;                  /* of $lr: the rate that the model's author wrote */
    int64_t index_limit, index_ignore;  /* see ir/graph.h: 0 limit: not an index */
    uint32_t programs;                  /* bit per PlanProgramKind that uses it */
    uint32_t rounded_of;                /* a state of bf16: the parameter that it is, rounded, whenever a
                                           run begins, 1 + its index; 0: it is nobody's copy */
} PlanStorage;

typedef struct PlanProgram {
    uint32_t kind;                      /* PlanProgramKind */
    uint32_t n_barriers;
    uint32_t first_instr, n_instrs;
    uint32_t first_output, n_outputs;
    int64_t max[MAX_SYMBOLS];           /* largest size of each symbol in this program, >= 1 */
    int64_t pool_bytes;                 /* TensorPool of this program; a multiple of PLAN_ALIGN */
    int64_t pool_bound;                 /* the most bytes live at once */
} PlanProgram;

/* Of an axis of `size`, what is left: max(0, min(size - skip, most)) elements, the first of them at
 * index `from`.  So a chunk of rows is what there is of it at the sizes of a run. */
typedef struct PlanCut {
    uint32_t axis;
    uint32_t unused;
    int64_t skip, most, from;           /* most 0: nothing is cut */
} PlanCut;

/* A view of a storage or of the pool. */
typedef struct PlanOperand {
    int32_t storage;                    /* -1: the pool of the program */
    uint32_t dtype;
    uint32_t rank;
    uint32_t unused;
    int64_t byte_offset;                /* of the buffer in the pool; 0 in a storage */
    PlanDim offset;                     /* and from there, in elements */
    PlanDim dim[MAX_RANK];
    PlanDim stride[MAX_RANK];
    PlanCut cut;
} PlanOperand;

typedef struct PlanOutput {
    uint32_t name;
    uint32_t operand;
} PlanOutput;

enum { INSTR_BARRIER = 1 };             /* all threads meet before this instruction */

typedef struct PlanInstr {
    uint32_t kernel;                    /* string: name of the family */
    uint32_t flags;
    uint32_t first_operand, n_operands;
    uint32_t row;                       /* index into rows for family `row`, else NO_ROW */
    uint32_t label;                     /* string: "matmul gpt2.smg:37 h.0.attn", for people */
    int64_t i[MAX_IMM];
    double f[MAX_IMM];
} PlanInstr;
#define NO_ROW UINT32_MAX

typedef struct PlanRow {
    uint32_t rank;
    uint32_t first_const, n_consts;
    uint32_t first_temp, n_temps;
    uint32_t first_instr, n_instrs;
    uint32_t outputs;                   /* bit per operand of the instruction */
    PlanDim dim[MAX_RANK];
    PlanCut cut;                        /* of the space; as for an operand, but nothing moves */
} PlanRow;

typedef struct PlanRowConst {
    uint32_t bits;                      /* of the float or the integer, when is_size is 0 */
    uint32_t is_size;                   /* 1: the float value of `size` */
    PlanDim size;
} PlanRowConst;

/* An open plan: a map of the file and typed views into it. */
typedef struct Plan {
    FileMap file;
    bool mapped;                        /* by plan_open, and plan_close unmaps it */
    const PlanHeader *header;
    const PlanSymbol *symbols;
    const PlanStorage *storages;
    const PlanProgram *programs;
    const PlanOutput *outputs;
    const PlanInstr *instrs;
    const PlanOperand *operands;
    const PlanRow *rows;
    const PlanRowConst *row_consts;
    const uint8_t *row_temps;
    const RowInstr *row_instrs;
    const char *strings;
    uint32_t n_symbols, n_storages, n_programs;
    KernelId *kernels;                  /* of each instruction; owned */
} Plan;

/* Maps and validates.  The message says what was expected, what was found, and at which offset. */
bool plan_open(const char *path, Plan *out, Error *err);
/* The same on bytes in memory, 8-byte aligned, which stay the caller's. */
bool plan_view(const void *data, size_t n, Plan *out, Error *err);
void plan_close(Plan *p);

static inline const char *plan_string(const Plan *p, uint32_t s) { return p->strings + s; }
const PlanProgram *plan_program(const Plan *p, PlanProgramKind kind);   /* or NULL */
int32_t plan_storage(const Plan *p, const char *name);                  /* or -1 */
int plan_symbol(const Plan *p, PlanRole role);                          /* first of the role, or -1 */

/* Can the program run at these sizes?  The message names the option of smc compile that makes room. */
bool plan_takes(const Plan *p, PlanProgramKind kind, const int64_t sizes[MAX_SYMBOLS], Error *err);

/* False when it does not fit 62 bits. */
bool plan_dim(const PlanDim *d, const int64_t sizes[MAX_SYMBOLS], int64_t *out);
bool plan_storage_count(const PlanStorage *s, const int64_t sizes[MAX_SYMBOLS], int64_t *out);
/* Largest over the programs in `programs` (bits) that use it, in bytes. */
bool plan_storage_bytes(const Plan *p, const PlanStorage *s, uint32_t programs, size_t *out);

/* What a cut leaves of its axis. */
int64_t plan_cut(const PlanCut *c, int64_t size);
/* Fills an operand's sizes and strides for these sizes (data stays NULL), and where it starts: bytes
 * from its storage or from the pool.  False on overflow. */
bool plan_bind_operand(const PlanOperand *o, const int64_t sizes[MAX_SYMBOLS], Operand *out,
                       int64_t *byte_start);

/* The text twin. */
void plan_print(Buf *out, const Plan *p);

#endif
