/* smrun tokenizer train: learns a tokenizer from text. */
#include "base/check.h"
#include "base/progress.h"
#include "runtime/command.h"
#include "runtime/tokenizer/bpe_train.h"

#include <inttypes.h>
#include <string.h>

typedef struct Watch {
    Progress progress;
    double began;
} Watch;

/* Short trainings say nothing before their end. */
static bool watch(void *context, const char *what, size_t done, size_t total)
{
    Watch *w = context;
    char line[80];
    if (clock_seconds() - w->began > 2 && progress_due(&w->progress, false)) {
        snprintf(line, sizeof line, "%s: %zu of %zu", what, done, total);
        progress_show(&w->progress, line);
    }
    return command_stop == 0;
}

static int train(const ArgList *files, const BpeTrainOptions *o, const char *out)
{
    Error err;
    char time[32];
    Watch *w = o->context;
    HfTokenizer *t = bpe_train(files->item, files->n, o, &err);
    const bool ok = t && hf_tokenizer_save(t, out, &err);
    progress_end(&w->progress);
    int code = EXIT_DONE;
    if (ok) {
        duration_text(time, sizeof time, clock_seconds() - w->began);
        const bool fewer = (size_t)hf_tokenizer_size(t) < o->vocab;
        printf("%s: %" PRId32 " ids, learned in %s%s\n", out, hf_tokenizer_size(t), time,
               fewer ? "; the text has no more pairs to join" : "");
        code = command_flushed();
    } else {
        code = command_fault(&err);
        if (command_stop)
            code = EXIT_BY_SIGNAL + (int)command_stop;
    }
    hf_tokenizer_free(t);
    return code;
}

int smrun_tokenizer(int argc, char **argv)
{
    ArgList special = { 0 }, files = { 0 };
    const char *kind = "bpe", *out = NULL;
    int64_t vocab = 0;
    const Arg options[] = {
        { "--kind", "KIND", ARG_CHOICE, &kind, "bpe: byte pairs, over bytes (default)", 0, 0, "bpe" },
        { "--vocab", "N", ARG_INT, &vocab, "ids in all", 256, 1 << 24, NULL },
        { "--special", "TOKEN...", ARG_REST, &special, "tokens that are not learned, of the first ids", 0,
          0, NULL },
        { "--data", "FILE...", ARG_REST, &files, "text to learn from; or as further arguments", 0, 0,
          NULL },
        { "-o", "FILE", ARG_STRING, &out, "the tokenizer.json", 0, 0, NULL },
    };
    Args a = { .usage = "smrun tokenizer train --vocab N [--special TOKEN...] --data FILE... -o FILE",
               .about =
        "Learns a byte-level BPE tokenizer from text, and writes the tokenizer.json that smrun and\n"
        "Hugging Face's tokenizers read. The same text gives the same file.\n\n"
        "  smrun tokenizer train stories.txt --vocab 4096 -o tokenizer.json\n"
        "  smrun tokenizer train --vocab 4096 --special '<|endoftext|>' --data *.txt -o tokenizer.json",
               .options = options, .n = COUNT_OF(options), .max_positional = COUNT_OF(a.positional) };
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional == 0 || strcmp(a.positional[0], "train") != 0)
        return command_usage(&a, "train is what is done with one: smrun tokenizer train learns it from text");
    if (files.n + a.n_positional - 1 > MAX_ARG_LIST)
        return command_usage(&a, "too many files; at most 256");
    for (uint32_t i = 1; i < a.n_positional; i++)
        files.item[files.n++] = a.positional[i];
    for (uint32_t i = 0; i < special.n; i++)
        if (!*special.item[i])
            return command_usage(&a, "--special: a token without text");
    if (files.n == 0 || vocab == 0 || !out)
        return command_usage(&a, "--vocab, --data and -o say how many ids, from what and where to");
    Watch w = { .began = clock_seconds() };
    progress_begin(&w.progress, stderr);
    const BpeTrainOptions o = { .vocab = (size_t)vocab, .special = special.item,
                                .n_special = special.n, .progress = watch, .context = &w };
    return train(&files, &o, out);
}
