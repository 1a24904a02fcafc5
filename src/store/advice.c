/* SPDX-License-Identifier: MIT */
#include "store/advice.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

char *advice_login_command(const char *name, const char *path, const struct profile *profile)
{
    bool refused = profile != NULL && text_is(profile->unattended_login, PROFILE_LOGIN_REFUSED);
    /* Names of profiles hold nothing that a shell would mind, and no slash. */
    const char *which = path != NULL && strcmp(name, path) == 0 ? " -f "
                        : strcmp(name, "default") != 0          ? " -p "
                                                                : "";
    OWNED char *word = *which == '\0' ? mem_copy("") : text_shell_word(name);
    OWNED char *file = refused && profile->password_file != NULL
                           ? text_shell_word(profile->password_file)
                           : mem_copy("");
    const char *source = *file != '\0' ? " --password-file "
                         : refused && profile->password_command != NULL
                             ? " --password-command COMMAND"
                             : "";

    return mem_join("servetel-auth login", which, word, source, file);
}

enum result advice_append_login(struct error *error, const char *name, const char *path,
                                const struct profile *profile)
{
    OWNED char *command = advice_login_command(name, path, profile);
    char when[CLOCK_TEXT_SIZE];

    if (profile != NULL && text_is(profile->unattended_login, PROFILE_LOGIN_REFUSED))
        error_append(error,
                     "; the remembered password was refused on %s and is not sent again: correct "
                     "it at its source, then run %s",
                     clock_format(profile->unattended_login_at, when), command);
    else
        error_append(error, ": run %s", command);
    return error->result;
}

char *advice_refused_password(const char *name, const char *path, const struct profile *profile)
{
    OWNED char *command = advice_login_command(name, path, profile);
    char when[CLOCK_TEXT_SIZE];

    if (!text_is(profile->unattended_login, PROFILE_LOGIN_REFUSED))
        return NULL;
    return mem_format("unattended login refused on %s, with the remembered password: correct it at "
                      "its source, then run %s",
                      clock_format(profile->unattended_login_at, when), command);
}

enum result advice_append_owner(struct error *error, const char *path)
{
    int number = errno;
    OWNED char *there = mem_copy(path), *word = NULL;
    struct stat st;
    char *slash;
    bool found;

    /* Where it cannot be told, the directory is closed to us. */
    while (!(found = lstat(there, &st) == 0) && (slash = strrchr(there, '/')) != NULL &&
           slash != there)
        *slash = '\0';
    word = text_shell_word(there);
    if (number == EACCES && found && st.st_uid != geteuid())
        error_append(
            error, ": %s belongs to user %lu: if it should be yours, run as root: chown -R %lu %s",
            word, (unsigned long)st.st_uid, (unsigned long)geteuid(), word);
    errno = number;
    return error->result;
}
