/* smrun export: a published model in the other format. */
#include "runtime/command.h"

#include "base/check.h"
#include "base/str.h"
#include "runtime/hub/export.h"

#include <inttypes.h>
#include <stdio.h>

int smrun_export(int argc, char **argv)
{
    Common c = { 0 };
    const char *out = NULL;
    char bytes[32];
    const Arg options[] = {
        { "-o", "FILE", ARG_STRING, &out, "what to write: its name ends with .gguf or .safetensors", 0, 0,
          NULL },
    };
    Args a = { .usage = "smrun export MODEL -o FILE",
               .about =
        "Writes a published model, or what smrun import made of one, in the other format: a folder\n"
        "with config.json and .safetensors files as one GGUF file that llama.cpp loads, tokenizer\n"
        "included; a GGUF file's tensors as safetensors. Tensors keep their values and types.\n\n"
        "  smrun export ~/models/SmolLM2-135M -o smol.gguf",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    ExportResult r;
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional != 1 || !out)
        return command_usage(&a, "which model, and -o FILE?");
    if (!export_model(a.positional[0], out, &r, &c.err))
        return command_fault(&c.err);
    str_bytes(bytes, sizeof bytes, r.bytes);
    printf("%s: %" PRIu32 " tensors, %s%s\n", out, r.n_tensors, bytes,
           r.has_tokenizer ? ", with its tokenizer" : "");
    return command_flushed();
}
