/* Names of families and of their tensors. */
#include "runtime/hub/family.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static const char *const model_names[N_FAMILY_MODELS] = {
#define MODEL(model, smg) [FAMILY_##model] = #smg,
#include "runtime/hub/families.def"
};

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
        bool told = false;
        for (size_t k = 0; k < i && is_gguf; k++)
            told = told || strcmp(one, families[k].gguf) == 0;
        if (!told)
            buf_printf(&known, "%s%s", i ? ", " : "", one);
    }
    error_set(err, "no model of models/ is of the kind %.64s; those known are %s", name,
              known.len ? known.data : "");
    buf_free(&known);
    return false;
}

const Family *family_find(const char *architecture, bool is_gguf, Error *err)
{
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (strcmp(is_gguf ? families[i].gguf : families[i].architecture, architecture) == 0)
            return &families[i];
    unknown(architecture, is_gguf, err);
    return NULL;
}

enum { MAX_DIGITS = 6 };

/* The numbers that stand for {i} and {e}. */
typedef struct Numbers { char text[2][MAX_DIGITS + 1]; } Numbers;

static int hole_at(const char *pattern)
{
    return strncmp(pattern, "{i}", 3) == 0 ? 0 : strncmp(pattern, "{e}", 3) == 0 ? 1 : -1;
}

static bool match(const char *pattern, const char *name, size_t n, Numbers *out)
{
    while (*pattern) {
        const int hole = hole_at(pattern);
        size_t digits = 0;
        if (hole < 0) {
            if (n == 0 || *name != *pattern)
                return false;
            pattern++, name++, n--;
            continue;
        }
        while (digits < n && isdigit((unsigned char)name[digits]))
            digits++;
        if (digits == 0 || digits > MAX_DIGITS)
            return false;
        snprintf(out->text[hole], sizeof out->text[hole], "%.*s", (int)digits, name);
        pattern += 3, name += digits, n -= digits;
    }
    return n == 0;
}

/* Does `name` match `from`?  `out` gets `to` with the same numbers. */
static bool translate(const char *from, const char *to, const char *name, size_t n,
                      char out[MAX_TENSOR_NAME])
{
    Numbers numbers = { 0 };
    size_t used = 0;
    if (!match(from, name, n, &numbers))
        return false;
    for (; *to && used < MAX_TENSOR_NAME - 64; to++) {
        const int hole = hole_at(to);
        if (hole < 0) {
            out[used++] = *to;
        } else {
            used += (size_t)snprintf(out + used, MAX_DIGITS + 1, "%s", numbers.text[hole]);
            to += 2;
        }
    }
    out[used] = '\0';
    return *to == '\0';
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
