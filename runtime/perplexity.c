/* Windows of a text through one model, or through two side by side. */
#include "runtime/perplexity.h"

#include "base/buf.h"
#include "base/check.h"
#include "runtime/data.h"
#include "runtime/text_model.h"
#include "runtime/weights.h"
#include "runtime/weights_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A model at work. */
typedef struct Reader {
    const Plan *plan;
    char path[CHECKPOINT_PATH];         /* of the weights */
    WeightsFile *weights;
    Session *session;
    TextModel model;
    const char *logits;
    int64_t sizes[MAX_SYMBOLS], context;
    bool cached;
    int32_t *past;                      /* the plan's $past, or NULL; with the cache */
    float *rows;                        /* logits of a window, one behind the other; with the cache; owned */
} Reader;

/* What one position says. */
typedef struct Position {
    double nll, nll_against, kl;
    bool same;
} Position;

typedef struct Perplexity {
    const PerplexityOptions *options;
    PerplexityResult *result;
    Progress *progress;
    Reader model, against;
    TokenIds ids;
    int32_t bos;                        /* -1: none */
    Position *position;                 /* of a window */
    double sum, sum_against, sum_kl;
    int64_t n_same;
} Perplexity;

static PlanProgramKind program_of(const Reader *r)
{
    return r->cached ? PLAN_generate : PLAN_score;
}

static bool find_program(Reader *r, Error *err)
{
    const PlanProgramKind program = program_of(r);
    if (r->cached && !plan_program(r->plan, program))
        return error_set(err, "the plan of %s has no program generate: it cannot be computed with a cache",
                         plan_string(r->plan, r->plan->header->model));
    r->logits = text_model_logits(r->plan, &r->model, program, err);
    if (!r->logits)
        return false;
    plan_largest_sizes(r->plan, program, r->sizes);
    r->sizes[r->model.batch] = 1;
    const int64_t longest = r->sizes[r->model.sequence], context = r->plan->header->context;
    r->context = context > 0 && (r->cached || context < longest) ? context : longest;
    return true;
}

static bool open_reader(Reader *r, const ScoredModel *m, const PerplexityOptions *o, Error *err)
{
    r->plan = m->plan;
    r->cached = m->cached;
    const SessionOptions fresh = { .n_threads = o->n_threads, .cpu = o->cpu, .programs = 1u << program_of(r) };
    SessionOptions so = fresh;
    if (!text_model_of(m->plan, &r->model, err) || !find_program(r, err))
        return false;
    if (!weights_path(m->weights, r->path, err) || !weights_file_open(m->plan, r->path, false, &r->weights, err))
        return false;
    so.given = weights_file_given(r->weights);
    if (!session_open(m->plan, &so, &r->session, err) || !weights_file_load(r->weights, r->session, err))
        return false;
    r->past = session_storage_named(r->session, "$past");
    return true;
}

/* What the last run gave. */
static Operand logits_of(const Reader *r)
{
    Operand logits;
    const bool ok = session_output(r->session, program_of(r), r->logits, &logits);
    CHECK(ok && logits.rank == 3, "output %s was found when the model was opened", r->logits);
    return logits;
}

/* The logits of a window, [1, n, vocab], a position a run. */
static Operand read_cached(Reader *r, int32_t bos, const int32_t *ids, int64_t n)
{
    const int64_t first = bos >= 0 ? 1 : 0, vocab = r->model.vocab;
    int32_t *token = session_storage(r->session, r->model.tokens);
    for (int64_t t = 0; t < n; t++) {
        *token = t < first ? bos : ids[t - first];
        if (r->past)
            *r->past = (int32_t)t;
        session_run(r->session, PLAN_generate);
        const Operand one = logits_of(r);
        for (int64_t v = 0; v < vocab; v++)
            r->rows[t * vocab + v] = ((const float *)one.data)[v * one.stride[2]];
    }
    return (Operand){ .data = r->rows, .rank = 3, .dim = { 1, n, vocab }, .stride = { n * vocab, vocab, 1 } };
}

/* The logits of a window, [1, n, vocab]. */
static Operand read_window(Reader *r, int32_t bos, const int32_t *ids, int64_t n)
{
    Error err;
    const int64_t first = bos >= 0 ? 1 : 0;
    r->sizes[r->model.sequence] = r->cached ? 1 : n;
    const bool ok = session_bind(r->session, program_of(r), r->sizes, &err);
    CHECK(ok, "%s", err.text);
    if (r->cached)
        return read_cached(r, bos, ids, n);
    int32_t *tokens = session_storage(r->session, r->model.tokens);
    tokens[0] = bos;
    memcpy(tokens + first, ids, (size_t)(n - first) * sizeof *ids);
    session_run(r->session, PLAN_score);
    return logits_of(r);
}

