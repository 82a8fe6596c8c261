/* smrun import: a published model, made ready to run. */
#include "runtime/command.h"

#include "base/check.h"
#include "base/str.h"
#include "runtime/hub/import.h"

#include <inttypes.h>
#include <stdio.h>

/* The source's own name, without .gguf, here. */
static void default_folder(const char *source, char out[MAX_IMPORT_PATH])
{
    char name[MAX_SOURCE_NAME];
    command_source_name(source, name);
    snprintf(out, MAX_IMPORT_PATH, "%s.smallmind", name);
}

static int report(const ImportResult *r, const char *dir, bool json)
{
    char bytes[32];
    if (json)
        return command_deliver_json(json_pack(
            "{s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "folder", dir, "model", r->model, "parameters",
            (json_int_t)r->n_params, "bytes", (json_int_t)r->bytes, "context",
            (json_int_t)r->context, "chunk", (json_int_t)r->chunk, "tokenizer", r->has_tokenizer));
    str_bytes(bytes, sizeof bytes, r->bytes);
    printf("%s: models/%s.smg, %" PRIu32 " parameters (%s, where they were), %" PRId64
           " positions%s\nsmrun generate %s --prompt ... runs it\n", dir, r->model, r->n_params, bytes,
           r->context, r->has_tokenizer ? "" : ", no tokenizer", dir);
    if (!r->has_tokenizer && r->has_sentencepiece)
        printf("its tokenizer.model is SentencePiece's own file, which is not read; with tokenizer.json "
               "beside it\n(save_pretrained of a fast tokenizer writes one) texts work. Until then: "
               "--prompt-tokens, --print-tokens\n");
    return command_flushed();
}

int smrun_import(int argc, char **argv)
{
    Common c = { 0 };
    const char *out = NULL;
    ImportOptions o = { 0 };
    char dir[MAX_IMPORT_PATH];
    const Arg options[] = {
        { "-o", "DIR", ARG_STRING, &out, "where to (default: NAME.smallmind here)", 0, 0, NULL },
        { "--context", "N", ARG_INT, &o.context, "positions of a text (default: those the model was "
          "trained for, at most 4096)", 1, 1e9, NULL },
        { "--chunk", "N", ARG_INT, &o.chunk, "positions of a prompt computed at once (default: 512)", 1, 1e6, NULL },
        { "--cache", "TYPE", ARG_CHOICE, &o.cache, "what keys and values are kept in (default f32)", 0, 0,
          "f32|bf16|q8_0" },
        { "--json", NULL, ARG_FLAG, &c.json, "for machines", 0, 0, NULL },
    };
    Args a = { .usage = "smrun import SOURCE [-o DIR] [--context N] [--chunk N] [--cache TYPE] [--json]",
               .about =
        "Makes a published model ready to run. SOURCE is a folder with config.json and .safetensors\n"
        "files, a .gguf file, or a .bin of llama2.c or llm.c; it stays as it is, and the weights stay\n"
        "in it.\n\n"
        "  smrun import ~/models/SmolLM2-135M -o smol\n"
        "  smrun generate smol --prompt \"Once upon a time\"",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    ImportResult r;
    Buf faults = { 0 };
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional != 1)
        return command_usage(&a, "which model?");
    if (out)
        snprintf(dir, sizeof dir, "%s", out);
    else
        default_folder(a.positional[0], dir);
    if (import_model(a.positional[0], dir, &o, &r, &faults, &c.err)) {
        code = report(&r, dir, c.json);
    } else {
        fputs(faults.len ? faults.data : "", stderr);
        code = command_fault(&c.err);
    }
    buf_free(&faults);
    return code;
}
