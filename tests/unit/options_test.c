/* SPDX-License-Identifier: MIT */
#include "commands/options.h"

#include "base/text.h"

#include <stdlib.h>

#include "unit.h"

#define ARGS_MAX 20

static struct options options;
static struct error error;
static char *argv[ARGS_MAX + 1];

/* Splits words at blanks into argv, and returns their number. getopt may reorder them. */
static int split(const char *words)
{
    static char text[512];
    int argc = 0;

    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

static void forget_environment(void)
{
    unsetenv("SERVETEL_PROFILE");
    unsetenv("SERVETEL_AUTH_FILE");
    unsetenv("SERVETEL_EMAIL");
    unsetenv("SERVETEL_API_URL");
}

/* What the command makes of these words, the first of which is the program's name. */
static enum result parse_whole(int user, const char *words)
{
    int argc = split(words), index = 0;

    error = (struct error){0};
    if (options_find_command(&options, argc, argv, &index, &error) != RESULT_OK)
        return error.result;
    return options_parse(&options, user, user == FOR_EXEC, argc, argv, index, &error);
}

/* The same without options before the command, whose name is the first. */
static enum result parse(int user, const char *words)
{
    char whole[512];

    snprintf(whole, sizeof whole, "servetel-auth %s", words);
    return parse_whole(user, whole);
}

static void check_refused(int user, const char *words, const char *because)
{
    if (!CHECK_INT(parse(user, words), RESULT_USAGE) || !CHECK(strstr(error.text, because) != NULL))
        printf("# for '%s': '%s'\n", words, error.text);
}

/* ---- what nothing says ---- */

TEST(nothing_given_is_nothing_set)
{
    forget_environment();
    CHECK_INT(parse(FOR_REFRESH, "refresh"), RESULT_OK);
    CHECK(options.profile == NULL && options.file == NULL && options.api_url == NULL);
    CHECK(options.cacert == NULL && options.auth_scheme == NULL && options.email == NULL);
    CHECK(options.on_change == NULL && options.format == NULL);
    CHECK_INT(options.timeout_s, OPTION_TIMEOUT_S);
    CHECK_INT(options.retries, OPTION_RETRIES);
    CHECK_INT(options.min_ttl_s, OPTION_UNSET);
    CHECK_INT(options.jobs, OPTION_UNSET);
    CHECK_INT(options.complain_below_s, OPTION_UNSET);
    CHECK(!options.quiet && !options.verbose && !options.help && !options.version);
    CHECK_INT(options.operand_count, 0);
    CHECK(options.operands[0] == NULL);
}

/* ---- durations and numbers ---- */

TEST(which_durations_are_accepted)
{
    static const struct {
        const char *text;
        int64_t seconds; /* -1: refused */
    } table[] = {
        {"0", 0},
        {"1", 1},
        {"90", 90},
        {"007", 7},
        {"000000000007", 7}, /* twelve digits */
        {"0000000000007", -1},
        {"5s", 5},
        {"0s", 0},
        {"2m", 120},
        {"3h", 10800},
        {"4d", 345600},
        {"3652d", 315532800},
        {"315576000", 315576000}, /* ten years */
        {"315576001", -1},
        {"3653d", -1},
        {"87660h", 315576000},
        {"999999999999", -1},
        {"999999999999d", -1},
        {"1000000000000", -1},
        {"99999999999999999999", -1},
        {"18446744073709551617", -1},
        {"", -1},
        {"s", -1},
        {"d1", -1},
        {"-1", -1},
        {"+1", -1},
        {"1.5h", -1},
        {"1,5", -1},
        {"1e3", -1},
        {"0x10", -1},
        {"5S", -1},
        {"5M", -1},
        {"5w", -1},
        {"5y", -1},
        {"5ms", -1},
        {"5ss", -1},
        {"1h30m", -1},
        {"5min", -1},
        {"1d ", -1},
        {" 1d", -1},
        {"1 d", -1},
        {"1\n", -1},
        {"\xd9\xa1", -1}, /* a digit, but not one of ours */
    };

    forget_environment();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char word[64];
        char *words[] = {(char[]){"refresh"}, word, NULL};
        enum result result;

        snprintf(word, sizeof word, "--min-ttl=%s", table[i].text);
        CHECK_INT(options_find_command(&options, 1, words, &(int){0}, &error), RESULT_OK);
        result = options_parse(&options, FOR_REFRESH, false, 2, words, 0, &error);
        if (!CHECK_INT(result, table[i].seconds < 0 ? RESULT_USAGE : RESULT_OK) ||
            !CHECK_INT(options.min_ttl_s, table[i].seconds < 0 ? OPTION_UNSET : table[i].seconds))
            printf("# for '%s'\n", table[i].text);
    }
}

