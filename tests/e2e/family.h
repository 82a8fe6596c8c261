/* The tiny models of tests/reference/families, drawn as make_families.py draws them, and written as
 * the hub publishes them. */
#ifndef TESTS_E2E_FAMILY_H
#define TESTS_E2E_FAMILY_H

#include "base/dtype.h"
#include "runtime/session.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAMILY_PATH = 1024 };

typedef struct FamilyCase {
    const char *name;                   /* families/NAME.json */
    json_t *json;
} FamilyCase;

/* A folder of this program's own, from begin to end; begin also says where smc and the models are. */
extern char family_root[];
int family_begin(void **state);
int family_end(void **state);

void family_path(char out[FAMILY_PATH], const char *folder, const char *name);

/* A missing or broken file fails the test. */
void family_open(FamilyCase *f, const char *name);
void family_close(FamilyCase *f);

/* Value i of a tensor, as the Python side draws it. */
float family_value(const FamilyCase *f, const char *tensor, size_t rank, uint64_t i);

/* A folder with config.json and the tensors, as `type`, in `shards` files; several are named by an index
 * when `indexed`. */
void family_write(const FamilyCase *f, const char *folder, DType type, int shards, bool indexed);

/* A fresh folder of one of these models, in f32, for a caller who changes it: a file as a text; and a file of tensors
 * without the one called `less`, and with zeros of this shape called `more` (either may be NULL). */
void family_folder(FamilyCase *f, const char *name, char folder[FAMILY_PATH], int shards);
void family_text(const char *dir, const char *name, const char *text);
void family_rewrite(const char *folder, const char *file, const char *less, const char *more, int64_t rows,
                    int64_t columns);

/* A session of program `score`, with the weights that the index in `dir` names, bound to one text of
 * `length` tokens; the caller closes it.  What goes wrong fails the test. */
Session *family_score(const Plan *plan, const char *dir, int32_t n_threads, int64_t length);

#endif
