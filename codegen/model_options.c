/* The options of a compilation: what they amount to. */
#include "codegen/model_options.h"

#include "base/check.h"
#include "base/str.h"
#include "passes/weight_types.h"

#include <inttypes.h>
#include <string.h>

int program_asked(const char *name, Program *out)
{
    if (program_from_name(name, out) && *out != PROGRAM_model)
        return EXIT_DONE;
    Buf known = { 0 };
    for (Program p = PROGRAM_score; p < N_PROGRAMS; p++)
        buf_printf(&known, "%s%s", p == PROGRAM_score ? "" : ", ", program_name(p));
    misuse("no program is called %s; they are %s", name, known.failed ? "" : known.data);
    buf_free(&known);
    return EXIT_USAGE;
}

const PassInfo *pass_asked(const char *name)
{
    const PassInfo *pass = pass_find(name);
    Nearest best = nearest_of(name);
    for (int i = 0; i < n_passes; i++)
        nearest_try(&best, pass_table[i].name);
    if (!pass && best.found)
        misuse("no pass is called %s; did you mean %s?", name, best.found);
    else if (!pass)
        misuse("no pass is called %s; smc passes lists them", name);
    return pass;
}

/* What CompileOptions takes for --memory-limit. */
static int64_t memory_limit(uint64_t asked)
{
    return asked == NO_MEMORY_LIMIT ? 0 : asked == 0 ? 1 : asked > INT64_MAX ? INT64_MAX
        : (int64_t)asked;
}

/* Reads the rules of --weights and applies them to the model. */
static int set_weight_types(Compilation *c, Graph *model, const ModelOptions *a,
                            const char *program)
{
    WeightRule rules[MAX_ARG_LIST];
    Error err;
    for (uint32_t i = 0; i < a->weights.n; i++)
        if (!weight_rule_parse(a->weights.item[i], &c->arena, &rules[i], &err))
            return misuse("--weights %s", err.text);
    if (!weight_types_set(model, rules, a->weights.n, &c->scratch, &err))
        return fault("--weights: %s", err.text);
    const bool training = program && (strcmp(program, "train") == 0
        || strcmp(program, "accumulate") == 0 || strcmp(program, "apply") == 0);
    if (a->weights.n && training)
        return fault("program %s changes its weights and keeps them in f32; leave out --weights "
                     "(--precision bf16 multiplies in bf16)", program);
    return EXIT_DONE;
}

int model_read(Compilation *c, const char *path, const ModelOptions *o, const char *program,
               bool json, CompileOptions *options, Graph **model)
{
    Error err;
    *options = (CompileOptions){ .level = o->level[0] - '0', .batch = o->batch,
                                 .sequence = o->seq, .chunk = o->chunk,
                                 .memory_limit = memory_limit(o->memory_limit),
                                 .watch = &c->watch };
    if (o->fusion && !fusion_parse(o->fusion, &options->fusions, &err))
        return misuse("%s", err.text);
    dtype_from_name(o->precision, &options->precision);
    dtype_from_name(o->cache, &options->cache);
    *model = read_model(c, path, &o->defines);
    return *model ? set_weight_types(c, *model, o, program) : report(c, json);
}

/* A word as a shell takes it back. */
static void add_word(Buf *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./=:,+-@%";
    if (*word && word[strspn(word, plain)] == '\0') {
        buf_printf(out, " %s", word);
        return;
    }
    buf_puts(out, " '");
    for (; *word; word++)
        buf_printf(out, *word == '\'' ? "'\\%c'" : "%c", *word);
    buf_putc(out, '\'');
}

const char *model_command(Arena *arena, const char *verb, const char *path, const ModelOptions *a)
{
    Buf out = { 0 };
    const struct { const char *option; int64_t value; } sizes[] = {
        { "--batch", a->batch }, { "--seq", a->seq }, { "--chunk", a->chunk },
        { "--memory-limit", memory_limit(a->memory_limit) } };
    buf_printf(&out, "smc %s", verb);
    add_word(&out, path);
    for (uint32_t i = 0; i < a->defines.n; i++) {
        buf_puts(&out, " -D");
        add_word(&out, a->defines.item[i]);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        if (sizes[i].value)
            buf_printf(&out, " %s %" PRId64, sizes[i].option, sizes[i].value);
    for (uint32_t i = 0; i < a->weights.n; i++) {
        buf_puts(&out, " --weights");
        add_word(&out, a->weights.item[i]);
    }
    if (strcmp(a->cache, "f32") != 0)
        buf_printf(&out, " --cache %s", a->cache);
    if (strcmp(a->precision, "f32") != 0)
        buf_printf(&out, " --precision %s", a->precision);
    if (a->level[0] == '0')
        buf_puts(&out, " -O 0");
    if (a->fusion)                      /* in one word: its value may begin with a dash */
        add_word(&out, arena_printf(arena, "--fusion=%s", a->fusion));
    const char *command = arena_strdup(arena, out.failed ? "" : out.data);
    buf_free(&out);
    return command;
}

const char *model_file(Arena *arena, const char *path, const char *extension)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    const size_t n = dot ? (size_t)(dot - name) : strlen(name);
    return arena_printf(arena, "%.*s.%s", (int)n, name, extension);
}
