/* SPDX-License-Identifier: MIT */
/* The floor of `refresh`: the same request by as little code as libcurl allows, and nothing read
 * from or written to the disk.
 *
 *     curl_floor URL TOKEN [CAPATH]
 *
 * With CAPATH, roots are looked up in that hashed directory; else as libcurl does it by itself. */
#include <curl/curl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char authorization[8192];
    struct curl_slist *headers = NULL;
    CURLcode code;
    CURL *easy;

    if (argc < 3 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 2;
    easy = curl_easy_init();
    snprintf(authorization, sizeof authorization, "Authorization: %s", argv[2]);
    headers = curl_slist_append(headers, authorization);
    headers = curl_slist_append(headers, "Accept: application/json");
    curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    if (argc > 3) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(easy, CURLOPT_CAPATH, argv[3]);
    }
    code = curl_easy_perform(easy);
    if (code != CURLE_OK)
        fprintf(stderr, "curl_floor: %s\n", curl_easy_strerror(code));
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    return code != CURLE_OK;
}
