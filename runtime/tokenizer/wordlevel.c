/* WordLevel: a piece is a token, or the unknown one. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/unicode.h"

#include <inttypes.h>
#include <string.h>

bool wordlevel_encode(const Vocab *v, const char *unk, const char *text, size_t n, TokenIds *out,
                      Error *err)
{
    int32_t id = vocab_find(v, text, n);
    if (id < 0)
        id = vocab_find(v, unk, strlen(unk));
    if (id >= 0)
        return ids_push(out, id, err);
    uint32_t code;
    if (utf8_next(text, &code) == n)
        return error_set(err, "the character U+%04" PRIX32 " \"%.*s\" has no token", code,
                         code < ' ' ? 0 : (int)n, text);
    return error_set(err, "\"%.*s\" has no token, and the unknown token \"%.40s\" has none either",
                     n > 40 ? 40 : (int)n, text, unk);
}
