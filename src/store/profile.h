/* What one cached file says: its members and what they mean. See FILES in the man page.
 *
 * A struct profile owns its strings (secret memory) and the parsed object, in which members of
 * other programs or later versions survive a rewrite. Touches no file.
 */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

struct cJSON;

struct profile {
    char *api_url, *email;
    char *token, *token_type;
    int64_t expires_at;   /* epoch s; TOKEN_NO_EXPIRY for a permanent token */
    int64_t obtained_at;  /* epoch s, 0 unknown; likewise below */
    int64_t logged_in_at; /* of the login from which this token descends by renewals */
    char *auth_scheme;    /* the form that worked: "raw" or "bearer" */
    char *password_command, *password_file, *token_command;
    char *unattended_login;      /* "refused" once the service refused the remembered password */
    int64_t unattended_login_at; /* when it did */
    int64_t blacklisted_at;      /* the service said that the token is no longer good */
    int64_t retry_at;            /* the service asked that nothing be sent before */
    int64_t password_expires_at; /* the service's password policy */
    struct cJSON *json;          /* NULL when nothing was read */
};

/* [A-Za-z0-9][A-Za-z0-9._@+-]{0,127}: a file name, and a word that no shell minds. */
bool profile_name_is_valid(const char *name);

/* Fills *profile, whatever was in it (clear it first). RESULT_FAILED when the text is damaged or
 * no cache file, RESULT_LOCAL when it is a later version's; *profile is then empty, and the text
 * of the error goes on after "cannot use 'PATH': ". */
enum result profile_parse(struct profile *profile, const char *text, size_t len,
                          struct error *error) MUST_CHECK;
/* The file's text, in secret memory. */
char *profile_print(const struct profile *profile);
void profile_init(struct profile *profile);
void profile_clear(struct profile *profile);

/* How long a renewed token may take to need a person: the library behind the service renews for
 * 14 days from the login unless told otherwise (service.md). */
#define PROFILE_RENEWABLE_S (14 * 86400)

enum profile_state {
    PROFILE_EMPTY, /* no token */
    PROFILE_VALID,
    PROFILE_EXPIRES_SOON, /* `show` would renew it */
    PROFILE_RENEWABLE,    /* expired, and a renewal may work without a person */
    PROFILE_LOGIN_NEEDED,
};

/* 0 for a blacklisted token, too. */
int64_t profile_ttl_s(const struct profile *profile, int64_t now);
int64_t profile_default_min_ttl_s(const struct profile *profile);
bool profile_is_permanent(const struct profile *profile);
/* A source for an unattended login that was not refused. */
bool profile_has_source(const struct profile *profile);
bool profile_login_was_refused(const struct profile *profile);
enum profile_state profile_state(const struct profile *profile, int64_t now);
/* Days until the password expires if a person should be warned (14 or fewer), else -1. */
int profile_password_days(const struct profile *profile, int64_t now);
/* The same in words, "expires in 5 days"; NULL if nobody need be warned. */
#define PROFILE_PASSWORD_TEXT_SIZE 48
const char *profile_password_text(const struct profile *profile, int64_t now,
                                  char text[PROFILE_PASSWORD_TEXT_SIZE]);

#endif
