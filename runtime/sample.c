/* Sampling.  Of a large vocabulary few ids matter: what top_k or min_p drop is dropped by its logit, before
 * anything is computed of it, and candidates are sorted only as far as top_p keeps them.  Where every id
 * may be drawn nothing is kept of them but sums. */
#include "runtime/sample.h"

#include "base/hash.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool sampler_open(Sampler *s, const SampleOptions *o, int64_t vocab, Error *err)
{
    *s = (Sampler){ .options = *o, .vocab = vocab };
    s->candidates = calloc((size_t)vocab, sizeof *s->candidates);
    s->logits = calloc((size_t)vocab, sizeof *s->logits);
    s->seen = calloc((size_t)vocab, 1);
    if (s->candidates && s->logits && s->seen)
        return true;
    sampler_close(s);
    return error_set(err, "out of memory");
}

void sampler_close(Sampler *s)
{
    free(s->candidates);
    free(s->logits);
    free(s->seen);
    *s = (Sampler){ 0 };
}

void sampler_see(Sampler *s, int32_t id)
{
    if (id >= 0 && id < s->vocab)
        s->seen[id] = 1;
}

/* The logits themselves where nothing is to be done to them. */
static const float *read_logits(Sampler *s, const float *logits, int64_t stride)
{
    const float penalty = (float)s->options.repeat_penalty;
    if (stride == 1 && penalty == 1)
        return logits;
    for (int64_t i = 0; i < s->vocab; i++) {
        float x = logits[i * stride];
        if (s->seen[i] && penalty != 1)
            x = x > 0 ? x / penalty : x * penalty;
        s->logits[i] = x;
    }
    return s->logits;
}

/* Lanes do not wait for one another, and compilers make vectors of them. */
enum { LANES = 16 };

/* NaN is not above anything. */
static float largest_of(const float *x, int64_t n)
{
    float best[LANES], top = -INFINITY;
    int64_t i = 0;
    for (int k = 0; k < LANES; k++)
        best[k] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            best[k] = x[i + k] > best[k] ? x[i + k] : best[k];
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int k = 0; k < LANES; k++)
        top = best[k] > top ? best[k] : top;
    return top;
}

/* The place of the largest, of equals the first; -1 when nothing is a number. */
static int32_t largest(const float *x, int64_t n)
{
    enum { CHUNK = 1024 };
    float top = -INFINITY;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        const float y = largest_of(x + i, n - i < CHUNK ? n - i : CHUNK);
        at = y > top ? i : at;
        top = y > top ? y : top;
    }
    for (; at < n; at++)
        if (x[at] == top)
            return (int32_t)at;
    return -1;
}

static bool before(const Candidate *a, const Candidate *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->id < b->id;
}

static void swap(Candidate *a, Candidate *b)
{
    const Candidate t = *a;
    *a = *b;
    *b = t;
}

/* Heaps have their likeliest on top, or, `last`, their least likely. */
static bool above(const Candidate *a, const Candidate *b, bool last)
{
    return last ? before(b, a) : before(a, b);
}

static void sift_down(Candidate *heap, int64_t n, int64_t i, bool last)
{
    for (;;) {
        int64_t top = i;
        for (int64_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (above(&heap[child], &heap[top], last))
                top = child;
        if (top == i)
            return;
        swap(&heap[i], &heap[top]);
        i = top;
    }
}

static void make_heap(Candidate *c, int64_t n, bool last)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift_down(c, n, i, last);
}

/* Takes the likeliest of the heap to the array's end, the first of them last, until their weights reach
 * `enough`; returns how many. */
static int64_t take(Candidate *heap, int64_t n, double enough)
{
    double sum = 0;
    int64_t taken = 0;
    while (taken < n && (taken == 0 || sum < enough)) {
        taken++;
        sum += heap[0].weight;
        swap(&heap[0], &heap[n - taken]);
        sift_down(heap, n - taken, 0, false);
    }
    return taken;
}

static double sum_of(const Candidate *c, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].weight;
    return sum;
}

/* The candidates, with logits for weights: the first top_k of what is not below `least`. */
static int64_t gather(Sampler *s, const float *x, double least)
{
    const int64_t k = s->options.top_k, most = k > 0 && k < s->vocab ? k : s->vocab;
    Candidate *c = s->candidates;
    int64_t n = 0;
    for (int64_t i = 0; i < s->vocab; i++) {
        if (!((double)x[i] >= least))
            continue;
        if (n < most) {
            c[n++] = (Candidate){ (double)x[i], (int32_t)i };
            if (n == most && n < s->vocab)
                make_heap(c, n, true);
        } else if ((double)x[i] > c[0].weight) {
            c[0] = (Candidate){ (double)x[i], (int32_t)i };
            sift_down(c, n, 0, true);
        }
    }
    return n;
}

/* Of `n` candidates, the likeliest of which weighs 1, those that top_p and min_p keep; returns how many,
 * *kept the first of them. */
