/* SPDX-License-Identifier: MIT */
#include "store/advice.h"

#include "base/mem.h"
#include "unit.h"

static struct profile profile;

/* A profile whose remembered password was refused; NULL: it has no such source. */
static void refused(const char *password_command, const char *password_file)
{
    profile_clear(&profile);
    mem_replace(&profile.email, "me@example.com");
    mem_replace(&profile.password_command, password_command);
    mem_replace(&profile.password_file, password_file);
    mem_replace(&profile.unattended_login, "refused");
    profile.unattended_login_at = 1800000000;
}

static void check_command(const char *name, const char *path, const char *expected)
{
    char *command = advice_login_command(name, path, &profile);

    CHECK_STR(command, expected);
    mem_free(command);
}

TEST(the_command_names_the_profile_or_the_file)
{
    static const struct {
        const char *name, *path, *command;
    } table[] = {
        {"default", "/home/me/default.json", "servetel-auth login"},
        {"default", NULL, "servetel-auth login"},
        {"sales", "/home/me/sales.json", "servetel-auth login -p sales"},
        {"sales", NULL, "servetel-auth login -p sales"},
        {"/x/token.json", "/x/token.json", "servetel-auth login -f /x/token.json"},
        {"default", "default", "servetel-auth login -f default"}, /* a file of that name */
        {"/x/my token", "/x/my token", "servetel-auth login -f '/x/my token'"},
    };

    profile = PROFILE_NONE;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *command = advice_login_command(table[i].name, table[i].path, NULL);

        CHECK_STR(command, table[i].command);
        mem_free(command);
        check_command(table[i].name, table[i].path, table[i].command);
    }
}

/* Of the command only that there was one: it may hold the password. */
TEST(a_refused_password_is_to_be_named_anew)
{
    refused(NULL, "/run/my pw");
    check_command("sales", NULL, "servetel-auth login -p sales --password-file '/run/my pw'");
    refused("echo hunter2", NULL);
    check_command("default", NULL, "servetel-auth login --password-command COMMAND");
    refused(NULL, NULL);
    check_command("default", NULL, "servetel-auth login");
    mem_replace(&profile.password_file, "/run/pw");
    mem_replace(&profile.unattended_login, NULL); /* a source that was not refused */
    check_command("default", NULL, "servetel-auth login");
    profile_clear(&profile);
}

TEST(an_error_says_what_to_run)
{
    struct error error;

    profile = PROFILE_NONE;
    error_set(&error, RESULT_NO_TOKEN, "no token");
    CHECK_INT(advice_append_login(&error, "sales", NULL, NULL), RESULT_NO_TOKEN);
    CHECK_STR(error.text, "no token: run servetel-auth login -p sales");
    refused("echo hunter2", NULL);
    error_set(&error, RESULT_REFUSED, "refused");
    CHECK_INT(advice_append_login(&error, "default", NULL, &profile), RESULT_REFUSED);
    CHECK(strstr(error.text, "refused on 2027-01-1") != NULL); /* the 15th, or nearly so */
    CHECK(strstr(error.text, "run servetel-auth login --password-command COMMAND") != NULL);
    CHECK(strstr(error.text, "hunter2") == NULL);
    profile_clear(&profile);
}

TEST(a_refused_password_has_words_of_its_own)
{
    char *text;

    profile = PROFILE_NONE;
    CHECK(advice_refused_password("default", NULL, &profile) == NULL);
    refused("echo hunter2", NULL);
    text = advice_refused_password("sales", NULL, &profile);
    if (CHECK(text != NULL)) {
        CHECK(strstr(text, "2027-01-1") != NULL);
        CHECK(strstr(text, "login -p sales --password-command COMMAND") != NULL);
        CHECK(strstr(text, "hunter2") == NULL);
    }
    mem_free(text);
    profile_clear(&profile);
}