TEST(a_timeout_is_at_least_a_second)
{
    check_refused(FOR_REFRESH, "refresh --timeout 0", "--timeout '0'");
    check_refused(FOR_REFRESH, "refresh --timeout 0m", "--timeout '0m'");
    CHECK_INT(parse(FOR_REFRESH, "refresh --timeout 1"), RESULT_OK);
    CHECK_INT(options.timeout_s, 1);
    CHECK_INT(parse(FOR_REFRESH, "refresh --timeout 2m"), RESULT_OK);
    CHECK_INT(options.timeout_s, 120);
}

TEST(numbers_have_their_limits)
{
    CHECK_INT(parse(FOR_REFRESH, "refresh --retries 0 --jobs 1"), RESULT_OK);
    CHECK_INT(options.retries, 0);
    CHECK_INT(options.jobs, 1);
    CHECK_INT(parse(FOR_REFRESH, "refresh --retries 100 --jobs 1000"), RESULT_OK);
    CHECK_INT(options.retries, 100);
    CHECK_INT(options.jobs, 1000);
    check_refused(FOR_REFRESH, "refresh --retries 101", "from 0 to 100");
    check_refused(FOR_REFRESH, "refresh --jobs 0", "from 1 to 1000");
    check_refused(FOR_REFRESH, "refresh --jobs 1001", "from 1 to 1000");
    check_refused(FOR_REFRESH, "refresh --jobs -1", "--jobs '-1'");
    check_refused(FOR_REFRESH, "refresh --jobs 5s", "--jobs '5s'");
    check_refused(FOR_REFRESH, "refresh --retries 1.0", "--retries '1.0'");
    check_refused(FOR_REFRESH, "refresh --retries=", "--retries ''");
    check_refused(FOR_REFRESH, "refresh --retries two", "--retries 'two'");
}

/* ---- other values ---- */

TEST(choices_are_whole_words)
{
    static const struct {
        const char *option, *value;
        int user;
        bool accepted;
    } table[] = {
        {"auth-scheme", "raw", FOR_REFRESH, true},
        {"auth-scheme", "bearer", FOR_REFRESH, true},
        {"auth-scheme", "", FOR_REFRESH, false},
        {"auth-scheme", "ra", FOR_REFRESH, false},
        {"auth-scheme", "aw", FOR_REFRESH, false},
        {"auth-scheme", "Raw", FOR_REFRESH, false},
        {"auth-scheme", "Bearer", FOR_REFRESH, false},
        {"auth-scheme", "rawer", FOR_REFRESH, false},
        {"auth-scheme", "raw|bearer", FOR_REFRESH, false},
        {"auth-scheme", "raw|", FOR_REFRESH, false},
        {"auth-scheme", "|bearer", FOR_REFRESH, false},
        {"auth-scheme", "|", FOR_REFRESH, false},
        {"auth-scheme", "basic", FOR_REFRESH, false},
        {"format", "token", FOR_SHOW, true},
        {"format", "header", FOR_SHOW, true},
        {"format", "curl", FOR_SHOW, true},
        {"format", "env", FOR_SHOW, true},
        {"format", "json", FOR_SHOW, false},
        {"format", "curl|env", FOR_SHOW, false},
        {"format", "token|header|curl|env", FOR_SHOW, false},
    };

    forget_environment();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char words[128];

        snprintf(words, sizeof words, "x --%s=%s", table[i].option, table[i].value);
        if (!CHECK_INT(parse(table[i].user, words), table[i].accepted ? RESULT_OK : RESULT_USAGE))
            printf("# for '%s'\n", words);
    }
}

TEST(an_empty_text_is_refused)
{
    check_refused(FOR_LOGIN, "login --email=", "--email is empty");
    check_refused(FOR_LOGIN, "login --password-file=", "--password-file is empty");
    check_refused(FOR_LOGIN, "login --file=", "--file is empty");
    check_refused(FOR_REFRESH, "refresh --on-change=", "--on-change is empty");
}

