/* config.json for a run of smrun train: what the hub's programs, and this one's export, need to know of its
 * model besides the tensors.  Made of the configs that the model was compiled with (run_record.h), for the
 * models that a published family shares: gpt2 and llama. */
#ifndef RUNTIME_HUB_RUN_CONFIG_H
#define RUNTIME_HUB_RUN_CONFIG_H

#include "runtime/hub/recipe.h"
#include "runtime/run_record.h"

/* Its text.  False with what stands in the way: an unknown model, configs that are not known, or one that no
 * config.json can say. */
bool run_config_text(const RunRecord *run, Buf *out, Error *err);

/* Does the recipe that was made of config.json say what the run was compiled with?  The message names the
 * first config that differs. */
bool run_config_agrees(const RunRecord *run, const Recipe *recipe, Error *err);

#endif
