/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include "base/mem.h"
#include "unit.h"

static struct cJSON *parse(const char *text)
{
    return json_parse_object(text, strlen(text));
}

static void check_accepted(const char *text, bool accepted)
{
    struct cJSON *json = parse(text);

    if (!CHECK((json != NULL) == accepted))
        printf("# for %s\n", text);
    json_delete(&json);
}

/* ---- what is accepted ---- */

TEST(only_an_object_is_accepted)
{
    check_accepted("{}", true);
    check_accepted(" \t\r\n{ } \t\r\n", true);
    check_accepted("{\"a\":{\"b\":[1,2,{}]}}", true);
    check_accepted("", false);
    check_accepted(" ", false);
    check_accepted("[]", false);
    check_accepted("null", false);
    check_accepted("true", false);
    check_accepted("1", false);
    check_accepted("\"{}\"", false);
    check_accepted("<html>", false);
}

TEST(nothing_may_follow_the_object)
{
    check_accepted("{}x", false);
    check_accepted("{}{}", false);
    check_accepted("{},", false);
    check_accepted("{}}", false);
    check_accepted("{} null", false);
    check_accepted("{}\n<!-- -->", false);
}

TEST(a_torn_object_is_not_accepted)
{
    static const char whole[] = "{\"a\":\"b\\u00e9\\n\",\"c\":[1.5e3,true,null],\"d\":{}}";

    check_accepted(whole, true);
    for (size_t len = 0; len < strlen(whole); len++) {
        char *torn = mem_format("%.*s", (int)len, whole);

        check_accepted(torn, false);
        mem_free(torn);
    }
}

TEST(what_is_no_json_is_not_accepted)
{
    check_accepted("{\"a\":1,}", false);
    check_accepted("{'a':1}", false);
    check_accepted("{a:1}", false);
    check_accepted("{\"a\" 1}", false);
    check_accepted("{\"a\":}", false);
    check_accepted("{\"a\":.}", false);
    check_accepted("{\"a\":\"\\x41\"}", false);
    check_accepted("{\"a\":\"\\ud800\"}", false);
}

/* cJSON would cut the string there: "abc" in place of what was sent. */
TEST(a_nul_is_refused_raw_and_escaped)
{
    check_accepted("{\"a\":\"b\\u0000c\"}", false);
    check_accepted("{\"a\":\"\\u0000\"}", false);
    check_accepted("{\"a\\u0000\":1}", false);
    check_accepted("{\"x\":{\"y\":[\"\\\\\\u0000\"]}}", false);
    CHECK(json_parse_object("{\"a\":\"b\0c\"}", 11) == NULL);
    CHECK(json_parse_object("{}\0", 3) == NULL);
    CHECK(json_parse_object("\0{}", 3) == NULL);
    CHECK(json_parse_object("{}\0x", 4) == NULL);
}

/* cJSON reads four digits that are none as zero: a NUL once more. */
TEST(an_escape_without_four_hex_digits_is_refused)
{
    check_accepted("{\"a\":\"b\\uzzzzc\"}", false);
    check_accepted("{\"a\":\"b\\u12g4c\"}", false);
    check_accepted("{\"a\":\"b\\u 000c\"}", false);
    check_accepted("{\"a\":\"b\\u+000c\"}", false);
    check_accepted("{\"a\":\"b\\u000\"}", false);
    check_accepted("{\"a\\uZZZZb\":1}", false);
    check_accepted("{\"a\":\"b\\u00e9\\u00E9c\"}", true);
}

TEST(what_only_looks_like_a_nul_is_accepted)
{
    struct cJSON *json = parse("{\"a\":\"\\\\u0000\",\"b\":\"\\u0001\\u00000\"}");

    CHECK(json == NULL); /* \u0000 and a zero */
    json = parse("{\"a\":\"\\\\u0000\",\"b\":\"\\u0001\",\"c\":\"\\u00200\"}");
    if (CHECK(json != NULL)) {
        CHECK_STR(json_string(json, "a"), "\\u0000");
        CHECK_STR(json_string(json, "b"), "\x01");
        CHECK_STR(json_string(json, "c"), " 0");
    }
    json_delete(&json);
}

