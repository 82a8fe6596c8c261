/* Logits that llama.cpp computes: llama_logits MODEL.gguf ID...  writes, for every id's place, as many floats
 * as the vocabulary has.  The cache of keys and values is f32, so that nothing is rounded but sums. */
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static struct llama_context *open_context(struct llama_model *model, int n)
{
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = (uint32_t)n;
    p.n_threads = p.n_threads_batch = 1;
    p.type_k = p.type_v = GGML_TYPE_F32;
#ifdef FLASH_TYPE
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
#endif
    return llama_init_from_model(model, p);
}

int main(int argc, char **argv)
{
    const int n = argc - 2;
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *model = n > 0 ? llama_model_load_from_file(argv[1], llama_model_default_params()) : NULL;
    struct llama_context *context = model ? open_context(model, n) : NULL;
    if (!context)
        return 1;
    const size_t vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_batch batch = llama_batch_init(n, 0, 1);
    batch.n_tokens = n;
    for (int i = 0; i < n; i++) {
        batch.token[i] = atoi(argv[2 + i]);
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0)
        return 1;
    for (int i = 0; i < n; i++)
        fwrite(llama_get_logits_ith(context, i), sizeof(float), vocab, stdout);
    return 0;
}
