/* stories: prints little children's stories, written by a seeded grammar.
 *
 *   stories [--seed N] [--bytes N] > stories.txt
 *
 * stories.def is the grammar, a table of rules; a rule is a name and the lines it may become. This
 * file is the teller: it draws a line, fills the line's slots, and does so until the story stands.
 * In a line
 *
 *   {rule}        is one line of that rule
 *   {x=rule}      writes nothing, but draws a line of the rule and remembers it as x; from then
 *                 on {x} is that text, so a story keeps its names and things to the end
 *   {x/y=rule}    the same for a line of several fields, parted by '/'
 *   {Rule}, {X}   begin with a capital letter
 *   {a}, {A}      is "a" or "an", as the next word asks
 *   < and >       are quotation marks: speech needs no backslashes
 *
 * Within one story no rule gives the same line twice until all its lines were used, so nobody
 * looks under the same stone twice. Only unsigned integers are computed with: the same seed gives
 * the same bytes on every machine. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
    STORY_MAX = 1024, /* bytes of one story */
    VALUE_MAX = 160,  /* bytes that one binding remembers, all its fields together */
    SLOT_MAX = 32,    /* fields remembered in one story */
    DEPTH_MAX = 8,    /* rules inside rules; only a rule that names itself goes deeper */
    LINES_MAX = 64    /* lines of one rule: the bits of a word in Teller.drawn */
};

typedef struct {
    const char *name;
    const char *const *lines;
    size_t n_lines;
} Rule;

#define RULE(name, ...) static const char *const lines_of_##name[] = {__VA_ARGS__};
#include "stories.def"
#undef RULE

#define RULE(name, ...) {#name, lines_of_##name, COUNT(lines_of_##name)},
static const Rule rules[] = {
#include "stories.def"
};
#undef RULE

