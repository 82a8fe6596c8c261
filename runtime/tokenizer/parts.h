/* The parts of a tokenizer, in the order in which text meets them:
 *
 *     added tokens -> normalizer -> added tokens -> pre-tokenizer -> model -> post-processor
 *
 * and back: ids -> tokens -> decoder -> text.  Each part is read from its object in tokenizer.json,
 * runs as that object says, and is immutable afterwards; what running needs to write lies in the
 * caller's Workspace.  Only this room includes this header. */
#ifndef RUNTIME_TOKENIZER_PARTS_H
#define RUNTIME_TOKENIZER_PARTS_H

#include "base/buf.h"
#include "base/status.h"
#include "runtime/tokenizer/hf_tokenizer.h"
#include "runtime/tokenizer/regex.h"
#include "runtime/tokenizer/vocab.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- reading fields --------------------------------------------------------------------------- */

/* A field that is missing or null has the fallback; one of another type is an error that names it. */
bool field_bool(const json_t *o, const char *key, bool fallback, bool *out, Error *err);
bool field_size(const json_t *o, const char *key, size_t fallback, size_t *out, Error *err);
/* *out is NULL for a missing string. */
bool field_string(const json_t *o, const char *key, const char **out, size_t *n, Error *err);
/* The "type" of a part. */
const char *field_type(const json_t *o, Error *err);
/* Index of `word` in `words`, -1 with a message that names the part and lists nothing. */
int word_index(const char *word, const char *const *words, int n, const char *what, Error *err);

bool ids_push(TokenIds *ids, int32_t id, Error *err);

/* ---- pieces ----------------------------------------------------------------------------------- */

typedef struct Span {
    size_t begin, end;
} Span;

/* A part of a text of less than 4 GiB: there are many, and half the size is half the time. */
typedef struct Piece {
    uint32_t begin, end;
} Piece;

struct Pieces;
/* Where pieces go that nothing cuts any more, some at a time: so they and their text stay in the cache,
 * however long the whole is. */
typedef struct PieceSink {
    bool (*take)(void *arg, const struct Pieces *p, Error *err);
    void *arg;
} PieceSink;

/* A text and the parts of it that are left to be encoded, in order, none empty. */
typedef struct Pieces {
    Buf text;
    Piece *piece;
    size_t n, cap;
    const PieceSink *sink;              /* NULL: all pieces stay */
    bool rewritten;                     /* the text is written piece by piece, and goes with them */
} Pieces;

bool pieces_push(Pieces *p, size_t begin, size_t end, Error *err);      /* drops an empty one */
Span piece_span(const Pieces *p, size_t i);
void pieces_clear(Pieces *p);
void pieces_free(Pieces *p);

/* What one thread writes while encoding. */
typedef struct Workspace {
    RegexScratch *regex;
    Buf clean, normal, spare;
    Pieces pieces[2];
    struct BpeScratch *bpe;
    Buf paths;                          /* of the Unigram model */
    bool plain;                         /* special tokens in the text are text */
    bool beheaded;                      /* a normalizer dropped what the text began with */
    uint64_t steps;                     /* of the Unigram model: bytes tried at its places */
    struct WordCache *cache;
} Workspace;

/* ---- patterns --------------------------------------------------------------------------------- */

/* {"String": s} or {"Regex": s}. */
typedef struct Pattern {
    Regex *regex;                       /* NULL: the literal */
    char *literal;                      /* owned */
    size_t n;
} Pattern;

bool pattern_read(const json_t *o, Pattern *out, Error *err);
bool pattern_literal(const char *s, size_t n, Pattern *out, Error *err);
void pattern_free(Pattern *p);
/* Appends `text` with every match replaced. */
bool pattern_replace(const Pattern *p, Workspace *w, const char *text, size_t n, const char *with,
                     size_t with_n, Buf *out, Error *err);

/* ---- the parts -------------------------------------------------------------------------------- */

typedef struct Normalizer Normalizer;
Normalizer *normalizer_read(const json_t *o, Error *err);
void normalizer_free(Normalizer *m);
/* Rewrites w->normal by way of w->spare, and sets w->beheaded where that is so.  NULL changes nothing. */
bool normalizer_run(const Normalizer *m, Workspace *w, Error *err);

typedef struct PreTokenizer PreTokenizer;
PreTokenizer *pretokenizer_read(const json_t *o, Error *err);
void pretokenizer_free(PreTokenizer *p);
/* Does it only write bytes as characters, whatever they are? */
bool pretokenizer_takes_bytes(const PreTokenizer *p);
/* Refines w->pieces[*at], by way of the other one; *at says where the result is.  `first` says that
 * the text begins the input.  With a sink, most pieces went there, and the last ones are left. */
bool pretokenizer_run(const PreTokenizer *p, Workspace *w, bool first, int *at, const PieceSink *sink,
                      Error *err);

/* The characters by which byte-level tokenizers write the 256 bytes. */
extern const uint16_t byte_level_code[256];
/* Appends bytes so written. */
void byte_level_put(Buf *out, const char *bytes, size_t n);
/* The byte that a character stands for, -1 for others. */
int byte_level_byte(uint32_t code);

typedef struct Bpe Bpe;
typedef struct Unigram Unigram;
typedef struct WordPiece WordPiece;

/* What a BPE model is made of besides its vocabulary. */
typedef struct BpeOptions {
    const char *unk_token;              /* NULL: none */
    const char *prefix, *suffix;        /* continuing_subword_prefix, end_of_word_suffix; NULL: none */
    bool fuse_unk, byte_fallback, ignore_merges;
} BpeOptions;

