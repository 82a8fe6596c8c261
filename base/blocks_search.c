/* Rounding to blocks of 256 whose groups have scales of their own: a search for the scales of least
 * squared error.
 *
 * A group x[i] ~ s q[i] - m is fitted by turns: given q, the best s and m are a linear regression; given
 * s and m, the best q are the nearest.  The turns start from a fan of scales around the one that spans
 * the group.  When the scales themselves have been rounded to their few bits, the neighbours of each
 * are tried too, since the best rounded scale need not be the nearest. */
#include "base/blocks.h"

#include "base/half.h"

#include <math.h>
#include <string.h>

enum { FAN = 8, REFITS = 3 };

/* What a group becomes: its squared error with it. */
typedef struct Fit { float s, m, error; } Fit;

/* q = the nearest to (x + m) / s within low .. high; returns the sum of squared errors. */
static float nearest(int n, const float *x, float s, float m, int low, int high, int8_t *q)
{
    float inv = s != 0 ? 1 / s : 0, floor = (float)low, ceiling = (float)high, error = 0;
    inv = isfinite(inv) ? inv : 0;
    for (int i = 0; i < n; i++) {
        float v = (x[i] + m) * inv;
        v = v < floor ? floor : v > ceiling ? ceiling : v;
        int r = (int)(v - floor + 0.5f) + low;
        float e = x[i] - (s * (float)r - m);
        q[i] = (int8_t)r;
        error += e * e;
    }
    return error;
}

/* The regression of x on q; m is kept at 0 or above (0 alone when !shifted). */
static void regress(int n, const float *x, const int8_t *q, bool shifted, float *s, float *m)
{
    float xq = 0, sx = 0;
    int sq = 0, qq = 0;
    for (int i = 0; i < n; i++) {
        xq += x[i] * (float)q[i];
        sx += x[i];
        sq += q[i];
        qq += q[i] * q[i];
    }
    float spread = (float)(n * qq - sq * sq);
    *m = 0;
    if (shifted && spread > 0) {
        *s = ((float)n * xq - sx * (float)sq) / spread;
        *m = ((float)sq * xq - (float)qq * sx) / spread;
    }
    if (!(*m > 0) || !(*s > 0)) {
        *s = qq > 0 ? xq / (float)qq : 0;
        *m = 0;
    }
}

/* One start of the search: rounds, regresses twice, and keeps what is better than `best`. */
static void try_scale(int n, const float *x, float s, float m, int low, int high, Fit *best)
{
    int8_t q[32];
    nearest(n, x, s, m, low, high, q);
    for (int turn = 0; turn < 2; turn++) {
        regress(n, x, q, low == 0, &s, &m);
        float error = nearest(n, x, s, m, low, high, q);
        if (error < best->error)
            *best = (Fit){ s, m, error };
    }
}

/* 32 numbers as s q - m with q in 0 .. high, m >= 0. */
static Fit fit_shifted(const float x[32], int high)
{
    float least = 0, most = x[0];
    Fit best = { 0, 0, 0 };
    for (int i = 0; i < 32; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
        best.error += x[i] * x[i];
    }
    if (!(most > least))
        return best.error > 0 ? (Fit){ 0, -least, 0 } : best;
    for (int k = 0; k <= FAN; k++)
        try_scale(32, x, (most - least) / ((float)high - 1 + 0.25f * (float)k), -least, 0, high, &best);
    return best;
}

/* 16 numbers as s q with q in -32 .. 31, s of either sign. */
static Fit fit_signed(const float x[16])
{
    float most = 0;
    Fit best = { 0, 0, 0 };
    for (int i = 0; i < 16; i++) {
        most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
        best.error += x[i] * x[i];
    }
    for (int k = 0; most != 0 && k <= FAN; k++)
        try_scale(16, x, most / -(31 + 0.25f * (float)k), 0, -32, 31, &best);
    return best;
}

/* ---- scales of groups in few bits ------------------------------------------------------------- */

