/* The generation loop and the text that it streams. */
#include "runtime/generate.h"

#include "base/check.h"
#include "base/progress.h"
#include "base/str.h"
#include "runtime/free_memory.h"
#include "runtime/stop_ids.h"
#include "runtime/weights.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *generate_end_name(GenerateEnd e)
{
    static const char *const names[] = { "length", "stop", "eos", "context", "interrupted" };
    return names[e];
}

void generate_result_free(GenerateResult *r)
{
    buf_free(&r->text);
    free(r->ids);
    *r = (GenerateResult){ 0 };
}

typedef struct Generation {
    const GenerateOptions *options;
    GenerateResult *result;
    HfTokenizer *tokenizer;             /* NULL: ids in and out */
    HfDecoder *decoder;
    StopIds eos;
    char path[CHECKPOINT_PATH];         /* of the weights */
    WeightsFile *weights;
    Generator generator;
    Sampler sampler;
    size_t streamed;                    /* bytes of result->text that went out */
} Generation;

/* ---- the prompt ------------------------------------------------------------------------------- */

static bool open_tokenizer(Generation *g, Error *err)
{
    const GenerateOptions *o = g->options;
    char path[CHECKPOINT_PATH];
    if (weights_beside(o->weights, "tokenizer.json", path))
        return ((g->tokenizer = hf_tokenizer_open(path, err)) != NULL
                || (strcmp(o->weights, o->plan_path) != 0 && error_prefix(err, "%s", o->plan_path)))
            && (g->decoder = hf_decoder_new(g->tokenizer, true, err)) != NULL
            && text_model_takes(g->generator.plan, o->plan_path, o->weights, &g->generator.model,
                                hf_tokenizer_size(g->tokenizer), err);
    if (o->prompt_tokens && o->print_tokens && o->n_stop == 0)
        return true;
    return text_model_without_ids(o->plan_path, o->weights,
                                  "without one, give --prompt-tokens and --print-tokens", err);
}

/* The prompt, with room behind it for what is generated. */
static bool take_prompt(Generation *g, TokenIds *prompt, Error *err)
{
    GenerateResult *r = g->result;
    const size_t most = (size_t)g->generator.context + 1;
    r->ids = realloc(prompt->id, (prompt->n + most) * sizeof *r->ids);
    if (!r->ids) {
        free(prompt->id);
        return error_set(err, "out of memory");
    }
    r->n_prompt = (int64_t)prompt->n;
    return true;
}

static bool parse_ids(const Generation *g, const char *text, TokenIds *out, Error *err)
{
    const int64_t vocab = g->generator.model.vocab;
    const char *at = text;
    out->id = malloc((strlen(text) + 1) * sizeof *out->id);
    if (!out->id)
        return error_set(err, "out of memory");
    while (*(at += strspn(at, ", \t\n"))) {
        char word[32];
        int64_t id;
        const size_t n = strcspn(at, ", \t\n");
        snprintf(word, sizeof word, "%.*s", (int)(n < 31 ? n : 31), at);
        if (!str_to_i64(word, 0, vocab - 1, &id))
            return error_set(err, "--prompt-tokens: \"%s\" is no id of the model, 0 to %" PRId64, word,
                             vocab - 1);
        out->id[out->n++] = (int32_t)id;
        at += n;
    }
    return out->n > 0 || error_set(err, "--prompt-tokens holds no ids");
}

static bool encode(const Generation *g, const char *text, int flags, TokenIds *out, Error *err)
{
    HfEncoder *e = hf_encoder_new(g->tokenizer, err);
    const bool ok = e && hf_encode(e, text, strlen(text), flags, out, err);
    hf_encoder_free(e);
    return ok;
}

/* A new text begins as the tokenizer says that texts begin; or else as one does behind another: with
 * what ends a text, with a new line, where the model knows it. */
static bool begin_text(const Generation *g, TokenIds *out, Error *err)
{
    Error unknown;
    if (!encode(g, "", HF_ADD_SPECIAL, out, err))
        return false;
    if (out->n > 0)
        return true;
    const int32_t bos = hf_tokenizer_role(g->tokenizer, HF_BOS);
    if (bos < 0 && g->eos.n == 0 && encode(g, "\n", HF_PLAIN, out, &unknown) && out->n > 0)
        return true;
    out->id[0] = bos >= 0 ? bos : g->eos.n > 0 ? g->eos.id[0] : 0;
    out->n = 1;
    return true;
}