TEST(profile_names_are_checked)
{
    CHECK_INT(parse(FOR_REFRESH, "refresh -p work"), RESULT_OK);
    CHECK_STR(options.profile, "work");
    CHECK_INT(parse(FOR_REFRESH, "refresh --profile me+1@example.com"), RESULT_OK);
    check_refused(FOR_REFRESH, "refresh -p ../x", "--profile needs a profile's name");
    check_refused(FOR_REFRESH, "refresh -p .hidden", "--profile needs");
    check_refused(FOR_REFRESH, "refresh -p a/b", "--profile needs");
    check_refused(FOR_REFRESH, "refresh --profile=", "--profile needs");
    check_refused(FOR_LOGIN, "login -phunter2!", "--profile needs");
    CHECK(strstr(error.text, "hunter2") == NULL);
}

TEST(a_profile_is_not_named_together_with_a_file)
{
    check_refused(FOR_SHOW, "show -p work -f x.json", "--profile does not go with --file");
    CHECK_INT(parse_whole(FOR_SHOW, "servetel-auth -f x.json show -p work"), RESULT_USAGE);
}

TEST(all_profiles_are_neither_one_nor_a_file)
{
    check_refused(FOR_LOGOUT, "logout --all -p work", "--all goes with neither --profile nor");
    check_refused(FOR_REFRESH, "refresh --all -f x", "--all goes with neither --profile nor");
    setenv("SERVETEL_PROFILE", "work", 1);
    CHECK_INT(parse(FOR_SCHEDULE, "schedule --all cron"), RESULT_OK);
    forget_environment();
}

TEST(one_name_means_what_its_command_says)
{
    CHECK_INT(parse_whole(FOR_SCHEDULE, "servetel-auth --min-ttl 5m schedule cron"), RESULT_OK);
    CHECK_INT(options.min_ttl_s, 300);
    CHECK_INT(parse_whole(FOR_SHOW, "servetel-auth --min-ttl 5m show --min-ttl 6m"), RESULT_OK);
    CHECK_INT(options.min_ttl_s, 360);
}

TEST(urls_are_checked)
{
    CHECK_INT(parse(FOR_LOGIN, "login --api-url https://host/v1"), RESULT_OK);
    CHECK_STR(options.api_url, "https://host/v1");
    check_refused(FOR_LOGIN, "login --api-url http://host/v1", "https://");
    check_refused(FOR_LOGIN, "login --api-url=", "https://");
}

/* ---- the command line ---- */

TEST(letters_and_words_are_the_same)
{
    forget_environment();
    CHECK_INT(parse(FOR_REFRESH, "refresh -qv -pwork"), RESULT_OK);
    CHECK(options.quiet && options.verbose);
    CHECK_STR(options.profile, "work");
    CHECK_INT(parse(FOR_REFRESH, "refresh --quiet --verbose --profile=work"), RESULT_OK);
    CHECK(options.quiet && options.verbose);
    CHECK_STR(options.profile, "work");
    CHECK_INT(parse(FOR_REFRESH, "refresh -f x.json"), RESULT_OK);
    CHECK_STR(options.file, "x.json");
    CHECK_INT(parse(FOR_REFRESH, "refresh --file=x.json"), RESULT_OK);
    CHECK_STR(options.file, "x.json");
    CHECK_INT(parse(FOR_LOGIN, "login -e me@example.com -h"), RESULT_OK);
    CHECK_STR(options.email, "me@example.com");
    CHECK(options.help);
}

TEST(a_long_name_may_not_be_cut)
{
    check_refused(FOR_REFRESH, "refresh --verb",
                  "unknown option '--verb': did you mean '--verbose'?");
    check_refused(FOR_REFRESH, "refresh --min=5m",
                  "unknown option '--min': did you mean '--min-ttl'?");
    check_refused(FOR_REFRESH, "refresh --min 5m",
                  "unknown option '--min': did you mean '--min-ttl'?");
    check_refused(FOR_REFRESH, "refresh x --verb", "unknown option '--verb'");
    check_refused(FOR_LOGIN, "login --password-", "unknown option '--password-'");
    check_refused(FOR_LOGIN, "login --token=hunter2", "unknown option '--token'");
    CHECK(strstr(error.text, "hunter2") == NULL);
}

TEST(the_last_word_counts)
{
    CHECK_INT(parse(FOR_REFRESH, "refresh --min-ttl 5 --min-ttl 7m -p a -p b"), RESULT_OK);
    CHECK_INT(options.min_ttl_s, 420);
    CHECK_STR(options.profile, "b");
}