static int64_t filter(Sampler *s, int64_t n, const Candidate **kept)
{
    const SampleOptions *o = &s->options;
    Candidate *c = s->candidates;
    int64_t count = 0;
    *kept = c;
    if (o->top_p >= 1) {
        for (int64_t i = 0; i < n; i++)
            if (c[i].weight >= o->min_p)
                c[count++] = c[i];
        return count;
    }
    make_heap(c, n, false);
    count = take(c, n, o->top_p * sum_of(c, n));
    while (count > 1 && c[n - count].weight < o->min_p)
        count--;
    *kept = c + n - count;
    return count;
}

/* e^x in place, to 2^-22 of it; below -87, and for NaN, e^-87, which is next to nothing.
 * e^x = 2^n e^r, |r| <= ln 2 / 2, of which the Taylor polynomial leaves less than 2^-27; ln 2 in two
 * parts, the first times n being exact. */
#define LEAST_EXPONENT (-87.0F)
static void exp_lanes(float x[LANES])
{
    for (int k = 0; k < LANES; k++)
        x[k] = x[k] > LEAST_EXPONENT ? x[k] : LEAST_EXPONENT;
    for (int k = 0; k < LANES; k++) {
        const int32_t n = (int32_t)(x[k] * 1.44269504F - 0.5F);     /* x <= 0 */
        const float r = (x[k] - (float)n * 0.693359375F) + (float)n * 2.12194440e-4F;
        const float p = 1 + r * (1 + r * (1.0F / 2 + r * (1.0F / 6 + r * (1.0F / 24 + r * (1.0F / 120
                      + r * (1.0F / 720 + r * (1.0F / 5040)))))));
        const uint32_t bits = (uint32_t)(n + 127) << 23;
        float power;
        memcpy(&power, &bits, sizeof power);
        x[k] = p * power;
    }
}

/* Weights of ids [from, from + LANES) go to w; past the vocabulary they are 0. */
static void weigh_lanes(const Sampler *s, const float *x, int64_t from, float top, float w[LANES])
{
    const float scale = (float)(1 / s->options.temperature);
    const int64_t n = s->vocab - from < LANES ? s->vocab - from : LANES;
    for (int64_t k = 0; k < LANES; k++)
        w[k] = -INFINITY;
    memcpy(w, x + from, (size_t)n * sizeof *w);
    for (int k = 0; k < LANES; k++)
        w[k] = (w[k] - top) * scale;
    exp_lanes(w);
}

/* Draws from all ids: the sums of LANES weights find the lanes, their weights the id. */
static int32_t draw_any(Sampler *s, const float *x, int32_t best, double u)
{
    const float top = x[best];
    float w[LANES];
    double total = 0;
    for (int64_t i = 0; i < s->vocab; i += LANES) {
        weigh_lanes(s, x, i, top, w);
        for (int half = LANES / 2; half > 0; half /= 2)
            for (int k = 0; k < half; k++)
                w[k] += w[k + half];
        s->candidates[i / LANES].weight = (double)w[0];
        total += (double)w[0];
    }
    double left = u * total;
    int64_t i = 0;
    for (; i < s->vocab && left >= s->candidates[i / LANES].weight; i += LANES)
        left -= s->candidates[i / LANES].weight;
    if (i >= s->vocab)
        return best;
    weigh_lanes(s, x, i, top, w);
    for (int k = 0; k < LANES; k++)
        if (w[k] > 2e-38F && (left -= (double)w[k]) < 0)        /* more than e^-87 */
            return (int32_t)i + k;
    return best;                        /* rounding left a little over */
}

int32_t sampler_pick(Sampler *s, const float *logits, int64_t stride, uint64_t index)
{
    const SampleOptions *o = &s->options;
    const Candidate *kept;
    const float *x = read_logits(s, logits, stride);
    const int32_t best = largest(x, s->vocab);
    if (best < 0 || o->temperature <= 0 || isinf(x[best]))
        return best;
    const double u = random_uniform(o->seed, hash_bytes("$sample", 7), index);
    if ((o->top_k <= 0 || o->top_k >= s->vocab) && o->top_p >= 1 && o->min_p <= 0)
        return draw_any(s, x, best, u);
    /* What top_p keeps is a share of all.  A little lower than min_p says: the weights decide. */
    const double top = (double)x[best];
    const double least = o->top_p < 1 || o->min_p <= 0 ? -INFINITY
                       : top + o->temperature * (log(o->min_p) - 1e-6);
    int64_t n = gather(s, x, least);
    for (int64_t i = 0; i < n; i++)
        s->candidates[i].weight = exp((s->candidates[i].weight - top) / o->temperature);
    n = filter(s, n, &kept);
    double left = u * sum_of(kept, n);
    for (int64_t i = 0; i < n; i++) {
        left -= kept[i].weight;
        if (left < 0)
            return kept[i].id;
    }
    return best;                        /* rounding left a little over */
}
