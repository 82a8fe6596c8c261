/* One pass over the text, which need not be valid JSON. */
#include "base/json_depth.h"

bool json_depth_check(const char *text, size_t n, Error *err)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            in_string = !in_string;
        else if (in_string)
            i += text[i] == '\\';
        else if (text[i] == '[' || text[i] == '{')
            depth++;
        else if (text[i] == ']' || text[i] == '}')
            depth -= depth > 0;
        if (depth > MAX_JSON_DEPTH)
            return error_set(err, "byte %zu: nested deeper than %d", i, MAX_JSON_DEPTH);
    }
    return true;
}
