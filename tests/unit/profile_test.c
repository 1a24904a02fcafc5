/* SPDX-License-Identifier: MIT */
#include "store/profile.h"

#include "base/mem.h"
#include "store/token.h"
#include "unit.h"

#define NOW 1800000000
#define DAY 86400

static struct profile profile;
static struct error error;

static enum result parse(const char *text)
{
    error = (struct error){0};
    return profile_parse(&profile, text, strlen(text), &error);
}

static void check_damaged(const char *text, const char *because)
{
    if (!CHECK_INT(parse(text), RESULT_FAILED) || !CHECK(strstr(error.text, because) != NULL))
        printf("# for %s: '%s'\n", text, error.text);
    CHECK(profile.token == NULL && profile.json == NULL && profile.email == NULL);
    CHECK_INT(profile.expires_at, TOKEN_NO_EXPIRY);
    profile_clear(&profile);
}

/* ---- names ---- */

TEST(which_names_a_profile_may_have)
{
    static const struct {
        const char *name;
        bool valid;
    } table[] = {
        {"default", true},   {"a", true},          {"Z", true},      {"0", true},    {"9x", true},
        {"me+1@x.y", true},  {"a.b_c-d", true},    {"a..", true},    {"", false},    {".a", false},
        {"..", false},       {"-a", false},        {"_a", false},    {"+a", false},  {"@a", false},
        {"a/b", false},      {"a b", false},       {"a\n", false},   {"a\\", false}, {"a'", false},
        {"a\"", false},      {"a$", false},        {"a:b", false},   {"a~", false},  {"a*", false},
        {"\xc3\xa9", false}, {"a\xc3\xa9", false}, {"a\x7f", false},
    };
    char longest[130];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!CHECK(profile_name_is_valid(table[i].name) == table[i].valid))
            printf("# for '%s'\n", table[i].name);
    }
    memset(longest, 'a', sizeof longest);
    longest[128] = '\0';
    CHECK(profile_name_is_valid(longest));
    longest[128] = 'a';
    longest[129] = '\0';
    CHECK(!profile_name_is_valid(longest));
}

/* ---- reading ---- */

static const char whole[] =
    "{\"version\":1,\"api_url\":\"https://api.example/v1\",\"email\":\"me@example.com\","
    "\"access_token\":\"abc.def.ghi\",\"token_type\":\"bearer\",\"expires_at\":1800003600,"
    "\"obtained_at\":1800000000,\"logged_in_at\":1799990000,\"auth_scheme\":\"raw\","
    "\"password_command\":\"pass show x\",\"password_file\":\"/run/pw\","
    "\"token_command\":\"vault x\",\"unattended_login\":\"refused\","
    "\"unattended_login_at\":1799999000,\"blacklisted_at\":1799998000,"
    "\"retry_at\":1800000060,\"retry_noted_at\":1800000030,"
    "\"password_expires_at\":1800864000}";

static void check_whole(void)
{
    CHECK_STR(profile.api_url, "https://api.example/v1");
    CHECK_STR(profile.email, "me@example.com");
    CHECK_STR(profile.token, "abc.def.ghi");
    CHECK_STR(profile.token_type, "bearer");
    CHECK_INT(profile.expires_at, 1800003600);
    CHECK_INT(profile.obtained_at, 1800000000);
    CHECK_INT(profile.logged_in_at, 1799990000);
    CHECK_STR(profile.auth_scheme, "raw");
    CHECK_STR(profile.password_command, "pass show x");
    CHECK_STR(profile.password_file, "/run/pw");
    CHECK_STR(profile.token_command, "vault x");
    CHECK_STR(profile.unattended_login, "refused");
    CHECK_INT(profile.unattended_login_at, 1799999000);
    CHECK_INT(profile.blacklisted_at, 1799998000);
    CHECK_INT(profile.retry_at, 1800000060);
    CHECK_INT(profile.retry_noted_at, 1800000030);
    CHECK_INT(profile.password_expires_at, 1800864000);
}

TEST(all_members_are_read)
{
    CHECK_INT(parse(whole), RESULT_OK);
    check_whole();
    profile_clear(&profile);
    CHECK(profile.token == NULL && profile.json == NULL);
    profile_clear(&profile);
}

