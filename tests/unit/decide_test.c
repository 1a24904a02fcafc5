/* SPDX-License-Identifier: MIT */
#include "renewal/decide.h"

#include "base/mem.h"
#include "store/token.h"
#include "unit.h"

#define URL "https://api.example/v1"
#define DAY 86400
#define NOW 1800000000

/* ---- renewals ---- */

static const struct decision {
    const char *token; /* NULL: none */
    int64_t expires_in, obtained_ago;
    const char *email, *password_file, *token_command, *unattended_login;
    int64_t retry_in; /* noted just now; 0: no pause */
    int64_t keep_above_s;
    enum renew_plan plan;
} decisions[] = {
    /* a token of an hour */
    {"t", 3600, 0, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", 61, 3539, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", 60, 3540, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", 60, 3540, NULL, NULL, NULL, NULL, 0, 59, RENEW_PLAN_KEEP},
    {"t", 3600, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_EXCHANGE},
    {"t", 1, 3599, NULL, NULL, NULL, NULL, 0, 0, RENEW_PLAN_KEEP},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, 0, 0, RENEW_PLAN_EXCHANGE},
    {"t", -DAY, DAY + 3600, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", -100 * DAY, 100 * DAY + 3600, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", 3600 + 61, -61, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE}, /* clock set back */
    /* a source changes nothing while there is a token to exchange */
    {"t", 0, 3600, "me", "/pw", NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", 0, 3600, "me", "/pw", NULL, "refused", 0, 60, RENEW_PLAN_EXCHANGE},
    /* permanent ones are never exchanged */
    {"t", 300 * DAY, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_KEEP},
    {"t", 30, 300 * DAY, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", INT64_MAX, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_KEEP},
    {"t", INT64_MAX, 0, "me", "/pw", NULL, NULL, 0, -1, RENEW_PLAN_KEEP},
    {"t", -1, 300 * DAY, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_NONE},
    {"t", -1, 300 * DAY, "me", "/pw", NULL, NULL, 0, 60, RENEW_PLAN_LOG_IN},
    {"t", -1, 300 * DAY, "me", "/pw", NULL, "refused", 0, 60, RENEW_PLAN_NONE},
    {"t", -1, 300 * DAY, NULL, "/pw", NULL, NULL, 0, 60, RENEW_PLAN_NONE},
    /* a token command is all such a profile has */
    {"t", 3600, 0, NULL, NULL, "cmd", NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", 3600, 0, NULL, NULL, "cmd", NULL, 0, -1, RENEW_PLAN_COMMAND},
    {"t", 0, 3600, NULL, NULL, "cmd", NULL, 0, 60, RENEW_PLAN_COMMAND},
    {"t", 0, 3600, "me", "/pw", "cmd", NULL, 60, 60, RENEW_PLAN_COMMAND},
    {"t", INT64_MAX, 0, NULL, NULL, "cmd", NULL, 0, -1, RENEW_PLAN_COMMAND},
    {NULL, 0, 0, NULL, NULL, "cmd", NULL, 0, 60, RENEW_PLAN_COMMAND},
    /* left alone */
    {"t", 0, 3600, NULL, NULL, NULL, NULL, 1, 60, RENEW_PLAN_WAIT},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, DAY, 60, RENEW_PLAN_WAIT},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, DAY + 1, 60, RENEW_PLAN_EXCHANGE},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, -1, 60, RENEW_PLAN_EXCHANGE},
    {"t", 3600, 0, NULL, NULL, NULL, NULL, 60, 60, RENEW_PLAN_KEEP},
    {"t", 300 * DAY, 0, NULL, NULL, NULL, NULL, 60, -1, RENEW_PLAN_KEEP},
    {"t", -1, 300 * DAY, "me", "/pw", NULL, NULL, 60, 60, RENEW_PLAN_WAIT},
    /* no token */
    {NULL, 0, 0, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_NONE},
    {NULL, INT64_MAX, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_NONE},
    {NULL, 0, 0, "me", "/pw", NULL, NULL, 0, 60, RENEW_PLAN_LOG_IN},
    {NULL, 0, 0, "me", "/pw", NULL, "refused", 0, 60, RENEW_PLAN_NONE},
};

TEST(what_is_decided)
{
    for (size_t i = 0; i < sizeof decisions / sizeof decisions[0]; i++) {
        const struct decision *d = &decisions[i];
        struct renew_wish wish = {.goal = RENEW_GOAL_FRESH, .keep_above_s = d->keep_above_s};
        const char *why = NULL;
        struct profile profile;

        profile = PROFILE_NONE;
        mem_replace(&profile.token, d->token);
        profile.expires_at = d->expires_in == INT64_MAX ? TOKEN_NO_EXPIRY : NOW + d->expires_in;
        profile.obtained_at = NOW - d->obtained_ago;
        mem_replace(&profile.email, d->email);
        mem_replace(&profile.password_file, d->password_file);
        mem_replace(&profile.token_command, d->token_command);
        mem_replace(&profile.unattended_login, d->unattended_login);
        if (d->retry_in != 0) {
            profile.retry_at = NOW + d->retry_in;
            profile.retry_noted_at = d->retry_in < 0 ? NOW + d->retry_in - 5 : NOW;
        }
        if (!CHECK_INT(decide(&profile, &wish, NOW, &why), d->plan))
            printf("# row %zu: %s\n", i, why);
        CHECK(why != NULL && *why != '\0');
        profile_clear(&profile);
    }
}

