/* SentencePiece's compiled rules of normalization, "precompiled_charsmap": what a few characters become.
 *
 *     u32 bytes of the trie | the trie: a double array of u32 | the results, each ended by a zero
 *
 * The array is that of Darts-clone: a unit has the label of the byte that led to it in bits 0 to 7, says
 * in bit 8 whether a key ends with it, and leads on to its own index xor the offset in its upper bits; the
 * unit there has a result's place.  The bytes come from outside: no index is followed out of the array,
 * and no result begins within a character. */
#ifndef RUNTIME_TOKENIZER_CHARSMAP_H
#define RUNTIME_TOKENIZER_CHARSMAP_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

typedef struct Charsmap Charsmap;

/* As a tokenizer.json writes bytes. */
void charsmap_base64(Buf *out, const uint8_t *bytes, size_t n);

Charsmap *charsmap_read(const char *base64, size_t n, Error *err);      /* NULL with a message */
void charsmap_free(Charsmap *m);

/* Appends the text rewritten, as Hugging Face's tokenizers do it: a grapheme of at most five bytes by the
 * shortest rule that it begins with; of one without a rule, and of longer ones, each character alone. */
void charsmap_run(const Charsmap *m, Buf *out, const char *text, size_t n);

#endif