#define RULE(name, ...)                                                                            \
    _Static_assert(COUNT(lines_of_##name) <= LINES_MAX, "too many lines in rule " #name);
#include "stories.def"
#undef RULE

/* A name inside a line of the grammar: borrowed, not terminated. */
typedef struct {
    const char *text;
    size_t len;
} Name;

/* Text being written. The caller owns the bytes. */
typedef struct {
    char *text;
    size_t len, cap;
    bool after_article; /* the next word decides between "a" and "an" */
    bool capital;       /* the next letter is a capital */
} Page;

typedef struct {
    Name name;
    char value[VALUE_MAX];
} Slot;

/* What a story remembers while it is told. */
typedef struct {
    uint64_t *random;
    uint64_t drawn[COUNT(rules)]; /* bit i: line i has been used */
    Slot slots[SLOT_MAX];
    size_t n_slots;
} Teller;

/* A mistake in stories.def or in the command line: says it and ends the program. */
static _Noreturn void fail(const char *format, ...)
{
    va_list args;
    fputs("stories: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

/* SplitMix64: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators",
 * OOPSLA 2014, with mix 13 of D. Stafford, "Better Bit Mixing", 2011. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number below n: the top 32 random bits as a fraction of n. n fits in 32 bits and is not 0. */
static size_t random_below(uint64_t *state, size_t n)
{
    return (size_t)(((random_next(state) >> 32) * (uint64_t)n) >> 32);
}

/* ASCII by hand: the letters of <ctype.h> move with the locale. */
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static char to_upper(char c) { return is_lower(c) ? (char)(c - 'a' + 'A') : c; }
static char to_lower(char c) { return is_upper(c) ? (char)(c - 'A' + 'a') : c; }

static bool is_vowel(char c) { return c != '\0' && strchr("aeiou", to_lower(c)) != NULL; }

static void page_append(Page *page, char c)
{
    if (page->len + 1 >= page->cap)
        fail("stories.def: no room for more than %zu bytes: %.40s...", page->cap - 1, page->text);
    page->text[page->len++] = c;
    page->text[page->len] = '\0';
}

static void page_put(Page *page, char c)
{
    if (page->after_article && c != ' ') {
        page->after_article = false;
        if (is_vowel(c)) {
            page->text[page->len - 1] = 'n';
            page_append(page, ' ');
        }
    }
    if (page->capital) {
        page->capital = false;
        c = to_upper(c);
    }
    page_append(page, c == '<' || c == '>' ? '"' : c);
}

static void page_put_text(Page *page, const char *text)
{
    for (; *text != '\0'; text++)
        page_put(page, *text);
}

/* Grammar names match without regard to the case of their first letter: {He} finds "he". */
static bool name_is(Name name, const char *other, size_t other_len)
{
    return name.len == other_len && to_lower(name.text[0]) == other[0] &&
           memcmp(name.text + 1, other + 1, name.len - 1) == 0;
}

static const char *slot_find(const Teller *teller, Name name)
{
    for (size_t i = 0; i < teller->n_slots; i++)
        if (name_is(name, teller->slots[i].name.text, teller->slots[i].name.len))
            return teller->slots[i].value;
    return NULL;
}

/* Draws a line of the rule, one that this story has not used while there is one. */
static const char *rule_draw(Teller *teller, Name name)
{
    for (size_t r = 0; r < COUNT(rules); r++) {
        const Rule *rule = &rules[r];
        if (!name_is(name, rule->name, strlen(rule->name)))
            continue;
        uint64_t all = UINT64_MAX >> (LINES_MAX - rule->n_lines);
        if (teller->drawn[r] == all)
            teller->drawn[r] = 0;
        size_t line;
        do
            line = random_below(teller->random, rule->n_lines);
        while (teller->drawn[r] >> line & 1);
        teller->drawn[r] |= UINT64_C(1) << line;
        return rule->lines[line];
    }
    fail("stories.def: nothing is called '%.*s'", (int)name.len, name.text);
}

static void tell(Teller *teller, Page *page, const char *line, int depth);

/* Remembers one field of `value` under each of the names "x/y/z"; the last takes the rest. */
static void slots_bind(Teller *teller, Name names, const char *value)
{
    for (;;) {
        const char *slash = memchr(names.text, '/', names.len);
        size_t name_len = slash != NULL ? (size_t)(slash - names.text) : names.len;
        size_t field_len = slash != NULL ? strcspn(value, "/") : strlen(value);
        if (name_len == 0 || (slash != NULL && value[field_len] == '\0'))
            fail("stories.def: {%.*s=...} does not fit '%s'", (int)names.len, names.text, value);
        if (teller->n_slots == SLOT_MAX)
            fail("stories.def: more than %d slots in a story", SLOT_MAX);
        Slot *slot = &teller->slots[teller->n_slots++];
        slot->name = (Name){names.text, name_len};
        memcpy(slot->value, value, field_len);
        slot->value[field_len] = '\0';
        if (slash == NULL)
            return;
        names.text += name_len + 1;
        names.len -= name_len + 1;
        value += field_len + 1;
    }
}

/* {x/y=rule}: `names` is x/y. */
static void tell_binding(Teller *teller, Name names, Name rule, int depth)
{
    char value[VALUE_MAX] = "";
    Page page = {.text = value, .cap = sizeof value};
    tell(teller, &page, rule_draw(teller, rule), depth + 1);
    slots_bind(teller, names, value);
}

/* {a}, {x} or {rule}. */
static void tell_slot(Teller *teller, Page *page, Name name, int depth)
{
    page->capital = page->capital || is_upper(name.text[0]);
    if (name_is(name, "a", 1)) {
        page_put(page, 'a');
        page_put(page, ' ');
        page->after_article = true;
        return;
    }
    const char *value = slot_find(teller, name);
    if (value != NULL)
        page_put_text(page, value);
    else
        tell(teller, page, rule_draw(teller, name), depth + 1);
}

/* Writes one line of the grammar to the page, its slots filled. */
static void tell(Teller *teller, Page *page, const char *line, int depth)
{
    if (depth > DEPTH_MAX)
        fail("stories.def: rules nest deeper than %d: %s", DEPTH_MAX, line);
    for (const char *c = line; *c != '\0'; c++) {
        if (*c != '{') {
            page_put(page, *c);
            continue;
        }
        const char *open = c + 1;
        size_t len = strcspn(open, "}");
        const char *equals = memchr(open, '=', len);
        size_t left = equals != NULL ? (size_t)(equals - open) : len;
        if (open[len] == '\0' || left == 0 || left + 1 == len)
            fail("stories.def: a slot is empty or lacks its '}': %s", line);
        if (equals != NULL)
            tell_binding(teller, (Name){open, left}, (Name){equals + 1, len - left - 1}, depth);
        else
            tell_slot(teller, page, (Name){open, len}, depth);
        c = open + len;
    }
}

/* Prints stories, a blank line between them, until at least n_bytes stand there. */
static void print_stories(uint64_t seed, uint64_t n_bytes)
{
    for (uint64_t n_written = 0; n_written < n_bytes;) {
        char text[STORY_MAX] = "";
        Page page = {.text = text, .cap = sizeof text};
        Teller teller = {.random = &seed};
        if (n_written > 0)
            page_put(&page, '\n');
        tell(&teller, &page, "{story}", 0);
        page_put(&page, '\n');
        if (fwrite(text, 1, page.len, stdout) != page.len)
            return; /* main reports what the stream remembers */
        n_written += page.len;
    }
}

/* Decimal digits and nothing else: strtoull alone would take "-1", " 7" and "7up". */
static uint64_t parse_number(const char *option, const char *text)
{
    if (text == NULL)
        fail("%s needs a number", option);
    size_t n_digits = strspn(text, "0123456789");
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (n_digits == 0 || text[n_digits] != '\0' || errno != 0)
        fail("%s: expected a number from 0 to %" PRIu64 ", found '%s'", option, UINT64_MAX, text);
    return value;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: stories [--seed N] [--bytes N]";
    uint64_t seed = 1;
    uint64_t n_bytes = 600 * 1024;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = parse_number(argv[i], argv[i + 1]);
        else if (strcmp(argv[i], "--bytes") == 0)
            n_bytes = parse_number(argv[i], argv[i + 1]);
        else
            fail("unknown option '%s'\n%s", argv[i], usage);
    }
    print_stories(seed, n_bytes);
    if (fflush(stdout) != 0 || ferror(stdout))
        fail("cannot write to standard output: %s", strerror(errno));
    return EXIT_SUCCESS;
}
