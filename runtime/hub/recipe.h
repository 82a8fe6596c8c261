/* How a published model is made of a model of ours: which .smg, with which configs, and where each
 * parameter's values are. */
#ifndef RUNTIME_HUB_RECIPE_H
#define RUNTIME_HUB_RECIPE_H

#include "runtime/hub/family.h"
#include "runtime/hub/source.h"

enum { MAX_RECIPE_DEFINES = 48, DEFAULT_HUB_CONTEXT = 4096 };

typedef struct Recipe {
    FamilyModel model;
    const char *gguf;                   /* the architecture's name in GGUF */
    const char *define[MAX_RECIPE_DEFINES];     /* "width=2048"; in the arena */
    uint32_t n_defines;
    int64_t context, trained;           /* positions to compile for, and of the training */
    /* rope_factors.weight is no tensor of the source where config.json has it as a list, and has
     * another name where GGUF has two. */
    const float *factors;               /* one of the two lists */
    const float *factors_long, *factors_short;
    uint32_t n_factors;
    int64_t factors_trained;            /* the context within which the short ones hold */
    const char *factors_name;
    Arena arena;
} Recipe;

/* `context` positions, or 0: those the model was trained for, at most DEFAULT_HUB_CONTEXT.  Close it in
 * every case. */
bool recipe_open(Recipe *out, Source *source, int64_t context, Error *err);
void recipe_close(Recipe *r);

/* The source's tensor for a parameter; NULL when there is none, `told` then being the name that was
 * looked for. */
const HubTensor *recipe_find(const Recipe *r, const Source *s, const char *param,
                             char told[MAX_TENSOR_NAME]);
/* The other way: the parameter that a tensor of the source is for; false when it is for none. */
bool recipe_param(const Recipe *r, const Source *s, const char *tensor, char param[MAX_TENSOR_NAME]);

/* The value of a config that the recipe sets, or the fallback. */
double recipe_number(const Recipe *r, const char *config, double fallback);
bool recipe_says(const Recipe *r, const char *config, const char *value);

/* ---- between the files recipe*.c -------------------------------------------------------------- */

typedef struct RecipeDraft {
    Recipe *r;
    Source *source;
    Settings *s;
    const char *architecture;
    int64_t depth, heads, head, trained;    /* trained: positions of its training */
} RecipeDraft;

void recipe_define(RecipeDraft *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void recipe_define_real(RecipeDraft *d, const char *config, double value);
/* Is there a tensor for this parameter? */
bool recipe_has(const RecipeDraft *d, const char *param);

/* rope_base and what stretches it: rope_scaling and its numbers, of `size` rotated features. */
void recipe_rope(RecipeDraft *d, int64_t size);

#endif
