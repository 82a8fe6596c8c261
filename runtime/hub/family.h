/* The table families.def, asked. */
#ifndef RUNTIME_HUB_FAMILY_H
#define RUNTIME_HUB_FAMILY_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum FamilyModel {
#define MODEL(model, smg) FAMILY_##model,
#include "runtime/hub/families.def"
    N_FAMILY_MODELS
} FamilyModel;
const char *family_model_name(FamilyModel m);   /* "llama", of models/llama.smg */

typedef struct Family {
    const char *architecture, *gguf;
    FamilyModel model;
} Family;

/* By the architecture's name in config.json, or in GGUF; an unknown one is an error that lists those
 * that are known. */
const Family *family_find(const char *architecture, bool is_gguf, Error *err);

/* What config.json must say for models/NAME.smg, as JSON with an N for each number; false where no such
 * model is published. */
bool family_config(const char *model, Buf *out);

enum { MAX_TENSOR_NAME = 512 };
/* What GGUF calls a parameter of models/NAME.smg, and back; false when the table has no such path. */
bool family_gguf_name(FamilyModel m, const char *param, char out[MAX_TENSOR_NAME]);
bool family_param_name(FamilyModel m, const char *gguf, char out[MAX_TENSOR_NAME]);
/* Is it one of the tensors that no program reads? */
bool family_ignores(FamilyModel m, const char *tensor);

#endif
