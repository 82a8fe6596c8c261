/* smrun score: how well a model predicts a text; or its outputs and loss for samples. */
#include "base/check.h"
#include "runtime/command.h"
#include "runtime/perplexity.h"
#include "runtime/score.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct ScoreArgs {
    Common common;
    ScoreOptions samples;
    PerplexityOptions text;
    const char *weights, *against, *against_plan, *cache;
} ScoreArgs;

/* ---- samples ----------------------------------------------------------------------------------- */

static int score_samples(const Plan *p, ScoreArgs *v)
{
    ScoreResult r;
    if (!score(p, &v->samples, &r, &v->common.err))
        return command_fault(&v->common.err);
    if (v->common.json)
        return command_deliver_json(json_pack("{s:I, s:o}", "samples", (json_int_t)r.n, "loss",
                                              r.has_loss ? json_real(r.loss) : json_null()));
    if (r.has_loss)
        printf("loss %.6f over %" PRId64 " samples\n", r.loss, r.n);
    return command_flushed();
}

/* ---- text -------------------------------------------------------------------------------------- */

static double rate(const PerplexityResult *r)
{
    return r->seconds > 0 ? (double)r->n_computed / r->seconds : 0;
}

static int text_json(const PerplexityResult *r)
{
    json_t *out = json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "tokens", (json_int_t)r->n_ids,
                            "scored", (json_int_t)r->n_scored, "windows", (json_int_t)r->n_windows,
                            "window", (json_int_t)r->window, "stride", (json_int_t)r->stride, "nll",
                            r->nll, "perplexity", exp(r->nll), "tokens_per_s", rate(r));
    if (r->compared)
        json_object_update_new(out, json_pack(
            "{s:f, s:f, s:f, s:f}", "perplexity_against", exp(r->nll_against), "perplexity_ratio",
            exp(r->nll - r->nll_against), "kl_divergence", r->kl, "top1_agreement", r->agreement));
    return command_deliver_json(out);
}

static int report_text(const PerplexityResult *r, bool json)
{
    if (json)
        return text_json(r);
    printf("perplexity %.6f over %" PRId64 " tokens in %" PRId64 " windows of %" PRId64 ", %.1f tokens/s\n",
           exp(r->nll), r->n_scored, r->n_windows, r->window, rate(r));
    if (r->compared)
        printf("against perplexity %.6f: ratio %.6f, mean KL divergence %.8f, same likeliest token %.3f%%\n",
               exp(r->nll_against), exp(r->nll - r->nll_against), r->kl, 100 * r->agreement);
    return command_flushed();
}

static int score_text(ScoreArgs *v)
{
    Progress progress;
    PerplexityResult r;
    progress_begin(&progress, stderr);
    return perplexity(&v->text, &progress, &r, &v->common.err) ? report_text(&r, v->common.json)
                                                                : command_fault(&v->common.err);
}

/* A published or imported model brings its plan; other weights run by --against-plan, or by the plan
 * that they are compared in. */
static int compare_text(const Plan *p, ScoreArgs *v)
{
    Plan other;
    char folder[MAX_MODEL_FOLDER];
    if (!command_find_folder(v->against, NULL, folder, &v->common.err))
        return command_fault(&v->common.err);
    v->text.against = (ScoredModel){ .plan = p, .weights = *folder ? folder : v->against,
                                       .named = v->against };
    if (!*folder && !v->against_plan)
        return score_text(v);
    if (!command_plan_of(*folder ? folder : "", v->against_plan, &other, &v->common.err))
        return command_fault(&v->common.err);
    v->text.against.plan = &other;
    const int code = score_text(v);
    plan_close(&other);
    return code;
}

/* What the plan keeps keys and values in. */
static DType cache_of(const Plan *p)
{
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (p->storages[i].class == PLAN_STATE && (p->storages[i].programs >> PLAN_generate & 1)
            && (p->storages[i].dtype == DTYPE_bf16 || p->storages[i].dtype == DTYPE_q8_0))
            return (DType)p->storages[i].dtype;
    return DTYPE_f32;
}

