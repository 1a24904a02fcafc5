/* SPDX-License-Identifier: MIT */
/* How long a new token lasts. */
#include "asking.h"
#include "jwt.h"
#include "store/token.h"

#define TEN_YEARS 315576000

TEST(expires_in_has_many_forms)
{
    static const struct {
        const char *value;
        int64_t life_s; /* 0: refused */
    } table[] = {
        {"3600", 3600},
        {"3600.0", 3600},
        {"3.6e3", 3600},
        {"3600.9", 3600},
        {"1", 1},
        {"315576000", TEN_YEARS},
        {"\"3600\"", 3600},
        {"\"0003600\"", 3600},
        {"\"1\"", 1},
        {"\"315576000\"", TEN_YEARS},
        /* as if absent */
        {"0", 3600},
        {"-0", 3600},
        {"\"0\"", 3600},
        {"null", 3600},
        /* no sense */
        {"-1", 0},
        {"-3600", 0},
        {"315576001", 0},
        {"9007199254740992", 0},
        {"1e300", 0},
        {"1e999", 0},
        {"-1e999", 0},
        {"\"\"", 0},
        {"\" 3600\"", 0},
        {"\"3600 \"", 0},
        {"\"-3600\"", 0},
        {"\"+3600\"", 0},
        {"\"3600s\"", 0},
        {"\"1 hour\"", 0},
        {"\"0x10\"", 0},
        {"\"315576001\"", 0},
        {"\"9999999999\"", 0},
        {"\"99999999999999999999\"", 0},
        {"\"18446744073709555216\"", 0}, /* 3600 modulo 2^64 */
        {"true", 0},
        {"false", 0},
        {"[3600]", 0},
        {"{\"s\":3600}", 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *body = mem_format("{\"access_token\":\"abc\",\"expires_in\":%s}", table[i].value);
        bool ok;

        ask(i % 2 == 0 ? API_LOGIN : API_REFRESH);
        ok = CHECK_INT(read_answer(200, body), table[i].life_s == 0 ? RESULT_PROTOCOL : RESULT_OK);
        if (table[i].life_s != 0) {
            ok = CHECK_INT(answer.obtained_at, NOW) && ok;
            ok = CHECK_INT(answer.expires_at, NOW + table[i].life_s) && ok;
        }
        if (!ok)
            printf("# for %s\n", table[i].value);
        api_answer_clear(&answer);
        mem_free(body);
    }
}

/* The answer that brings a JWT with these claims. */
static enum result read_jwt(const char *claims, const char *more)
{
    char *token = jwt_of(claims);
    char *body = mem_format("{\"access_token\":\"%s\"%s}", token, more);
    enum result result = read_answer(200, body);

    mem_free(token);
    mem_free(body);
    return result;
}

TEST(without_expires_in_the_claims_tell)
{
    ask(API_LOGIN);
    /* The service's clock is an hour ahead: only the difference counts. */
    CHECK_INT(read_jwt("{\"iat\":1800003600,\"nbf\":1800003600,\"exp\":1800005400}", ""),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 1800);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1800003600,\"exp\":1800005400}", ",\"expires_in\":0"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 1800);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1790000000,\"nbf\":1800000000,\"exp\":1800000900}",
                       ",\"expires_in\":null"),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 900);
    api_answer_clear(&answer);
}

TEST(expires_in_beats_the_claims)
{
    ask(API_LOGIN);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":1800001800}", ",\"expires_in\":3600"),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
}

/* With a ttl of null the library gives neither: that is never taken for "for ever". */
TEST(a_token_that_says_nothing_lasts_an_hour)
{
    ask(API_LOGIN);
    CHECK_INT(read_jwt("{\"iat\":1800000000}", ",\"expires_in\":null"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{}", ",\"expires_in\":0"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
}

TEST(claims_that_make_no_sense_are_refused)
{
    ask(API_REFRESH);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":1800000000}", ""), RESULT_PROTOCOL);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":1700000000}", ""), RESULT_PROTOCOL);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":9007199254740992}", ""), RESULT_PROTOCOL);
    api_answer_clear(&answer);
}

TEST(a_permanent_token_from_a_login_is_taken)
{
    ask(API_LOGIN);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":2100000000}", ""), RESULT_OK);
    CHECK_INT(answer.expires_at, (int64_t)NOW + 300000000);
    CHECK(answer.expires_at - answer.obtained_at > TOKEN_PERMANENT_S);
    api_answer_clear(&answer);
}

/* The library keeps iat when it renews. Two hours after the login, exp - iat is three hours, of
 * which one is left. */
TEST(a_kept_iat_counts_from_the_login)
{
    char *old = jwt_of("{\"iat\":1799990000,\"exp\":1799993600}");

    ask(API_REFRESH);
    question.token = old;
    question.logged_in_at = NOW - 7200;
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"exp\":1800000800}", ""), RESULT_OK);
    CHECK_INT(answer.obtained_at, NOW);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    mem_free(old);
}

TEST(a_kept_iat_does_not_matter_where_something_better_is_known)
{
    char *old = jwt_of("{\"iat\":1799990000,\"exp\":1799993600}");

    ask(API_REFRESH);
    question.token = old;
    question.logged_in_at = NOW - 7200;
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"nbf\":1799997200,\"exp\":1800000800}", ""),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"exp\":1800000800}", ",\"expires_in\":600"),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 600);
    api_answer_clear(&answer);
    /* A new iat is this token's own. */
    CHECK_INT(read_jwt("{\"iat\":1799997200,\"exp\":1800000800}", ""), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    /* A login makes it all anew, whatever was cached. */
    question.operation = API_LOGIN;
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"exp\":1799993600}", ""), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    mem_free(old);
}

TEST(an_opaque_token_lasts_an_hour)
{
    ask(API_REFRESH);
    question.token = "opaque-old";
    question.logged_in_at = NOW - 7200;
    CHECK_INT(read_answer(200, "{\"access_token\":\"opaque-new\"}"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
}

TEST(the_days_of_the_password_are_read)
{
    static const struct {
        const char *value;
        int days;
    } table[] = {
        {"14", 14}, {"0", 0},       {"90", 90},   {"3650", 3650}, {"3651", -1},
        {"-1", -1}, {"\"14\"", -1}, {"null", -1}, {"1e300", -1},  {"true", -1},
    };

    ask(API_LOGIN);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *body = mem_format("{\"access_token\":\"abc\",\"number_of_days_left\":%s}",
                                table[i].value);

        CHECK_INT(read_answer(200, body), RESULT_OK);
        if (!CHECK_INT(answer.password_days, table[i].days))
            printf("# for %s\n", table[i].value);
        api_answer_clear(&answer);
        mem_free(body);
    }
    CHECK_INT(read_answer(200, "{\"access_token\":\"abc\"}"), RESULT_OK);
    CHECK_INT(answer.password_days, -1);
    api_answer_clear(&answer);
    read_answer(401, "{\"number_of_days_left\":3}");
    CHECK_INT(answer.password_days, -1);
    api_answer_clear(&answer);
}