/* ---- one position ------------------------------------------------------------------------------ */

typedef struct Row {                    /* of logits */
    const float *x;
    int64_t stride, n, likeliest;
    double log_sum;                     /* ln of the sum of exp(x) */
} Row;

static double row_log(const Row *r, int64_t id)
{
    return (double)r->x[id * r->stride] - r->log_sum;
}

static Row row_of(const Operand *logits, int64_t t)
{
    Row r = { .x = (const float *)logits->data + t * logits->stride[1], .stride = logits->stride[2],
              .n = logits->dim[2] };
    double sum = 0;
    for (int64_t v = 1; v < r.n; v++)
        if (r.x[v * r.stride] > r.x[r.likeliest * r.stride])
            r.likeliest = v;
    const double largest = (double)r.x[r.likeliest * r.stride];
    for (int64_t v = 0; v < r.n; v++)
        sum += exp((double)r.x[v * r.stride] - largest);
    r.log_sum = largest + log(sum);
    return r;
}

/* An id that p never gives adds nothing, whatever q says of it. */
static double divergence(const Row *p, const Row *q)
{
    double sum = 0;
    for (int64_t v = 0; v < p->n; v++) {
        const double log_p = row_log(p, v), share = exp(log_p);
        if (share > 0)
            sum += share * (log_p - row_log(q, v));
    }
    return sum;
}

static Position position_of(const Operand *logits, const Operand *against, int64_t t, int32_t id)
{
    const Row q = row_of(logits, t);
    Position out = { .nll = -row_log(&q, id) };
    if (against) {
        const Row p = row_of(against, t);
        out.nll_against = -row_log(&p, id);
        out.kl = divergence(&p, &q);
        out.same = p.likeliest == q.likeliest;
    }
    return out;
}

/* ---- windows ----------------------------------------------------------------------------------- */

/* The ids of the text that a window holds. */
static int64_t ids_of_window(const Perplexity *s)
{
    return s->result->window - (s->bos >= 0 ? 1 : 0);
}

static void show_progress(const Perplexity *s, int64_t done)
{
    char line[160];
    const double seconds = clock_seconds() - s->progress->began;
    if (!progress_due(s->progress, false) || seconds < 2)
        return;
    const int64_t n = s->result->n_scored;
    snprintf(line, sizeof line, "%3.0f%%  %" PRId64 " of %zu ids, %.1f/s, perplexity %.4f so far",
             100 * (double)done / (double)s->ids.n, done, s->ids.n, (double)done / seconds,
             exp(s->sum / (double)(n ? n : 1)));
    progress_show(s->progress, line);
}

/* The positions whose ids [next, end) of the window are scored. */
typedef struct Positions {
    Perplexity *s;
    const Operand *logits, *against;
    int64_t next, end, shift;           /* shift: the id that position 0 predicts */
} Positions;

static void score_share(void *data, int thread)
{
    const Positions *p = data;
    const int64_t n = p->end - p->next, n_threads = session_threads(p->s->model.session);
    const int64_t last = p->next + (thread + 1) * n / n_threads;
    for (int64_t i = p->next + thread * n / n_threads; i < last; i++)
        p->s->position[i - p->next] = position_of(p->logits, p->against, i - p->shift, p->s->ids.id[i]);
}

/* Adds up what the ids [next, end) of the window that begins at `first` say. */
static void add_positions(Perplexity *s, const Operand *logits, const Operand *against, int64_t first,
                          int64_t next, int64_t end)
{
    Positions p = { s, logits, against, next, end, first + (s->bos >= 0 ? 0 : 1) };
    session_each_thread(s->model.session, score_share, &p);
    for (int64_t i = 0; i < end - next; i++) {
        s->sum += s->position[i].nll;
        s->sum_against += s->position[i].nll_against;
        s->sum_kl += s->position[i].kl;
        s->n_same += s->position[i].same;
    }
    s->result->n_scored += end - next;
}

static void score_windows(Perplexity *s)
{
    PerplexityResult *r = s->result;
    const int64_t n = (int64_t)s->ids.n, most = ids_of_window(s);
    int64_t next = s->bos >= 0 ? 0 : 1;                     /* the first id not predicted yet */
    for (int64_t first = 0; next < n; first += r->stride) {
        const int64_t held = n - first < most ? n - first : most;
        const int64_t positions = held + (s->bos >= 0 ? 1 : 0);
        const int64_t end = first + held < n ? first + held + 1 : n;
        const double began = clock_seconds();
        const Operand logits = read_window(&s->model, s->bos, s->ids.id + first, positions);
        r->seconds += clock_seconds() - began;
        r->n_computed += positions;
        Operand other;
        if (r->compared)
            other = read_window(&s->against, s->bos, s->ids.id + first, positions);
        add_positions(s, &logits, r->compared ? &other : NULL, first, next, end);
        r->n_windows++;
        next = end;
        show_progress(s, end);
    }
}