TEST(operands_may_stand_anywhere)
{
    CHECK_INT(parse(FOR_SCHEDULE, "schedule cron -p work extra"), RESULT_OK);
    CHECK_INT(options.operand_count, 2);
    CHECK_STR(options.operands[0], "cron");
    CHECK_STR(options.operands[1], "extra");
    CHECK(options.operands[2] == NULL);
    CHECK_STR(options.profile, "work");
}

TEST(two_dashes_end_the_options)
{
    CHECK_INT(parse(FOR_SCHEDULE, "schedule -p work -- --quiet -p x"), RESULT_OK);
    CHECK(!options.quiet);
    CHECK_STR(options.profile, "work");
    CHECK_INT(options.operand_count, 3);
    CHECK_STR(options.operands[0], "--quiet");
}

TEST(the_program_of_exec_keeps_its_options)
{
    CHECK_INT(parse(FOR_EXEC, "exec --min-ttl 5 env -q --print"), RESULT_OK);
    CHECK(!options.quiet);
    CHECK_INT(options.min_ttl_s, 5);
    CHECK_INT(options.operand_count, 3);
    CHECK_STR(options.operands[0], "env");
    CHECK_STR(options.operands[1], "-q");
    CHECK_INT(parse(FOR_EXEC, "exec -q -- env -v"), RESULT_OK);
    CHECK(options.quiet && !options.verbose);
    CHECK_INT(options.operand_count, 2);
}

TEST(an_option_of_another_command_is_unknown)
{
    check_refused(FOR_STATUS, "status --on-change x", "unknown option '--on-change'");
    check_refused(FOR_STATUS, "status --timeout 5", "unknown option '--timeout'");
    check_refused(FOR_LOGOUT, "logout --api-url https://host", "unknown option '--api-url'");
    check_refused(FOR_REFRESH, "refresh -e x", "unknown option '-e'");
}

TEST(mistakes_are_named)
{
    check_refused(FOR_REFRESH, "refresh -x", "unknown option '-x'");
    check_refused(FOR_REFRESH, "refresh -qx", "unknown option '-x'");
    check_refused(FOR_REFRESH, "refresh --xyzzy", "unknown option '--xyzzy'");
    check_refused(FOR_REFRESH, "refresh --min-ttl", "'--min-ttl' needs an argument");
    check_refused(FOR_REFRESH, "refresh -p", "'-p' needs an argument");
    check_refused(FOR_REFRESH, "refresh --quiet=1", "'--quiet' takes no argument");
    check_refused(FOR_REFRESH, "refresh --min-tll 5", "did you mean '--min-ttl'?");
    check_refused(FOR_REFRESH, "refresh --tiemout 5", "did you mean '--timeout'?");
    check_refused(FOR_STATUS, "status --jsno", "did you mean '--json'?");
}

/* What follows the = may be a password. */
TEST(what_was_given_to_an_unknown_option_is_not_repeated)
{
    check_refused(FOR_LOGIN, "login --pasword=hunter2", "--pasword");
    CHECK(strstr(error.text, "hunter2") == NULL);
    check_refused(FOR_LOGIN, "login --password=hunter2", "--password-stdin");
    CHECK(strstr(error.text, "hunter2") == NULL);
    check_refused(FOR_LOGIN, "login --password hunter2", "--password-stdin");
    CHECK(strstr(error.text, "hunter2") == NULL);
    check_refused(FOR_LOGIN, "login --xyzzy=hunter2", "--xyzzy");
    CHECK(strstr(error.text, "hunter2") == NULL);
}

TEST(a_very_long_unknown_option_is_just_unknown)
{
    char words[400] = "refresh --";

    memset(words + 10, 'x', 300);
    check_refused(FOR_REFRESH, words, "unknown option '--xxx");
}

/* ---- the environment ---- */

TEST(the_environment_speaks_where_no_flag_does)
{
    forget_environment();
    setenv("SERVETEL_PROFILE", "env", 1);
    setenv("SERVETEL_EMAIL", "env@example.com", 1);
    setenv("SERVETEL_API_URL", "https://env.example/v1", 1);
    setenv("SERVETEL_AUTH_FILE", "/env.json", 1);
    CHECK_INT(parse(FOR_LOGIN, "login"), RESULT_OK);
    CHECK_STR(options.profile, "env");
    CHECK_STR(options.email, "env@example.com");
    CHECK_STR(options.api_url, "https://env.example/v1");
    CHECK_STR(options.file, "/env.json");
    forget_environment();
}

