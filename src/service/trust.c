/* SPDX-License-Identifier: MIT */
#include "service/transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/process.h"

static bool is_same_file(const char *a, const char *b)
{
    char *first = a == NULL ? NULL : realpath(a, NULL);
    char *second = b == NULL ? NULL : realpath(b, NULL);
    bool same = first != NULL && second != NULL && strcmp(first, second) == 0;

    free(first);
    free(second);
    return same;
}

/* Whether OpenSSL finds certificates there by the hash of their name (c_rehash's NNNNNNNN.0). */
static bool is_hashed_directory(const char *path)
{
    DIR *dir = path == NULL ? NULL : opendir(path);
    struct dirent *entry;
    bool hashed = false;

    while (dir != NULL && !hashed && (entry = readdir(dir)) != NULL)
        hashed = strspn(entry->d_name, "0123456789abcdef") == 8 &&
                 strcmp(entry->d_name + 8, ".0") == 0;
    if (dir != NULL)
        closedir(dir);
    return hashed;
}

/* With nothing named, and libcurl's own directory of roots a hashed one, only that: libcurl would
 * parse the whole bundle, some 145 certificates, for each connection. Both hold the same roots;
 * should one be missing from the directory, the bundle is asked after all. */
enum result trust_choose(struct session *session, const char *cacert, struct error *error)
{
    const curl_version_info_data *version = session->curl->version_info(CURLVERSION_NOW);
    const char *file = cacert != NULL ? cacert : process_variable("CURL_CA_BUNDLE");
    struct trust *trust = &session->trust;
    const char *dir = NULL;
    int fd;

    if (file == NULL) {
        dir = process_variable("SSL_CERT_DIR");
        file = process_variable("SSL_CERT_FILE");
    }
    if (cacert == NULL && dir == NULL && is_same_file(file, version->cainfo))
        file = NULL;
    if (file == NULL && dir == NULL) {
        trust->is_ours = is_hashed_directory(version->capath);
        if (trust->is_ours)
            trust->path = mem_copy(version->capath);
        return RESULT_OK;
    }
    fd = file == NULL ? -1 : fd_open(file, O_RDONLY | O_NONBLOCK);
    if (file != NULL && fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot read the CA certificates '%s': %s", file,
                         strerror(errno));
    fd_close(&fd);
    trust->file = mem_copy(file);
    trust->path = mem_copy(dir);
    return RESULT_OK;
}

void trust_apply(struct transfer *transfer)
{
    const struct libcurl *curl = transfer->session->curl;
    const struct trust *trust = &transfer->session->trust;
    const curl_version_info_data *version = curl->version_info(CURLVERSION_NOW);
    const char *file = trust->fell_back ? version->cainfo : trust->file;
    const char *path = trust->fell_back ? version->capath : trust->path;

    if (file == NULL && path == NULL)
        return; /* libcurl's own */
    curl->easy_setopt(transfer->easy, CURLOPT_CAINFO, file);
    curl->easy_setopt(transfer->easy, CURLOPT_CAPATH, path);
    curl->easy_setopt(transfer->easy, CURLOPT_PROXY_CAINFO, file);
    curl->easy_setopt(transfer->easy, CURLOPT_PROXY_CAPATH, path);
}

bool trust_fall_back(struct transfer *transfer)
{
    struct trust *trust = &transfer->session->trust;
    long verify = 0;

    transfer->session->curl->easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    /* X509_V_ERR_ 2, 18, 19, 20, 21: an issuer or a root is not among those looked at. */
    if (!trust->is_ours || trust->fell_back || transfer->sent ||
        !(verify == 2 || (verify >= 18 && verify <= 21)))
        return false;
    msg_verbose("the issuer is not in %s, trying libcurl's bundle", trust->path);
    trust->fell_back = true;
    return true;
}

void trust_clear(struct trust *trust)
{
    mem_free(trust->file);
    mem_free(trust->path);
    memset(trust, 0, sizeof *trust);
}