TEST(a_refused_token_is_not_sent)
{
    struct renew_wish wish = {.goal = RENEW_GOAL_FRESH, .keep_above_s = 60};
    struct profile profile;
    const char *why;

    profile = PROFILE_NONE;
    mem_replace(&profile.token, "t");
    profile.obtained_at = NOW;
    profile.expires_at = NOW + 3600;
    profile.refused_at = NOW;
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_KEEP); /* it lasts */
    wish.keep_above_s = -1;
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_NONE);
    CHECK(strstr(why, "does not renew") != NULL);
    wish.keep_above_s = 60;
    profile.blacklisted_at = NOW;
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_NONE);
    CHECK(strstr(why, "blacklisted") != NULL);
    mem_replace(&profile.email, "me");
    mem_replace(&profile.password_file, "/pw");
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_LOG_IN);
    mem_replace(&profile.token_command, "cmd");
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_COMMAND);
    profile_clear(&profile);
}

/* ---- logins ---- */

TEST(what_is_decided_of_a_login)
{
    static const struct {
        enum renew_goal goal;
        bool was_typed;
        const char *email, *api_url; /* the wish's; NULL: the profile's */
        bool has_pause;
        enum renew_plan plan;
    } table[] = {
        {RENEW_GOAL_LOGIN, false, "me", URL, false, RENEW_PLAN_LOG_IN},
        {RENEW_GOAL_LOGIN, true, "me", URL, false, RENEW_PLAN_LOG_IN},
        {RENEW_GOAL_LOGIN, false, "me", URL, true, RENEW_PLAN_WAIT},
        {RENEW_GOAL_LOGIN, false, "me", URL "/", true, RENEW_PLAN_WAIT},
        {RENEW_GOAL_LOGIN, false, "me", NULL, true, RENEW_PLAN_WAIT},
        {RENEW_GOAL_LOGIN, false, NULL, NULL, true, RENEW_PLAN_WAIT},
        {RENEW_GOAL_LOGIN, true, "me", URL, true, RENEW_PLAN_LOG_IN},
        {RENEW_GOAL_LOGIN, false, "you", URL, true, RENEW_PLAN_LOG_IN},
        {RENEW_GOAL_LOGIN, false, "me", "https://other.example", true, RENEW_PLAN_LOG_IN},
        {RENEW_GOAL_IMPORT, false, "me", URL, false, RENEW_PLAN_IMPORT},
        {RENEW_GOAL_IMPORT, false, "me", URL, true, RENEW_PLAN_IMPORT},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct renew_wish wish = {.goal = table[i].goal,
                                  .person_waits = table[i].was_typed,
                                  .email = table[i].email,
                                  .api_url = table[i].api_url};
        const char *why = NULL;
        struct profile profile;

        profile = PROFILE_NONE;
        mem_replace(&profile.token, "t"); /* which lasts: that is nothing to a login */
        profile.obtained_at = NOW;
        profile.expires_at = NOW + 3600;
        mem_replace(&profile.email, "me");
        mem_replace(&profile.api_url, URL);
        if (table[i].has_pause)
            decide_note_pause(&profile, NOW, 60);
        if (!CHECK_INT(decide(&profile, &wish, NOW + 1, &why), table[i].plan))
            printf("# row %zu: %s\n", i, why);
        CHECK(why != NULL && *why != '\0');
        profile_clear(&profile);
    }
}

/* Our own pause is for logins that nobody asks for: with a password at hand somebody has. */
TEST(the_pause_after_a_failed_login_holds_unattended_ones)
{
    struct buffer password = BUFFER(8);
    struct renew_wish wish = {.goal = RENEW_GOAL_LOGIN};
    struct profile profile;
    const char *why;

    profile = PROFILE_NONE;
    decide_note_failed_login(&profile, NOW);
    CHECK_INT(decide(&profile, &wish, NOW + 1, &why), RENEW_PLAN_WAIT);
    wish.password = &password;
    CHECK_INT(decide(&profile, &wish, NOW + 1, &why), RENEW_PLAN_LOG_IN);
    profile.retry_noted_at++; /* the service's */
    CHECK_INT(decide(&profile, &wish, NOW + 1, &why), RENEW_PLAN_WAIT);
    profile_clear(&profile);
}

