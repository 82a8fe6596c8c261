/* What lexer, parser and formatter share: the tokens of one text and the state of reading it.
 *
 * The whole text becomes an array of tokens first (comments among them, for the formatter); the
 * parser then takes them one by one.  So recovery from an error can look ahead as far as it likes,
 * and the braces are balanced before the parser sees any: see finish_braces in lex.l. */
#ifndef FRONTEND_PARSE_H
#define FRONTEND_PARSE_H

#include "frontend/ast.h"
#include "frontend/intern.h"

/* Where a construct stands: bytes [first, last) of the text. */
typedef struct Loc {
    uint32_t first, last;
    uint32_t line, column;              /* of `first`, from 1 */
    uint32_t last_line;
} Loc;

typedef struct Token {
    int kind;                           /* smg_tokentype, or TOKEN_COMMENT */
    bool starts_line;                   /* nothing but blanks before it */
    Loc loc;
    union {
        const char *name;               /* interned: names, path words, strings */
        int64_t i;
        double f;
    } u;
} Token;

enum { TOKEN_COMMENT = -1 };

/* Limits on what a text may be; reported, never exceeded. */
enum {
    MAX_TEXT = 1 << 20,                 /* bytes of one file */
    MAX_NAME = 100,                     /* bytes of a name */
    MAX_STRING = 1000,
    MAX_BRACES = 100,                   /* bodies inside bodies */
    MAX_BRACKETS = 100,                 /* parentheses and brackets inside each other */
    MAX_ERRORS = 100,                   /* after so many no more are looked for */
};

typedef struct Brace {
    bool path;                          /* of a computed path segment */
    Loc loc;
} Brace;

typedef struct Parse {
    Arena *arena;
    DiagSink *diags;
    Intern *intern;
    uint32_t file;                      /* for spans */
    const char *text;
    uint32_t n;
    Ast *ast;

    Token *tokens;
    uint32_t n_tokens, cap_tokens;

    /* lexer */
    uint32_t offset, line, line_start;
    bool fresh_line;                    /* no token on this line yet */
    Brace braces[MAX_BRACES];
    uint32_t n_braces, n_brackets;
    bool gave_up;                       /* something was nested too deeply to go on */

    /* parser */
    uint32_t next;                      /* index of the token to hand out */
    uint32_t last;                      /* index of the one handed out last */
    uint32_t done;                      /* byte where the newest finished statement ended */
    bool recovering;
} Parse;

/* Fills p->tokens from p->text; reports what is no token. */
void lex_text(Parse *p);

/* Builds p->ast from p->tokens. */
void parse_tokens(Parse *p);

/* Both, after checking that the bytes are text at all; the Ast is never NULL. */
Ast *parse_text(Parse *p, const char *name, const char *text, size_t n);

Span parse_span(const Parse *p, Loc loc);
/* Reports at a place in the text; false once MAX_ERRORS is reached. */
bool parse_error(Parse *p, Loc loc, DiagCode code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* For the parser: the next token, or what recovery makes of it (recover.c). */
uint32_t recover_next(Parse *p, int *kind);
/* A token's kind where a statement may begin. */
bool token_starts_statement(int kind);
/* The statement that is being read: the index of its first token. */
uint32_t recover_statement(const Parse *p);
/* Says what was found and what was expected (bison's names of tokens). */
void recover_report(Parse *p, const char *const *expected, int n_expected);

#endif
