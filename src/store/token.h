/* SPDX-License-Identifier: MIT */
/* A token: what it may look like, what its claims say, how long it lasts.
 *
 * Touches no file, no network and no clock. Times are epoch seconds, lives are seconds, both
 * 64-bit: permanent tokens expire past 2^31. JWTs as in RFC 7519; their signature is the service's.
 */
#pragma once

#include "base/text.h"

/* Servers and proxies refuse header lines beyond 8 to 16 KiB; a longer token could not be used. */
#define TOKEN_LENGTH_MAX 16384
/* The documented life, for a token that says nothing of its own. */
#define TOKEN_LIFE_DEFAULT_S 3600
/* Beyond this a life is nonsense: ten years, Julian, in seconds. */
#define TOKEN_LIFE_MAX_S 315576000
/* Beyond this, from when it was obtained, a token is permanent: short ones last an hour. */
#define TOKEN_PERMANENT_S 86400
#define TOKEN_NO_EXPIRY INT64_MAX /* an expiry that stands for none */

struct token_claims {
    bool has_exp, has_iat, has_nbf;
    int64_t exp, iat, nbf;
};

/* 1 to 16384 characters of visible ASCII, else false. */
bool token_is_valid(const char *token);

/* A token that a person or a program gives, what: "the token on stdin": without the white space
 * around it and "Bearer ". RESULT_USAGE, not naming it, if the rest is masked (***) or no token. */
enum result token_clean(struct buffer *text, const char *what, struct error *error) MUST_CHECK;

/* The decoded payload of a JWT, a JSON object's text in wiped memory; NULL if it is not a JWT. */
char *token_payload(const char *token);
/* The times among its claims; all absent if it is not a JWT. */
struct token_claims token_claims(const char *token);
/* Whose token it is, by its claim sub: false where both have one and they differ. */
bool token_may_be_of_same(const char *one, const char *other);
/* A token's whole life, by its own claims: from nbf, or iat, to exp. False if they do not say. */
bool token_span(const struct token_claims *claims, int64_t *life_s);

/* Eight hex digits and a NUL: lets people compare tokens without seeing them (FNV-1a, 32 bits,
 * of which nobody gets back a token of hundreds of random bits). */
#define TOKEN_FINGERPRINT_SIZE 9
uint32_t token_checksum(const char *text);
void token_fingerprint(const char *token, char fingerprint[TOKEN_FINGERPRINT_SIZE]);