static bool read_prompt(Generation *g, Error *err)
{
    const GenerateOptions *o = g->options;
    TokenIds ids = { 0 };
    const int flags = HF_ADD_SPECIAL | (o->special ? 0 : HF_PLAIN);
    bool ok;
    if (o->prompt_tokens)
        ok = parse_ids(g, o->prompt_tokens, &ids, err);
    else if (!o->prompt || !*o->prompt)
        ok = begin_text(g, &ids, err);
    else
        ok = encode(g, o->prompt, flags, &ids, err) || error_prefix(err, "--prompt");
    if (!ok)
        free(ids.id);
    return ok && take_prompt(g, &ids, err);
}

static bool check_prompt(const Generation *g, Error *err)
{
    const int64_t n = g->result->n_prompt, context = g->generator.context;
    if (n <= context)
        return true;
    return error_set(err, "the prompt has %" PRId64 " tokens; %s computes at most %" PRId64
                     " positions", n, g->options->plan_path, context);
}

/* ---- the stream ------------------------------------------------------------------------------- */

/* A reader that went away is no fault of the generation: it ends quietly. */
static bool send(Generation *g, const char *text, size_t n, Error *err)
{
    FILE *to = g->options->stream;
    if (!to || n == 0 || (fwrite(text, 1, n, to) == n && fflush(to) == 0))
        return true;
    return error_set(err, "cannot write the text: %s", strerror(errno));
}

static bool send_id(Generation *g, int32_t id, Error *err)
{
    char text[16];
    const int n = snprintf(text, sizeof text, "%s%" PRId32, g->result->n_generated > 1 ? " " : "",
                           id);
    return send(g, text, (size_t)n, err);
}

/* Where the text from byte `from` on holds a stop text, or its length; *held gets how many bytes at
 * the end may yet become one. */
static size_t find_stop(const Generation *g, size_t from, size_t *held)
{
    const GenerateOptions *o = g->options;
    const Buf *text = &g->result->text;
    size_t found = text->len;
    *held = 0;
    for (size_t i = 0; i < o->n_stop; i++) {
        const size_t n = strlen(o->stop[i]);
        const char *at = n && text->len > from
            ? memmem(text->data + from, text->len - from, o->stop[i], n) : NULL;
        if (at && (size_t)(at - text->data) < found)
            found = (size_t)(at - text->data);
        for (size_t k = n > 0 ? n - 1 : 0; k > *held; k--)
            if (k <= text->len - from
                && memcmp(text->data + text->len - k, o->stop[i], k) == 0)
                *held = k;
    }
    return found;
}

/* Passes the text on up to what may become a stop text; *stopped when one is there. */
static bool send_text(Generation *g, bool last, bool *stopped, Error *err)
{
    Buf *text = &g->result->text;
    size_t held;
    const size_t end = find_stop(g, g->streamed, &held);
    *stopped = end < text->len;
    if (*stopped) {
        text->len = end;
        text->data[end] = '\0';
    }
    const size_t until = *stopped || last ? text->len : text->len - held;
    const char *from = text->data ? text->data + g->streamed : "";
    const size_t n = until - g->streamed;
    g->streamed = until;
    return g->options->print_tokens || send(g, from, n, err);
}

static bool send_generated(Generation *g, int32_t id, bool *stopped, Error *err)
{
    *stopped = false;
    if (g->options->print_tokens && !send_id(g, id, err))
        return false;
    if (!g->tokenizer)
        return true;
    if (!hf_decoder_add(g->decoder, id, &g->result->text, err))
        return false;
    return send_text(g, false, stopped, err);
}

/* ---- the loop --------------------------------------------------------------------------------- */

static bool load_weights(Generation *g, Error *err)
{
    const char *why;
    if (!weights_file_load(g->weights, g->generator.session, err))
        return false;
    g->result->packed = weights_file_packed(g->weights, &why);
    snprintf(g->result->packed_why, sizeof g->result->packed_why, "%s", why);
    return true;
}

/* A copy lies in large pages, which a token's products read faster than those of a file; but one that does
 * not fit would push out other programs, or this one. */
