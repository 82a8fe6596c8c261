/* smrun quantize: a model's weights in fewer bits. */
#include "runtime/command.h"

#include "base/check.h"
#include "base/str.h"
#include "runtime/hub/export.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void shape_of(const QuantizedTensor *t, char out[64])
{
    size_t used = 0;
    for (uint32_t a = t->rank; a > 0; a--)
        used += (size_t)snprintf(out + used, 64 - used, "%s%" PRIu64, a < t->rank ? "x" : "", t->dim[a - 1]);
}

static void print_tensor(Buf *out, const QuantizedTensor *t)
{
    char shape[64], from[32], to[32];
    shape_of(t, shape);
    str_bytes(from, sizeof from, t->bytes_from);
    str_bytes(to, sizeof to, t->bytes_to);
    buf_printf(out, "%-36s %14s  %-5s -> %-5s %10s %10s", t->name, shape, ggml_type_name((GgmlType)t->from),
               ggml_type_name((GgmlType)t->to), from, to);
    if (t->to != t->from)
        buf_printf(out, "  %9.6f %10.3g", quantize_relative_error(t->error_squares, t->sum_squares),
                   t->largest_error);
    buf_puts(out, "\n");
}

/* Over the tensors that changed. */
static QuantizedTensor sum_of(const QuantizeReport *r)
{
    QuantizedTensor s = { 0 };
    for (uint32_t i = 0; i < r->n; i++) {
        s.sum_squares += r->tensor[i].sum_squares;
        s.error_squares += r->tensor[i].error_squares;
        s.largest_error = fmax(s.largest_error, r->tensor[i].largest_error);
    }
    return s;
}

static int print_report(const QuantizeReport *r, const char *path)
{
    Buf out = { 0 };
    char from[32], to[32];
    const QuantizedTensor s = sum_of(r);
    buf_printf(&out, "%-36s %14s  %-14s %10s %10s  %9s %10s\n", "tensor", "shape", "type", "before", "after",
               "rms error", "largest");
    for (uint32_t i = 0; i < r->n; i++)
        print_tensor(&out, &r->tensor[i]);
    str_bytes(from, sizeof from, r->bytes_from);
    str_bytes(to, sizeof to, r->bytes_to);
    buf_printf(&out, "%s: %s of %s (%.1f%%); rms error %.6f of the rms of what was rounded, largest %.3g\n", path,
               to, from, r->bytes_from ? 100.0 * (double)r->bytes_to / (double)r->bytes_from : 0,
               quantize_relative_error(s.error_squares, s.sum_squares), s.largest_error);
    const int code = command_deliver(&out);
    buf_free(&out);
    return code;
}

static json_t *tensor_json(const QuantizedTensor *t)
{
    json_t *shape = json_array();
    for (uint32_t a = t->rank; a > 0; a--)
        json_array_append_new(shape, json_integer((json_int_t)t->dim[a - 1]));
    return json_pack("{s:s, s:o, s:s, s:s, s:I, s:I, s:f, s:f}", "name", t->name, "shape", shape, "from",
                     ggml_type_name((GgmlType)t->from), "to", ggml_type_name((GgmlType)t->to), "bytes_from",
                     (json_int_t)t->bytes_from, "bytes_to", (json_int_t)t->bytes_to, "rms_error",
                     quantize_relative_error(t->error_squares, t->sum_squares), "largest_error",
                     t->largest_error);
}

static json_t *report_json(const QuantizeReport *r, const char *path)
{
    json_t *tensors = json_array();
    const QuantizedTensor s = sum_of(r);
    for (uint32_t i = 0; i < r->n; i++)
        json_array_append_new(tensors, tensor_json(&r->tensor[i]));
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:o}", "file", path, "bytes_from", (json_int_t)r->bytes_from,
                     "bytes_to", (json_int_t)r->bytes_to, "rms_error",
                     quantize_relative_error(s.error_squares, s.sum_squares), "largest_error",
                     s.largest_error, "tensors", tensors);
}

