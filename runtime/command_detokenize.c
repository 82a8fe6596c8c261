/* smrun detokenize: the text of ids. */
#include "base/check.h"
#include "base/file.h"
#include "base/str.h"
#include "runtime/command.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_IDS_TEXT = INT32_MAX };

static const char separators[] = ", \t\r\n[]";

/* Ids as tokenize prints them, as lines, or as an array of JSON. */
static bool decode(HfDecoder *d, const HfTokenizer *t, const char *text, Buf *out, Error *err)
{
    for (const char *at = text; *(at += strspn(at, separators));) {
        char word[32];
        int64_t id;
        const size_t n = strcspn(at, separators);
        snprintf(word, sizeof word, "%.*s", (int)(n < 31 ? n : 31), at);
        if (!str_to_i64(word, 0, hf_tokenizer_size(t) - 1, &id))
            return error_set(err, "\"%s\" is no id of the tokenizer, 0 to %" PRId32, word,
                             hf_tokenizer_size(t) - 1);
        if (!hf_decoder_add(d, (int32_t)id, out, err))
            return false;
        at += n;
    }
    return true;
}

static bool detokenize(const Args *a, bool skip_special, Buf *out, Error *err)
{
    Buf ids = { 0 };
    HfTokenizer *t = hf_tokenizer_open(a->positional[0], err);
    HfDecoder *d = t ? hf_decoder_new(t, skip_special, err) : NULL;
    bool ok = d != NULL;
    for (uint32_t i = 1; i < a->n_positional; i++)
        buf_printf(&ids, "%s ", a->positional[i]);
    if (ok && a->n_positional == 1)
        ok = file_read("-", MAX_IDS_TEXT, &ids, err);
    ok = ok && decode(d, t, ids.len ? ids.data : "", out, err) && hf_decoder_end(d, out, err);
    buf_free(&ids);
    hf_decoder_free(d);
    hf_tokenizer_free(t);
    return ok;
}

int smrun_detokenize(int argc, char **argv)
{
    bool skip_special = false;
    Buf out = { 0 };
    Error err;
    const Arg options[] = {
        { "--skip-special", NULL, ARG_FLAG, &skip_special, "leave special tokens out", 0, 0, NULL },
    };
    Args a = { .usage = "smrun detokenize TOKENIZER [ID...] [--skip-special]",
               .about = "Turns ids, of the command line or of standard input, into text.\n\n"
                        "  smrun detokenize gpt2/tokenizer.json 15496 995\n"
                        "  smrun tokenize model.gguf a.txt | smrun detokenize model.gguf --skip-special",
               .options = options, .n = COUNT_OF(options), .max_positional = COUNT_OF(a.positional) };
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional == 0)
        return command_usage(&a, "which tokenizer?");
    code = detokenize(&a, skip_special, &out, &err) ? command_deliver(&out) : command_fault(&err);
    buf_free(&out);
    return code;
}
