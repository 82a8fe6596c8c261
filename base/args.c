/* Parsing of command lines by a table. */
#include "base/args.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HELP_WIDTH = 80, HELP_INDENT = 29 };    /* columns of --help; where it explains options */

static const Arg *find_arg(const Args *a, const char *name, size_t n)
{
    for (size_t i = 0; i < a->n; i++)
        if (strlen(a->options[i].name) == n && memcmp(a->options[i].name, name, n) == 0)
            return &a->options[i];
    return NULL;
}

static bool unknown_option(const Args *a, const char *word, Error *err)
{
    char name[128];
    size_t n = strcspn(word, "=");
    n = n < sizeof name - 1 ? n : sizeof name - 1;
    memcpy(name, word, n);
    name[n] = '\0';
    Nearest best = nearest_of(name);
    for (size_t i = 0; i < a->n; i++)
        nearest_try(&best, a->options[i].name);
    return best.found ? error_set(err, "unknown option %s; did you mean %s?", name, best.found)
                      : error_set(err, "unknown option %s; --help lists them", name);
}

static bool bounded(const Arg *o, double x)
{
    return (o->lo == 0 && o->hi == 0) || (x >= o->lo && x <= o->hi);
}

static bool is_choice(const char *choices, const char *word)
{
    size_t n = strlen(word);
    for (const char *c = choices; *c;) {
        size_t k = strcspn(c, "|");
        if (k == n && memcmp(c, word, n) == 0)
            return true;
        c += k + (c[k] == '|');
    }
    return false;
}

static bool list_add(ArgList *list, const char *item, const Arg *o, Error *err)
{
    if (list->n == MAX_ARG_LIST)
        return error_set(err, "%s: at most %d of them", o->name, MAX_ARG_LIST);
    list->item[list->n++] = item;
    return true;
}

static bool set_number(const Arg *o, const char *value, Error *err)
{
    double x;
    int64_t i;
    if (o->kind == ARG_BYTES) {
        if (!str_to_bytes(value, o->target))
            return error_set(err, "%s takes bytes, such as 700M or 1.5G, not \"%s\"", o->name, value);
        return true;
    }
    if (o->kind == ARG_INT) {
        if (!str_to_i64(value, INT64_MIN, INT64_MAX, &i))
            return error_set(err, "%s takes a whole number, not \"%s\"", o->name, value);
        x = (double)i;
        *(int64_t *)o->target = i;
    } else {
        if (!str_to_double(value, &x))
            return error_set(err, "%s takes a number, not \"%s\"", o->name, value);
        *(double *)o->target = x;
    }
    if (!bounded(o, x))
        return isinf(o->hi) ? error_set(err, "%s %s: it must be at least %.15g", o->name, value, o->lo)
                            : error_set(err, "%s %s: it must lie from %.15g to %.15g", o->name, value,
                                        o->lo, o->hi);
    return true;
}

static bool set_value(const Arg *o, const char *value, Error *err)
{
    switch (o->kind) {
    case ARG_FLAG:
        *(bool *)o->target = true;
        return true;
    case ARG_CHOICE:
        if (!is_choice(o->choices, value))
            return error_set(err, "%s takes one of %s, not \"%s\"", o->name, o->choices, value);
        *(const char **)o->target = value;
        return true;
    case ARG_STRING:
        *(const char **)o->target = value;
        return true;
    case ARG_LIST:
    case ARG_REST:
        return list_add(o->target, value, o, err);
    case ARG_INT:
    case ARG_DOUBLE:
    case ARG_BYTES:
        return set_number(o, value, err);
    }
    return false;
}

/* Is `word` an option rather than a value?  "-" (standard input) and numbers are values. */
static bool is_option(const char *word)
{
    double x;
    return word[0] == '-' && word[1] != '\0' && !str_to_double(word, &x);
}

/* -Dk=v and -O2: a short option with its value attached. */
static const Arg *attached_short(const Args *a, const char *word)
{
    if (word[1] == '-' || strlen(word) < 3)
        return NULL;
    const Arg *o = find_arg(a, word, 2);
    return o && o->kind != ARG_FLAG ? o : NULL;
}

/* Takes the option at argv[*i] with its values; leaves *i at the last word it used. */
static bool take_option(Args *a, int *i, int argc, char **argv, Error *err)
{
    const char *word = argv[*i];
    size_t n = strcspn(word, "=");
    const Arg *o = find_arg(a, word, n);
    if (!o) {
        o = attached_short(a, word);
        return o ? set_value(o, word + 2, err) : unknown_option(a, word, err);
    }
    if (o->kind == ARG_FLAG)
        return word[n] ? error_set(err, "%s takes no value", o->name) : set_value(o, "", err);
    if (word[n])
        return set_value(o, word + n + 1, err);
    if (*i + 1 >= argc)
        return error_set(err, "%s needs a value: %s %s", o->name, o->name, o->value);
    if (!set_value(o, argv[++*i], err))
        return false;
    while (o->kind == ARG_REST && *i + 1 < argc && !is_option(argv[*i + 1]))
        if (!set_value(o, argv[++*i], err))
            return false;
    return true;
}

bool args_parse(Args *a, int argc, char **argv, Error *err)
{
    bool options = true;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            a->help = true;
        } else if (options && is_option(word)) {
            if (!take_option(a, &i, argc, argv, err))
                return false;
        } else if (a->n_positional == a->max_positional) {
            return error_set(err, "one argument too many: \"%s\"; usage: %s", word, a->usage);
        } else {
            a->positional[a->n_positional++] = word;
        }
    }
    return true;
}

/* From column `indent` on, broken at spaces before column HELP_WIDTH. */
static void add_wrapped(Buf *out, const char *text, size_t indent)
{
    for (size_t room = HELP_WIDTH - indent; strlen(text) > room;) {
        size_t n = room;
        while (n > 0 && text[n] != ' ')
            n--;
        if (n == 0)
            n = strcspn(text, " ");     /* a word that no line holds */
        buf_printf(out, "%.*s\n%*s", (int)n, text, (int)indent, "");
        text += n + (text[n] == ' ');
    }
    buf_printf(out, "%s\n", text);
}

void args_help(Buf *out, const Args *a)
{
    buf_printf(out, "usage: %s\n\n%s\n", a->usage, a->about);
    if (a->n)
        buf_puts(out, "\noptions:\n");
    for (size_t i = 0; i < a->n; i++) {
        const Arg *o = &a->options[i];
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        buf_printf(out, "  %-*s ", HELP_INDENT - 3, left);
        add_wrapped(out, o->help, HELP_INDENT);
    }
}