TEST(a_flag_beats_the_environment)
{
    setenv("SERVETEL_PROFILE", "env", 1);
    setenv("SERVETEL_EMAIL", "env@example.com", 1);
    setenv("SERVETEL_API_URL", "https://env.example/v1", 1);
    setenv("SERVETEL_AUTH_FILE", "/env.json", 1);
    CHECK_INT(parse(FOR_LOGIN, "login -e flag@example.com -f /flag.json "
                               "--api-url https://flag.example/v1"),
              RESULT_OK);
    CHECK_STR(options.email, "flag@example.com");
    CHECK_STR(options.file, "/flag.json");
    CHECK_STR(options.api_url, "https://flag.example/v1");
    CHECK(options.profile == NULL); /* the file's are beside it */
    forget_environment();
}

TEST(a_profile_that_was_named_beats_a_file_of_the_environment)
{
    setenv("SERVETEL_AUTH_FILE", "/env.json", 1);
    setenv("SERVETEL_PROFILE", "env", 1);
    CHECK_INT(parse(FOR_REFRESH, "refresh -p flag"), RESULT_OK);
    CHECK_STR(options.profile, "flag");
    CHECK(options.file == NULL);
    forget_environment();
}

TEST(an_empty_variable_is_as_if_unset)
{
    setenv("SERVETEL_PROFILE", "", 1);
    setenv("SERVETEL_EMAIL", "", 1);
    setenv("SERVETEL_API_URL", "", 1);
    setenv("SERVETEL_AUTH_FILE", "", 1);
    CHECK_INT(parse(FOR_LOGIN, "login"), RESULT_OK);
    CHECK(options.profile == NULL && options.email == NULL && options.api_url == NULL);
    CHECK(options.file == NULL);
    forget_environment();
}

TEST(a_bad_variable_is_named)
{
    setenv("SERVETEL_PROFILE", "../x", 1);
    check_refused(FOR_REFRESH, "refresh", "SERVETEL_PROFILE needs a profile's name");
    CHECK_INT(parse(FOR_REFRESH, "refresh -p good"), RESULT_OK);
    forget_environment();
    setenv("SERVETEL_API_URL", "http://host", 1);
    check_refused(FOR_REFRESH, "refresh", "https://");
    CHECK_INT(parse(FOR_STATUS, "status"), RESULT_OK); /* which asks no API */
    CHECK_INT(parse(FOR_REFRESH, "refresh --api-url https://host"), RESULT_OK);
    forget_environment();
}

TEST(there_is_no_variable_for_a_password)
{
    setenv("SERVETEL_PASSWORD", "hunter2", 1);
    setenv("SERVETEL_PASSWORD_FILE", "/hunter2", 1);
    CHECK_INT(parse(FOR_LOGIN, "login"), RESULT_OK);
    CHECK(options.password_file == NULL && options.password_command == NULL);
    CHECK(!options.password_stdin);
    unsetenv("SERVETEL_PASSWORD");
    unsetenv("SERVETEL_PASSWORD_FILE");
}

/* ---- before the command ---- */

TEST(options_may_stand_before_the_command)
{
    forget_environment();
    CHECK_INT(parse_whole(FOR_STATUS, "servetel-auth -q --profile work status --json"), RESULT_OK);
    CHECK(options.quiet && options.json);
    CHECK_STR(options.profile, "work");
}

TEST(after_the_command_beats_before_it)
{
    forget_environment();
    setenv("SERVETEL_AUTH_FILE", "/env.json", 1);
    setenv("SERVETEL_PROFILE", "env", 1);
    CHECK_INT(
        parse_whole(FOR_REFRESH, "servetel-auth -p one --timeout 5 refresh --timeout 7 -p two"),
        RESULT_OK);
    CHECK_INT(options.timeout_s, 7);
    CHECK_STR(options.profile, "two");
    CHECK(options.file == NULL);
    forget_environment();
}

TEST(a_flag_before_the_command_beats_the_environment)
{
    forget_environment();
    setenv("SERVETEL_AUTH_FILE", "/env.json", 1);
    setenv("SERVETEL_PROFILE", "env", 1);
    setenv("SERVETEL_API_URL", "nonsense", 1);
    CHECK_INT(parse_whole(FOR_REFRESH, "servetel-auth -p one --api-url https://host refresh"),
              RESULT_OK);
    CHECK_STR(options.profile, "one");
    CHECK_STR(options.api_url, "https://host");
    CHECK(options.file == NULL);
    forget_environment();
}

