/* Expectations: what a model's author holds the compiler to, so that a build of theirs fails when a
 * change of the model or of the compiler loses it.
 *
 *     fused(add, rsqrt @ h.*.ln_1)       every add is in one group with an rsqrt of such a block
 *     not fused(exp, matmul)
 *     train: has(attention @ h.*)        the op is there, in program train
 *     train: pool <= 1930M               also bound, traffic, barriers, instructions, groups
 *
 * A selector is an op, with `@` the block instance that it is in, or inside of (`*` stands for any
 * run of characters within one part), with `:` the line of source it came from; any of the three may
 * be missing.  Without a program an expectation is about all programs in which its first selector
 * finds something, and one has to. */
#ifndef CODEGEN_EXPECT_H
#define CODEGEN_EXPECT_H

#include "base/status.h"
#include "ir/graph.h"
#include "passes/fusion_set.h"

typedef struct Selector {
    const char *text;                   /* as written */
    bool any_op;
    OpId op;
    const char *path;                   /* a pattern; NULL: any */
    uint32_t line;                      /* 0: any */
} Selector;

typedef enum ExpectKind { EXPECT_FUSED, EXPECT_HAS, EXPECT_MEASURE } ExpectKind;

#define MEASURES(X) X(pool) X(bound) X(traffic) X(barriers) X(instructions) X(groups)
typedef enum Measure {
#define X(name) MEASURE_##name,
    MEASURES(X)
#undef X
    N_MEASURES
} Measure;

enum { MAX_SELECTORS = 16 };

typedef struct Expectation {
    ExpectKind kind;
    bool negated;
    Program program;                    /* PROGRAM_model: any */
    Selector selectors[MAX_SELECTORS];
    uint32_t n_selectors;
    Measure measure;
    bool at_least;                      /* measure >= limit, else <= */
    int64_t limit;
} Expectation;

/* False with what is wrong with the text. */
bool expectation_parse(const char *text, Arena *arena, Expectation *out, Error *err);

typedef enum ExpectResult {
    EXPECT_HOLDS,
    EXPECT_FAILS,
    EXPECT_SILENT,                      /* says nothing about this program */
} ExpectResult;

/* Of a graph that every pass has seen.  *why: for EXPECT_FAILS the reason, in the arena. */
ExpectResult expectation_check(const Expectation *e, const Graph *g, FusionSet fusions,
                               Arena *arena, Arena *scratch,
                               const char **why);

#endif
