/* SPDX-License-Identifier: MIT */
#include "service/transfer.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
enum result trust_choose(struct connection *connection, struct error *error)
{
    const curl_version_info_data *version = libcurl.version_info(CURLVERSION_NOW);
    const char *cacert = connection->cacert, *dir = NULL;
    const char *file = cacert != NULL ? cacert : process_variable("CURL_CA_BUNDLE");

    if (file == NULL) {
        dir = process_variable("SSL_CERT_DIR");
        file = process_variable("SSL_CERT_FILE");
    }
    if (cacert == NULL && dir == NULL && is_same_file(file, version->cainfo))
        file = NULL;
    connection->roots_are_few = file == NULL && dir == NULL && is_hashed_directory(version->capath);
    connection->roots_file = file;
    connection->roots_path = connection->roots_are_few ? version->capath : dir;
    if (file != NULL && access(file, R_OK) < 0)
        return error_set(error, RESULT_LOCAL, "cannot read the CA certificates '%s': %s", file,
                         strerror(errno));
    return RESULT_OK;
}

bool trust_fall_back(struct transfer *transfer)
{
    struct connection *connection = transfer->connection;
    long verify = 0;

    libcurl.easy_getinfo(transfer->easy, CURLINFO_PROXY_SSL_VERIFYRESULT, &verify);
    if (verify == 0)
        libcurl.easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    /* X509_V_ERR_ 2, 18, 19, 20, 21: an issuer or a root is not among those looked at. */
    if (transfer->code != CURLE_PEER_FAILED_VERIFICATION || !connection->roots_are_few ||
        !(verify == 2 || (verify >= 18 && verify <= 21)))
        return false;
    msg_verbose("the issuer is not in %s, trying libcurl's bundle", connection->roots_path);
    connection->roots_file = libcurl.version_info(CURLVERSION_NOW)->cainfo;
    connection->roots_are_few = false;
    transfer->code = CURLE_OK;
    return true;
}
