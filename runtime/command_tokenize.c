/* smrun tokenize: the ids of a text. */
#include "base/check.h"
#include "base/file.h"
#include "base/progress.h"
#include "runtime/command.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_TEXT = INT32_MAX, MAX_ROUNDS = 1000 };

typedef struct Tokenize {
    HfTokenizer *tokenizer;
    HfEncoder *encoder;
    Buf text, out;
    TokenIds ids;
    int flags;
    bool pieces, json, count, time;
} Tokenize;

/* ---- what is printed -------------------------------------------------------------------------- */

/* An id, its token, and which bytes of the text it gives back. */
typedef struct Place {
    int32_t id;
    const char *token;
    size_t n, begin, end;
} Place;

static void print_place(Tokenize *t, json_t *list, const Place *p)
{
    json_t *token = json_stringn(p->token, p->n);
    if (list) {
        json_array_append_new(list, json_pack("{s:i, s:o, s:I, s:I}", "id", (int)p->id, "token", token,
                                              "begin", (json_int_t)p->begin, "end",
                                              (json_int_t)p->end));
        return;
    }
    char *quoted = json_dumps(token, JSON_ENCODE_ANY);
    buf_printf(&t->out, "%8" PRId32 " %8zu %8zu  %s\n", p->id, p->begin, p->end,
               quoted ? quoted : "");
    t->out.failed = t->out.failed || !quoted;
    free(quoted);
    json_decref(token);
}

/* A token whose text only a later one makes certain, such as half a character, has no length; that
 * later one has it all. */
static bool print_places(Tokenize *t, json_t *list, Error *err)
{
    Buf back = { 0 };
    HfDecoder *d = hf_decoder_new(t->tokenizer, false, err);
    bool ok = d != NULL;
    for (size_t i = 0; ok && i < t->ids.n; i++) {
        Place p = { .id = t->ids.id[i], .token = "", .begin = back.len };
        const char *token = hf_tokenizer_token(t->tokenizer, p.id, &p.n);
        ok = hf_decoder_add(d, p.id, &back, err)
            && (i + 1 < t->ids.n || hf_decoder_end(d, &back, err));
        p.end = back.len;
        p.token = token ? token : "";
        if (ok)
            print_place(t, list, &p);
    }
    hf_decoder_free(d);
    buf_free(&back);
    return ok;
}

static int print_json(Tokenize *t)
{
    Error err;
    json_t *ids = json_array(), *places = t->pieces ? json_array() : NULL;
    if (t->pieces && !print_places(t, places, &err)) {
        json_decref(ids);
        json_decref(places);
        return command_fault(&err);
    }
    for (size_t i = 0; i < t->ids.n; i++)
        json_array_append_new(ids, json_integer(t->ids.id[i]));
    json_t *o = json_pack("{s:I, s:I, s:o}", "bytes", (json_int_t)t->text.len, "count",
                          (json_int_t)t->ids.n, "ids", ids);
    if (places)
        json_object_set_new(o, "tokens", places);
    return command_deliver_json(o);
}

static int print_tokens(Tokenize *t)
{
    Error err;
    if (t->count)
        buf_printf(&t->out, "%zu\n", t->ids.n);
    else if (t->pieces && !print_places(t, NULL, &err))
        return command_fault(&err);
    for (size_t i = 0; !t->count && !t->pieces && i < t->ids.n; i++)
        buf_printf(&t->out, "%" PRId32 "%c", t->ids.id[i], i + 1 < t->ids.n ? ' ' : '\n');
    return command_deliver(&t->out);
}

/* ---- time ------------------------------------------------------------------------------------- */

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The text again and again until two seconds are over, each time with an empty cache of words and the
 * memory of the time before; the thread's own time, which other programs do not lengthen. */
static bool measure(Tokenize *t, Error *err)
{
    double seconds[MAX_ROUNDS];
    const double until = clock_seconds() + 2;
    size_t n = 0;
    while (n < MAX_ROUNDS && (n < 1 || clock_seconds() < until)) {
        hf_encoder_forget(t->encoder);
        t->ids.n = 0;
        const double began = processor_seconds();
        if (!hf_encode(t->encoder, t->text.data, t->text.len, t->flags, &t->ids, err))
            return false;
        seconds[n++] = processor_seconds() - began;
    }
    qsort(seconds, n, sizeof *seconds, ascending);
    const double median = seconds[n / 2];
    fprintf(stderr, "%zu bytes, %zu tokens: %.3f ms, %.2f MB/s, %.0f tokens/s (median of %zu)\n",
            t->text.len, t->ids.n, median * 1e3, (double)t->text.len / median / 1e6,
            (double)t->ids.n / median, n);
    return true;
}

/* ---- the command ------------------------------------------------------------------------------ */

static bool encode(Tokenize *t, const char *tokenizer, const char *file, Error *err)
{
    t->tokenizer = hf_tokenizer_open(tokenizer, err);
    if (!t->tokenizer || !(t->encoder = hf_encoder_new(t->tokenizer, err))
        || !file_read(file, MAX_TEXT, &t->text, err))
        return false;
    if (!hf_encode(t->encoder, t->text.data, t->text.len, t->flags, &t->ids, err))
        return error_prefix(err, "%s", strcmp(file, "-") ? file : "standard input");
    return !t->time || measure(t, err);
}

int smrun_tokenize(int argc, char **argv)
{
    Tokenize t = { 0 };
    bool special = false, plain = false;
    Error err;
    const Arg options[] = {
        { "--count", NULL, ARG_FLAG, &t.count, "only how many ids there are", 0, 0, NULL },
        { "--pieces", NULL, ARG_FLAG, &t.pieces, "a line for each: id, from which byte of the text to "
          "which, token", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &t.json, "one object: bytes, count, ids, with --pieces tokens", 0, 0,
          NULL },
        { "--special", NULL, ARG_FLAG, &special, "special tokens in the text are such, not text", 0, 0,
          NULL },
        { "--no-added", NULL, ARG_FLAG, &plain, "nothing that the tokenizer puts around a text", 0, 0,
          NULL },
        { "--time", NULL, ARG_FLAG, &t.time, "how fast, on standard error: encodes the text for two seconds, once at "
          "least", 0, 0, NULL },
    };
    Args a = { .usage = "smrun tokenize TOKENIZER [FILE|-] [--count] [--pieces] [--json] [options]",
               .about =
        "Turns text into ids. TOKENIZER is a tokenizer.json, a folder with one, or a .gguf.\n"
        "Bytes are counted in the text that the ids give back, which is the text itself unless the\n"
        "tokenizer changes it.\n\n"
        "  smrun tokenize gpt2/tokenizer.json story.txt --count\n"
        "  echo -n 'Hello world' | smrun tokenize model.gguf --pieces",
               .options = options, .n = COUNT_OF(options), .max_positional = 2 };
    int code;
    if (!command_parse(&a, argc, argv, &code))
        return code;
    if (a.n_positional == 0)
        return command_usage(&a, "which tokenizer?");
    t.flags = (special ? 0 : HF_PLAIN) | (plain ? 0 : HF_ADD_SPECIAL);
    if (!encode(&t, a.positional[0], a.n_positional > 1 ? a.positional[1] : "-", &err))
        code = command_fault(&err);
    else
        code = t.json ? print_json(&t) : print_tokens(&t);
    free(t.ids.id);
    buf_free(&t.text);
    buf_free(&t.out);
    hf_encoder_free(t.encoder);
    hf_tokenizer_free(t.tokenizer);
    return code;
}
