/* Fusions by name. */
#include "passes/fusion_set.h"

#include "base/check.h"
#include "base/str.h"

#include <string.h>

const FusionInfo fusion_table[N_FUSIONS] = {
#define FUSION(name, on, what) { #name, on, what },
#include "passes/fusions.def"
};

_Static_assert(N_FUSIONS <= 64, "a set is one word");

void fusion_switch(FusionSet *s, Fusion f, bool on)
{
    const uint64_t bit = (uint64_t)1 << f;
    s->turned = on == fusion_table[f].on ? s->turned & ~bit : s->turned | bit;
}

static bool switch_named(FusionSet *s, const char *name, bool on, Error *err)
{
    Nearest best = nearest_of(name);
    const bool every = strcmp(name, "all") == 0;
    bool found = every;
    for (Fusion f = 0; f < N_FUSIONS; f++) {
        const bool same = strcmp(name, fusion_table[f].name) == 0;
        if (every || same)
            fusion_switch(s, f, on);
        found = found || same;
        nearest_try(&best, fusion_table[f].name);
    }
    if (found)
        return true;
    return best.found ? error_set(err, "no fusion is called %s; did you mean %s?", name, best.found)
                      : error_set(err, "no fusion is called %s; smc passes lists them", name);
}

bool fusion_parse(const char *text, FusionSet *s, Error *err)
{
    char name[64];
    while (*text) {
        const size_t n = strcspn(text, ",");
        const bool sign = *text == '-' || *text == '+';
        const bool on = *text != '-';
        if (n <= sign || n - sign >= sizeof name)
            return error_set(err, "%s: expected -name or +name, with commas between", text);
        memcpy(name, text + sign, n - sign);
        name[n - sign] = '\0';
        const bool none = strcmp(name, "none") == 0;
        if (!switch_named(s, none ? "all" : name, on != none, err))
            return false;
        text += n + (text[n] == ',');
    }
    return true;
}
