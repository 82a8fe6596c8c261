/* The table of the benchmark's cases. */
#include "tests/kernels/bench_build.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    bool (*build)(BenchCase *b, const Words *w);
} families[N_KERNELS] = {
#define KERNEL(name, min, max) [KERNEL_##name] = { build_##name },
#include "runtime/kernels/kernels.def"
};

/* The sizes that a training step of GPT-2 has at 256 positions, or a token of it. */
static const char *const usual[N_KERNELS] = {
    [KERNEL_row] = "softmax 12288 1024",
    [KERNEL_gemm] = "256 768 3072 f32 nn",
    [KERNEL_gemm_shared] = "3 256 768 768 f32 nn",
    [KERNEL_gemm_q] = "1 2048 5632 q8_0",
    [KERNEL_gemm_q_shared] = "2 1 2048 5632 q8_0",
    [KERNEL_masked_matmul] = "16 768 3072",
    [KERNEL_attention] = "12 256 64",
    [KERNEL_attention_grad] = "12 256 64",
    [KERNEL_embedding] = "50257 768 256",
    [KERNEL_decode] = "1024 768",
    [KERNEL_embedding_grad] = "50257 768 256",
    [KERNEL_rope] = "12 256 64",
    [KERNEL_cross_entropy] = "256 50257",
    [KERNEL_cross_entropy_grad] = "256 50257",
    [KERNEL_reduce_sum] = "256 3072",
    [KERNEL_reduce_max] = "256 3072",
    [KERNEL_reduce_min] = "256 3072",
    [KERNEL_partial_sum] = "2359296",
    [KERNEL_copy] = "768 3072",
    [KERNEL_cache_write] = "12 64 64",
    [KERNEL_positions] = "1024",
};

const char *bench_case_default(int index, char buffer[128])
{
    enum { SIZES = 2, CACHED = 4096, FROM_MEMORY = 1 << 22 };
    if (index < N_KERNELS) {
        const char *sizes = usual[index];
        snprintf(buffer, 128, "%s %s", kernel_name((KernelId)index), sizes ? sizes : "");
        return buffer;
    }
    const int op = (index - N_KERNELS) / SIZES;
    if (op >= ROW_dropout)
        return NULL;
    snprintf(buffer, 128, "row %s 1 %d", row_op_name((RowOp)op), index % SIZES ? FROM_MEMORY : CACHED);
    return buffer;
}

/* GPT-2's training step at 256 positions and nanoGPT's, products inside attention, tokens; then blocks,
 * attention, programs of rows. */
