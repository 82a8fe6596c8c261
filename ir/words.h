/* The words by which graph text calls the graph's enums.  Private to print.c and read.c. */
#ifndef IR_WORDS_H
#define IR_WORDS_H

#include "ir/graph.h"

#include <stddef.h>

extern const char *const role_words[N_ROLES];
extern const char *const class_words[N_STORAGE_CLASSES];
extern const char *const init_words[N_INITS];
extern const char *const optimizer_words[N_OPTIMIZERS];
extern const char *const style_words[N_STYLES];

/* The numbers of an optimizer: name and place in the struct. */
typedef struct OptimizerField {
    const char *name;
    size_t offset;
} OptimizerField;
enum { N_OPTIMIZER_FIELDS = 6 };
extern const OptimizerField optimizer_fields[N_OPTIMIZER_FIELDS];

/* An attribute of kind INT that names a storage. */
bool is_storage_attr(OpId op, int attr);

#endif
