/* SPDX-License-Identifier: MIT */
/* Text that comes from elsewhere: UTF-8 (RFC 3629), and harmless to a terminal. */
#pragma once

#include "base/mem.h"

/* Of ASCII, whatever the locale. */
#define TEXT_ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Whether there is a text, not NULL, and it is that one. */
bool text_is(const char *text, const char *one);

/* Replaces control characters (C0, C1, DEL) and broken UTF-8 by '?', in place. */
void text_clean(char *text);
bool text_is_utf8(const char *text);
/* The text of JSON, in wiped memory: on one line, and with control characters (DEL and C1 too)
 * and broken UTF-8, which JSON lets through or cJSON does, as escapes. *json may move. */
void text_escape_json(char **json);
/* Cuts to at most max characters, 3 or more, ending with "..." if it had to. */
void text_cut(char *text, size_t max);
/* The text with `before` and `after` around each of the characters `special`. */
void text_put_escaped(struct buffer *out, const char *text, const char *special, const char *before,
                      const char *after);
/* Replaces each occurrence of needle, if it is not empty or NULL, with what follows it of the
 * characters in tail, by "[hidden]". *text is in wiped memory and may move. */
void text_hide(char **text, const char *needle, const char *tail);
/* Whether it holds the secret, of four characters or more, as URLs, HTML or base64 spell it. */
bool text_reveals(const char *text, const char *secret);
/* Replaces what no person reads, and what may be a part of a token, by "***". */
void text_hide_blobs(char *text);
/* Base64 or base64url (RFC 4648) up to what is neither; the length. out: one longer than text. */
size_t text_decode_base64(const char *text, size_t len, char *out);
/* ": did you mean 'NAME'?", of the names (ended by NULL) the one that is nearest to what was typed
 * (so many characters), or begins so; "" if none is near. */
#define TEXT_NEAREST_SIZE 192
const char *text_nearest(const char *typed, size_t len, const char *const *names,
                         char text[TEXT_NEAREST_SIZE]);
/* Whether neither sh, cron nor systemd minds any of its characters. */
bool text_is_plain_word(const char *word);
/* A word as sh reads it, within quotes where it must be. In wiped memory. */
char *text_shell_word(const char *word);
