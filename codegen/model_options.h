/* The options that every command takes which compiles a model: one table of them, what they amount to,
 * and the command line that says them again. */
#ifndef CODEGEN_MODEL_OPTIONS_H
#define CODEGEN_MODEL_OPTIONS_H

#include "codegen/command.h"

typedef struct ModelOptions {
    ArgList defines, weights;
    int64_t batch, seq, chunk;          /* 0: the defaults of `specialize` */
    uint64_t memory_limit;              /* NO_MEMORY_LIMIT: none */
    const char *level, *fusion, *precision, *cache;
} ModelOptions;

#define NO_MEMORY_LIMIT UINT64_MAX
#define MODEL_OPTIONS_DEFAULT                                                                    \
    { .level = "2", .memory_limit = NO_MEMORY_LIMIT, .precision = "f32", .cache = "f32" }

/* Rows of an Arg table for a ModelOptions `o`; what is said of the sizes that nobody gives. */
#define MODEL_ARGS(o) MODEL_ARGS_OF(o, "1", "the model's bound", "64")
#define MODEL_ARGS_OF(o, rows, length, piece)                                                                            \
    { "-D", "NAME=VALUE", ARG_LIST, &(o).defines, "replace the value of a config", 0, 0, NULL }, \
    { "--batch", "N", ARG_INT, &(o).batch, "largest batch (default: " rows ")", 1, 1e6, NULL },          \
    { "--seq", "N", ARG_INT, &(o).seq, "longest sequence (default: " length ")", 1, 1e9,  \
      NULL },                                                                                    \
    { "--chunk", "N", ARG_INT, &(o).chunk, "most new positions at once in generation (default: " piece ")", 1, 1e6,   \
      NULL },                                                                                    \
    { "--memory-limit", "BYTES", ARG_BYTES, &(o).memory_limit,                                   \
      "most memory for the activations and gradients of a training step (2G, 700M): what does "  \
      "not fit is computed again; without it only where that costs next to nothing", 0, 0,       \
      NULL },                                                                                    \
    { "-O", "LEVEL", ARG_CHOICE, &(o).level, "0: only what is needed; 2: everything (default)",  \
      0, 0, "0|2" },                                                                             \
    { "--weights", "TYPE", ARG_LIST, &(o).weights, "what parameters that only products and "     \
      "embeddings read are stored in: bf16, q8_0, q4_k, ...; q4_k,q8_0 is the first that a "     \
      "parameter allows, PATTERN=TYPE is for those of such names; the plan has no training "     \
      "then", 0, 0, NULL },                                                                      \
    { "--cache", "TYPE", ARG_CHOICE, &(o).cache, "what keys and values are stored in (default "  \
      "f32)", 0, 0, "f32|bf16|q8_0" },                                                                \
    { "--precision", "TYPE", ARG_CHOICE, &(o).precision, "of products of activations and "       \
      "weights, and within attention (a cache has its --cache); sums, weights and moments stay "   \
      "f32 (default f32)", 0, 0,                                                                  \
      "f32|bf16" },                                                                              \
    { "--fusion", "LIST", ARG_STRING, &(o).fusion, "fusions to switch, --fusion=-name,+name; "   \
      "smc passes lists them, `none` and `all` are every one", 0, 0, NULL }

/* Reads the model and sets the types of its weights.  EXIT_DONE, or what went wrong has been said.
 * `program`: the only one that is wanted, or NULL. */
int model_read(Compilation *c, const char *path, const ModelOptions *o, const char *program,
               bool json, CompileOptions *options, Graph **model);

/* "smc compile gpt2.smg -D depth=2 --batch 8": what makes the same of the model again. */
const char *model_command(Arena *arena, const char *verb, const char *path, const ModelOptions *o);

/* "gpt2.smg" -> "gpt2.EXTENSION", without the folder. */
const char *model_file(Arena *arena, const char *path, const char *extension);

#endif