static const char *const further[] = {
    "gemm 512 512 512 f32 nn", "gemm 1024 1024 1024 f32 nn", "gemm 256 768 2304 f32 nn",
    "gemm 256 2304 768 f32 nt", "gemm 768 256 2304 f32 tn", "gemm 256 3072 768 f32 nn",
    "gemm 256 3072 768 f32 nt", "gemm 768 256 3072 f32 tn", "gemm 768 1024 3072 f32 tn",
    "gemm 3072 256 768 f32 tn", "gemm 256 768 50257 f32 nt", "gemm 256 50257 768 f32 nn",
    "gemm 50257 256 768 f32 tn", "gemm 768 128 384 f32 nn", "gemm 768 128 128 f32 nn",
    "gemm 768 128 512 f32 nn", "gemm 768 512 128 f32 nn", "gemm 768 512 128 f32 nt",
    "gemm 128 768 512 f32 tn", "gemm 64 32 64 f32 nt 48", "gemm 64 64 32 f32 nn 48",
    "gemm 256 64 256 f32 nt 12", "gemm 128 128 128 f32 nn", "gemm 64 64 64 f32 nn",
    "gemm 32 768 3072 f32 nn", "gemm 16 768 3072 f32 nn", "gemm 8 768 3072 f32 nn",
    "gemm 4 768 3072 f32 nn", "gemm 1 768 3072 f32 nn cold", "gemm 1 768 3072 f32 nt cold",
    "gemm 1 768 50257 f32 nt cold", "gemm 1 288 768 f32 nn", "gemm 1 288 768 f32 nt",
    "gemm 1 768 3072 wide nt cold", "gemm 1 768 50257 wide nt cold", "gemm 4 768 50257 wide nt cold",
    "gemm 1 768 3072 wide nn cold", "gemm 1 768 3072 wide nn packed cold",
    "gemm 1 576 1536 wide nt cold", "gemm 1 576 1536 wide nt coded cold",
    "gemm 1 288 768 f32 nt", "gemm 1 288 768 f32 nt coded", "gemm 1 288 32000 f32 nt", "gemm 1 288 32000 f32 nt coded",
    "gemm 4 768 3072 wide nn cold", "gemm 4 768 3072 wide nn packed cold", "gemm 512 768 3072 wide nn",
    "gemm 512 768 3072 wide nn packed",
    "gemm 1024 1024 1024 bf16 nn", "gemm 256 768 3072 bf16 nn", "gemm 768 256 3072 bf16 tn",
    "gemm 1024 1024 1024 bf16 nn packed", "gemm 256 768 3072 bf16 nn packed",
    "gemm 256 768 3072 weights nn", "gemm 256 768 3072 rounded nn",
    "gemm_q 1 576 1536 q8_0 cold", "gemm_q 1 576 1536 q4_0 cold", "gemm_q 1 2048 5632 q8_0 cold",
    "gemm_q 1 2048 5632 q4_0 cold", "gemm_q 1 2048 5632 q4_1 cold", "gemm_q 1 2048 5632 q5_0 cold",
    "gemm_q 1 2048 5632 q5_1 cold", "gemm_q 1 2048 5632 q4_k cold", "gemm_q 1 2048 5632 q5_k cold",
    "gemm_q 1 2048 5632 q6_k cold", "gemm_q 512 576 1536 q8_0", "gemm_q 512 576 1536 q4_0",
    "gemm_q 512 2048 5632 q8_0", "gemm_q 512 2048 5632 q4_0", "gemm_q 512 2048 5632 q4_1",
    "gemm_q 512 2048 5632 q5_0", "gemm_q 512 2048 5632 q5_1", "gemm_q 512 2048 5632 q4_k",
    "gemm_q 512 2048 5632 q5_k", "gemm_q 512 2048 5632 q6_k",
    "attention 12 64 64", "attention 12 1024 64", "attention 12 1 64 12 63", "attention 12 1 64 12 511",
    "attention 12 1 64 12 4095", "attention 12 1 64 12 32767", "attention 12 1 64 12 4095 bf16",
    "attention 12 1 64 12 32767 bf16", "attention 12 1 64 12 4095 q8_0", "attention 12 1 64 12 32767 q8_0",
    "attention 12 8 64 12 248", "attention 12 256 64 12 768", "attention 12 256 64 12 768 bf16", "attention 9 256 64 3",
    "attention_grad 12 64 64", "attention_grad 12 1024 64",
    "row adamw 1 4096", "row adamw 1 2359296", "row softmax 65536 16", "row softmax 4096 256",
    "row norm 256 768", "row norm 4096 768",
    "row norm 768 128", "row norm_grad 768 128", "row norm_grad 256 768",
};

const char *bench_case_further(int index, char buffer[128])
{
    if (index >= (int)COUNT_OF(further))
        return NULL;
    snprintf(buffer, 128, "%s", further[index]);
    return buffer;
}

bool bench_case_open(BenchCase *b, const char *line, const KernelTable *table, Error *err)
{
    char family[24] = "";
    Words w = { 0 };
    *b = (BenchCase){ .packs = table->packs };
    b->call.operand = b->operand;
    const int n = sscanf(line, "%23s %23s %23s %23s %23s %23s %23s %23s", family, w.word[0], w.word[1],
                         w.word[2], w.word[3], w.word[4], w.word[5], w.word[6]);
    w.n = n > 0 ? n - 1 : 0;
    if (!kernel_from_name(family, &b->call.kernel) || !families[b->call.kernel].build(b, &w))
        return error_set(err, "\"%.80s\" is no case of kernels.def, or not one of %s", line,
                         isa_name(table->isa));
    if (!kernel_check(&b->call, err))
        return false;
    kernel_prepare(&b->call);
    return true;
}

void bench_case_close(BenchCase *b)
{
    for (int i = 0; i < b->call.n_operands; i++)
        if (!b->cold || i != b->cold)
            free(b->operand[i].data);
    free(b->ring);
    b->ring = NULL;
    b->call.n_operands = 0;
}

void bench_case_turn(BenchCase *b)
{
    if (b->cold)
        b->operand[b->cold].data = b->ring + b->turn++ % b->n_copies * b->copy_bytes;
}
