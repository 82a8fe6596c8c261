/* Weights as two teaching programs write them, with nothing but a header of numbers:
 *
 *   llama2.c   a Llama.  Version 0: seven i32 (width, hidden, layers, heads, key/value heads, vocabulary,
 *              context; the vocabulary negative where the head has a matrix of its own) and f32.
 *              Versions 1 and 2 ("ak42", the version, the same seven, u8 shared head, 256 bytes in all):
 *              f32, or matrices of i8 in groups of one f32 scale, which follow each tensor's bytes.
 *   llm.c      a GPT-2.  256 i32: 20240326, version 3 (f32) or 5 (bf16), context, vocabulary, layers,
 *              heads, width, rows of the table of tokens.
 *
 * The order of the tensors is in bin_file.c; a file holds them without gaps, and nothing behind them.
 * They are given the hub's names, one by one, and config the hub's keys.  Queries and keys of llama2.c
 * are for rope on neighbours, matrices of llm.c are [out, in]: as in GGUF files.  Little-endian. */
#ifndef RUNTIME_HUB_BIN_FILE_H
#define RUNTIME_HUB_BIN_FILE_H

#include "base/arena.h"
#include "base/file.h"
#include "runtime/hub/tensor.h"

#include <jansson.h>

typedef enum BinKind { BIN_NONE, BIN_LLAMA_0, BIN_LLAMA_1, BIN_LLAMA_2, BIN_GPT2 } BinKind;

typedef struct BinFile {
    FileMap map;
    HubTensor *tensor;                  /* owned; they borrow from the map */
    size_t n;
    Arena names;
    json_t *config;                     /* owned */
} BinFile;

/* BIN_NONE for what is neither, and what cannot be read.  Version 0 says nothing of itself: it is a file
 * whose size is the one that its numbers ask for. */
BinKind bin_file_kind(const char *path);

/* Close it in every case. */
bool bin_file_open(const char *path, BinFile *out, Error *err);
/* Bytes that the caller keeps; refuses what has no header of either. */
bool bin_file_parse(const uint8_t *data, size_t n, BinFile *out, Error *err);
void bin_file_close(BinFile *b);

#endif
