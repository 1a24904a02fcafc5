/* SPDX-License-Identifier: MIT */
/* The commands, and what several of them share: from options to a renewal, from a result to stdout
 * and an exit code. Commands are the only writers to stdout, whole lines each time. */
#pragma once

#include "commands/options.h"
#include "renewal/renew.h"

struct command {
    const char *name;
    int user;                                  /* its bit among the options' users */
    int (*run)(const struct options *options); /* returns the exit code */
    const char *summary;
    const char *examples;              /* the help's last lines */
    const char *details;               /* further lines of the help, or NULL */
    const char *operands;              /* for the usage line, or NULL */
    int least_operands, most_operands; /* most -1: a program and its own, which end the options */
};

int cmd_login(const struct options *options);
int cmd_refresh(const struct options *options);
int cmd_show(const struct options *options);
int cmd_status(const struct options *options);
int cmd_logout(const struct options *options);
int cmd_exec(const struct options *options);
int cmd_schedule(const struct options *options);

/* Says the error (but not an interruption, of which main() dies) and returns its exit code. */
int command_fail(const struct error *error);
/* The same for options that do not go together. */
int command_misuse(const char *what);
/* To stdout, whole, or it is an error: a script must never take a part for the token. Clears it. */
int command_write(struct buffer *text);
/* The text and a newline; returns the exit code. */
int command_print(const char *text);

/* A token from stdin, cleaned. */
enum result command_read_token(struct renewal *r, struct buffer *token) MUST_CHECK;

const char *command_profile(const struct options *options);
/* What the options say of a renewal; goal FRESH, nothing kept. */
struct renew_wish command_wish(const struct options *options);
/* One renewal that was begun, to its end. waiting: what a person at a terminal is told, or NULL. */
enum result command_renew(const struct options *options, struct renewal *renewal,
                          const char *waiting) MUST_CHECK;
/* "api.servetel.in", in wiped memory: the host that is named, or the profile's. */
char *command_host(const struct profile *profile, const char *api_url);
/* What every object of --json about a profile begins with; null where there is nothing to say, so
 * that a program need not ask. See JSON OUTPUT in the man page. */
struct cJSON *command_json(const char *name, const char *path, const struct profile *profile,
                           int64_t now);
/* The members exit_code and error (NULL: none). */
void command_json_result(struct cJSON *json, enum result result, const char *error);
/* Its line, in wiped memory; frees it. */
char *command_json_line(struct cJSON *json);
/* The line to stdout; returns the exit code. Frees the object. */
int command_print_json(struct cJSON *json);
/* What a person should hear of once: a password file that others can read, a password that ends. */
void command_warn(const struct renewal *renewal);
void command_warn_exposed(const char *password_file);

/* A token that lasts, in r->profile: at least --min-ttl if that was given, else what is usual;
 * renewed first if it must. Fills *wish, and begins *r: renew_end() it in any case. */
enum result command_fresh(const struct options *options, struct renew_wish *wish,
                          struct renewal *r) MUST_CHECK;
#define COMMAND_EXPIRY_SIZE 160 /* "2026-11-24 14:05 IST (59 min)" or "for ever" */
const char *command_expiry(const struct profile *profile, char text[COMMAND_EXPIRY_SIZE]);
