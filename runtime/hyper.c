/* The table of what decides a run's numbers. */
#include "runtime/hyper.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const HyperInfo hyper_table[] = {
#define ROW(name, kind) { #name, kind, offsetof(Hyper, name) }
    ROW(lr, HYPER_NUMBER),
    ROW(min_lr, HYPER_NUMBER),
    ROW(warmup, HYPER_COUNT),
    ROW(schedule, HYPER_WORD),
    ROW(decay_steps, HYPER_COUNT),
    ROW(clip, HYPER_NUMBER),
    ROW(seed, HYPER_COUNT),
    ROW(order, HYPER_WORD),
    ROW(val_fraction, HYPER_NUMBER),
    ROW(accumulate, HYPER_COUNT),
    ROW(batch, HYPER_COUNT),
    ROW(seq, HYPER_COUNT),
#undef ROW
};
const size_t n_hypers = sizeof hyper_table / sizeof *hyper_table;

static const void *at(const Hyper *h, const HyperInfo *info)
{
    return (const char *)h + info->offset;
}

static double number(const Hyper *h, const HyperInfo *info)
{
    double x;
    memcpy(&x, at(h, info), sizeof x);
    return x;
}

static int64_t count(const Hyper *h, const HyperInfo *info)
{
    int64_t x;
    memcpy(&x, at(h, info), sizeof x);
    return x;
}

void hyper_unset(Hyper *h)
{
    *h = (Hyper){ .lr = NAN, .min_lr = NAN, .clip = NAN, .val_fraction = NAN, .warmup = HYPER_UNSET,
                  .decay_steps = HYPER_UNSET, .seed = HYPER_UNSET, .accumulate = HYPER_UNSET,
                  .batch = HYPER_UNSET, .seq = HYPER_UNSET };
}

bool hyper_is_set(const Hyper *h, const HyperInfo *info)
{
    switch (info->kind) {
    case HYPER_NUMBER: return !isnan(number(h, info));
    case HYPER_COUNT:  return count(h, info) != HYPER_UNSET;
    case HYPER_WORD:   return *(const char *)at(h, info) != '\0';
    }
    return false;
}

bool hyper_equal(const Hyper *a, const Hyper *b, const HyperInfo *info)
{
    switch (info->kind) {
    case HYPER_NUMBER: return number(a, info) == number(b, info);
    case HYPER_COUNT:  return count(a, info) == count(b, info);
    case HYPER_WORD:   return strcmp(at(a, info), at(b, info)) == 0;
    }
    return false;
}

void hyper_copy(Hyper *to, const Hyper *from, const HyperInfo *info)
{
    const size_t bytes = info->kind == HYPER_WORD ? HYPER_WORD_SIZE : sizeof(int64_t);
    memcpy((char *)to + info->offset, at(from, info), bytes);
}

void hyper_text(const Hyper *h, const HyperInfo *info, char *out, size_t cap)
{
    switch (info->kind) {
    case HYPER_NUMBER: snprintf(out, cap, "%.9g", number(h, info)); return;
    case HYPER_COUNT:  snprintf(out, cap, "%" PRId64, count(h, info)); return;
    case HYPER_WORD:   snprintf(out, cap, "%s", (const char *)at(h, info)); return;
    }
}

static void option_name(const HyperInfo *info, char *out, size_t cap)
{
    snprintf(out, cap, "--%s", info->name);
    for (char *c = out; *c; c++)
        *c = *c == '_' ? '-' : *c;
}

bool hyper_resume(Hyper *given, const Hyper *recorded, Error *err)
{
    for (size_t i = 0; i < n_hypers; i++) {
        const HyperInfo *info = &hyper_table[i];
        if (hyper_is_set(given, info) && !hyper_equal(given, recorded, info)) {
            char option[40], now[64], then[64];
            option_name(info, option, sizeof option);
            hyper_text(given, info, now, sizeof now);
            hyper_text(recorded, info, then, sizeof then);
            return error_set(err, "%s is %s, but the run was begun with %s: leave the option out to "
                             "go on, or begin a new run with another --out", option, now, then);
        }
        hyper_copy(given, recorded, info);
    }
    return true;
}
