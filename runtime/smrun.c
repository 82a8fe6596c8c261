/* smrun: compiled models at work, on one page.
 *
 * Every command is a row of `commands`: it reads its options, opens the plan, and calls the module
 * that does the work.  Only this file prints messages and chooses exit codes:
 *     0    done
 *     1    a fault of the world: a file, memory, data that does not fit
 *     2    a command line that makes no sense
 *     130  interrupted (143: terminated); training wrote a checkpoint before */
#include "base/args.h"
#include "base/check.h"
#include "base/str.h"
#include "runtime/bench.h"
#include "runtime/generate.h"
#include "runtime/info.h"
#include "runtime/limits.h"
#include "runtime/profile.h"
#include "runtime/score.h"
#include "runtime/threads.h"
#include "runtime/train.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_DONE = 0, EXIT_FAULT = 1, EXIT_USAGE = 2, EXIT_BY_SIGNAL = 128 };

#define SMRUN_VERSION "0.1.0"

/* The signal that asked us to stop; a second one ends the program at once. */
static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
    stop_signal = sig;
    signal(sig, SIG_DFL);
}

static int fault(const Error *err)
{
    fprintf(stderr, "smrun: %s\n", err->text);
    return EXIT_FAULT;
}

/* ---- options that commands share -------------------------------------------------------------- */

typedef struct Common {
    int64_t threads;
    bool json;
    Error err;
} Common;

#define THREADS_OPTION(common) \
    { "--threads", "N", ARG_INT, &(common).threads, "default: the processors there are", 1, 1024, \
      NULL }

static int n_threads(const Common *c)
{
    return c->threads ? (int)c->threads : threads_available();
}

static const char *narrowed_cpu(void)
{
    const char *cpu = getenv("SMG_CPU");
    return cpu && *cpu ? cpu : NULL;
}

/* Text to standard output; everything has been said when this returns. */
static int deliver(const Buf *out)
{
    if (!out->failed && fwrite(out->data, 1, out->len, stdout) == out->len && fflush(stdout) == 0)
        return EXIT_DONE;
    fprintf(stderr, "smrun: standard output: %s\n", out->failed ? "out of memory" : strerror(errno));
    return EXIT_FAULT;
}

/* Was all that was printed written? */
static int flushed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    fprintf(stderr, "smrun: standard output: %s\n", strerror(errno));
    return EXIT_FAULT;
}

static int deliver_json(json_t *j)
{
    Buf out = { 0 };
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    buf_printf(&out, "%s\n", text ? text : "");
    out.failed = out.failed || !text;
    const int code = deliver(&out);
    buf_free(&out);
    free(text);
    json_decref(j);
    return code;
}

static int usage(const Args *a, const char *why)
{
    fprintf(stderr, "smrun: %s\nusage: %s\n", why, a->usage);
    return EXIT_USAGE;
}

/* True when the command may go on, else *code is the exit code. */
static bool parse(Args *a, int argc, char **argv, int *code)
{
    Error err;
    Buf help = { 0 };
    const bool parsed = args_parse(a, argc, argv, &err);
    if (parsed && !a->help)
        return true;
    if (parsed) {
        args_help(&help, a);
        *code = deliver(&help);
        buf_free(&help);
    } else {
        *code = usage(a, err.text);
    }
    return false;
}

/* Opens the plan that the one argument names; as parse. */
static bool open_plan(const Args *a, Plan *plan, int *code)
{
    Error err;
    if (a->n_positional == 1 && plan_open(a->positional[0], plan, &err))
        return true;
    *code = a->n_positional == 1 ? fault(&err) : usage(a, "which plan?");
    return false;
}

static bool begin(Args *a, int argc, char **argv, Plan *plan, int *code)
{
    return parse(a, argc, argv, code) && open_plan(a, plan, code);
}

/* ---- info ------------------------------------------------------------------------------------- */