/* Which says nothing of the password. */
TEST(but_no_token_that_may_be_exchanged)
{
    struct renew_wish wish = {.goal = RENEW_GOAL_FRESH, .keep_above_s = 60};
    struct profile profile;
    const char *why;

    profile = PROFILE_NONE;
    mem_replace(&profile.token, "t");
    mem_replace(&profile.email, "me");
    mem_replace(&profile.password_file, "/pw");
    profile.obtained_at = NOW - 3600;
    profile.expires_at = NOW;
    decide_note_failed_login(&profile, NOW);
    CHECK_INT(decide(&profile, &wish, NOW + 1, &why), RENEW_PLAN_EXCHANGE);
    profile.refused_at = NOW;
    CHECK_INT(decide(&profile, &wish, NOW + 1, &why), RENEW_PLAN_WAIT);
    profile.refused_at = 0;
    decide_note_pause(&profile, NOW + 1, 2); /* the service's, which cannot let the password out */
    CHECK_INT(decide(&profile, &wish, NOW + 59, &why), RENEW_PLAN_WAIT);
    CHECK_INT(decide(&profile, &wish, NOW + 60, &why), RENEW_PLAN_EXCHANGE);
    decide_note_failed_login(&profile, NOW + 60);
    decide_note_pause(&profile, NOW + 61, 600);
    CHECK_INT(decide_pause_s(&profile, NOW + 61), 600);
    profile_clear(&profile);
}

/* ---- pauses ---- */

TEST(how_much_of_a_pause_is_left)
{
    static const struct {
        int64_t noted_at, retry_at, left_s;
    } table[] = {
        {0, 0, 0},
        {NOW, NOW + 1, 1},
        {NOW, NOW + DAY, DAY},
        {NOW - 10, NOW + 50, 50},
        {NOW - DAY + 1, NOW + 1, 1},
        {NOW - 10, NOW, 0},
        {NOW - 10, NOW - 5, 0},
        {NOW, NOW, 0},
        /* None that was ever asked for. */
        {0, NOW + 1, 0},
        {NOW, NOW + DAY + 1, 0},
        {NOW - 10, NOW + DAY, 0},
        {NOW + 1, NOW + 60, 0}, /* the clock was set back */
        {NOW + 60, NOW + 1, 0},
        {0, INT64_MAX, 0},
        {INT64_MAX, 0, 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct profile profile = {.retry_noted_at = table[i].noted_at,
                                  .retry_at = table[i].retry_at};

        if (!CHECK_INT(decide_pause_s(&profile, NOW), table[i].left_s))
            printf("# row %zu\n", i);
    }
}

TEST(a_pause_is_noted_with_its_time_and_never_longer_than_a_day)
{
    struct profile profile;

    profile = PROFILE_NONE;
    decide_note_pause(&profile, NOW, 60);
    CHECK_INT(profile.retry_noted_at, NOW);
    CHECK_INT(profile.retry_at, NOW + 60);
    CHECK_INT(decide_pause_s(&profile, NOW), 60);
    CHECK_INT(decide_pause_s(&profile, NOW + 59), 1);
    CHECK_INT(decide_pause_s(&profile, NOW + 60), 0);
    decide_note_pause(&profile, NOW, DAY + 1); /* a second is added to what was asked for */
    CHECK_INT(decide_pause_s(&profile, NOW), DAY);
    decide_note_pause(&profile, NOW, INT64_MAX);
    CHECK_INT(decide_pause_s(&profile, NOW), DAY);
    profile_clear(&profile);
}

/* What a caller whom the API answered 401 says of it counts for more than its times. */
TEST(a_rejected_token_is_out_of_use_and_may_be_exchanged)
{
    struct renew_wish wish = {.goal = RENEW_GOAL_FRESH, .keep_above_s = 60, .rejected = "t"};
    struct profile profile;
    const char *why;

    profile = PROFILE_NONE;
    mem_replace(&profile.token, "t");
    profile.obtained_at = NOW;
    profile.expires_at = NOW + 3600;
    profile.blacklisted_at = NOW;
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_EXCHANGE);
    profile.refused_at = NOW;
    CHECK_INT(decide(&profile, &wish, NOW, &why), RENEW_PLAN_NONE);
    profile_clear(&profile);
}

/* A minute, then twice the last one, to an hour; and not for longer, whatever the clock does. */
TEST(failed_logins_make_longer_and_longer_pauses)
{
    static const int64_t pauses[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
    struct profile profile;
    int64_t now = NOW;

    profile = PROFILE_NONE;
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        decide_note_failed_login(&profile, now);
        CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_FAILED));
        CHECK_INT(decide_pause_s(&profile, now), pauses[i]);
        CHECK_INT(decide_pause_s(&profile, now - 1), 0); /* the clock was set back */
        CHECK_INT(decide_pause_s(&profile, now + pauses[i] - 1), 1);
        now += pauses[i];
        CHECK_INT(decide_pause_s(&profile, now), 0);
    }
    decide_note_pause(&profile, now, 2); /* the service's is none to be doubled */
    decide_note_failed_login(&profile, now + 2);
    CHECK_INT(decide_pause_s(&profile, now + 2), 60);
    profile_clear(&profile);
}

TEST(plans_have_names)
{
    for (int plan = RENEW_PLAN_KEEP; plan <= RENEW_PLAN_NONE; plan++) {
        if (!CHECK(decide_plan_names[plan].id != NULL && decide_plan_names[plan].words != NULL))
            printf("# plan %d\n", plan);
    }
    CHECK_STR(decide_plan_names[RENEW_PLAN_EXCHANGE].words, "refresh the token");
}
