/* SPDX-License-Identifier: MIT */
/* What one cached file says: its members and what they mean. See FILES in the man page.
 *
 * A struct profile owns its strings (secret memory) and the parsed object, in which members of
 * other programs or later versions survive a rewrite. Touches no file. */
#pragma once

#include "store/token.h"

struct cJSON;

struct profile {
    char *api_url, *email;
    char *token, *token_type;
    int64_t expires_at;   /* epoch s; TOKEN_NO_EXPIRY for a permanent token */
    int64_t obtained_at;  /* epoch s, 0 unknown; likewise below */
    int64_t logged_in_at; /* of the login from which this token descends by renewals */
    char *auth_scheme;    /* the form that worked: "raw" or "bearer" */
    char *password_command, *password_file, *token_command;
    char *unattended_login; /* "refused": the remembered password was; "failed": the last one */
    int64_t unattended_login_at; /* when that was */
    int64_t refused_at;          /* the service would not renew the token: it is not sent again */
    int64_t blacklisted_at;      /* and it, or the API, said that it is out of use already */
    int64_t retry_at;            /* nothing is sent before, as the service asked, or since an */
    int64_t retry_noted_at;      /* unattended login failed at that time: see decide_pause_s() */
    int64_t password_expires_at; /* the service's password policy */
    char *publication;  /* of a token that several hosts share: NULL where it never was one */
    struct cJSON *json; /* NULL when nothing was read */
};

#define PROFILE_NONE ((struct profile){.expires_at = TOKEN_NO_EXPIRY}) /* nothing is in it */
/* What unattended_login may be; text_is() tells. */
#define PROFILE_LOGIN_REFUSED "refused"
#define PROFILE_LOGIN_FAILED "failed"
/* What publication may be. */
#define PROFILE_PUBLISHED "done"
#define PROFILE_UNPUBLISHED "pending"

/* [A-Za-z0-9][A-Za-z0-9._@+-]{0,127}: a file name, and a word that no shell minds. */
bool profile_name_is_valid(const char *name);

/* Fills *profile, whatever was in it (clear it first). RESULT_FAILED when the text is damaged or
 * no cache file, RESULT_LOCAL when it is a later version's; *profile is then empty, and the text
 * of the error goes on after "cannot use 'PATH': ". */
enum result profile_parse(struct profile *profile, const char *text, size_t len,
                          struct error *error) MUST_CHECK;
/* Whether the text is a cache file's, whole or torn, or an empty one: what may be replaced. */
bool profile_wrote(const char *text);
/* The file's text, in wiped memory. Brings the parsed object up to date. */
char *profile_print(struct profile *profile);
void profile_clear(struct profile *profile);

/* The API that is asked: the one that is named, if any, the profile's, or the default. */
const char *profile_api_url(const struct profile *profile, const char *named);
/* Whether it is this account's at this host, as far as both are known (NULL: not). */
bool profile_is_of(const struct profile *profile, const char *email, const char *api_url);
/* RESULT_USAGE where `from`, an option or a variable, names another host than the token's. */
enum result profile_check_host(const struct profile *profile, const char *name, const char *api_url,
                               const char *from, struct error *error) MUST_CHECK;

enum profile_state {
    PROFILE_EMPTY, /* no token */
    PROFILE_VALID,
    PROFILE_EXPIRES_SOON, /* `show` would renew it, if it can be */
    PROFILE_RENEWABLE,    /* expired, and a renewal may work without a person */
    PROFILE_LOGIN_NEEDED,
};

/* What is left of the token; TOKEN_NO_EXPIRY for ever; 0 for none or a blacklisted one, and when
 * the clock was set back to before it was obtained: then nobody knows. Never negative. */
int64_t profile_ttl_s(const struct profile *profile, int64_t now);
/* The --min-ttl of `show` where none is given: 60 s, or a tenth of the life where that is less. */
int64_t profile_default_min_ttl_s(const struct profile *profile);
bool profile_is_permanent(const struct profile *profile);
/* A source for an unattended login that was not refused. */
bool profile_has_source(const struct profile *profile);
enum profile_state profile_state(const struct profile *profile, int64_t now);
/* When a person has to log in, as far as can be told: not before now, and 0 for never. */
int64_t profile_log_in_by(const struct profile *profile, int64_t now);
/* The token's own life: what its claims say, else what was left when it came; 0 if nobody knows. */
int64_t profile_life_s(const struct profile *profile);
/* "expires in 5 days": what to tell a person of the password if 14 or fewer are left, else NULL. */
#define PROFILE_PASSWORD_TEXT_SIZE 48
const char *profile_password_text(const struct profile *profile, int64_t now,
                                  char text[PROFILE_PASSWORD_TEXT_SIZE]);