static int command_info(int argc, char **argv)
{
    Common c = { 0 };
    bool text_twin = false;
    const Arg options[] = {
        THREADS_OPTION(c),
        { "--json", NULL, ARG_FLAG, &c.json, "for machines", 0, 0, NULL },
        { "--plan", NULL, ARG_FLAG, &text_twin, "the whole plan as text", 0, 0, NULL },
    };
    Args a = { .usage = "smrun info PLAN.smp [--threads N] [--json] [--plan]",
               .about = "Says what a plan holds: programs, parameters, barriers, and the memory of a\n"
                        "session to the byte.\n\n"
                        "  smrun info gpt2.smp\n"
                        "  smrun info gpt2.smp --plan | less",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    Buf out = { 0 };
    int code;
    if (!begin(&a, argc, argv, &plan, &code))
        return code;
    const InfoOptions o = { .path = a.positional[0], .n_threads = n_threads(&c),
                            .cpu = narrowed_cpu(), .json = c.json };
    if (text_twin)
        plan_print(&out, &plan);
    code = text_twin || info(&plan, &o, &out, &c.err) ? deliver(&out) : fault(&c.err);
    buf_free(&out);
    plan_close(&plan);
    return code;
}

/* ---- train ------------------------------------------------------------------------------------ */

static int report_training(TrainEnd end, const TrainOptions *o, const TrainResult *r,
                           const Error *err)
{
    char time[32], val[48] = "";
    if (end == TRAIN_FAILED)
        return fault(err);
    duration_text(time, sizeof time, r->seconds);
    if (!isnan(r->val_loss))
        snprintf(val, sizeof val, ", val_loss %.4f", r->val_loss);
    printf("%s after step %" PRId64 ": loss %.4f%s, %s at %.0f/s; the run is in %s\n",
           end == TRAIN_DONE ? "done" : "stopped", r->step, r->loss, val, time, r->tokens_per_s,
           o->out);
    if (end == TRAIN_DONE)
        return flushed();
    fprintf(stderr, "smrun: stopped by a signal; the same command with --resume goes on\n");
    return EXIT_BY_SIGNAL + (int)stop_signal;
}

static int command_train(int argc, char **argv)
{
    Common c = { 0 };
    ArgList data = { 0 };
    TrainOptions o = { .eval_every = 250, .eval_iters = 20, .checkpoint_every = 500,
                       .stop = &stop_signal };
    Hyper *h = &o.hyper;
    const char *schedule = "", *order = "";
    bool quiet = false;
    hyper_unset(h);
    const Arg options[] = {
        { "--data", "FILE...", ARG_REST, &data, "text files, or one .safetensors with samples", 0, 0,
          NULL },
        { "--out", "DIR", ARG_STRING, &o.out, "the run: weights, tokenizer, state, log.jsonl", 0, 0,
          NULL },
        { "--steps", "N", ARG_INT, &o.steps, "train until this step is done", 1, 2e9, NULL },
        { "--resume", NULL, ARG_FLAG, &o.resume, "go on with the run in DIR, with its options", 0, 0,
          NULL },
        { "--init", "WEIGHTS", ARG_STRING, &o.init, "begin with these weights: a run or a file", 0, 0,
          NULL },
        { "--lr", "X", ARG_DOUBLE, &h->lr, "learning rate (default: the model's)", 0, 1e6, NULL },
        { "--min-lr", "X", ARG_DOUBLE, &h->min_lr, "where it falls to (default: a tenth)", 0, 1e6,
          NULL },
        { "--warmup", "N", ARG_INT, &h->warmup, "steps in which it rises first (default 0)", 0, 2e9,
          NULL },
        { "--schedule", "KIND", ARG_CHOICE, &schedule, "cosine (default), linear, constant", 0, 0,
          "cosine|linear|constant" },
        { "--decay-steps", "N", ARG_INT, &h->decay_steps, "where --min-lr is reached (default: "
          "--steps)", 1, 2e9, NULL },
        { "--clip", "X", ARG_DOUBLE, &h->clip, "largest norm of the gradient; 0: any (default 1)", 0,
          1e30, NULL },
        { "--accumulate", "N", ARG_INT, &h->accumulate, "batches a step (default 1)", 1, 1e6, NULL },
        { "--batch", "N", ARG_INT, &h->batch, "of at most what the plan was compiled for (default)",
          1, 1e9, NULL },
        { "--seq", "N", ARG_INT, &h->seq, "likewise, positions of a window", 1, 1e9, NULL },
        { "--seed", "N", ARG_INT, &h->seed, "of weights, order and dropout (default 1)", 0, 1e15,
          NULL },
        { "--order", "KIND", ARG_CHOICE, &order, "random windows (default) or sequential", 0, 0,
          "random|sequential" },
        { "--tokenizer", "KIND", ARG_STRING, &o.tokenizer, "char (default), byte, or a "
          "tokenizer.json", 0, 0, NULL },
        { "--val-fraction", "F", ARG_DOUBLE, &h->val_fraction, "held out (default 0.1 of text, "
          "nothing of samples)", 0, 0.99, NULL },
        { "--eval-every", "N", ARG_INT, &o.eval_every, "steps between validations; 0: never (default "
          "250)", 0, 2e9, NULL },
        { "--eval-iters", "N", ARG_INT, &o.eval_iters, "batches of a validation (default 20)", 0, 1e6,
          NULL },
        { "--checkpoint-every", "N", ARG_INT, &o.checkpoint_every, "steps; 0: only at the end "
          "(default 500)", 0, 2e9, NULL },
        { "--quiet", NULL, ARG_FLAG, &quiet, "no progress", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun train PLAN.smp --data FILE... --out DIR --steps N [options]",
               .about =
        "Trains a model on text, or on ready-made samples: a .safetensors file with one tensor for\n"
        "each input of the model (those of its train block too), samples along the first axis.\n"
        "Each step is a line of DIR/log.jsonl. Ctrl-C finishes the step and writes a checkpoint.\n"
        "A run that is resumed gives the same bytes as one that was never stopped.\n\n"
        "  smrun train chargpt.smp --data stories.txt --out run --steps 2000\n"
        "  smrun train chargpt.smp --data stories.txt --out run --steps 4000 --resume\n"
        "  smrun train mlp.smp --data samples.safetensors --order sequential --out run --steps 10\n\n"
        "exit codes: 0 done; 1 a file, the data or memory, with a message; 2 usage; 130 interrupted,\n"
        "after a checkpoint",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    TrainResult result;
    int code;
    if (!begin(&a, argc, argv, &plan, &code))
        return code;
    snprintf(h->schedule, sizeof h->schedule, "%s", schedule);
    snprintf(h->order, sizeof h->order, "%s", order);
    o.plan_path = a.positional[0];
    o.data = data.item;
    o.n_data = data.n;
    o.n_threads = n_threads(&c);
    o.cpu = narrowed_cpu();
    o.progress = quiet ? NULL : stderr;
    if (data.n == 0 || !o.out || o.steps == 0) {
        code = usage(&a, "--data, --out and --steps say what to train on, where to and how long");
    } else if (o.resume && o.init) {
        code = usage(&a, "--init begins a run and --resume goes on with one");
    } else {
        const TrainEnd end = train_run(&plan, &o, &result, &c.err);
        code = report_training(end, &o, &result, &c.err);
    }
    plan_close(&plan);
    return code;
}

/* ---- generate --------------------------------------------------------------------------------- */

static double rate(int64_t n, double seconds)
{
    return n > 0 && seconds > 0 ? (double)n / seconds : 0;
}

static int generation_json(const GenerateResult *r)
{
    json_t *prompt = json_array(), *ids = json_array();
    for (int64_t i = 0; i < r->n_prompt; i++)
        json_array_append_new(prompt, json_integer(r->ids[i]));
    for (int64_t i = 0; i < r->n_generated; i++)
        json_array_append_new(ids, json_integer(r->ids[r->n_prompt + i]));
    return deliver_json(json_pack(
        "{s:s%, s:o, s:o, s:s, s:I, s:f, s:f}", "text", r->text.data ? r->text.data : "",
        r->text.len, "tokens", ids, "prompt_tokens", prompt, "end", generate_end_name(r->end),
        "context", (json_int_t)r->context, "prefill_tokens_per_s",
        rate(r->n_prompt, r->prefill_seconds), "decode_tokens_per_s",
        rate(r->n_decoded, r->decode_seconds)));
}

static int report_generation(const GenerateResult *r, bool json)
{
    if (json)
        return generation_json(r);
    putchar('\n');
    fflush(stdout);                     /* the text first, where both go to one place */
    fprintf(stderr, "prefill %" PRId64 " tokens at %.1f/s, decode %" PRId64 " tokens at %.1f/s\n",
            r->n_prompt, rate(r->n_prompt, r->prefill_seconds), r->n_decoded,
            rate(r->n_decoded, r->decode_seconds));
    if (r->end == GENERATE_CONTEXT)
        fprintf(stderr, "stopped: the model's context of %" PRId64 " positions is full\n",
                r->context);
    if (r->end == GENERATE_INTERRUPTED)
        fprintf(stderr, "stopped: interrupted\n");
    return flushed();
}

static int command_generate(int argc, char **argv)
{
    Common c = { 0 };
    ArgList stop = { 0 };
    GenerateOptions o = { .n = 256, .interrupted = &stop_signal, .run.cache = true,
                          .sample = { .temperature = 0.8, .top_p = 1, .repeat_penalty = 1 } };
    SampleOptions *s = &o.sample;
    bool no_cache = false;
    int64_t seed = 1;
    const Arg options[] = {
        { "--weights", "DIR", ARG_STRING, &o.weights, "a run, or a .safetensors file", 0, 0, NULL },
        { "--prompt", "TEXT", ARG_STRING, &o.prompt, "how the text begins (default: a new one)", 0, 0,
          NULL },
        { "--prompt-tokens", "IDS", ARG_STRING, &o.prompt_tokens, "ids instead: 12,5,7", 0, 0, NULL },
        { "-n", "N", ARG_INT, &o.n, "most tokens to generate (default 256)", 1, 1e9, NULL },
        { "--temperature", "X", ARG_DOUBLE, &s->temperature, "0: always the likeliest (default 0.8)",
          0, 1e3, NULL },
        { "--top-k", "N", ARG_INT, &s->top_k, "only the N likeliest; 0: all (default)", 0, 1e9, NULL },
        { "--top-p", "X", ARG_DOUBLE, &s->top_p, "only the likeliest that make up X (default 1)",
          1e-9, 1, NULL },
        { "--min-p", "X", ARG_DOUBLE, &s->min_p, "only those X times as likely as the first", 0, 1,
          NULL },
        { "--repeat-penalty", "X", ARG_DOUBLE, &s->repeat_penalty, "1: none (default)", 1e-3, 1e3,
          NULL },
        { "--seed", "N", ARG_INT, &seed, "the same seed gives the same text (default 1)", 0, 1e15,
          NULL },
        { "--stop", "TEXT", ARG_LIST, &stop, "ends the text; may be given several times", 0, 0, NULL },
        { "--print-tokens", NULL, ARG_FLAG, &o.print_tokens, "ids instead of text", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "one object at the end instead of a stream", 0, 0, NULL },
        { "--no-cache", NULL, ARG_FLAG, &no_cache, "compute every position again for each token", 0, 0,
          NULL },
        { "--chunk", "N", ARG_INT, &o.run.chunk, "positions of the prompt computed at once", 1, 1e6,
          NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun generate PLAN.smp --weights DIR [--prompt TEXT] [-n N] [options]",
               .about =
        "Continues a text. Speed goes to standard error, the text alone to standard output.\n\n"
        "  smrun generate chargpt.smp --weights run --prompt \"Once upon a time\"\n"
        "  smrun generate chargpt.smp --weights run --temperature 0 -n 50 --print-tokens",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    GenerateResult r;
    int code;
    if (!begin(&a, argc, argv, &plan, &code))
        return code;
    o.plan_path = a.positional[0];
    o.run.cache = !no_cache;
    o.run.n_threads = n_threads(&c);
    o.run.cpu = narrowed_cpu();
    o.stop = stop.item;
    o.n_stop = stop.n;
    o.stream = c.json ? NULL : stdout;
    s->seed = (uint64_t)seed;
    if (!o.weights) {
        code = usage(&a, "--weights says what to generate with");
    } else if (o.prompt && o.prompt_tokens) {
        code = usage(&a, "--prompt and --prompt-tokens: one of them");
    } else {
        bool ok = generate(&plan, &o, &r, &c.err);
        code = ok ? report_generation(&r, c.json) : fault(&c.err);
        if (ok && code == EXIT_DONE && r.end == GENERATE_INTERRUPTED)
            code = EXIT_BY_SIGNAL + (int)stop_signal;
        generate_result_free(&r);
    }
    plan_close(&plan);
    return code;
}

/* ---- score ------------------------------------------------------------------------------------ */

static int print_loss(const ScoreResult *r)
{
    printf("loss %.6f over %" PRId64 " samples\n", r->loss, r->n);
    return flushed();
}

static int command_score(int argc, char **argv)
{
    Common c = { 0 };
    ScoreOptions o = { 0 };
    ScoreResult r;
    const Arg options[] = {
        { "--weights", "DIR", ARG_STRING, &o.weights, "a run, or a .safetensors file", 0, 0, NULL },
        { "--data", "FILE", ARG_STRING, &o.data, "a .safetensors file with the model's inputs", 0, 0,
          NULL },
        { "-o", "FILE", ARG_STRING, &o.out, "where its outputs go, a tensor for each", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "the loss as JSON", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun score PLAN.smp --weights DIR --data FILE.safetensors [-o OUT.safetensors]",
               .about = "Computes a model's outputs for samples, and prints the loss where the inputs of "
                        "its train\nblock are there too.\n\n"
                        "  smrun score mlp.smp --weights run --data samples.safetensors -o y.safetensors",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    int code;
    if (!begin(&a, argc, argv, &plan, &code))
        return code;
    o.n_threads = n_threads(&c);
    o.cpu = narrowed_cpu();
    if (!o.weights || !o.data)
        code = usage(&a, "--weights and --data say what to score");
    else if (!score(&plan, &o, &r, &c.err))
        code = fault(&c.err);
    else if (c.json)
        code = deliver_json(json_pack("{s:I, s:o}", "samples", (json_int_t)r.n, "loss",
                                      r.has_loss ? json_real(r.loss) : json_null()));
    else if (r.has_loss)
        code = print_loss(&r);
    else
        code = EXIT_DONE;
    plan_close(&plan);
    return code;
}

/* ---- bench ------------------------------------------------------------------------------------ */

static void print_generation(const char *what, const BenchGeneration *b)
{
    if (!b->measured)
        return;
    printf("%-38s %10.1f tokens/s  %8.3f ms/token", what, b->tokens_per_s, b->ms_per_token);
    if (b->bytes_per_token >= 0)
        printf("  %.0f bytes allocated per token", b->bytes_per_token);
    printf("  (positions %" PRId64 " to %" PRId64 ")\n", b->from, b->to);
}

static int print_bench(const BenchResult *r)
{
    print_generation("generation, recomputing every position", &r->recomputed);
    print_generation("generation with the cache", &r->cached);
    const BenchTraining *t = &r->training;
    if (!t->measured)
        return flushed();
    printf("%-38s %10.1f %s/s  %8.3f ms/step", "training", t->tokens_per_s,
           t->seq ? "tokens" : "samples", t->ms_per_step);
    if (t->bytes_per_step >= 0)
        printf("  %.0f bytes allocated per step", t->bytes_per_step);
    printf("  (batch %" PRId64, t->batch);
    if (t->seq)
        printf(", %" PRId64 " positions", t->seq);
    printf(")\n");
    return flushed();
}

static json_t *counted_json(double x)
{
    return x < 0 ? json_null() : json_real(x);
}

static json_t *bench_generation_json(const BenchGeneration *b)
{
    if (!b->measured)
        return json_null();
    return json_pack("{s:I, s:I, s:f, s:f, s:o, s:o}", "from", (json_int_t)b->from, "to",
                     (json_int_t)b->to, "tokens_per_s", b->tokens_per_s, "ms_per_token",
                     b->ms_per_token, "bytes_per_token", counted_json(b->bytes_per_token),
                     "allocations_per_token", counted_json(b->calls_per_token));
}

static json_t *bench_json(const BenchResult *r, int threads)
{
    const BenchTraining *t = &r->training;
    json_t *training = t->measured
        ? json_pack("{s:I, s:I, s:f, s:f, s:o}", "batch", (json_int_t)t->batch, "seq",
                    (json_int_t)t->seq, "ms_per_step", t->ms_per_step, "tokens_per_s",
                    t->tokens_per_s, "bytes_per_step", counted_json(t->bytes_per_step))
        : json_null();
    return json_pack("{s:i, s:o, s:o, s:o}", "threads", threads, "recomputed",
                     bench_generation_json(&r->recomputed), "cached",
                     bench_generation_json(&r->cached), "training", training);
}

/* The machine itself: no plan is needed. */
static int bench_limits(const Common *c)
{
    Error err;
    Buf out = { 0 };
    LimitsReport r;
    const KernelTable *kernels = kernels_select(narrowed_cpu(), &err);
    if (!kernels || !limits_report(kernels, n_threads(c), &r, &err))
        return fault(&err);
    bool ok = true;
    if (c->json)
        ok = limits_report_json(&out, &r);
    else
        limits_print(&out, &r);
    out.failed = out.failed || !ok;
    const int code = deliver(&out);
    buf_free(&out);
    return code;
}

static int command_bench(int argc, char **argv)
{
    Common c = { 0 };
    bool limits = false;
    BenchResult r;
    BenchOptions o = { .seconds = 2 };
    Progress progress;
    const Arg options[] = {
        { "--seconds", "X", ARG_DOUBLE, &o.seconds, "at least, for each figure (default 2)", 0, 3600,
          NULL },
        { "--limits", NULL, ARG_FLAG, &limits, "what this machine can do at most; takes no plan", 0, 0,
          NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "for machines", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun bench PLAN.smp | --limits [--threads N] [--seconds X] [--json]",
               .about = "Measures what the plan can do, with random weights: tokens/s of generation at\n"
                        "positions 32 to 81, recomputing and with the cache, and time of a training step.\n"
                        "Figures are medians.\n\n"
                        "  smc compile models/profile.smg && smrun bench profile.smp",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    int code;
    if (!parse(&a, argc, argv, &code))
        return code;
    if (limits)
        return bench_limits(&c);
    if (!open_plan(&a, &plan, &code))
        return code;
    o.n_threads = n_threads(&c);
    o.cpu = narrowed_cpu();
    progress_begin(&progress, stderr);
    o.progress = &progress;
    if (!bench(&plan, &o, &r, &c.err))
        code = fault(&c.err);
    else if (c.json)
        code = deliver_json(bench_json(&r, o.n_threads));
    else
        code = print_bench(&r);
    plan_close(&plan);
    return code;
}

/* ---- profile ---------------------------------------------------------------------------------- */

static bool program_named(const char *name, PlanProgramKind *out)
{
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (strcmp(plan_program_name((PlanProgramKind)k), name) == 0) {
            *out = (PlanProgramKind)k;
            return true;
        }
    return false;
}

static bool write_trace(const char *path, const Profile *p, Error *err)
{
    Buf out = { 0 };
    bool ok = profile_trace(&out, p);
    if (!ok)
        error_set(err, "out of memory");
    ok = ok && file_replace(path, out.data, out.len, err);
    buf_free(&out);
    return ok;
}

static int report_profile(const Profile *p, const char *trace, int64_t top, bool json)
{
    Error err;
    Buf out = { 0 };
    const bool ok = json ? profile_json(&out, p) : profile_print(&out, p, (uint32_t)top);
    out.failed = out.failed || !ok;
    int code = deliver(&out);
    buf_free(&out);
    if (code == EXIT_DONE && trace && !write_trace(trace, p, &err))
        code = fault(&err);
    return code;
}

static int command_profile(int argc, char **argv)
{
    Common c = { 0 };
    ProfileOptions o = { .past = -1 };
    Progress progress;
    const char *program = "train", *clock = "wall", *trace = NULL;
    int64_t top = 12;
    const Arg options[] = {
        { "--program", "P", ARG_CHOICE, &program, "which of the plan's (default train)", 0, 0,
          "score|eval|train|accumulate|apply|generate" },
        { "--steps", "N", ARG_INT, &o.steps, "runs to time (default: two seconds of them)", 1, 1e6,
          NULL },
        { "--batch", "N", ARG_INT, &o.batch, "default: the largest of the plan", 1, 1e9, NULL },
        { "--seq", "N", ARG_INT, &o.seq, "positions; default: the most, but 1 for generate", 1, 1e9,
          NULL },
        { "--past", "N", ARG_INT, &o.past, "generate: positions in the cache (default: half of it)", 0,
          1e9, NULL },
        { "--clock", "KIND", ARG_CHOICE, &clock, "wall (default), or cpu: time of the processor, for "
          "machines that others use too", 0, 0, "wall|cpu" },
        { "--overhead", NULL, ARG_FLAG, &o.overhead, "measure what profiling itself costs", 0, 0, NULL },
        { "--top", "N", ARG_INT, &top, "rows of each table (default 12)", 1, 1e6, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "everything, for machines", 0, 0, NULL },
        { "--trace", "FILE", ARG_STRING, &trace, "one run for ui.perfetto.dev or chrome://tracing", 0,
          0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun profile PLAN.smp [--program P] [--threads N] [--trace FILE] [options]",
               .about = "Says where the time of a program goes: by kernel, op, line of the model, part of the\n"
                        "model and instruction, beside the least that this machine's limits allow. Weights and\n"
                        "inputs are random.\n\n"
                        "  smrun profile gpt2.smp --threads 1\n"
                        "  smrun profile gpt2.smp --program generate --json > decode.json",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    Profile p;
    int code;
    if (!begin(&a, argc, argv, &plan, &code))
        return code;
    o.n_threads = n_threads(&c);
    o.cpu = narrowed_cpu();
    o.cpu_clock = strcmp(clock, "cpu") == 0;
    progress_begin(&progress, stderr);
    o.progress = &progress;
    const bool known = program_named(program, &o.program);
    CHECK(known, "the choices of --program are the names of the programs");
    if (profile_run(&plan, &o, &p, &c.err)) {
        code = report_profile(&p, trace, top, c.json);
        profile_close(&p);
    } else {
        code = fault(&c.err);
    }
    plan_close(&plan);
    return code;
}

/* ---- all of them ------------------------------------------------------------------------------ */

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "info",     "what a plan holds, and the memory it needs", command_info },
    { "train",    "train a model on text or samples",           command_train },
    { "generate", "continue a text",                            command_generate },
    { "score",    "outputs and loss for samples",               command_score },
    { "bench",    "how fast a plan runs here",                  command_bench },
    { "profile",  "where the time of a program goes",           command_profile },
};

static void print_usage(FILE *to)
{
    fputs("smrun runs compiled models (smc makes them).\n\n"
          "usage: smrun COMMAND PLAN.smp [options]     smrun COMMAND --help\n\n", to);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
    fputs("\nexit codes: 0 done; 1 a file, memory or data, with a message; 2 usage; 130 interrupted\n"
          "environment: SMG_CPU=scalar|avx2|avx512 narrows the instructions that are used\n", to);
}

static int unknown_command(const char *name)
{
    Nearest best = nearest_of(name);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        nearest_try(&best, commands[i].name);
    fprintf(stderr, "smrun: no command \"%s\"", name);
    fprintf(stderr, best.found ? "; did you mean %s?\n" : "; smrun --help lists them\n",
            best.found);
    return EXIT_USAGE;
}

/* Signals that would end us between two bytes of a file become errors or requests. */
static void set_signals(void)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN }, stop = { .sa_handler = on_signal };
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
}

int main(int argc, char **argv)
{
    set_signals();
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAULT;
    }
    if (strcmp(argv[1], "--version") == 0)
        return puts("smrun " SMRUN_VERSION) >= 0 ? EXIT_DONE : EXIT_FAULT;
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    return unknown_command(argv[1]);
}
