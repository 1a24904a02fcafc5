/* SPDX-License-Identifier: MIT */
/* Which API addresses are accepted (RFC 3986's generic syntax, narrowed).
 *
 * https, or http if the host is a loopback one (localhost, 127.0.0.0/8, [::1]); a host; no
 * credentials, query or fragment; visible ASCII only. Everything else is refused here, before
 * libcurl sees it, so that no reading of an odd URL can differ between the two. */
#pragma once

#include "base/result.h"

#define URL_DEFAULT "https://api.servetel.in/v1"

/* RESULT_USAGE with a text that says what is wrong with it. */
enum result url_check(const char *url, struct error *error) MUST_CHECK;
/* The host with its port, as in the URL, in wiped memory. The URL must have passed url_check. */
char *url_host(const char *url);
bool url_is_plain_http(const char *url);
/* To whom secrets may go: the same scheme, name and port. The first has passed url_check. */
bool url_same_host(const char *a, const char *b);
