/* SPDX-License-Identifier: MIT */
#include "store/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/text.h"

#define URL_MAX 1024 /* longer than any API's address, short enough for each message */
#define HOST_MAX 253 /* RFC 1035, 2.3.4 */

static bool starts_with(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

bool url_is_plain_http(const char *url)
{
    return starts_with(url, "http://");
}

/* Of what is no URL, as it may stand in a file, all. */
static const char *authority(const char *url)
{
    const char *found = strstr(url, "://");

    return found == NULL ? url : found + 3;
}

static bool is_loopback(const char *host, size_t len)
{
    char name[HOST_MAX + 1];
    struct in_addr v4;

    snprintf(name, sizeof name, "%.*s", (int)len, host);
    if (strncasecmp(name, "localhost", sizeof "localhost") == 0 || strcmp(name, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, name, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool port_is_valid(const char *port, size_t len)
{
    long long number = len > 5 || strspn(port, "0123456789") < len ? 0 : strtoll(port, NULL, 10);

    return number >= 1 && number <= 65535;
}

static bool host_is_valid(const char *host, size_t len)
{
    struct in6_addr v6;
    char address[HOST_MAX + 1];

    if (len == 0 || len > HOST_MAX)
        return false;
    if (host[0] != '[')
        return strspn(host, TEXT_ALPHANUMERIC ".-_") >= len && host[0] != '.' && host[0] != '-';
    if (host[len - 1] != ']' || len < 3)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)len - 2, host + 1);
    return inet_pton(AF_INET6, address, &v6) == 1;
}

enum result url_check(const char *url, struct error *error)
{
    const char *host, *end, *colon;
    size_t host_len;

    for (const char *c = url; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}", *c) != NULL)
            return error_set(error, RESULT_USAGE,
                             "the API URL holds a character that no URL may hold");
    }
    if (strlen(url) > URL_MAX)
        return error_set(error, RESULT_USAGE, "the API URL is longer than %d characters", URL_MAX);
    if (!starts_with(url, "https://") && !starts_with(url, "http://"))
        return error_set(error, RESULT_USAGE, "the API URL must start with https://");
    host = authority(url);
    end = host + strcspn(host, "/?#");
    if (host + strcspn(host, "@/?#") != end)
        return error_set(error, RESULT_USAGE,
                         "the API URL must not hold credentials: give them to login");
    if (end[strcspn(end, "?#")] != '\0')
        return error_set(error, RESULT_USAGE, "the API URL '%s' must end with its path, as in %s",
                         url, URL_DEFAULT);
    colon = host + (*host == '[' ? strcspn(host, "]/?#") : 0);
    colon += strcspn(colon, ":/?#");
    host_len = (size_t)(colon - host);
    if (!host_is_valid(host, host_len))
        return error_set(error, RESULT_USAGE, "the API URL '%s' has no valid host", url);
    if (colon != end && !port_is_valid(colon + 1, (size_t)(end - colon - 1)))
        return error_set(error, RESULT_USAGE, "the API URL '%s' has no valid port", url);
    if (url_is_plain_http(url) && !is_loopback(host, host_len))
        return error_set(error, RESULT_USAGE,
                         "the API URL '%s' would send secrets in the clear: use https://", url);
    return RESULT_OK;
}

char *url_host(const char *url)
{
    const char *host = authority(url);

    return mem_format("%.*s", (int)strcspn(host, "/"), host);
}

bool url_same_host(const char *a, const char *b)
{
    size_t len = (size_t)(authority(a) - a);

    len += strcspn(a + len, "/");
    return strncasecmp(a, b, len) == 0 && (b[len] == '\0' || b[len] == '/');
}