TEST(what_is_absent_is_unset)
{
    CHECK_INT(parse("{\"version\":1}"), RESULT_OK);
    CHECK(profile.token == NULL && profile.email == NULL && profile.api_url == NULL);
    CHECK_INT(profile.expires_at, TOKEN_NO_EXPIRY);
    CHECK_INT(profile.obtained_at, 0);
    CHECK_INT(profile.blacklisted_at, 0);
    CHECK_INT(profile.retry_at, 0);
    CHECK_INT(profile.retry_noted_at, 0);
    profile_clear(&profile);
}

TEST(what_is_torn_is_damaged)
{
    for (size_t len = 0; len < strlen(whole); len += 3) {
        char *torn = mem_format("%.*s", (int)len, whole);

        check_damaged(torn, "damaged");
        mem_free(torn);
    }
    check_damaged("", "damaged");
    check_damaged("[]", "damaged");
    check_damaged("null", "damaged");
    check_damaged("{\"version\":1}{\"version\":1}", "damaged");
    check_damaged("{\"version\":1,\"email\":\"a\\u0000b\"}", "damaged");
}

/* A file that grew by what its old contents left behind, as a crash may leave it. */
TEST(zeros_after_the_text_are_damage)
{
    char text[] = "{\"version\":1}\0\0\0";

    CHECK_INT(profile_parse(&profile, text, sizeof text - 1, &error), RESULT_FAILED);
    profile_clear(&profile);
}

TEST(versions)
{
    check_damaged("{}", "version");
    check_damaged("{\"version\":0}", "version");
    check_damaged("{\"version\":-1}", "version");
    check_damaged("{\"version\":\"1\"}", "version");
    check_damaged("{\"version\":null}", "version");
    check_damaged("{\"version\":true}", "version");
    check_damaged("{\"Version\":1}", "version");
    CHECK_INT(parse("{\"version\":2,\"access_token\":7}"), RESULT_LOCAL);
    CHECK(strstr(error.text, "version 2") != NULL);
    CHECK(profile.json == NULL);
    CHECK_INT(parse("{\"version\":2147483648}"), RESULT_LOCAL);
    profile_clear(&profile);
}

TEST(members_of_a_wrong_type_are_damage)
{
    static const char *const texts[] = {
        "api_url",          "email",         "access_token",  "token_type",       "auth_scheme",
        "password_command", "password_file", "token_command", "unattended_login",
    };
    static const char *const times[] = {
        "expires_at",          "obtained_at",         "logged_in_at",
        "unattended_login_at", "blacklisted_at",      "retry_at",
        "retry_noted_at",      "password_expires_at", "refused_at",
    };
    static const char *const no_texts[] = {"1", "null", "true", "{}", "[\"x\"]"};
    static const char *const no_times[] = {
        "\"1800003600\"", "null", "true", "{}", "-1", "-0.5", "1e300", "9007199254740994", "1e999"};
    char text[200];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t j = 0; j < sizeof no_texts / sizeof no_texts[0]; j++) {
            snprintf(text, sizeof text, "{\"version\":1,\"%s\":%s}", texts[i], no_texts[j]);
            check_damaged(text, texts[i]);
        }
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        for (size_t j = 0; j < sizeof no_times / sizeof no_times[0]; j++) {
            snprintf(text, sizeof text, "{\"version\":1,\"%s\":%s}", times[i], no_times[j]);
            check_damaged(text, times[i]);
        }
    }
}

TEST(a_cached_token_must_be_one)
{
    check_damaged("{\"version\":1,\"access_token\":\"\"}", "token");
    check_damaged("{\"version\":1,\"access_token\":\"a b\"}", "token");
    check_damaged("{\"version\":1,\"access_token\":\"a\\r\\nX-Evil: 1\"}", "token");
    check_damaged("{\"version\":1,\"access_token\":\"tok\\u00e9n\"}", "token");
}

/* ---- writing ---- */

static void check_round_trip(const char *text)
{
    char *first, *second;

    if (!CHECK_INT(parse(text), RESULT_OK))
        return;
    first = profile_print(&profile);
    profile_clear(&profile);
    if (CHECK_INT(parse(first), RESULT_OK)) {
        second = profile_print(&profile);
        CHECK_STR(second, first);
        mem_free(second);
    }
    mem_free(first);
}

TEST(a_profile_survives_being_written)
{
    check_round_trip(whole);
    check_whole();
    profile_clear(&profile);
    check_round_trip("{\"version\":1}");
    profile_clear(&profile);
}

