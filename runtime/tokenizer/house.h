/* The tokenizers of models that are trained here from nothing.
 *
 *   characters   one id per Unicode character of the training text, in order of code points: WordLevel
 *                behind a pre-tokenizer that isolates every character
 *   bytes        one id per byte, 0 to 255: BPE without merges over the characters by which byte-level
 *                tokenizers write bytes; it takes any bytes, text or not
 *
 * Both are ordinary tokenizers: hf_tokenizer_save writes them as a tokenizer.json that Hugging Face's
 * `tokenizers` reads and that gives the same ids there. */
#ifndef RUNTIME_TOKENIZER_HOUSE_H
#define RUNTIME_TOKENIZER_HOUSE_H

#include "runtime/tokenizer/hf_tokenizer.h"

/* Text that is not UTF-8, or holds a zero byte, or nothing, is an error that says where. */
HfTokenizer *house_characters(const char *text, size_t n, Error *err);
HfTokenizer *house_bytes(Error *err);

/* Is it UTF-8 without zero bytes?  The message says which byte is not. */
bool house_check_text(const char *text, size_t n, Error *err);

#endif
