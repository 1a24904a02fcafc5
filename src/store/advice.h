/* SPDX-License-Identifier: MIT */
/* What a person should do: the one place for words about logging in.
 *
 * name and path as in struct cache; profile may be NULL. If its remembered password was refused,
 * the source is named: that is the word to send it again. (Not a command, which may hold it.) */
#pragma once

#include "store/profile.h"

/* "servetel-auth login -p sales", in wiped memory. */
char *advice_login_command(const char *name, const char *path, const struct profile *profile);
/* ": run servetel-auth login", or when the remembered password was refused. The error's result. */
enum result advice_append_login(struct error *error, const char *name, const char *path,
                                const struct profile *profile);
/* "unattended login refused on ...: correct ...", or NULL where it was not. In wiped memory. */
char *advice_refused_password(const char *name, const char *path, const struct profile *profile);
/* After an error with EACCES: whose the file or the directory above it is, if not ours, and what
 * gives it back (root's, made with a user's HOME). Returns the error's result. */
enum result advice_append_owner(struct error *error, const char *path);