/* ---- opening ----------------------------------------------------------------------------------- */

/* The ids of the file, and the one that a text begins with. */
static bool read_ids(Perplexity *s, const HfTokenizer *t, Error *err)
{
    Buf text = { 0 };
    TokenIds begin = { 0 };
    HfEncoder *e = hf_encoder_new(t, err);
    const bool ok = e && data_read_text(&s->options->text, 1, hf_tokenizer_takes_bytes(t), &text, err)
        && (hf_encode(e, text.data, text.len, HF_PLAIN, &s->ids, err)
            || error_prefix(err, "%s", s->options->text))
        && hf_encode(e, "", 0, HF_ADD_SPECIAL, &begin, err);
    s->bos = ok && begin.n > 0 ? begin.id[0] : -1;
    free(begin.id);
    hf_encoder_free(e);
    buf_free(&text);
    return ok;
}

static bool open_ids(Perplexity *s, Error *err)
{
    const char *weights = s->options->model.weights, *named = s->options->model.named;
    char path[CHECKPOINT_PATH];
    if (!weights_beside(weights, "tokenizer.json", path))
        return text_model_without_ids(named, weights, "a text has no ids without one", err);
    HfTokenizer *t = hf_tokenizer_open(path, err);
    const bool ok = t && text_model_takes(s->model.plan, named, weights, &s->model.model, hf_tokenizer_size(t), err)
        && read_ids(s, t, err);
    hf_tokenizer_free(t);
    return ok;
}

static bool open_against(Perplexity *s, Error *err)
{
    if (!open_reader(&s->against, &s->options->against, s->options, err))
        return error_prefix(err, "--against");
    if (s->against.model.vocab == s->model.model.vocab)
        return true;
    return error_set(err, "--against: it predicts %" PRId64 " ids, the model %" PRId64 "; they must be of one "
                     "vocabulary", s->against.model.vocab, s->model.model.vocab);
}

static bool choose_window(Perplexity *s, Error *err)
{
    const PerplexityOptions *o = s->options;
    PerplexityResult *r = s->result;
    int64_t context = s->model.context;
    if (r->compared && s->against.context < context)
        context = s->against.context;
    if (o->window > context)
        return error_set(err, "--window %" PRId64 ": the model computes at most %" PRId64 " positions",
                         o->window, context);
    r->window = o->window ? o->window : context;
    const int64_t held = ids_of_window(s);
    if (held < 1)
        return error_set(err, "--window %" PRId64 ": the id that begins a text leaves no room for it",
                         r->window);
    if (o->stride > held)
        return error_set(err, "--stride %" PRId64 ": ids would be left out; a window holds %" PRId64,
                         o->stride, held);
    r->stride = o->stride ? o->stride : held;
    r->n_ids = (int64_t)s->ids.n;
    if (r->n_ids < 1 || (r->n_ids < 2 && s->bos < 0))
        return error_set(err, "%s: %zu ids are too few to predict any", o->text, s->ids.n);
    s->position = calloc((size_t)r->window + 1, sizeof *s->position);
    if (s->model.cached)
        s->model.rows = calloc((size_t)r->window, (size_t)s->model.model.vocab * sizeof *s->model.rows);
    return (s->position && (s->model.rows || !s->model.cached)) || error_set(err, "out of memory");
}

static bool finish(Perplexity *s, Error *err)
{
    PerplexityResult *r = s->result;
    const double n = (double)r->n_scored;
    r->nll = s->sum / n;
    r->nll_against = s->sum_against / n;
    r->kl = s->sum_kl / n;
    r->agreement = (double)s->n_same / n;
    if (isfinite(r->nll) && isfinite(r->nll_against))
        return true;
    return error_set(err, "%s: the logits are not numbers; the weights are damaged or training diverged",
                     isfinite(r->nll) ? s->options->against.named : s->options->model.named);
}

bool perplexity(const PerplexityOptions *o, Progress *progress, PerplexityResult *out, Error *err)
{
    Perplexity s = { .options = o, .result = out, .progress = progress };
    *out = (PerplexityResult){ .compared = o->against.plan != NULL };
    bool ok = open_reader(&s.model, &o->model, o, err) && (!out->compared || open_against(&s, err))
        && open_ids(&s, err) && choose_window(&s, err);
    if (ok)
        score_windows(&s);
    progress_end(progress);
    ok = ok && finish(&s, err);
    session_close(s.model.session);
    session_close(s.against.session);
    weights_file_close(s.model.weights);
    weights_file_close(s.against.weights);
    free(s.ids.id);
    free(s.position);
    free(s.model.rows);
    return ok;
}
