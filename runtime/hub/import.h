/* Making a published model ready to run: a folder with
 *
 *     model.smp               the plan
 *     weights.json            where each parameter's values are in the source (weights_index.h)
 *     factors.safetensors     what config.json holds of parameters, when it does
 *     tokenizer.json          as it was, or from the GGUF file
 *     config.json, generation_config.json
 *
 * The weights stay where they are.  Nothing is written before the source has been checked whole. */
#ifndef RUNTIME_HUB_IMPORT_H
#define RUNTIME_HUB_IMPORT_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

enum { MAX_IMPORT_PATH = 4096 };

typedef struct ImportResult {
    const char *model;                  /* models/NAME.smg */
    uint32_t n_params, n_ignored;
    uint64_t bytes;                     /* of the weights in the source */
    int64_t context, chunk;
    bool has_tokenizer;
    bool has_sentencepiece;             /* a tokenizer.model, which is not read */
} ImportResult;

/* `context`: positions, see recipe.h.  `chunk`: those that a prompt is computed in at once.  Products of 512
 * rows take 0.78 of the time that they take 64 at a time, and their activations a few MB (docs/models.md).  0:
 * the defaults. */
enum { DEFAULT_IMPORT_CHUNK = 512 };
typedef struct ImportOptions {
    int64_t context, chunk;
    const char *cache;                  /* what keys and values are kept in: f32, bf16, q8_0; NULL: f32 */
} ImportOptions;

/* `faults` gets every parameter without a tensor, with one
 * of another shape, and every tensor without a parameter, a line each, when that is what is wrong. */
bool import_model(const char *source, const char *dir, const ImportOptions *o, ImportResult *result,
                  Buf *faults, Error *err);

/* The folder in the user's cache ($XDG_CACHE_HOME/smallmind, ~/.cache/smallmind) where the source is
 * imported already or is imported now.  *fresh: it was done now. */
bool import_cached(const char *source, const ImportOptions *o, char dir[MAX_IMPORT_PATH], bool *fresh,
                   Buf *faults, Error *err);

#endif
