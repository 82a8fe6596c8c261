/* How well a language model predicts a text, and how far its predictions are from another's.
 *
 * The text's ids are cut into windows of at most `window` positions, the next one `stride` ids further
 * on.  Where the tokenizer begins a text with an id (BOS), every window begins with it.  Every id is
 * predicted once, in the first window that reaches it: so of each window but the first, the last
 * `stride` predictions count, and a smaller stride gives each more context and takes more time.  A text
 * that begins with no such id has nothing to predict its first id from; that one is not counted.
 *
 *   perplexity       exp of the mean of -ln q(id), q the softmax of the model's logits
 *   KL divergence    the mean of sum p ln(p / q) over the whole vocabulary, p the other model's
 *   agreement        the share of positions where both have the same likeliest id
 *
 * Everything behind the logits is computed in double, position by position and summed in their order,
 * so any number of threads gives the same figures. */
#ifndef RUNTIME_PERPLEXITY_H
#define RUNTIME_PERPLEXITY_H

#include "base/progress.h"
#include "base/status.h"
#include "runtime/plan.h"

/* A plan and where its weights are: a run, an imported model's folder, a .safetensors file. */
typedef struct ScoredModel {
    const Plan *plan;
    const char *weights, *named;        /* named: the model as the user calls it, for messages */
    bool cached;                        /* id by id with the cache of keys and values, as generation computes */
} ScoredModel;

typedef struct PerplexityOptions {
    ScoredModel model, against;         /* against.plan NULL: nothing to compare with */
    const char *text;                   /* a file */
    int64_t window, stride;             /* 0: the context of both models; the ids of a window */
    int n_threads;
    const char *cpu;
} PerplexityOptions;

typedef struct PerplexityResult {
    int64_t n_ids, n_scored;            /* of the text; those predicted */
    int64_t n_windows, window, stride;
    double nll;                         /* mean of -ln q; its exp is the perplexity */
    double seconds;                     /* in the model's own runs */
    int64_t n_computed;                 /* positions computed in them */
    bool compared;                      /* the rest is there */
    double nll_against, kl, agreement;
} PerplexityResult;

/* `progress` shows a line of itself once two seconds have passed. */
bool perplexity(const PerplexityOptions *o, Progress *progress, PerplexityResult *out, Error *err);

#endif