/* PATTERN=TYPE; the text is cut at the sign. */
static bool read_rule(char *text, QuantizeRule *out, Error *err)
{
    char *sign = strrchr(text, '=');
    if (!sign || sign == text)
        return error_set(err, "--keep %s: expected PATTERN=TYPE, say 'output.weight=q6_k'", text);
    *sign = '\0';
    out->pattern = text;
    return quantize_type(sign + 1, &out->type, err) || error_prefix(err, "--keep %s", text);
}

static bool read_rules(const ArgList *keep, char *copy[MAX_ARG_LIST], QuantizeRule *rules, Error *err)
{
    for (uint32_t i = 0; i < keep->n; i++) {
        copy[i] = strdup(keep->item[i]);
        if (!copy[i])
            return error_set(err, "out of memory");
        if (!read_rule(copy[i], &rules[i], err))
            return false;
    }
    return true;
}

/* The source's own name and the type, here. */
static void default_file(const char *source, DType type, char out[1100])
{
    char name[MAX_SOURCE_NAME];
    command_source_name(source, name);
    snprintf(out, 1100, "%s-%s.gguf", name, dtype_name(type));
}

static int run(const char *source, const QuantizeOptions *o, const char *out, Common *c)
{
    QuantizeReport r;
    Progress progress;
    progress_begin(&progress, stderr);
    int code;
    if (!export_quantized(source, o, out, &progress, &r, &c->err))
        code = command_fault(&c->err);
    else if (c->json)
        code = command_deliver_json(report_json(&r, out));
    else
        code = print_report(&r, out);
    quantize_report_free(&r);
    return code;
}

int smrun_quantize(int argc, char **argv)
{
    Common c = { 0 };
    ArgList keep = { 0 };
    const char *type = NULL, *out = NULL;
    const Arg options[] = {
        { "--type", "TYPE", ARG_STRING, &type, "q8_0, q4_0, q4_k, q6_k, ...: of what products and embeddings "
          "read", 0, 0, NULL },
        { "--keep", "PATTERN=TYPE", ARG_LIST, &keep, "another type for tensors of such names (* and ? as in a "
          "shell; the last that matches holds)", 0, 0, NULL },
        { "-o", "FILE", ARG_STRING, &out, "where to write (default: NAME-TYPE.gguf here)", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "the table for machines", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun quantize MODEL --type TYPE [--keep PATTERN=TYPE] [-o OUT.gguf]",
               .about =
        "Writes the model as a GGUF file with its weights in fewer bits, and says what that cost: root\n"
        "mean square of the error as a share of the weights' own, and the largest.  MODEL is a folder\n"
        "with config.json and .safetensors files, a .gguf file, or what smrun import made of one;\n"
        "smrun generate takes the file, tokenizer and all.  A PATTERN is for the names of GGUF or of\n"
        "the folder.\n\n"
        "  smrun quantize ~/models/SmolLM2-135M --type q4_k --keep 'output.weight=q6_k'\n"
        "  smrun generate SmolLM2-135M-q4_k.gguf --prompt \"Once upon a time\"",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    QuantizeRule rules[MAX_ARG_LIST];
    char *copy[MAX_ARG_LIST] = { NULL }, file[1100];
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional != 1 || !type)
        return command_usage(&a, "a model and --type are needed");
    QuantizeOptions o = { .rules = rules, .n_rules = keep.n, .n_threads = command_threads(&c) };
    if (!quantize_type(type, &o.type, &c.err) || !read_rules(&keep, copy, rules, &c.err)) {
        code = command_usage(&a, c.err.text);
    } else {
        default_file(a.positional[0], o.type, file);
        code = run(a.positional[0], &o, out ? out : file, &c);
    }
    for (uint32_t i = 0; i < keep.n; i++)
        free(copy[i]);
    return code;
}
