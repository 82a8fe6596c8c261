/* Published models from one format into the other: a folder of the hub as one GGUF file, for
 * llama.cpp and everybody who reads those; a GGUF file's tensors as safetensors.
 *
 * Tensors keep their values and their types; where the two formats hold them differently is in
 * layout.h.  Settings and tokenizer of a folder become GGUF's values. */
#ifndef RUNTIME_HUB_EXPORT_H
#define RUNTIME_HUB_EXPORT_H

#include "base/status.h"
#include "runtime/hub/recipe.h"

typedef struct ExportResult {
    uint32_t n_tensors;
    uint64_t bytes;
    bool has_tokenizer;
} ExportResult;

/* `from`: a folder of the hub, a GGUF file, or what smrun import made of one.  `out` ends with .gguf or
 * .safetensors and is replaced. */
bool export_model(const char *from, const char *out, ExportResult *result, Error *err);

/* ---- between the files export*.c -------------------------------------------------------------- */

/* Settings as GGUF's values. */
void export_values(GgufWriter *w, const Recipe *r, const char *name);
/* What llama.cpp divides frequencies by where Llama 3 stretches them, f32[pairs]; false where there is
 * nothing like it. */
bool export_llama3_factors(const Recipe *r, float *factors, uint32_t pairs);
/* tokenizer.json of `folder` as GGUF's values; *there: whether there is one. */
bool export_tokenizer(GgufWriter *w, const char *folder, int64_t vocab, bool *there, Error *err);

#endif
