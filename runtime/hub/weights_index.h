/* Where the values of a model's parameters are, when they stay in the files that were published:
 * weights.json of an imported model.
 *
 *     { "source":  "/models/llama",
 *       "files":   ["/models/llama/model-00001-of-00002.safetensors", "factors.safetensors", ...],
 *       "tensors": { "model.norm.weight": [0, "model.norm.weight"], ... } }
 *
 * A path that is not absolute is beside weights.json. */
#ifndef RUNTIME_HUB_WEIGHTS_INDEX_H
#define RUNTIME_HUB_WEIGHTS_INDEX_H

#include "runtime/session.h"

#define WEIGHTS_INDEX "weights.json"

/* Fills the session's parameters.  One that is missing, or of another shape or type, is an error that
 * names it and the file. */
bool weights_index_load(Session *s, const char *path, Error *err);

#endif
