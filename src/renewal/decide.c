/* SPDX-License-Identifier: MIT */
#include "renewal/decide.h"

/* Longer is a mistake of the service's: a day's silence is as much as anybody gets. */
#define PAUSE_MAX_S 86400
/* After a login in vain, which may count towards a lock of the account: cron's next run comes. */
#define LOGIN_PAUSE_FIRST_S 60
#define LOGIN_PAUSE_MAX_S 3600

void decide_note_pause(struct profile *profile, int64_t now, int64_t seconds)
{
    int64_t own_s = decide_pause_is_own(profile) ? decide_pause_s(profile, now) : 0;

    seconds = seconds > own_s ? seconds : own_s; /* ours goes on, and holds all then */
    profile->retry_noted_at = now;
    profile->retry_at = now + (seconds < PAUSE_MAX_S ? seconds : PAUSE_MAX_S);
}

int64_t decide_pause_s(const struct profile *profile, int64_t now)
{
    int64_t pause_s = profile->retry_at - profile->retry_noted_at;

    if (now >= profile->retry_at || now < profile->retry_noted_at || pause_s > PAUSE_MAX_S)
        return 0;
    return profile->retry_at - now;
}

const struct plan_name decide_plan_names[] = {
    [RENEW_PLAN_KEEP] = {"keep", "keep the token"},
    [RENEW_PLAN_EXCHANGE] = {"refresh", "refresh the token"},
    [RENEW_PLAN_LOG_IN] = {"log_in", "log in with the remembered password"},
    [RENEW_PLAN_IMPORT] = {"import", "take the token"},
    [RENEW_PLAN_COMMAND] = {"run_token_command", "run the token command"},
    [RENEW_PLAN_WAIT] = {"wait", "send nothing"},
    [RENEW_PLAN_NONE] = {"fail", "fail"},
};

void decide_note_failed_login(struct profile *profile, int64_t now)
{
    int64_t last_s = profile->retry_at - profile->retry_noted_at, pause_s = LOGIN_PAUSE_FIRST_S;

    if (text_is(profile->unattended_login, PROFILE_LOGIN_FAILED) && last_s >= LOGIN_PAUSE_FIRST_S)
        pause_s = last_s < LOGIN_PAUSE_MAX_S / 2 ? last_s * 2 : LOGIN_PAUSE_MAX_S;
    mem_replace(&profile->unattended_login, PROFILE_LOGIN_FAILED);
    profile->unattended_login_at = now;
    decide_note_pause(profile, now, pause_s);
}

bool decide_pause_is_own(const struct profile *profile)
{
    return text_is(profile->unattended_login, PROFILE_LOGIN_FAILED) &&
           profile->retry_noted_at == profile->unattended_login_at;
}

static enum renew_plan decide_login(const struct profile *profile, const struct renew_wish *wish,
                                    int64_t now, const char **why)
{
    bool imports = wish->goal == RENEW_GOAL_IMPORT;
    /* Another account's pause is nothing to this one, nor is our own to a login with a password. */
    bool goes_on = decide_pause_is_own(profile) ? wish->password != NULL : wish->person_waits;
    bool waits = !imports && !goes_on && decide_pause_s(profile, now) > 0 &&
                 profile_is_of(profile, wish->email, profile_api_url(profile, wish->api_url));

    *why = "a login is wanted"; /* not told: a person has asked for it */
    return waits ? RENEW_PLAN_WAIT : imports ? RENEW_PLAN_IMPORT : RENEW_PLAN_LOG_IN;
}

enum renew_plan decide(const struct profile *profile, const struct renew_wish *wish, int64_t now,
                       const char **why)
{
    int64_t ttl_s = profile_ttl_s(profile, now);
    /* A token other than the refused one, which has no life left, is what the caller wants. */
    int64_t keep_above_s = wish->rejected != NULL && wish->keep_above_s < 0
                               ? profile_default_min_ttl_s(profile)
                               : wish->keep_above_s;
    bool permanent = profile->token != NULL && profile_is_permanent(profile);
    bool exchanges = profile->token != NULL && !permanent && profile->refused_at == 0;

    if (wish->goal != RENEW_GOAL_FRESH)
        return decide_login(profile, wish, now, why);
    if (ttl_s > 0 && keep_above_s >= 0 && ttl_s > keep_above_s) {
        *why = "the token lasts long enough";
        return RENEW_PLAN_KEEP;
    }
    if (profile->token_command != NULL) {
        *why = "this profile's token comes from its token command";
        return RENEW_PLAN_COMMAND;
    }
    if (permanent && ttl_s > 0) {
        *why = "the token is permanent: renewing it would end it";
        return RENEW_PLAN_KEEP;
    }
    /* Our own pause is for the password alone. */
    if (decide_pause_s(profile, now) > 0 && !(exchanges && decide_pause_is_own(profile))) {
        *why = decide_pause_is_own(profile) ? "the last unattended login failed"
                                            : "the service asked to be left alone for a while";
        return RENEW_PLAN_WAIT;
    }
    if (exchanges) {
        *why = ttl_s == 0               ? "the token has expired"
               : wish->keep_above_s < 0 ? "a new token is wanted"
                                        : "the token ends soon";
        return RENEW_PLAN_EXCHANGE;
    }
    *why = profile->blacklisted_at != 0 && profile->refused_at != 0
               ? "the service has blacklisted the token"
           : profile->blacklisted_at != 0 ? "the API has refused the token"
           : profile->refused_at != 0     ? "the service does not renew the token"
           : permanent                    ? "the permanent token has expired"
                                          : "there is no token";
    return profile_has_source(profile) ? RENEW_PLAN_LOG_IN : RENEW_PLAN_NONE;
}
