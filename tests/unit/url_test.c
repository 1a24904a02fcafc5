/* SPDX-License-Identifier: MIT */
#include "store/url.h"

#include "base/mem.h"
#include "unit.h"

/* 253 characters, as RFC 1035 has it at most. */
#define LABEL "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
#define HOST_253 LABEL LABEL LABEL LABEL "b"

TEST(which_urls_are_accepted)
{
    static const struct {
        const char *url;
        bool accepted;
    } table[] = {
        /* https goes anywhere */
        {URL_DEFAULT, true},
        {"https://api.servetel.in/v1", true},
        {"https://api.servetel.in", true},
        {"https://api.servetel.in/", true},
        {"https://api.servetel.in/v1/", true},
        {"https://api.servetel.in/v1//", true},
        {"HTTPS://API.Servetel.IN/v1", true},
        {"https://api.servetel.in:8443/v1", true},
        {"https://localhost", true},
        {"https://intranet/v1", true},
        {"https://192.0.2.7/v1", true},
        {"https://[2001:db8::1]/v1", true},
        {"https://[2001:db8::1]:8443/v1", true},
        {"https://a_b-c.example/%20~!$&'()*+,;=:@/", true},
        {"https://api.servetel.in./v1", true},
        {"https://xn--80ak6aa92e.example/", true},
        {"https://" HOST_253, true},

        /* http goes to this machine only */
        {"http://localhost", true},
        {"http://localhost/v1", true},
        {"http://LocalHost:8080/v1/", true},
        {"HTTP://localhost", true},
        {"http://127.0.0.1", true},
        {"http://127.0.0.1:1/v1", true},
        {"http://127.255.255.254:65535", true},
        {"http://[::1]", true},
        {"http://[::1]:80", true},
        {"http://[::1]:80/v1", true},
        {"http://api.servetel.in/v1", false},
        {"http://127.0.0.1.evil.com", false},
        {"http://127.0.0.1.", false},
        {"http://127.1", false},
        {"http://127", false},
        {"http://2130706433", false},
        {"http://0x7f000001", false},
        {"http://0x7f.0.0.1", false},
        {"http://0177.0.0.1", false},
        {"http://127.0.0.256", false},
        {"http://127.0.0.1.1", false},
        {"http://128.0.0.1", false},
        {"http://126.255.255.255", false},
        {"http://0.0.0.0", false},
        {"http://[::]", false},
        {"http://[::2]", false},
        {"http://[::ffff:127.0.0.1]", false},
        {"http://[0:0:0:0:0:0:0:2]", false},
        {"http://localhost.", false},
        {"http://localhost.evil.com", false},
        {"http://localhost.localdomain", false},
        {"http://evil-localhost", false},
        {"http://mylocalhost", false},
        {"http://ip6-localhost", false},
        {"http://evil.com/localhost", false},
        {"http://evil.com:80/127.0.0.1", false},

        /* another scheme */
        {"", false},
        {"api.servetel.in", false},
        {"api.servetel.in/v1", false},
        {"//api.servetel.in/v1", false},
        {"https:/api.servetel.in", false},
        {"https:api.servetel.in", false},
        {"ftp://api.servetel.in", false},
        {"file:///etc/passwd", false},
        {"httpss://api.servetel.in", false},
        {"xhttps://api.servetel.in", false},
        {"https;//api.servetel.in", false},

        /* credentials */
        {"https://user@host", false},
        {"https://user:pass@host/v1", false},
        {"https://@host", false},
        {"https://:@host", false},
        {"http://localhost@evil.com", false},
        {"http://localhost:80@evil.com", false},
        {"http://127.0.0.1@evil.com/", false},
        {"http://evil.com@localhost/", false},
        {"http://[::1]@evil.com", false},
        {"https://a@b@c", false},
        {"https://host/v1/@x", true}, /* in the path it is no credential */

        /* no host, or none that is one */
        {"https://", false},
        {"https:///v1", false},
        {"https:///", false},
        {"https://:443", false},
        {"https://:443/v1", false},
        {"https://.", false},
        {"https://.example", false},
        {"https://-example", false},
        {"https://exa mple", false},
        {"https://ex%61mple", false},
        {"https://exa,mple", false},
        {"https://exa!mple", false},
        {"https://*", false},
        {"https://" HOST_253 "b", false},
        {"https://::1", false},
        {"https://[", false},
        {"https://]", false},
        {"https://[]", false},
        {"https://[::1", false},
        {"https://::1]", false},
        {"https://[::1]x", false},
        {"https://x[::1]", false},
        {"https://[[::1]]", false},
        {"https://[::1%25lo]", false},
        {"https://[::1%lo]", false},
        {"https://[:::1]", false},
        {"https://[12345::]", false},
        {"https://[127.0.0.1]", false},
        {"https://[v1.x]", false},
        {"https://[::1]]", false},
        {"https://[::1]:[::1]", false},

        /* ports */
        {"https://host:1", true},
        {"https://host:65535", true},
        {"https://host:00080", true},
        {"https://host:", false},
        {"https://host:/v1", false},
        {"https://host:0", false},
        {"https://host:00000", false},
        {"https://host:65536", false},
        {"https://host:99999", false},
        {"https://host:000080", false},
        {"https://host:-1", false},
        {"https://host:+1", false},
        {"https://host:80a", false},
        {"https://host:80:80", false},
        {"https://host:http", false},
        {"https://[::1]:", false},
        {"https://[::1]:0", false},
        {"https://[::1]:80:80", false},
        {"https://[::1]80", false},
        {"http://localhost:80:evil.com", false},

        /* a query or a fragment would end up before the endpoint's path */
        {"https://host?x", false},
        {"https://host/v1?x=y", false},
        {"https://host/v1?", false},
        {"https://host#x", false},
        {"https://host/v1#", false},
        {"https://host/?@evil.com", false},
        {"http://localhost?.evil.com", false},
        {"http://evil.com#@localhost", false},
        {"http://evil.com?@localhost", false},

        /* characters that no URL may hold, which parsers take in different ways */
        {" https://host", false},
        {"https://host ", false},
        {"https://host/v 1", false},
        {"https://host\n", false},
        {"https://host/\r\nX-Evil: 1", false},
        {"https://ho\tst", false},
        {"https://host/\x01", false},
        {"https://host/\x7f", false},
        {"https://h\xc3\xb6st", false},
        {"https://host/\xc3\xb6", false},
        {"https:\\\\host", false},
        {"https://host\\v1", false},
        {"http://localhost\\.evil.com", false},
        {"http://localhost\\@evil.com", false},
        {"https://host/\"", false},
        {"https://host/<>", false},
        {"https://host/^`{|}", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct error error = {0};
        enum result result = url_check(table[i].url, &error);

        if (!CHECK_INT(result, table[i].accepted ? RESULT_OK : RESULT_USAGE))
            printf("# for '%s'\n", table[i].url);
        if (!table[i].accepted && !CHECK(strlen(error.text) > 0))
            printf("# for '%s'\n", table[i].url);
    }
}

TEST(credentials_are_not_repeated)
{
    static const char *const urls[] = {
        "https://user:hunter2@host/v1",    "http://user:hunter2@localhost",
        "ftp://user:hunter2@host",         "https://user:hunter2@host/v1?x",
        "https://user:hunter2@host:99999", "https://user:hunter2@",
    };

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct error error = {0};

        CHECK_INT(url_check(urls[i], &error), RESULT_USAGE);
        if (!CHECK(strstr(error.text, "hunter2") == NULL))
            printf("# '%s'\n", error.text);
    }
}

