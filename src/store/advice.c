/* SPDX-License-Identifier: MIT */
#include "store/advice.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

char *advice_login_command(const char *name, const char *path, const struct profile *profile)
{
    bool refused = profile != NULL && profile_login_was_refused(profile);
    /* Names of profiles hold nothing that a shell would mind, and no slash. */
    const char *which = path != NULL && strcmp(name, path) == 0 ? " -f "
                        : strcmp(name, "default") != 0          ? " -p "
                                                                : "";
    char *word = *which == '\0' ? mem_copy("") : text_shell_word(name);
    char *file = refused && profile->password_file != NULL ? text_shell_word(profile->password_file)
                                                           : mem_copy("");
    const char *source = *file != '\0' ? " --password-file "
                         : refused && profile->password_command != NULL
                             ? " --password-command COMMAND"
                             : "";
    char *command = mem_join("servetel-auth login", which, word, source, file);

    mem_free(word);
    mem_free(file);
    return command;
}

enum result advice_append_login(struct error *error, const char *name, const char *path,
                                const struct profile *profile)
{
    char *command = advice_login_command(name, path, profile), when[CLOCK_TEXT_SIZE];

    if (profile != NULL && profile_login_was_refused(profile))
        error_append(error,
                     "; the remembered password was refused on %s and is not sent again: correct "
                     "it at its source, then run %s",
                     clock_format(profile->unattended_login_at, when), command);
    else
        error_append(error, ": run %s", command);
    mem_free(command);
    return error->result;
}

char *advice_refused_password(const char *name, const char *path, const struct profile *profile)
{
    char *command, *text, when[CLOCK_TEXT_SIZE];

    if (!profile_login_was_refused(profile))
        return NULL;
    command = advice_login_command(name, path, profile);
    text = mem_format("unattended login refused on %s, with the remembered password: correct it "
                      "at its source, then run %s",
                      clock_format(profile->unattended_login_at, when), command);
    mem_free(command);
    return text;
}

enum result advice_append_owner(struct error *error, const char *path)
{
    int number = errno;
    bool denied = number == EACCES;
    char *there = mem_copy(path), *word, *slash;
    struct stat st;

    while (denied && lstat(there, &st) < 0) { /* then the directory is closed to us */
        slash = strrchr(there, '/');
        denied = slash != NULL && slash != there;
        if (denied)
            *slash = '\0';
    }
    word = text_shell_word(there);
    if (denied && st.st_uid != geteuid())
        error_append(
            error, ": %s belongs to user %lu: if it should be yours, run as root: chown -R %lu %s",
            word, (unsigned long)st.st_uid, (unsigned long)geteuid(), word);
    mem_free(word);
    mem_free(there);
    errno = number;
    return error->result;
}