TEST(an_option_that_the_command_does_not_take_is_refused_before_it_too)
{
    CHECK_INT(parse_whole(FOR_STATUS, "servetel-auth --timeout 5 status"), RESULT_USAGE);
    CHECK(strstr(error.text, "'--timeout'") != NULL);
}

TEST(mistakes_before_the_command_are_named)
{
    CHECK_INT(parse_whole(FOR_STATUS, "servetel-auth --xyzzy status"), RESULT_USAGE);
    CHECK(strstr(error.text, "'--xyzzy'") != NULL);
    CHECK_INT(parse_whole(FOR_STATUS, "servetel-auth -p"), RESULT_USAGE);
    CHECK(strstr(error.text, "'-p'") != NULL);
}

TEST(the_place_of_the_command_is_found)
{
    char *words[] = {(char[]){"servetel-auth"}, (char[]){"-v"}, (char[]){"--"}, (char[]){"refresh"},
                     NULL};
    int index = 0;

    CHECK_INT(options_find_command(&options, 4, words, &index, &error), RESULT_OK);
    CHECK(options.verbose);
    CHECK_INT(index, 3);
    CHECK_INT(options_find_command(&options, 1, words, &index, &error), RESULT_OK);
    CHECK_INT(index, 1);
}

/* ---- did you mean ---- */

TEST(the_nearest_name_is_near)
{
    static const char *const names[] = {"login", "logout", "refresh",  "show",
                                        "exec",  "status", "schedule", NULL};
    static const struct {
        const char *typed, *nearest;
    } table[] = {
        {"login", "login"},
        {"logni", "login"},
        {"logon", "login"},
        {"logut", "logout"},
        {"refersh", "refresh"},
        {"refrsh", "refresh"},
        {"refreshh", "refresh"},
        {"shwo", "show"},
        {"statsu", "status"},
        {"schedul", "schedule"},
        {"shedule", "schedule"},
        {"exce", "exec"},
        {"sch", "schedule"},
        {"re", "refresh"},
        {"r", NULL},
        {"completely", NULL},
        {"xyzzy", NULL},
        {"get-me-a-token", NULL},
        {"qqqqqqqqqqqqqq", NULL},
        {"x", NULL},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *typed = table[i].typed;
        char meant[TEXT_NEAREST_SIZE], expected[64] = "";

        if (table[i].nearest != NULL)
            snprintf(expected, sizeof expected, ": did you mean '%s'?", table[i].nearest);
        if (!CHECK_STR(text_nearest(typed, strlen(typed), names, meant), expected))
            printf("# for '%s'\n", typed);
    }
}

TEST(of_no_names_none_is_near)
{
    static const char *const none[] = {NULL};

    char meant[TEXT_NEAREST_SIZE];

    CHECK_STR(text_nearest("x", 1, none, meant), "");
}

TEST(a_name_that_is_too_long_to_compare_is_not_near)
{
    static const char *const names[] = {
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL};

    char meant[TEXT_NEAREST_SIZE];

    CHECK_STR(text_nearest("yxxx", 4, names, meant), "");
}

/* ---- help ---- */

TEST(the_help_names_what_the_command_takes)
{
    static const int users[] = {FOR_LOGIN,  FOR_REFRESH, FOR_SHOW,    FOR_STATUS,
                                FOR_LOGOUT, FOR_EXEC,    FOR_SCHEDULE};

    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        struct buffer text = BUFFER(65536);

        options_help(users[i], &text);
        CHECK(strstr(buffer_text(&text), "-p, --profile NAME") != NULL);
        CHECK(strstr(buffer_text(&text), "SERVETEL_PROFILE") != NULL);
        CHECK((strstr(buffer_text(&text), "--timeout") != NULL) == ((users[i] & FOR_NETWORK) != 0));
        CHECK((strstr(buffer_text(&text), "--email") != NULL) == (users[i] == FOR_LOGIN));
        for (const char *line = buffer_text(&text), *end; *line != '\0'; line = end + 1) {
            end = strchr(line, '\n');
            if (!CHECK(end != NULL && end - line <= 80))
                break;
        }
        buffer_clear(&text);
    }
}

TEST(help_that_does_not_fit_is_no_trouble)
{
    for (size_t max = 0; max < 400; max += 7) {
        struct buffer text = BUFFER(max);

        options_help(FOR_LOGIN, &text);
        CHECK(text.len <= max);
        buffer_clear(&text);
    }
}
