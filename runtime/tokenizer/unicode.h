/* Characters: what they are, and the forms in which Unicode writes them; over utf8proc.
 *
 * Text inside this room is valid UTF-8: unicode_clean makes it so at the door, and everything behind
 * it steps from character to character without checking. */
#ifndef RUNTIME_TOKENIZER_UNICODE_H
#define RUNTIME_TOKENIZER_UNICODE_H

#include "base/buf.h"
#include "runtime/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that begins with `first`, in valid text. */
static inline size_t utf8_length(char first)
{
    const uint8_t b = (uint8_t)first;
    return b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/* Bytes and code point of the character at `s`, in valid text. */
static inline size_t utf8_next(const char *s, uint32_t *code)
{
    const uint8_t *b = (const uint8_t *)s;
    if (b[0] < 0x80) {
        *code = b[0];
        return 1;
    }
    if (b[0] < 0xe0) {
        *code = (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
        return 2;
    }
    if (b[0] < 0xf0) {
        *code = (b[0] & 0xfu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
        return 3;
    }
    *code = (b[0] & 7u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
    return 4;
}

bool unicode_valid(const char *text, size_t n);
/* Appends the text; every longest part that could begin a character and goes on wrongly, and every
 * byte that can begin none, becomes one U+FFFD. */
void unicode_clean(Buf *out, const char *text, size_t n);

bool unicode_is_space(uint32_t c);              /* White_Space */
bool unicode_is_number(uint32_t c);             /* Nd, Nl, No */
bool unicode_is_punctuation(uint32_t c);        /* P*, and the symbols of ASCII */
bool unicode_is_word(uint32_t c);               /* \w: letters, marks, digits, connectors */
bool unicode_is_mark(uint32_t c);               /* Mn, Mc, Me */
bool unicode_is_nonspacing(uint32_t c);         /* Mn */
bool unicode_is_other(uint32_t c);              /* Cc, Cf, Cs, Co */

/* A number for the script of a character (Latin, Cyrillic, ...), 0 for none: by the tables of Unicode 9
 * and with what scripts.def says joins others. */
unsigned unicode_script(uint32_t c);

/* Appends the lower case of one character: two for U+0130. */
void unicode_lower(Buf *out, uint32_t c);
void unicode_put(Buf *out, uint32_t c);

typedef enum UnicodeForm { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD } UnicodeForm;
/* Appends the normal form of the text, in time linear in its length; false when memory runs out. */
bool unicode_normalize(Buf *out, const char *text, size_t n, UnicodeForm form);

#endif
