/* Text to token ids and back.
 *
 *   char   one id per Unicode character of the training text, in order of code points
 *   byte   one id per byte: 0 to 255
 *
 * Both are saved as a `tokenizer.json` that Hugging Face's `tokenizers` loads and that gives the same
 * ids there; exactly such files are read back, and others are refused by saying what is different. */
#ifndef RUNTIME_TOKENIZER_H
#define RUNTIME_TOKENIZER_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum TokenizerKind { TOKENIZER_CHAR, TOKENIZER_BYTE } TokenizerKind;

typedef struct Tokenizer {
    TokenizerKind kind;
    int32_t n;                          /* ids are 0 .. n-1 */
    uint32_t *code;                     /* char: code point of each id; owned */
    int32_t *sorted;                    /* char: ids in order of their code points; owned */
    uint64_t hash;                      /* of kind and ids: equal for equal tokenizers */
} Tokenizer;

const char *tokenizer_kind_name(TokenizerKind k);       /* "char", "byte" */

void tokenizer_bytes(Tokenizer *out);
/* The characters of a text.  Text that is not UTF-8, or holds a zero byte, is an error that says
 * where. */
bool tokenizer_chars(const char *text, size_t n, Tokenizer *out, Error *err);
/* From code points by id, all different; copies them. */
bool tokenizer_of_codes(const uint32_t *code, int32_t n, Tokenizer *out, Error *err);
void tokenizer_free(Tokenizer *t);

bool tokenizer_save(const Tokenizer *t, const char *path, Error *err);
bool tokenizer_open(const char *path, Tokenizer *out, Error *err);
/* The file's text, and from it. */
bool tokenizer_print(const Tokenizer *t, Buf *out, Error *err);
bool tokenizer_parse(const char *text, size_t n, Tokenizer *out, Error *err);

/* Is it text that `char` can take: UTF-8 without zero bytes?  The message says which byte is not. */
bool tokenizer_check_text(const char *text, size_t n, Error *err);

/* `ids` has room for n.  A character that the tokenizer does not know is an error that names it. */
bool tokenizer_encode(const Tokenizer *t, const char *text, size_t n, int32_t *ids, size_t *n_ids,
                      Error *err);
/* Bytes of an id's text, at most 4; returns how many, 0 for an id out of range. */
size_t tokenizer_piece(const Tokenizer *t, int32_t id, char out[4]);

/* A stream of bytes cut into whole characters: what is incomplete is held until the rest comes, what
 * can never be a character becomes U+FFFD. */
typedef struct TextStream {
    uint8_t held[4];
    size_t n;
} TextStream;
void text_stream_add(TextStream *s, const char *bytes, size_t n, Buf *out);
void text_stream_end(TextStream *s, Buf *out);

#endif
