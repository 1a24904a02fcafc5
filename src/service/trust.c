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

/* A root that OpenSSL finds there by the hash of its name (c_rehash's NNNNNNNN.0), or NULL. */
static char *hashed_root(const char *path)
{
    DIR *dir = path == NULL ? NULL : opendir(path);
    struct dirent *entry;
    char *root = NULL;

    while (dir != NULL && root == NULL && (entry = readdir(dir)) != NULL) {
        root = mem_join(path, "/", entry->d_name);
        if (strspn(entry->d_name, "0123456789abcdef") != 8 || access(root, R_OK) < 0 ||
            strcmp(entry->d_name + 8, ".0") != 0)
            mem_replace(&root, NULL);
    }
    if (dir != NULL)
        closedir(dir);
    return root;
}

/* With nothing named, and libcurl's own directory of roots a hashed one, only that: libcurl would
 * parse its bundle for each connection. Should a root be missing there, that is asked after all.
 * From 8.21 on NULL means libcurl's own, too: so a directory comes with one of its files, and a
 * file with a directory that has none (OpenSSL takes that for one). */
enum result trust_choose(struct connection *connection, struct error *error)
{
    const curl_version_info_data *version = libcurl.version_info(CURLVERSION_NOW);
    const char *cacert = connection->cacert, *dir = NULL;
    const char *file = cacert != NULL ? cacert : process_variable("CURL_CA_BUNDLE");
    struct stat st;

    if (file == NULL) {
        dir = process_variable("SSL_CERT_DIR");
        file = process_variable("SSL_CERT_FILE");
    }
    if (cacert == NULL && dir == NULL && is_same_file(file, version->cainfo))
        file = NULL;
    if (file == NULL)
        connection->root = hashed_root(dir != NULL ? dir : version->capath);
    connection->roots_are_few = dir == NULL && connection->root != NULL;
    if (file == NULL && version->version_num >= 0x081500)
        file = connection->root != NULL ? connection->root : dir;
    connection->roots_file = file;
    connection->roots_path = connection->roots_are_few ? version->capath : dir;
    if (file != NULL && connection->roots_path == NULL && libcurl.ssl_ctx_set_options != NULL)
        connection->roots_path = "/dev/null";
    if (file != NULL && stat(file, &st) == 0 && S_ISFIFO(st.st_mode)) /* would not let go */
        return error_set(error, RESULT_LOCAL, "cannot use the CA certificates '%s': it is a pipe",
                         file);
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
