/* WordLevel: a piece is a token, or the unknown one. */
#include "runtime/tokenizer/parts.h"

#include <string.h>

bool wordlevel_encode(const Vocab *v, const char *unk, const char *text, size_t n, TokenIds *out,
                      Error *err)
{
    int32_t id = vocab_find(v, text, n);
    if (id < 0)
        id = vocab_find(v, unk, strlen(unk));
    return id >= 0 ? ids_push(out, id, err)
                   : error_set(err, "\"%.*s\" has no token, and the unknown token \"%.40s\" has none "
                               "either", n > 40 ? 40 : (int)n, text, unk);
}