TEST(a_url_has_1024_characters_at_most)
{
    char url[1100];
    struct error error;

    memset(url, 'x', sizeof url);
    memcpy(url, "https://host/", 13);
    url[1024] = '\0';
    CHECK_INT(url_check(url, &error), RESULT_OK);
    url[1024] = 'x';
    url[1025] = '\0';
    CHECK_INT(url_check(url, &error), RESULT_USAGE);
}

TEST(the_host_is_shown_with_its_port)
{
    static const struct {
        const char *url, *host;
    } table[] = {
        {"https://api.servetel.in/v1", "api.servetel.in"},
        {"https://api.servetel.in", "api.servetel.in"},
        {"https://api.servetel.in:8443/v1", "api.servetel.in:8443"},
        {"http://[::1]:80/v1", "[::1]:80"},
        {"HTTP://LOCALHOST/", "LOCALHOST"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *host = url_host(table[i].url);

        CHECK_STR(host, table[i].host);
        mem_free(host);
    }
}

TEST(plain_http_is_known)
{
    CHECK(url_is_plain_http("http://localhost"));
    CHECK(url_is_plain_http("HTTP://localhost"));
    CHECK(!url_is_plain_http("https://localhost"));
    CHECK(!url_is_plain_http("http"));
    CHECK(!url_is_plain_http(""));
}

TEST(which_urls_are_of_the_same_host)
{
    static const struct {
        const char *a, *b;
        bool same;
    } table[] = {
        {"https://host/v1", "https://host/v1", true},
        {"https://host/v1", "https://host/v2/x", true},
        {"https://host", "https://host/v1", true},
        {"HTTPS://Host/v1", "https://hOST/V1", true},
        {"https://host:8443/v1", "https://HOST:8443/", true},
        {"https://host/v1", "http://host/v1", false},
        {"https://host/v1", "https://hosts/v1", false},
        {"https://host/v1", "https://host:443/v1", false},
        {"https://host/v1", "https://evil/v1", false},
        {"https://ab/cd", "https://abc/d", false},
        {"http://localhost:1", "http://localhost:2", false},
        {"http://localhost:1", "http://localhost:11", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!CHECK(url_same_host(table[i].a, table[i].b) == table[i].same) ||
            !CHECK(url_same_host(table[i].b, table[i].a) == table[i].same))
            printf("# for %s and %s\n", table[i].a, table[i].b);
    }
}