static bool keep_in_file(Generation *g, const Plan *p, Error *err)
{
    const GenerateOptions *o = g->options;
    const PlanProgramKind program = o->run.cache ? PLAN_generate : PLAN_score;
    const SessionOptions so = { .n_threads = o->run.n_threads, .cpu = o->run.cpu, .programs = 1u << program,
                                .pack = true };
    const size_t memory = o->memory ? o->memory : free_memory("");
    SessionSize size = { 0 };
    const bool fits = !o->map && (!plan_program(p, program) || (session_size(p, &so, &size, err)
                                                                && size.total <= memory));
    if (!fits)
        g->result->mapped = weights_file_bytes(g->weights);
    if (!fits && !o->map)
        g->result->memory = memory;
    return !fits;
}

static bool open_generation(Generation *g, const Plan *p, Error *err)
{
    const GenerateOptions *o = g->options;
    GeneratorOptions run = o->run;
    if (!weights_path(o->weights, g->path, err) || !weights_file_open(p, g->path, o->keep_packed, &g->weights, err))
        return false;
    run.given = keep_in_file(g, p, err) ? weights_file_given(g->weights) : NULL;
    if (!generator_open(&g->generator, p, &run, err))
        return false;
    g->result->context = g->generator.context;
    return load_weights(g, err) && open_tokenizer(g, err) && stop_ids_open(o->weights, g->tokenizer, &g->eos, err)
        && read_prompt(g, err) && check_prompt(g, err)
        && sampler_open(&g->sampler, &o->sample, g->generator.model.vocab, err);
}

static bool pick(Generation *g, int32_t *id, Error *err)
{
    const Generator *m = &g->generator;
    *id = sampler_pick(&g->sampler, m->logits, m->logits_stride, (uint64_t)m->n);
    if (*id >= 0)
        return true;
    return error_set(err, "%s: the logits at position %" PRId64 " are not numbers; the weights are "
                     "damaged or training diverged", g->options->weights, m->n);
}

/* Is there a reason not to generate another id? */
static bool ended(Generation *g)
{
    GenerateResult *r = g->result;
    if (g->options->interrupted && *g->options->interrupted)
        r->end = GENERATE_INTERRUPTED;
    else if (r->n_generated >= g->options->n)
        r->end = GENERATE_LENGTH;
    else if (g->generator.n >= g->generator.context)
        r->end = GENERATE_CONTEXT;
    else
        return false;
    return true;
}

static bool decode(Generation *g, Error *err)
{
    GenerateResult *r = g->result;
    const double began = clock_seconds();
    bool stopped = false, ok = true;
    r->end = GENERATE_LENGTH;
    while (ok && !stopped && r->n_generated < g->options->n) {
        int32_t id;
        ok = pick(g, &id, err);
        if (!ok)
            break;
        sampler_see(&g->sampler, id);
        r->ids[r->n_prompt + r->n_generated++] = id;
        ok = send_generated(g, id, &stopped, err);
        if (stopped)
            r->end = GENERATE_STOP;
        if (!stopped && !g->options->ignore_eos && stop_ids_has(&g->eos, id)) {
            r->end = GENERATE_EOS;
            break;
        }
        if (!ok || stopped || ended(g))
            break;
        generator_feed(&g->generator, &id, 1);
        r->n_decoded++;
        r->barriers = session_barriers(g->generator.session, g->generator.program);
    }
    r->decode_seconds = clock_seconds() - began;
    if (ok && !stopped && g->tokenizer)
        ok = hf_decoder_end(g->decoder, &r->text, err);
    return ok && (stopped || send_text(g, true, &stopped, err));
}

static bool prefill(Generation *g, Error *err)
{
    GenerateResult *r = g->result;
    const GenerateOptions *o = g->options;
    const double began = clock_seconds();
    for (int64_t i = 0; i < r->n_prompt; i++)
        sampler_see(&g->sampler, r->ids[i]);
    if (o->prompt && !o->print_tokens && !send(g, o->prompt, strlen(o->prompt), err))
        return false;
    generator_feed(&g->generator, r->ids, r->n_prompt);
    r->prefill_seconds = clock_seconds() - began;
    return true;
}

bool generate(const Plan *p, const GenerateOptions *o, GenerateResult *out, Error *err)
{
    Generation g = { .options = o, .result = out };
    *out = (GenerateResult){ 0 };
    bool ok = open_generation(&g, p, err) && prefill(&g, err) && decode(&g, err);
    if (ok && out->text.failed)
        ok = error_set(err, "out of memory");
    sampler_close(&g.sampler);
    generator_close(&g.generator);
    weights_file_close(g.weights);
    hf_decoder_free(g.decoder);
    hf_tokenizer_free(g.tokenizer);
    return ok;
}
