/* Published models from one format into the other: a folder of the hub as one GGUF file, for
 * llama.cpp and everybody who reads those; a GGUF file's tensors as safetensors.
 *
 * Tensors keep their values and their types; where the two formats hold them differently is in
 * layout.h.  Settings and tokenizer of a folder become GGUF's values. */
#ifndef RUNTIME_HUB_EXPORT_H
#define RUNTIME_HUB_EXPORT_H

#include "base/status.h"
#include "runtime/hub/layout.h"
#include "runtime/hub/recipe.h"
#include "runtime/quantize.h"

typedef struct ExportResult {
    uint32_t n_tensors;
    uint64_t bytes;
    bool has_tokenizer;
} ExportResult;

/* `from`: a folder of the hub, a GGUF file, or what smrun import made of one.  `out` ends with .gguf or
 * .safetensors and is replaced. */
bool export_model(const char *from, const char *out, ExportResult *result, Error *err);

/* The same in fewer bits (runtime/quantize.h): a GGUF file of any of the three, its tokenizer with it.
 * Rules may name tensors as either format does.  Free the report in every case. */
bool export_quantized(const char *from, const QuantizeOptions *o, const char *out, Progress *progress,
                      QuantizeReport *report, Error *err);

/* ---- between the files export*.c -------------------------------------------------------------- */

/* A tensor that goes over, as it will be there. */
typedef struct Going {
    const HubTensor *from;              /* NULL: `data` is ours */
    const float *data;
    int32_t expert;                     /* of the stack that target.name is, or -1 */
    Layout layout;
    HubTensor target;
    uint8_t *owned;
} Going;

typedef struct Export {
    Source source;
    Recipe recipe;
    bool to_gguf;
    Going *going;                       /* the experts of a stack next to each other, in their order */
    uint32_t n;
    Arena arena;
    int64_t head;                       /* features of a head */
} Export;

/* What `from` was imported from, or itself. */
bool export_source(const char *from, char source[MAX_SOURCE_PATH], Error *err);

/* Everything but writing `path`, which may be none of the files that are read.  Close it in every case. */
bool export_open(Export *out, const char *from, const char *path, bool to_gguf, Error *err);
void export_close(Export *x);

/* The tensor that begins with going[i], a stack of *parts of them or one. */
HubTensor export_target(const Export *x, uint32_t i, uint32_t *parts);

/* The bytes of a tensor as it will be, until export_let_go; NULL, with a message, when its type does not
 * allow it. */
const void *export_bytes(const Export *x, Going *g, Error *err);
void export_let_go(Going *g);

/* Settings and tokenizer; *has_tokenizer: whether there is one. */
bool export_head(const Export *x, GgufWriter *w, bool *has_tokenizer, Error *err);

/* Settings as GGUF's values. */
void export_values(GgufWriter *w, const Recipe *r, const char *name);
/* What llama.cpp divides frequencies by where Llama 3 stretches them, f32[pairs]; false where there is
 * nothing like it. */
bool export_llama3_factors(const Recipe *r, float *factors, uint32_t pairs);
/* tokenizer.json of `folder` as GGUF's values; *there: whether there is one. */
bool export_tokenizer(GgufWriter *w, const char *folder, int64_t vocab, bool *there, Error *err);

#endif