static bool check_cache(const Plan *p, const char *asked, Error *err)
{
    const char *kept = dtype_name(cache_of(p));
    return strcmp(kept, asked) == 0
        || error_set(err, "--cache %s: this plan keeps keys and values in %s; compile or import it with --cache %s",
                     asked, kept, asked);
}

/* ---- the command ------------------------------------------------------------------------------- */

static int run(const Args *a, const Plan *p, ScoreArgs *v)
{
    if (!v->weights || (!v->samples.data && !v->text.text))
        return command_usage(a, "--weights, and --text or --data, say what to score");
    if (v->samples.data && v->text.text)
        return command_usage(a, "--text and --data: one of them");
    if (v->against_plan && !v->against)
        return command_usage(a, "--against-plan is for the weights of --against");
    if (v->samples.data && v->against)
        return command_usage(a, "--against compares on a --text");
    if (v->samples.data && v->cache)
        return command_usage(a, "--cache is for a --text");
    if (v->cache && !check_cache(p, v->cache, &v->common.err))
        return command_fault(&v->common.err);
    v->samples.weights = v->weights;
    v->samples.n_threads = v->text.n_threads = command_threads(&v->common);
    v->samples.cpu = v->text.cpu = command_cpu();
    v->text.model = (ScoredModel){ .plan = p, .weights = v->weights, .named = a->positional[0],
                                   .cached = v->cache != NULL };
    if (v->samples.data)
        return score_samples(p, v);
    return v->against ? compare_text(p, v) : score_text(v);
}

int smrun_score(int argc, char **argv)
{
    ScoreArgs v = { 0 };
    const Arg options[] = {
        { "--text", "FILE", ARG_STRING, &v.text.text, "its perplexity", 0, 0, NULL },
        { "--against", "DIR", ARG_STRING, &v.against, "other weights of the same model: a run, a published or "
          "imported model; how far the predictions are from theirs", 0, 0, NULL },
        { "--against-plan", "PLAN", ARG_STRING, &v.against_plan, "the plan of a run after --against, where it is "
          "another", 0, 0, NULL },
        { "--window", "N", ARG_INT, &v.text.window, "positions computed at once (default: the context)", 2, 1e9,
          NULL },
        { "--cache", "TYPE", ARG_CHOICE, &v.cache, "id by id with the cache of keys and values, as generation "
          "computes, in that type (default: whole windows, nothing is kept); --against has none", 0, 0,
          "f32|bf16|q8_0" },
        { "--stride", "N", ARG_INT, &v.text.stride, "tokens from one window to the next (default: those of a "
          "window)", 1, 1e9, NULL },
        { "--data", "FILE", ARG_STRING, &v.samples.data, "instead of a text: a .safetensors file with the model's "
          "inputs", 0, 0, NULL },
        { "-o", "FILE", ARG_STRING, &v.samples.out, "with --data: where its outputs go, a tensor for each", 0, 0,
          NULL },
        { "--weights", "DIR", ARG_STRING, &v.weights, "a run, or a .safetensors file", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &v.common.json, "for machines", 0, 0, NULL },
        THREADS_OPTION(v.common),
    };
    Args a = { .usage = "smrun score MODEL [--weights DIR] --text FILE [--against DIR] | --data FILE [-o OUT]",
               .about =
        "How well a model predicts a text: its perplexity, and against other weights of the same model\n"
        "the ratio of perplexities, the mean KL divergence in nats, and how often the likeliest token is\n"
        "the same. Every token is predicted once, in windows of the model's context. With --data:\n"
        "outputs for samples, and the loss where the inputs of the train block are there too.\n\n"
        "  smrun score model-q4_k.gguf --text book.txt --against model.gguf\n"
        "  smrun score chargpt.smp --weights run --text book.txt --stride 64\n"
        "  smrun score mlp.smp --weights run --data samples.safetensors -o y.safetensors",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    int code;
    char folder[MAX_MODEL_FOLDER];
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional != 1)
        return command_usage(&a, "which plan?");
    if (!command_find_folder(a.positional[0], v.cache, folder, &v.common.err)
        || !command_plan_of(folder, a.positional[0], &plan, &v.common.err))
        return command_fault(&v.common.err);
    if (!v.weights && *folder)
        v.weights = folder;
    code = run(&a, &plan, &v);
    plan_close(&plan);
    return code;
}