TEST(odd_text_survives_being_written)
{
    check_round_trip("{\"version\":1,\"email\":\"q\\\"b\\\\n\\nt\\tc\\u0001d\\u007fe\\u00e9k\\ud83d"
                     "\\udd11\",\"password_command\":\"printf '%s' \\\"$X\\\" | cut -d: -f2\","
                     "\"access_token\":\"\\\"\\\\'</~\"}");
    CHECK_STR(profile.email, "q\"b\\n\nt\tc\x01"
                             "d\x7f"
                             "e\xc3\xa9k\xf0\x9f\x94\x91");
    CHECK_STR(profile.password_command, "printf '%s' \"$X\" | cut -d: -f2");
    CHECK_STR(profile.token, "\"\\'</~");
    profile_clear(&profile);
}

TEST(a_permanent_token_has_no_expiry_in_the_file)
{
    char *text;

    CHECK_INT(parse(whole), RESULT_OK);
    profile.expires_at = TOKEN_NO_EXPIRY;
    text = profile_print(&profile);
    CHECK(strstr(text, "\"expires_at\"") == NULL);
    profile_clear(&profile);
    CHECK_INT(parse(text), RESULT_OK);
    CHECK_INT(profile.expires_at, TOKEN_NO_EXPIRY);
    profile_clear(&profile);
    mem_free(text);
}

TEST(times_past_2038_survive)
{
    check_round_trip("{\"version\":1,\"access_token\":\"x\",\"expires_at\":2147483648,"
                     "\"obtained_at\":4102444800}");
    CHECK_INT(profile.expires_at, 2147483648);
    CHECK_INT(profile.obtained_at, 4102444800);
    profile_clear(&profile);
}

TEST(unknown_members_survive)
{
    char *text;

    CHECK_INT(parse("{\"x_first\":{\"deep\":[1,2.5,null,true,\"\\u00e9\"]},\"version\":1,"
                    "\"access_token\":\"old\",\"X_LAST\":\"kept\",\"Email\":\"other case\"}"),
              RESULT_OK);
    mem_replace(&profile.token, "new");
    mem_replace(&profile.email, "me");
    text = profile_print(&profile);
    profile_clear(&profile);
    CHECK(strstr(text, "\"x_first\"") != NULL);
    CHECK(strstr(text, "2.5") != NULL);
    CHECK(strstr(text, "\"X_LAST\"") != NULL);
    CHECK(strstr(text, "\"kept\"") != NULL);
    CHECK(strstr(text, "\"other case\"") != NULL);
    CHECK(strstr(text, "\"new\"") != NULL);
    CHECK(strstr(text, "\"old\"") == NULL);
    CHECK_INT(parse(text), RESULT_OK);
    CHECK_STR(profile.email, "me");
    profile_clear(&profile);
    mem_free(text);
}

TEST(what_is_unset_is_taken_out)
{
    char *text;

    CHECK_INT(parse(whole), RESULT_OK);
    mem_replace(&profile.password_command, NULL);
    mem_replace(&profile.unattended_login, NULL);
    profile.unattended_login_at = 0;
    profile.retry_at = 0;
    text = profile_print(&profile);
    profile_clear(&profile);
    CHECK(strstr(text, "password_command") == NULL);
    CHECK(strstr(text, "unattended_login") == NULL);
    CHECK(strstr(text, "retry_at") == NULL);
    CHECK(strstr(text, "password_file") != NULL);
    mem_free(text);
}