/* y = x 2^-e with the largest magnitude in 1 .. 2, so that no square overflows or vanishes. */
static int normalise(const float x[BLOCK_MOST], float y[BLOCK_MOST])
{
    float most = 0;
    for (int i = 0; i < BLOCK_MOST; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    int e = most > 0 ? ilogbf(most) : 0;
    for (int i = 0; i < BLOCK_MOST; i++)
        y[i] = ldexpf(x[i], -e);
    return e;
}

/* The f16 unit in which the largest of the scales is `steps`; returns what is read back, in the measure
 * of normalised numbers. */
static float unit_of(float largest, float steps, int e, uint16_t *h)
{
    *h = f16_of_f32(ldexpf(largest / steps, e));
    return ldexpf(f32_of_f16(*h), -e);
}

static int in_units(float x, float unit, int low, int high)
{
    float v = unit != 0 ? x / unit : 0;
    v = v < (float)low ? (float)low : v > (float)high ? (float)high : v;
    return (int)lrintf(v);
}

static int clamp(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

/* Blocks of type q4_k and q5_k before their bits are packed. */
typedef struct Shifted {
    uint16_t d, dmin;
    int s[8], m[8];
    int8_t q[BLOCK_MOST];
} Shifted;

/* Groups' scales near s0 and m0 whose rounding, that of q included, is the best; its error. */
static float settle_shifted(const float x[32], float d, float dmin, int high, int *s, int *m, int8_t *q)
{
    int s0 = *s, m0 = *m;
    float best = INFINITY;
    for (int i = -1; i <= 1; i++)
        for (int j = -1; j <= 1; j++) {
            int8_t trial[32];
            int si = clamp(s0 + i, 0, 63), mj = clamp(m0 + j, 0, 63);
            float error = nearest(32, x, d * (float)si, dmin * (float)mj, 0, high, trial);
            if (error < best) {
                best = error;
                *s = si;
                *m = mj;
                memcpy(q, trial, sizeof trial);
            }
        }
    return best;
}

/* Units for the whole numbers that b now has: the regression of x on s q and m.  False when these lie
 * on one line. */
static bool refit_units(const float x[BLOCK_MOST], const Shifted *b, float *d, float *dmin)
{
    float aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int i = 0; i < BLOCK_MOST; i++) {
        float a = (float)(b->s[i / 32] * b->q[i]), c = -(float)b->m[i / 32];
        aa += a * a;
        ab += a * c;
        bb += c * c;
        xa += x[i] * a;
        xb += x[i] * c;
    }
    float det = aa * bb - ab * ab;
    if (bb == 0 && aa > 0) {
        *d = xa / aa;
        *dmin = 0;
        return *d > 0;
    }
    if (!(det > 1e-6f * aa * bb))
        return false;
    *d = (xa * bb - xb * ab) / det;
    *dmin = (xb * aa - xa * ab) / det;
    return *d > 0 && *dmin >= 0;
}

/* Rounds all groups in units of about d and dmin; returns the squared error. */
static float settle_block(const float x[BLOCK_MOST], const Fit fit[8], float d, float dmin, int e, int high,
                          Shifted *b)
{
    float error = 0;
    d = unit_of(d, 1, e, &b->d);
    dmin = unit_of(dmin, 1, e, &b->dmin);
    for (int g = 0; g < 8; g++) {
        b->s[g] = in_units(fit[g].s, d, 0, 63);
        b->m[g] = in_units(fit[g].m, dmin, 0, 63);
        error += settle_shifted(x + 32 * g, d, dmin, high, &b->s[g], &b->m[g], b->q + 32 * g);
    }
    return error;
}

static bool search_shifted(const float raw[BLOCK_MOST], int high, Shifted *best)
{
    Fit fit[8];
    float x[BLOCK_MOST], s = 0, m = 0;
    int e = normalise(raw, x);
    for (int g = 0; g < 8; g++) {
        fit[g] = fit_shifted(x + 32 * g, high);
        s = fit[g].s > s ? fit[g].s : s;
        m = fit[g].m > m ? fit[g].m : m;
    }
    float d = s / 63, dmin = m / 63, least = settle_block(x, fit, d, dmin, e, high, best);
    for (int turn = 0; turn < REFITS && refit_units(x, best, &d, &dmin); turn++) {
        Shifted b;
        float error = settle_block(x, fit, d, dmin, e, high, &b);
        if (!(error < least))
            break;
        least = error;
        *best = b;
    }
    return isfinite(f32_of_f16(best->d)) && isfinite(f32_of_f16(best->dmin));
}

static void put_u16(uint8_t *p, uint16_t h)
{
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

/* The inverse of blocks.c's split_scales_k and split_nibbles_k. */
static void pack_scales(const Shifted *b, uint8_t *p)
{
    put_u16(p, b->d);
    put_u16(p + 2, b->dmin);
    uint8_t *six = p + 4;
    for (int g = 0; g < 4; g++) {
        six[g] = (uint8_t)(b->s[g] | b->s[g + 4] >> 4 << 6);
        six[g + 4] = (uint8_t)(b->m[g] | b->m[g + 4] >> 4 << 6);
        six[g + 8] = (uint8_t)((b->s[g + 4] & 15) | (b->m[g + 4] & 15) << 4);
    }
}

static void pack_nibbles(const int8_t q[BLOCK_MOST], uint8_t *p)
{
    for (int i = 0; i < 128; i++) {
        int at = i / 32 * 64 + i % 32;
        p[i] = (uint8_t)((q[at] & 15) | (q[at + 32] & 15) << 4);
    }
}

bool block_encode_q4_k(const float x[BLOCK_MOST], uint8_t *dst)
{
    Shifted b;
    if (!search_shifted(x, 15, &b))
        return false;
    pack_scales(&b, dst);
    pack_nibbles(b.q, dst + 16);
    return true;
}

bool block_encode_q5_k(const float x[BLOCK_MOST], uint8_t *dst)
{
    Shifted b;
    if (!search_shifted(x, 31, &b))
        return false;
    pack_scales(&b, dst);
    memset(dst + 16, 0, 32);
    for (int i = 0; i < BLOCK_MOST; i++)
        dst[16 + i % 32] = (uint8_t)(dst[16 + i % 32] | b.q[i] >> 4 << i / 32);
    pack_nibbles(b.q, dst + 48);
    return true;
}

/* The inverse of blocks.c's split_q6_k; q from 0. */
static void pack_six(const int8_t q[BLOCK_MOST], uint8_t *p)
{
    memset(p, 0, 192);
    for (int i = 0; i < BLOCK_MOST; i++) {
        int half = i / 128, j = i % 128 / 32, at = i % 32, v = q[i] + 32;
        uint8_t *low = &p[64 * half + 32 * (j % 2) + at], *high = &p[128 + 32 * half + at];
        *low = (uint8_t)(*low | (v & 15) << 4 * (j / 2));
        *high = (uint8_t)(*high | v >> 4 << 2 * j);
    }
}

static int settle_signed(const float x[16], float d, int near, int8_t *q)
{
    int s = near;
    float best = INFINITY;
    for (int i = -1; i <= 1; i++) {
        int8_t trial[16];
        int si = clamp(near + i, -128, 127);
        float error = nearest(16, x, d * (float)si, 0, -32, 31, trial);
        if (error < best) {
            best = error;
            s = si;
            memcpy(q, trial, sizeof trial);
        }
    }
    return s;
}

bool block_encode_q6_k(const float raw[BLOCK_MOST], uint8_t *dst)
{
    Fit fit[16];
    int8_t q[BLOCK_MOST];
    float x[BLOCK_MOST], most = 0;
    uint16_t h;
    int e = normalise(raw, x);
    for (int g = 0; g < 16; g++) {
        fit[g] = fit_signed(x + 16 * g);
        most = fabsf(fit[g].s) > fabsf(most) ? fit[g].s : most;
    }
    float d = unit_of(most, -128, e, &h);
    if (!isfinite(d))
        return false;
    for (int g = 0; g < 16; g++)
        dst[192 + g] = (uint8_t)(int8_t)settle_signed(x + 16 * g, d, in_units(fit[g].s, d, -128, 127),
                                                      q + 16 * g);
    pack_six(q, dst);
    put_u16(dst + 208, h);
    return true;
}
