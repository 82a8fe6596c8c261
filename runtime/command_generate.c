/* smrun generate: continues a text. */
#include "base/check.h"
#include "runtime/command.h"
#include "runtime/generate.h"
#include "runtime/hub/generation.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

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
    return command_deliver_json(json_pack(
        "{s:s%, s:o, s:o, s:s, s:I, s:f, s:f, s:I, s:I}", "text", r->text.data ? r->text.data : "",
        r->text.len, "tokens", ids, "prompt_tokens", prompt, "end", generate_end_name(r->end),
        "context", (json_int_t)r->context, "prefill_tokens_per_s",
        rate(r->n_prompt, r->prefill_seconds), "decode_tokens_per_s",
        rate(r->n_decoded, r->decode_seconds), "barriers_per_token", (json_int_t)r->barriers,
        "mapped_bytes", (json_int_t)r->mapped));
}

static void report_packed(const GenerateResult *r)
{
    switch (r->packed) {
    case PACKED_OFF: break;
    case PACKED_USED: fprintf(stderr, "packed weights: those kept before\n"); break;
    case PACKED_WRITTEN: fprintf(stderr, "packed weights: kept for the next start (%s)\n", r->packed_why); break;
    case PACKED_FAILED: fprintf(stderr, "packed weights: not kept: %s\n", r->packed_why); break;
    }
}

static int report_generation(const GenerateResult *r, bool json)
{
    if (json)
        return generation_json(r);
    putchar('\n');
    fflush(stdout);                     /* the text first, where both go to one place */
    fprintf(stderr, "prefill %" PRId64 " tokens at %.1f/s, decode %" PRId64 " tokens at %.1f/s, %" PRIu32
            " barriers a token\n", r->n_prompt, rate(r->n_prompt, r->prefill_seconds), r->n_decoded,
            rate(r->n_decoded, r->decode_seconds), r->barriers);
    if (r->memory > 0 && r->mapped > 0)
        fprintf(stderr, "weights stay in their file (%.1f MiB): a copy of them does not fit in %.1f MiB of "
                "memory\n", (double)r->mapped / 0x1p20, (double)r->memory / 0x1p20);
    report_packed(r);
    if (r->end == GENERATE_CONTEXT)
        fprintf(stderr, "stopped: the model's context of %" PRId64 " positions is full\n",
                r->context);
    if (r->end == GENERATE_INTERRUPTED)
        fprintf(stderr, "stopped: interrupted\n");
    return command_flushed();
}

int smrun_generate(int argc, char **argv)
{
    Common c = { 0 };
    ArgList stop = { 0 };
    GenerateOptions o = { .n = 256, .interrupted = &command_stop, .run.cache = true,
                          .sample = SAMPLE_UNSET };
    SampleOptions *s = &o.sample;
    bool no_cache = false;
    int64_t seed = 1, memory = 0;
    const Arg options[] = {
        { "--weights", "DIR", ARG_STRING, &o.weights, "a run, or a .safetensors file", 0, 0, NULL },
        { "--prompt", "TEXT", ARG_STRING, &o.prompt, "how the text begins (default: a new one)", 0, 0,
          NULL },
        { "--special", NULL, ARG_FLAG, &o.special, "special tokens in the prompt are such, not text", 0,
          0, NULL },
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
        { "--ignore-eos", NULL, ARG_FLAG, &o.ignore_eos, "go on where the model ends the text", 0, 0,
          NULL },
        { "--print-tokens", NULL, ARG_FLAG, &o.print_tokens, "ids instead of text", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "one object at the end instead of a stream", 0, 0, NULL },
        { "--no-cache", NULL, ARG_FLAG, &no_cache, "compute every position again for each token", 0, 0,
          NULL },
        { "--chunk", "N", ARG_INT, &o.run.chunk, "positions of the prompt computed at once", 1, 1e6,
          NULL },
        { "--map", NULL, ARG_FLAG, &o.map, "read weights where they lie in their file, neither copied nor "
          "packed for this processor: starts at once and takes less memory, but decodes slower; without, this is what is done when a copy does not fit", 0, 0,
          NULL },
        { "--memory", "MIB", ARG_INT, &memory, "that a session with a copy of its weights may take (default: "
          "what is free)", 1, 1e9, NULL },
        { "--keep-packed", NULL, ARG_FLAG, &o.keep_packed, "keep weights in blocks as products read them, for the "
          "next start, beside the imported model", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun generate MODEL [--weights DIR] [--prompt TEXT] [-n N] [options]",
               .about =
        "Continues a text. Speed goes to standard error, the text alone to standard output.\n"
        "MODEL is a plan, with --weights, or a published model: a folder with config.json and\n"
        ".safetensors files, a .gguf file, or what smrun import made of one.\n\n"
        "  smrun generate ~/models/SmolLM2-135M --prompt \"Once upon a time\"\n"
        "  smrun generate chargpt.smp --weights run --prompt \"Once upon a time\"\n"
        "  smrun generate chargpt.smp --weights run --temperature 0 -n 50 --print-tokens",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    GenerateResult r;
    int code;
    char folder[MAX_MODEL_FOLDER];
    if (!command_parse(&a, argc, argv, &code) || !command_open_model(&a, &plan, folder, &code))
        return code;
    if (!o.weights && *folder)
        o.weights = folder;
    o.plan_path = a.positional[0];
    o.run.cache = !no_cache;
    o.memory = (size_t)memory << 20;
    o.run.n_threads = command_threads(&c);
    o.run.cpu = command_cpu();
    o.stop = stop.item;
    o.n_stop = stop.n;
    o.stream = c.json ? NULL : stdout;
    s->seed = (uint64_t)seed;
    if (!o.weights) {
        code = command_usage(&a, "--weights says what to generate with");
    } else if (!generation_defaults(folder, s, &c.err)) {
        code = command_fault(&c.err);
    } else if (o.prompt && o.prompt_tokens) {
        code = command_usage(&a, "--prompt and --prompt-tokens: one of them");
    } else {
        bool ok = generate(&plan, &o, &r, &c.err);
        code = ok ? report_generation(&r, c.json) : command_fault(&c.err);
        if (ok && code == EXIT_DONE && r.end == GENERATE_INTERRUPTED)
            code = EXIT_BY_SIGNAL + (int)command_stop;
        generate_result_free(&r);
    }
    plan_close(&plan);
    return code;
}