/* A file that was edited by hand may have a member twice; what is forgotten must stay so. */
TEST(what_is_unset_is_taken_out_though_it_was_there_twice)
{
    char *text;

    CHECK_INT(parse("{\"version\":1,\"unattended_login\":\"refused\",\"retry_at\":1800000000,"
                    "\"unattended_login\":\"refused\",\"retry_at\":1800000000}"),
              RESULT_OK);
    mem_replace(&profile.unattended_login, NULL);
    profile.retry_at = 0;
    text = profile_print(&profile);
    profile_clear(&profile);
    CHECK_INT(parse(text), RESULT_OK);
    CHECK(!text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    CHECK_INT(profile.retry_at, 0);
    profile_clear(&profile);
    mem_free(text);
}

TEST(a_profile_that_was_never_read_can_be_written)
{
    char *text;

    profile = PROFILE_NONE;
    mem_replace(&profile.token, "abc");
    profile.obtained_at = NOW;
    profile.expires_at = NOW + 3600;
    text = profile_print(&profile);
    profile_clear(&profile);
    CHECK_INT(parse(text), RESULT_OK);
    CHECK_STR(profile.token, "abc");
    CHECK_INT(profile.expires_at, NOW + 3600);
    profile_clear(&profile);
    mem_free(text);
}

TEST(printing_changes_nothing)
{
    char *first, *second;

    CHECK_INT(parse(whole), RESULT_OK);
    first = profile_print(&profile);
    second = profile_print(&profile);
    CHECK_STR(first, second);
    check_whole();
    mem_free(first);
    mem_free(second);
    profile_clear(&profile);
}

/* ---- what it means ---- */

/* A token of an hour, obtained now by a login. */
static void hour_token(void)
{
    profile = PROFILE_NONE;
    mem_replace(&profile.token, "abc");
    profile.obtained_at = profile.logged_in_at = NOW;
    profile.expires_at = NOW + 3600;
}

static void check_state(int64_t now, enum profile_state expected)
{
    if (!CHECK_INT(profile_state(&profile, now), expected))
        printf("# at %+lld\n", (long long)(now - NOW));
}

TEST(the_states_of_a_token_over_time)
{
    hour_token();
    check_state(NOW, PROFILE_VALID);
    check_state(NOW + 3539, PROFILE_VALID); /* more than 60 s are enough for show */
    check_state(NOW + 3540, PROFILE_EXPIRES_SOON);
    check_state(NOW + 3599, PROFILE_EXPIRES_SOON);
    check_state(NOW + 3600, PROFILE_RENEWABLE);
    check_state(NOW + 14 * DAY - 1, PROFILE_RENEWABLE);
    check_state(NOW + 14 * DAY, PROFILE_LOGIN_NEEDED);
    check_state((int64_t)NOW + 10000 * (int64_t)DAY, PROFILE_LOGIN_NEEDED);
    check_state(NOW - 59, PROFILE_VALID);
    check_state(NOW - 60, PROFILE_RENEWABLE); /* the clock was set back */
    profile_clear(&profile);
}

TEST(a_fortnight_counts_from_the_login_not_the_last_renewal)
{
    hour_token();
    profile.logged_in_at = NOW - 14 * DAY + 7200;
    check_state(NOW, PROFILE_VALID);
    check_state(NOW + 3600, PROFILE_RENEWABLE);
    check_state(NOW + 7199, PROFILE_RENEWABLE);
    check_state(NOW + 7200, PROFILE_LOGIN_NEEDED);
    /* Where the login is not known, the last renewal is all there is. */
    profile.logged_in_at = 0;
    check_state(NOW + 7200, PROFILE_RENEWABLE);
    check_state(NOW + 14 * DAY, PROFILE_LOGIN_NEEDED);
    profile_clear(&profile);
}

TEST(a_password_source_renews_for_ever)
{
    hour_token();
    mem_replace(&profile.email, "me");
    mem_replace(&profile.password_file, "/run/pw");
    check_state(NOW + 3600, PROFILE_RENEWABLE);
    check_state(NOW + 1000 * DAY, PROFILE_RENEWABLE);
    mem_replace(&profile.unattended_login, "refused");
    /* The password is only asked for when the token was refused before. */
    check_state(NOW + 3539, PROFILE_VALID);
    check_state(NOW + 3540, PROFILE_EXPIRES_SOON); /* until its end it will do */
    check_state(NOW + 3599, PROFILE_EXPIRES_SOON);
    check_state(NOW + 3600, PROFILE_LOGIN_NEEDED);
    profile_clear(&profile);
}

TEST(a_token_command_renews_for_ever)
{
    hour_token();
    mem_replace(&profile.token_command, "vault x");
    check_state(NOW + 1000 * DAY, PROFILE_RENEWABLE);
    profile_clear(&profile);
}

TEST(a_permanent_token_over_time)
{
    hour_token();
    profile.expires_at = TOKEN_NO_EXPIRY;
    check_state(NOW, PROFILE_VALID);
    check_state((int64_t)NOW + 100000 * (int64_t)DAY, PROFILE_VALID);
    profile.expires_at = NOW + 300 * DAY;
    check_state(NOW + 300 * DAY - 61, PROFILE_VALID);
    check_state(NOW + 300 * DAY, PROFILE_LOGIN_NEEDED); /* it is never sent to be renewed */
    mem_replace(&profile.email, "me");
    mem_replace(&profile.password_command, "pass show x");
    check_state(NOW + 300 * DAY, PROFILE_RENEWABLE);
    profile_clear(&profile);
}

TEST(a_short_token_is_valid_for_nine_tenths)
{
    hour_token();
    profile.expires_at = NOW + 100;
    check_state(NOW + 89, PROFILE_VALID);
    check_state(NOW + 90, PROFILE_EXPIRES_SOON);
    check_state(NOW + 100, PROFILE_RENEWABLE);
    profile_clear(&profile);
}

TEST(a_blacklisted_token_has_nothing_left)
{
    hour_token();
    profile.refused_at = profile.blacklisted_at = NOW;
    CHECK_INT(profile_ttl_s(&profile, NOW), 0);
    check_state(NOW, PROFILE_LOGIN_NEEDED);
    mem_replace(&profile.email, "me");
    mem_replace(&profile.password_file, "/run/pw");
    check_state(NOW, PROFILE_RENEWABLE);
    profile_clear(&profile);
}

/* Only a caller has said so yet: the service may exchange it. */
TEST(a_rejected_token_is_renewable)
{
    hour_token();
    profile.blacklisted_at = NOW;
    check_state(NOW, PROFILE_RENEWABLE);
    profile_clear(&profile);
}

TEST(a_refused_token_is_good_to_its_end)
{
    hour_token();
    profile.refused_at = NOW;
    check_state(NOW, PROFILE_VALID);
    check_state(NOW + 3600, PROFILE_LOGIN_NEEDED);
    profile_clear(&profile);
}

TEST(no_token_is_empty_unless_something_gets_one)
{
    profile = PROFILE_NONE;
    check_state(NOW, PROFILE_EMPTY);
    CHECK_INT(profile_ttl_s(&profile, NOW), 0);
    mem_replace(&profile.email, "me");
    check_state(NOW, PROFILE_EMPTY);
    mem_replace(&profile.password_file, "/run/pw");
    check_state(NOW, PROFILE_RENEWABLE);
    profile_clear(&profile);
}

TEST(the_api_that_is_asked)
{
    profile = PROFILE_NONE;
    CHECK_STR(profile_api_url(&profile, NULL), "https://api.servetel.in/v1");
    mem_replace(&profile.api_url, "https://api.example/v1");
    CHECK_STR(profile_api_url(&profile, NULL), "https://api.example/v1");
    CHECK_STR(profile_api_url(&profile, "https://other.example"), "https://other.example");
    profile_clear(&profile);
}

TEST(whose_profile_it_is_as_far_as_that_is_known)
{
    static const struct {
        const char *email, *url; /* the profile's */
        bool is_of;              /* me@example.com at https://api.example/v1 */
    } table[] = {
        {"me@example.com", "https://api.example/v1", true},
        {"me@example.com", "https://API.example/v1/", true},
        {NULL, "https://api.example/v1", true},
        {"me@example.com", NULL, true},
        {NULL, NULL, true},
        {"you@example.com", "https://api.example/v1", false},
        {"ME@example.com", "https://api.example/v1", false},
        {"me@example.com", "https://api.example/v2", true}, /* the same host */
        {"me@example.com", "https://other.example/v1", false},
        {"me@example.com", "http://api.example/v1", false}, /* edited by hand: not even asked */
        {"me@example.com", "nonsense", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        profile = PROFILE_NONE;
        mem_replace(&profile.email, table[i].email);
        mem_replace(&profile.api_url, table[i].url);
        if (!CHECK(profile_is_of(&profile, "me@example.com", "https://api.example/v1") ==
                   table[i].is_of))
            printf("# row %zu\n", i);
        CHECK(profile_is_of(&profile, table[i].email, NULL));
        CHECK(profile_is_of(&profile, NULL, NULL));
        profile_clear(&profile);
    }
}

TEST(what_a_source_is)
{
    profile = PROFILE_NONE;
    CHECK(!profile_has_source(&profile));
    mem_replace(&profile.password_file, "/run/pw");
    CHECK(!profile_has_source(&profile)); /* for whom? */
    mem_replace(&profile.email, "me");
    CHECK(profile_has_source(&profile));
    mem_replace(&profile.password_file, NULL);
    CHECK(!profile_has_source(&profile));
    mem_replace(&profile.password_command, "pass show x");
    CHECK(profile_has_source(&profile));
    CHECK(!text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    mem_replace(&profile.unattended_login, "refused");
    CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    CHECK(!profile_has_source(&profile));
    mem_replace(&profile.unattended_login, "another word");
    CHECK(!text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    CHECK(profile_has_source(&profile));
    mem_replace(&profile.unattended_login, "refused");
    mem_replace(&profile.token_command, "vault x");
    CHECK(profile_has_source(&profile));
    profile_clear(&profile);
}

TEST(a_password_that_expires_is_warned_about_for_a_fortnight)
{
    static const struct {
        int64_t at;
        const char *text;
    } table[] = {
        {0, NULL},
        {76 * DAY - 1, NULL},
        {76 * DAY, "expires in 14 days"},
        {77 * DAY - 1, "expires in 14 days"}, /* begun days count */
        {77 * DAY, "expires in 13 days"},
        {89 * DAY, "expires in 1 day"},
        {90 * DAY - 1, "expires in 1 day"},
        {90 * DAY, "has expired or does so today"},
        {1000 * DAY, "has expired or does so today"},
    };
    char text[PROFILE_PASSWORD_TEXT_SIZE];

    profile = PROFILE_NONE;
    CHECK_STR(profile_password_text(&profile, NOW, text), NULL);
    profile.password_expires_at = NOW + 90 * DAY;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        CHECK_STR(profile_password_text(&profile, NOW + table[i].at, text), table[i].text);
    profile_clear(&profile);
}

/* ---- how long a token lasts ---- */

static const struct profile *lasting(int64_t expires_at, int64_t obtained_at)
{
    static char token[] = "abc";
    static struct profile it;

    it = (struct profile){.token = token, .expires_at = expires_at, .obtained_at = obtained_at};
    return &it;
}

TEST(a_token_that_outlasts_a_day_is_permanent)
{
    CHECK(profile_is_permanent(lasting(TOKEN_NO_EXPIRY, NOW)));
    CHECK(profile_is_permanent(lasting(TOKEN_NO_EXPIRY, 0)));
    CHECK(!profile_is_permanent(lasting(NOW + 3600, NOW)));
    CHECK(!profile_is_permanent(lasting(NOW + 86400, NOW)));
    CHECK(profile_is_permanent(lasting(NOW + 86401, NOW)));
    CHECK(profile_is_permanent(lasting((int64_t)NOW + 300000000, NOW))); /* 9.5 years */
    CHECK(!profile_is_permanent(lasting(NOW - 1, NOW)));
}

TEST(what_is_left_of_a_token)
{
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW), 3600);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW + 3599), 1);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW + 3600), 0);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW + 1000000), 0);
    CHECK_INT(profile_ttl_s(lasting(0, 0), NOW), 0);
    CHECK_INT(profile_ttl_s(lasting((int64_t)NOW + 5000000000, NOW), NOW), 5000000000);
}

