/* The ids that end a text, as the files beside the weights name them: "eos_token_id", one id or a
 * list, of generation_config.json, or else of config.json; or else the roles of a tokenizer that comes
 * from a GGUF file.  A model that was trained here has none. */
#ifndef RUNTIME_STOP_IDS_H
#define RUNTIME_STOP_IDS_H

#include "runtime/tokenizer/hf_tokenizer.h"

enum { MAX_STOP_IDS = 16 };

typedef struct StopIds {
    int32_t id[MAX_STOP_IDS];
    uint32_t n;
} StopIds;

/* `weights` as in weights_path; `t` may be NULL.  A file that is there and not in order is an error. */
bool stop_ids_open(const char *weights, const HfTokenizer *t, StopIds *out, Error *err);
/* From the text of such a file. */
bool stop_ids_parse(const char *text, size_t n, StopIds *out, Error *err);
bool stop_ids_has(const StopIds *s, int32_t id);

#endif
