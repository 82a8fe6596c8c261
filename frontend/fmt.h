/* The one canonical layout of .smg text. */
#ifndef FRONTEND_FMT_H
#define FRONTEND_FMT_H

#include "frontend/parse.h"

/* Writes the tokens of a text that parsed without errors: two blanks for each body around, one
 * statement a line, one blank around operators, comments where they stood.  What the author broke
 * into lines stays broken, what stood in columns stays in columns, and of several empty lines one is
 * kept.  Formatting the result gives the same bytes. */
void format_tokens(const Parse *p, Buf *out);

#endif
