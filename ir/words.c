/* The words by which graph text calls the graph's enums. */
#include "ir/words.h"

const char *const role_words[N_ROLES] = {
    [ROLE_BATCH] = "batch", [ROLE_SEQUENCE] = "sequence", [ROLE_FREE] = "free",
};

const char *const class_words[N_STORAGE_CLASSES] = {
    [STORAGE_INPUT] = "input", [STORAGE_PARAM] = "param", [STORAGE_STATE] = "state",
};

const char *const init_words[N_INITS] = {
    [INIT_zeros] = "zeros",     [INIT_ones] = "ones",       [INIT_constant] = "constant",
    [INIT_normal] = "normal",   [INIT_uniform] = "uniform", [INIT_xavier] = "xavier",
    [INIT_kaiming] = "kaiming",
};

const char *const optimizer_words[N_OPTIMIZERS] = {
#define X(name) [OPTIMIZER_##name] = #name,
    OPTIMIZERS(X)
#undef X
};

const char *const style_words[N_STYLES] = {
    [STYLE_half] = "half", [STYLE_interleaved] = "interleaved",
};

const OptimizerField optimizer_fields[N_OPTIMIZER_FIELDS] = {
    { "lr", offsetof(Optimizer, lr) },       { "momentum", offsetof(Optimizer, momentum) },
    { "beta1", offsetof(Optimizer, beta1) }, { "beta2", offsetof(Optimizer, beta2) },
    { "eps", offsetof(Optimizer, eps) },     { "weight_decay", offsetof(Optimizer, weight_decay) },
};

bool is_storage_attr(OpId op, int attr)
{
    return attr == 0 && (op == OP_input || op == OP_param || op == OP_state);
}
