/* Scripts, which neither utf8proc nor PCRE2 knows as of Unicode 9. */
#include "base/check.h"
#include "runtime/tokenizer/unicode.h"

typedef struct ScriptRange {
    uint32_t first, last;
    unsigned script;
} ScriptRange;

static const ScriptRange ranges[] = {
#define RANGE(first, last, script) { first, last, script },
#include "runtime/tokenizer/scripts.def"
#undef RANGE
};

unsigned unicode_script(uint32_t c)
{
    size_t low = 0, high = COUNT_OF(ranges);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT_OF(ranges) && ranges[low].first <= c ? ranges[low].script : 0;
}
