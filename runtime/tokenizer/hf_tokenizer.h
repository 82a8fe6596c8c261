/* Text to token ids and back, for every tokenizer that Hugging Face's tokenizer.json can describe
 * with the parts below, and for the tokenizers inside GGUF files.
 *
 * A tokenizer.json is executed as it is written: its own patterns, normalizers, merges and decoders
 * run in its own order, and the ids are those of Hugging Face's `tokenizers`.  A part that is not
 * known is an error that names it; there is no fallback.
 *
 *   normalizers      NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, StripAccents,
 *                    BertNormalizer, ByteLevel, Nmt, Precompiled, Sequence
 *   pre-tokenizers   ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit,
 *                    BertPreTokenizer, CharDelimiterSplit, FixedLength, UnicodeScripts, Sequence
 *   models           BPE, Unigram, WordPiece, WordLevel
 *   post-processors  TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence
 *   decoders         ByteLevel, Metaspace, WordPiece, BPEDecoder, ByteFallback, Fuse, Strip, Replace,
 *                    CTC, Sequence
 *
 * At most 64 of them.  "truncation" and "padding" are for batches of training examples and are not carried out.
 *
 * Categories of characters are those of the installed PCRE2 and utf8proc.  Hugging Face's tables of
 * punctuation and marks are older: about four hundred rare characters count as such here, not there.
 *
 * An id that has no token decodes to nothing.
 *
 * Text may be any bytes: what is not UTF-8 becomes U+FFFD first, as Python's errors="replace" does,
 * unless the tokenizer takes bytes.
 * Time is linear in the text, and the stack's depth does not depend on it.
 *
 * A tokenizer is immutable and may serve any number of threads; each encodes with its own HfEncoder
 * and decodes with its own HfDecoder. */
#ifndef RUNTIME_TOKENIZER_HF_TOKENIZER_H
#define RUNTIME_TOKENIZER_HF_TOKENIZER_H

#include "base/buf.h"
#include "base/status.h"
#include "runtime/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HfTokenizer HfTokenizer;
typedef struct HfEncoder HfEncoder;
typedef struct HfDecoder HfDecoder;

/* A growing array; free(ids.id) when done. */
typedef struct TokenIds {
    int32_t *id;
    size_t n, cap;
} TokenIds;

/* A tokenizer.json, a folder with one, or a .gguf; files are told apart by their first bytes.  NULL
 * with a message. */
HfTokenizer *hf_tokenizer_open(const char *path, Error *err);
HfTokenizer *hf_tokenizer_parse(const char *json, size_t n, Error *err);
HfTokenizer *hf_tokenizer_of_gguf(const Gguf *g, Error *err);
void hf_tokenizer_free(HfTokenizer *t);

/* As tokenizer.json, whatever it was read from; what is read back gives the same ids. */
bool hf_tokenizer_print(const HfTokenizer *t, Buf *out, Error *err);
bool hf_tokenizer_save(const HfTokenizer *t, const char *path, Error *err);

/* Of what hf_tokenizer_print writes: equal for equal tokenizers. */
bool hf_tokenizer_hash(const HfTokenizer *t, uint64_t *out, Error *err);

/* Ids are below this number; not every one need be used. */
int32_t hf_tokenizer_size(const HfTokenizer *t);
/* Does it take any bytes as they are?  So does one that is nothing but a byte-level vocabulary; every
 * other takes text. */
bool hf_tokenizer_takes_bytes(const HfTokenizer *t);
/* Of a token as the vocabulary writes it ("\xc4\xa0the", "<0x0A>"), or -1. */
int32_t hf_tokenizer_id(const HfTokenizer *t, const char *token, size_t n);
/* NULL where there is no such id. */
const char *hf_tokenizer_token(const HfTokenizer *t, int32_t id, size_t *n);
bool hf_tokenizer_is_special(const HfTokenizer *t, int32_t id);

/* What a GGUF file names.  A tokenizer.json does not, so there it is -1 (unknown: the model's
 * unk_token). */
typedef enum HfRole { HF_BOS, HF_EOS, HF_EOT, HF_UNK, HF_PAD, N_HF_ROLES } HfRole;
int32_t hf_tokenizer_role(const HfTokenizer *t, HfRole role);

HfEncoder *hf_encoder_new(const HfTokenizer *t, Error *err);    /* borrows t */
void hf_encoder_free(HfEncoder *e);
/* As new, but for the memory that it keeps: texts of one size take none after the first. */
void hf_encoder_forget(HfEncoder *e);
/* What the models did for all its texts: symbols looked at.  It shows that time is linear where a clock
 * cannot. */
uint64_t hf_encoder_steps(const HfEncoder *e);

enum {
    HF_ADD_SPECIAL = 1,         /* what the post-processor puts around a text: BOS, [CLS], ... */
    HF_PLAIN = 2,               /* special tokens in the text are text: for what a user typed */
};
/* Appends the ids of the text; on failure nothing. */
bool hf_encode(HfEncoder *e, const char *text, size_t n, int flags, TokenIds *out, Error *err);

/* Decoding is a stream: add gives what is certain so far (whole characters, and nothing that a later
 * id could change), end gives the rest and starts anew. */
HfDecoder *hf_decoder_new(const HfTokenizer *t, bool skip_special, Error *err); /* borrows t */
void hf_decoder_free(HfDecoder *d);
bool hf_decoder_add(HfDecoder *d, int32_t id, Buf *out, Error *err);
bool hf_decoder_end(HfDecoder *d, Buf *out, Error *err);

/* All at once. */
bool hf_decode(const HfTokenizer *t, const int32_t *id, size_t n, bool skip_special, Buf *out,
               Error *err);

#endif
