/* What a pass changed: two graph texts line by line, as a unified diff. */
#ifndef CODEGEN_DIFF_H
#define CODEGEN_DIFF_H

#include "base/arena.h"
#include "base/buf.h"

/* Every pass numbers the values anew, so a plain diff would show every line.  Here lines that say the
 * same but for the numbers are laid side by side first, which tells the new number of each old value;
 * then a line counts as changed when it still differs with its numbers replaced.  All numbers in the
 * result are the new ones; a value that is gone keeps its old number and a prime, %12'.  A node that
 * got other inputs or attributes is shown, but not all its readers with it.  Nothing is
 * written when nothing changed.
 *
 * In linear space, and in time that grows with the length times the number of changes; a stretch
 * that differs in more than some thousands of lines is shown as removed and added whole. */
void graph_diff(Buf *out, const char *old_name, const char *old_text, const char *new_name,
                const char *new_text, Arena *scratch);

#endif
