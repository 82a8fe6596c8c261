/* How a published model's text is drawn where the user does not say it: "temperature", "top_k",
 * "top_p", "min_p" and "repetition_penalty" of its generation_config.json, when "do_sample" is true there. */
#ifndef RUNTIME_HUB_GENERATION_H
#define RUNTIME_HUB_GENERATION_H

#include "base/status.h"
#include "runtime/sample.h"

/* What the user left open: fields below 0. */
#define SAMPLE_UNSET                                                                         \
    ((SampleOptions){ .temperature = -1, .top_k = -1, .top_p = -1, .min_p = -1, .repeat_penalty = -1 })

/* Fills those from the file in `folder` ("": none), then with what smrun does otherwise. */
bool generation_defaults(const char *folder, SampleOptions *s, Error *err);

#endif
