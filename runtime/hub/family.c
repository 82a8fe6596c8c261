/* Names of families and of their tensors. */
#include "runtime/hub/family.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static const char *const model_names[N_FAMILY_MODELS] = { "gpt2", "llama", "gemma", "phi3",
                                                          "moe" };

static const Family families[] = {
#define FAMILY(architecture, gguf, model) { #architecture, #gguf, FAMILY_##model },
#include "runtime/hub/families.def"
};

static const struct {
    FamilyModel model;
    const char *hub, *gguf;
} names[] = {
#define NAME(model, hub, gguf) { FAMILY_##model, hub, gguf },
#include "runtime/hub/families.def"
};

static const struct {
    FamilyModel model;
    const char *pattern;
} ignored[] = {
#define IGNORE(model, pattern) { FAMILY_##model, pattern },
#include "runtime/hub/families.def"
};

const char *family_model_name(FamilyModel m)
{
    return model_names[m];
}

static const struct {
    FamilyModel model;
    const char *hub;
} needs[] = {
#define NEED(model, hub, gguf) { FAMILY_##model, hub },
#include "runtime/hub/families.def"
};

bool family_config(const char *model, Buf *out)
{
    const Family *f = NULL;
    for (size_t i = COUNT_OF(families); i-- > 0;)
        if (strcmp(model_names[families[i].model], model) == 0)
            f = &families[i];
    if (!f)
        return false;
    buf_printf(out, "{\"architectures\": [\"%s\"]", f->architecture);
    for (size_t i = 0; i < COUNT_OF(needs); i++)
        if (needs[i].model == f->model)
            buf_printf(out, ", \"%.*s\": N", (int)strcspn(needs[i].hub, "|"), needs[i].hub);
    buf_puts(out, "}");
    return true;
}

static bool unknown(const char *name, bool is_gguf, Error *err)
{
    Buf known = { 0 };
    Nearest best = nearest_of(name);
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        const char *one = is_gguf ? families[i].gguf : families[i].architecture;
        nearest_try(&best, one);
        if (strcmp(one, "none") != 0
            && (i == 0 || strcmp(one, is_gguf ? families[i - 1].gguf
                                          : families[i - 1].architecture) != 0))
            buf_printf(&known, "%s%s", i ? ", " : "", one);
    }
    error_set(err, "no model of models/ is of the kind %.64s; those known are %s", name,
              known.len ? known.data : "");
    buf_free(&known);
    return false;
}

const Family *family_find(const char *architecture, bool is_gguf, Error *err)
{
    const bool none = is_gguf && strcmp(architecture, "none") == 0;
    for (size_t i = 0; i < COUNT_OF(families) && !none; i++)
        if (strcmp(is_gguf ? families[i].gguf : families[i].architecture, architecture) == 0)
            return &families[i];
    unknown(architecture, is_gguf, err);
    return NULL;
}

/* Does `name` match `from`, where {i} is a number?  `out` gets `to` with the same number. */
static bool translate(const char *from, const char *to, const char *name, size_t n,
                      char out[MAX_TENSOR_NAME])
{
    const char *hole = strstr(from, "{i}"), *there = strstr(to, "{i}");
    const size_t head = hole ? (size_t)(hole - from) : strlen(from);
    size_t digits = 0;
    if (n < head || memcmp(name, from, head) != 0)
        return false;
    while (hole && head + digits < n && isdigit((unsigned char)name[head + digits]))
        digits++;
    const char *tail = hole ? hole + 3 : "";
    if ((hole && (digits == 0 || digits > 6)) || n - head - digits != strlen(tail)
        || memcmp(name + head + digits, tail, strlen(tail)) != 0)
        return false;
    const int written = there
        ? snprintf(out, MAX_TENSOR_NAME, "%.*s%.*s%s", (int)(there - to), to, (int)digits,
                   name + head, there + 3)
        : snprintf(out, MAX_TENSOR_NAME, "%s", to);
    return written > 0 && written < MAX_TENSOR_NAME - 32;
}

static bool rename_tensor(FamilyModel m, bool to_gguf, const char *name, char out[MAX_TENSOR_NAME])
{
    const char *leaf = strrchr(name, '.');
    if (!leaf || strlen(leaf) > 30)
        return false;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].model == m
            && translate(to_gguf ? names[i].hub : names[i].gguf,
                         to_gguf ? names[i].gguf : names[i].hub, name, (size_t)(leaf - name), out)) {
            strcat(out, leaf);
            return true;
        }
    return false;
}

bool family_gguf_name(FamilyModel m, const char *param, char out[MAX_TENSOR_NAME])
{
    return rename_tensor(m, true, param, out);
}

bool family_param_name(FamilyModel m, const char *gguf, char out[MAX_TENSOR_NAME])
{
    return rename_tensor(m, false, gguf, out);
}

bool family_ignores(FamilyModel m, const char *tensor)
{
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        if (ignored[i].model == m && fnmatch(ignored[i].pattern, tensor, 0) == 0)
            return true;
    return false;
}
