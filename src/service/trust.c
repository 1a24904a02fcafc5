/* SPDX-License-Identifier: MIT */
#include "service/transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/msg.h"
#include "base/process.h"

static bool is_same_file(const char *a, const char *b)
{
    struct stat first, second;

    return a != NULL && b != NULL && stat(a, &first) == 0 && stat(b, &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
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
    const char *dir = NULL;
    int fd;

    if (file == NULL) {
        dir = process_variable("SSL_CERT_DIR");
        file = process_variable("SSL_CERT_FILE");
    }
    if (cacert == NULL && dir == NULL && is_same_file(file, version->cainfo))
        file = NULL;
    session->trust = (struct trust){.file = file, .path = dir};
    if (file == NULL && dir == NULL && is_hashed_directory(version->capath))
        session->trust = (struct trust){.path = version->capath, .is_ours = true};
    fd = file == NULL ? -1 : fd_open(file, O_RDONLY | O_NONBLOCK);
    if (file != NULL && fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot read the CA certificates '%s': %s", file,
                         strerror(errno));
    fd_close(&fd);
    return RESULT_OK;
}

bool trust_fall_back(struct transfer *transfer)
{
    const struct libcurl *curl = transfer->session->curl;
    const curl_version_info_data *version = curl->version_info(CURLVERSION_NOW);
    struct trust *trust = &transfer->session->trust;
    long verify = 0;

    curl->easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    /* X509_V_ERR_ 2, 18, 19, 20, 21: an issuer or a root is not among those looked at. */
    if (!trust->is_ours || transfer->sent || !(verify == 2 || (verify >= 18 && verify <= 21)))
        return false;
    msg_verbose("the issuer is not in %s, trying libcurl's bundle", trust->path);
    *trust = (struct trust){.file = version->cainfo, .path = version->capath};
    return true;
}