TEST(for_ever_is_for_ever)
{
    CHECK_INT(profile_ttl_s(lasting(TOKEN_NO_EXPIRY, NOW), NOW), TOKEN_NO_EXPIRY);
    CHECK_INT(profile_ttl_s(lasting(TOKEN_NO_EXPIRY, NOW), NOW - 1000000), TOKEN_NO_EXPIRY);
    CHECK_INT(profile_ttl_s(lasting(TOKEN_NO_EXPIRY, 0), INT64_MAX), TOKEN_NO_EXPIRY);
}

/* A clock that is slewed by seconds is believed; one that was put back is not. */
TEST(a_clock_that_was_set_back_leaves_nothing)
{
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW - 1), 3601);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW - 59), 3659);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW - 60), 0);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), NOW - 86400), 0);
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, NOW), 0), 0);
    /* When nobody knows when it was obtained, nothing can be told from that. */
    CHECK_INT(profile_ttl_s(lasting(NOW + 3600, 0), NOW), 3600);
}

TEST(the_default_min_ttl_is_a_minute_or_a_tenth)
{
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW + 3600, NOW)), 60);
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW + 600, NOW)), 60);
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW + 599, NOW)), 59);
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW + 100, NOW)), 10);
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW + 9, NOW)), 0);
    CHECK_INT(profile_default_min_ttl_s(lasting(TOKEN_NO_EXPIRY, NOW)), 60);
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW, NOW)), 60);
    CHECK_INT(profile_default_min_ttl_s(lasting(NOW - 5, NOW)), 60);
    CHECK_INT(profile_default_min_ttl_s(lasting((int64_t)NOW + 300000000, NOW)), 60);
}
