/* Sampling.  Candidates are sorted only as far as they are kept: a heap gives up its largest until
 * the filters are satisfied. */
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

static void read_logits(Sampler *s, const float *logits, int64_t stride)
{
    const float penalty = (float)s->options.repeat_penalty;
    for (int64_t i = 0; i < s->vocab; i++) {
        float x = logits[i * stride];
        if (s->seen[i] && penalty != 1)
            x = x > 0 ? x / penalty : x * penalty;
        s->logits[i] = x;
    }
}

/* Of equals the first; -1 when nothing is a number. */
static int32_t largest(const Sampler *s)
{
    int32_t best = -1;
    for (int64_t i = 0; i < s->vocab; i++)
        if (!isnan(s->logits[i]) && (best < 0 || s->logits[i] > s->logits[best]))
            best = (int32_t)i;
    return best;
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

static void sift_down(Candidate *heap, int64_t n, int64_t i)
{
    for (;;) {
        int64_t top = i;
        for (int64_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (before(&heap[child], &heap[top]))
                top = child;
        if (top == i)
            return;
        swap(&heap[i], &heap[top]);
        i = top;
    }
}

/* Takes the `count` likeliest from the heap of n to the array's end, the likeliest last; fewer when
 * their weights reach `enough` before. */
static int64_t take(Candidate *heap, int64_t n, int64_t count, double enough)
{
    double sum = 0;
    int64_t taken = 0;
    while (taken < count && (taken == 0 || sum < enough)) {
        taken++;
        sum += heap[0].weight;
        swap(&heap[0], &heap[n - taken]);
        sift_down(heap, n - taken, 0);
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

/* Keeps what the filters keep; returns how many, *kept the first of them. */
static int64_t filter(Sampler *s, const Candidate **kept)
{
    const SampleOptions *o = &s->options;
    Candidate *c = s->candidates;
    const int64_t n = s->vocab;
    const bool top_k = o->top_k > 0 && o->top_k < n;
    *kept = c;
    if (!top_k && o->top_p >= 1 && o->min_p <= 0)
        return n;
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift_down(c, n, i);
    /* top_p is a share of what top_k keeps, which is known only when that was taken. */
    double enough = o->top_p < 1 && !top_k ? o->top_p * sum_of(c, n) : INFINITY;
    int64_t count = take(c, n, top_k ? o->top_k : n, enough);
    const Candidate *last = c + n;
    if (o->top_p < 1 && top_k) {
        enough = o->top_p * sum_of(last - count, count);
        double sum = last[-1].weight;
        int64_t few = 1;
        while (few < count && sum < enough)
            sum += last[-++few].weight;
        count = few;
    }
    while (count > 1 && last[-count].weight < o->min_p * last[-1].weight)
        count--;
    *kept = last - count;
    return count;
}

int32_t sampler_pick(Sampler *s, const float *logits, int64_t stride, uint64_t index)
{
    const SampleOptions *o = &s->options;
    const Candidate *kept;
    read_logits(s, logits, stride);
    const int32_t best = largest(s);
    if (best < 0 || o->temperature <= 0 || isinf(s->logits[best]))
        return best;
    for (int64_t i = 0; i < s->vocab; i++) {
        const double x = ((double)s->logits[i] - (double)s->logits[best]) / o->temperature;
        s->candidates[i] = (Candidate){ isnan(x) ? 0 : exp(x), (int32_t)i };
    }
    const int64_t n = filter(s, &kept);
    double left = random_uniform(o->seed, hash_bytes("$sample", 7), index) * sum_of(kept, n);
    for (int64_t i = 0; i < n; i++) {
        left -= kept[i].weight;
        if (left < 0)
            return kept[i].id;
    }
    return best;                        /* rounding left a little over */
}