TEST(deep_nesting_is_no_trouble)
{
    struct buffer text = BUFFER(1000000);

    buffer_put(&text, "{\"a\":");
    for (int i = 0; i < 400000; i++)
        buffer_put(&text, i < 200000 ? "[" : "]");
    buffer_put(&text, "}");
    CHECK(parse(text.data) == NULL); /* refused, not a stack that overflows */
    buffer_clear(&text);
}

TEST(the_length_counts_not_what_follows)
{
    struct cJSON *json = json_parse_object("{\"a\":1}", 7);

    CHECK(json != NULL);
    json_delete(&json);
}

/* ---- reading ---- */

TEST(strings_are_strings)
{
    struct cJSON *json = parse(
        "{\"a\":\"b\\\"\\\\\\/\\n\\u00e9\\ud83d\\udd11\",\"e\":\"\",\"n\":null,"
        "\"i\":1,\"o\":{\"a\":\"inner\"}}");

    CHECK_STR(json_string(json, "a"), "b\"\\/\n\xc3\xa9\xf0\x9f\x94\x91");
    CHECK_STR(json_string(json, "e"), "");
    CHECK(json_string(json, "n") == NULL);
    CHECK(json_string(json, "i") == NULL);
    CHECK(json_string(json, "o") == NULL);
    CHECK(json_string(json, "x") == NULL);
    json_delete(&json);
}

TEST(names_are_matched_with_their_case)
{
    struct cJSON *json = parse("{\"Access_Token\":\"wrong\",\"SUCCESS\":true,\"Exp\":1}");
    int64_t value;

    CHECK(json_string(json, "access_token") == NULL);
    CHECK(!json_is_true(json, "success"));
    CHECK(json_member(json, "success") == NULL);
    CHECK(!json_integer(json, "exp", &value));
    json_set_string(json, "access_token", "right");
    CHECK_STR(json_string(json, "Access_Token"), "wrong");
    CHECK_STR(json_string(json, "access_token"), "right");
    json_remove(json, "success");
    CHECK(json_member(json, "SUCCESS") != NULL);
    json_delete(&json);
}

TEST(integers_end_where_doubles_do)
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t value;
    } table[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"1", true, 1},
        {"-1", true, -1},
        {"2147483647", true, 2147483647},
        {"2147483648", true, 2147483648},
        {"4102444800", true, 4102444800},
        {"-2147483649", true, -2147483649},
        {"9007199254740991", true, 9007199254740991},
        {"9007199254740992", true, 9007199254740992},
        {"9007199254740994", false, 0},
        {"-9007199254740992", true, -9007199254740992},
        {"-9007199254740994", false, 0},
        {"9223372036854775807", false, 0},
        {"18446744073709551616", false, 0},
        {"1e15", true, 1000000000000000},
        {"1e16", false, 0},
        {"1e308", false, 0},
        {"1e999", false, 0},
        {"-1e999", false, 0},
        {"3.6e3", true, 3600},
        {"3600.0", true, 3600},
        {"1.5", true, 1},
        {"0.5", true, 0},
        {"-0.5", true, -1},
        {"-1.5", true, -2},
        {"1e-300", true, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
        {"{}", false, 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *text = mem_format("{\"a\":%s}", table[i].text);
        struct cJSON *json = parse(text);
        int64_t value = 0;
        bool is_integer = json != NULL && json_integer(json, "a", &value);

        if (!CHECK(is_integer == table[i].is_integer) ||
            (is_integer && !CHECK_INT(value, table[i].value)))
            printf("# for %s\n", table[i].text);
        json_delete(&json);
        mem_free(text);
    }
}

