/* The tiny models of tests/reference/families, drawn as make_families.py draws them, and written as
 * the hub publishes them. */
#ifndef TESTS_E2E_FAMILY_H
#define TESTS_E2E_FAMILY_H

#include "base/dtype.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAMILY_PATH = 1024 };

typedef struct FamilyCase {
    const char *name;                   /* families/NAME.json */
    json_t *json;
} FamilyCase;

/* A missing or broken file fails the test. */
void family_open(FamilyCase *f, const char *name);
void family_close(FamilyCase *f);

/* Value i of a tensor, as the Python side draws it. */
float family_value(const FamilyCase *f, const char *tensor, size_t rank, uint64_t i);

/* A folder with config.json and the tensors, as `type`, in `shards` files; several are named by an index
 * when `indexed`. */
void family_write(const FamilyCase *f, const char *folder, DType type, int shards, bool indexed);

#endif
