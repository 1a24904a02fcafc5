/* Text that comes from elsewhere: UTF-8 (RFC 3629), and harmless to a terminal. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces control characters (C0, C1, DEL) and broken UTF-8 by '?', in place. */
void text_clean(char *text);
bool text_is_utf8(const char *text);
/* Cuts to at most max characters, 3 or more, ending with "..." if it had to. */
void text_cut(char *text, size_t max);
/* Replaces each occurrence of needle, if it is not empty, by "[hidden]". *text is in secret memory
 * and may move. */
void text_hide(char **text, const char *needle);
/* The same for whatever begins as a JWT does: a gateway may echo a part of the token. */
void text_hide_jwts(char **text);
/* A word as sh reads it, within quotes where it must be. In secret memory. */
char *text_shell_word(const char *word);

#endif