TEST(only_true_is_true)
{
    struct cJSON *json = parse("{\"t\":true,\"f\":false,\"n\":null,\"s\":\"true\",\"i\":1}");

    CHECK(json_is_true(json, "t"));
    CHECK(!json_is_true(json, "f"));
    CHECK(!json_is_true(json, "n"));
    CHECK(!json_is_true(json, "s"));
    CHECK(!json_is_true(json, "i"));
    CHECK(!json_is_true(json, "x"));
    CHECK(json_is_null(json, "n"));
    CHECK(!json_is_null(json, "f"));
    CHECK(json_is_null(json, "x"));
    CHECK(json_member(json, "n") != NULL);
    CHECK(json_member(json, "x") == NULL);
    json_delete(&json);
}

TEST(of_two_members_of_one_name_the_first_counts)
{
    struct cJSON *json = parse("{\"a\":\"1\",\"a\":\"2\"}");

    CHECK_STR(json_string(json, "a"), "1");
    json_delete(&json);
}

/* ---- writing ---- */

static void check_line(struct cJSON *json, const char *expected)
{
    char *line = json_print(json, false);

    CHECK_STR(line, expected);
    mem_free(line);
}

TEST(members_are_set_replaced_and_removed)
{
    struct cJSON *json = json_new_object();

    json_set_string(json, "s", "one");
    json_set_string(json, "s", "two");
    json_set_integer(json, "i", 4102444800);
    json_set_bool(json, "b", true);
    json_set_string(json, "n", NULL);
    check_line(json, "{\"s\":\"two\",\"i\":4102444800,\"b\":true,\"n\":null}");
    json_set_string(json, "s", NULL);
    json_remove(json, "i");
    json_remove(json, "absent");
    check_line(json, "{\"b\":true,\"n\":null,\"s\":null}");
    json_set_bool(json, "n", false);
    CHECK(!json_is_null(json, "n"));
    json_delete(&json);
}

/* Else what was removed would be back when the text is read again. */
TEST(a_removed_member_is_gone_though_it_was_there_twice)
{
    struct cJSON *json = parse("{\"a\":\"1\",\"b\":2,\"a\":\"3\"}");

    json_remove(json, "a");
    CHECK(json_member(json, "a") == NULL);
    check_line(json, "{\"b\":2}");
    json_delete(&json);
}

TEST(odd_text_is_escaped_and_comes_back)
{
    static const char odd[] = "\"\\\b\f\n\r\t\x01\x1f/\x7f\xc3\xa9\xf0\x9f\x94\x91</script>";
    struct cJSON *json = json_new_object();
    char *line;

    json_set_string(json, odd, odd);
    line = json_print(json, false);
    json_delete(&json);
    for (const char *c = line; *c != '\0'; c++)
        CHECK((unsigned char)*c >= ' ');
    json = parse(line);
    if (CHECK(json != NULL))
        CHECK_STR(json_string(json, odd), odd);
    json_delete(&json);
    mem_free(line);
}

TEST(integers_are_printed_whole)
{
    static const int64_t numbers[] = {0, 1, -1, 2147483648, 1800003600, 999999999999999};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct cJSON *json = json_new_object();
        char expected[64];

        json_set_integer(json, "a", numbers[i]);
        snprintf(expected, sizeof expected, "{\"a\":%lld}", (long long)numbers[i]);
        check_line(json, expected);
        json_delete(&json);
    }
}

TEST(arrays_and_objects_are_built)
{
    struct cJSON *json = json_new_object(), *item = json_new_object();

    json_set_array(json, "empty");
    json_set_array(json, "list");
    json_set_string(item, "name", "x");
    json_add_to_array(json, "list", item);
    json_add_to_array(json, "list", json_new_object());
    json_set_item(json, "object", json_new_object());
    check_line(json, "{\"empty\":[],\"list\":[{\"name\":\"x\"},{}],\"object\":{}}");
    json_delete(&json);
    json = NULL;
    json_delete(&json);
}

TEST(the_long_form_says_the_same)
{
    struct cJSON *json = parse("{\"a\":[1,{\"b\":\"c\"}]}");
    char *text = json_print(json, true);

    json_delete(&json);
    CHECK(strchr(text, '\n') != NULL);
    json = parse(text);
    check_line(json, "{\"a\":[1,{\"b\":\"c\"}]}");
    json_delete(&json);
    mem_free(text);
}