/* Joins left and right into result.  Merges of lower rank come first; of equal rank, the leftmost. */
typedef struct Merge {
    int32_t left, right, result;
    uint32_t rank;
} Merge;

/* Takes `merges` over, from malloc, in any order; on failure too. */
Bpe *bpe_new(const Vocab *v, const BpeOptions *o, Merge *merges, size_t n, Error *err);
void bpe_free(Bpe *m);
bool bpe_encode(const Bpe *m, Workspace *w, const char *text, size_t n, TokenIds *out, Error *err);
/* The merges in order of rank; owned by the model. */
const Merge *bpe_merges(const Bpe *m, size_t *n);
void bpe_scratch_free(struct BpeScratch *s);
uint64_t bpe_scratch_steps(const struct BpeScratch *s);

/* Takes `score` over, from malloc; on failure too. */
Unigram *unigram_new(const Vocab *v, double *score, int64_t unk, bool byte_fallback, Error *err);
void unigram_free(Unigram *m);
/* The token is special: where w->plain is set, no text becomes it. */
void unigram_mark(Unigram *m, int32_t id);
bool unigram_encode(const Unigram *m, Workspace *w, const char *text, size_t n, TokenIds *out,
                    Error *err);
const double *unigram_scores(const Unigram *m);

WordPiece *wordpiece_new(const Vocab *v, const char *unk, const char *prefix, size_t max_chars,
                         Error *err);
void wordpiece_free(WordPiece *m);
bool wordpiece_encode(const WordPiece *m, const char *text, size_t n, TokenIds *out, Error *err);

bool wordlevel_encode(const Vocab *v, const char *unk, const char *text, size_t n, TokenIds *out,
                      Error *err);

/* <0x00> .. <0xFF>; false when one is missing. */
bool byte_tokens(const Vocab *v, int32_t id[256]);

typedef struct AddedTokens AddedTokens;
typedef enum AddedFlags {
    ADDED_SPECIAL = 1, ADDED_SINGLE_WORD = 2, ADDED_LSTRIP = 4, ADDED_RSTRIP = 8, ADDED_NORMALIZED = 16,
} AddedFlags;
/* Tokens are added one by one, then indexed once; only then can they be found. */
AddedTokens *added_new(Error *err);
bool added_add(AddedTokens *a, const char *text, size_t n, int32_t id, unsigned flags, Error *err);
/* The same from an object of "added_tokens". */
bool added_read(AddedTokens *a, const json_t *o, Error *err);
/* Normalized ones are looked for as the normalizer writes them. */
bool added_index(AddedTokens *a, const Normalizer *m, Workspace *w, Error *err);
void added_free(AddedTokens *a);
size_t added_count(const AddedTokens *a);
int32_t added_ids(const AddedTokens *a);        /* every id is below */
/* Token i: its text, not terminated, and id. */
const char *added_get(const AddedTokens *a, size_t i, size_t *n, int32_t *id, unsigned *flags);
/* What an id decodes to, NULL for others: its text, normalized where it is looked for so. */
const char *added_text(const AddedTokens *a, int32_t id, size_t *n);
bool added_is_special(const AddedTokens *a, int32_t id);
/* The tokens of a text from left to right.  `normalized` says which of the two kinds is looked for; with
 * `plain`, special ones are text like any other. */
typedef struct AddedWalk {
    bool normalized, plain;
    size_t at;                          /* where to look next: behind the last token itself */
    size_t done;                        /* where the last token ends, spaces that it swallows included */
    size_t spaces_end;                  /* where the spaces end that a token last swallowed */
} AddedWalk;
/* The next token's place, spaces that it swallows included, and id; false when there is none.  It may
 * begin in spaces that the one before swallowed, or end in them. */
bool added_next(const AddedTokens *a, AddedWalk *walk, const char *text, size_t n, Span *place, int32_t *id);

typedef struct PostProcessor PostProcessor;
PostProcessor *post_read(const json_t *o, Error *err);
void post_free(PostProcessor *p);
/* Ids before and after a text's own. */
const TokenIds *post_before(const PostProcessor *p);
const TokenIds *post_after(const PostProcessor *p);

/* Decoders in a row, and what one stream of tokens has put in them. */
typedef struct DecoderPlan DecoderPlan;
typedef struct DecoderStream DecoderStream;
DecoderPlan *decoder_read(const json_t *o, Error *err);         /* null: tokens are words */
void decoder_free(DecoderPlan *d);
DecoderStream *decoder_stream(const DecoderPlan *d, Error *err);
void decoder_stream_free(DecoderStream *s);
/* Appends what the token makes certain; at the end, what is left. */
bool decoder_token(DecoderStream *s, const char *token, size_t n, Buf *out, Error *err);
bool decoder_end(DecoderStream *s, Buf *out, Error *err);

/* ---- the cache of words ----------------------------------------------------------------------- */

/* Pieces seen lately and their ids; a fixed number of slots, the newest wins. */
struct WordCache *cache_new(void);
void cache_free(struct WordCache *c);
void cache_clear(struct WordCache *c);
/* Appends the ids of a piece that is there. */
bool cache_get(const struct WordCache *c, const char *text, size_t n, TokenIds *out);
void cache_put(struct WordCache *c, const char *text, size_t n, const int32_t *id, size_t n_ids);

#endif
