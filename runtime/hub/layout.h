/* How the same parameter lies in the hub's safetensors and in GGUF files.
 *
 *   same      as it is
 *   turned    GPT-2's matrices: [in, out] there, [out, in] in GGUF
 *   paired    queries and keys of Llama: the two halves of each head there, its pairs side by side in
 *             GGUF, so that what rope turns is one after the other
 *   shifted   Gemma's norms: w there, 1 + w in GGUF
 *
 * Matrices keep their type; in GGUF vectors are f32, as llama.cpp wants them. */
#ifndef RUNTIME_HUB_LAYOUT_H
#define RUNTIME_HUB_LAYOUT_H

#include "runtime/hub/recipe.h"

typedef enum Layout { LAYOUT_SAME, LAYOUT_TURNED, LAYOUT_PAIRED, LAYOUT_SHIFTED } Layout;

Layout layout_of(const Recipe *r, const char *param, uint32_t rank);

/* Type and shape on the other side. */
HubTensor layout_target(const HubTensor *t, Layout layout, bool to_gguf);

/* The tensor's bytes on the other side, into `out` of target->bytes bytes.  `head`: features of a head, for
 * paired.  False, with a message, where its type does not allow it. */
bool layout_convert(const HubTensor *t, Layout layout, bool to_gguf, int64_t head,
                    const HubTensor *target, uint8_t *out, Error *err);

#endif
