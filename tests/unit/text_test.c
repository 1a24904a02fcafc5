/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <stdio.h>

#include "base/mem.h"
#include "unit.h"

/* ---- cleaning ---- */

static void check_cleaned(const char *given, const char *expected)
{
    char *text = mem_copy(given);

    text_clean(text);
    CHECK_STR(text, expected);
    mem_free(text);
}

TEST(harmless_text_is_left_alone)
{
    check_cleaned("", "");
    check_cleaned("Token has expired", "Token has expired");
    check_cleaned(" ~", " ~");
    check_cleaned("na\xc3\xafve \xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d "
                  "\xf0\x9f\x94\x91",
                  "na\xc3\xafve \xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d "
                  "\xf0\x9f\x94\x91");
}

TEST(control_characters_become_question_marks)
{
    check_cleaned("a\nb\tc\rd", "a?b?c?d");
    check_cleaned("\x01\x1b[31mred\x1f", "??[31mred?");
    check_cleaned("a\x7f", "a?");
    check_cleaned("\x1b]0;title\x07", "?]0;title?");
}

/* CSI is one character there, and terminals obey it. */
TEST(c1_controls_become_one_question_mark)
{
    check_cleaned("a\xc2\x80z", "a?z");
    check_cleaned("a\xc2\x9b"
                  "31mz",
                  "a?31mz");
    check_cleaned("a\xc2\x9fz", "a?z");
    check_cleaned("a\xc2\xa0z", "a\xc2\xa0z"); /* the first that is none */
}

TEST(a_raw_c1_byte_is_broken_utf8)
{
    check_cleaned("a\x9b"
                  "31mz",
                  "a?31mz");
}

/* Each byte of what is broken is one '?', and what follows is read afresh. */
static const struct {
    const char *bytes;
    bool valid;
} sequences[] = {
    {"\x80", false},
    {"\xbf", false},
    {"\xc0\x80", false},         /* overlong NUL */
    {"\xc0\xaf", false},         /* overlong slash */
    {"\xc1\xbf", false},         /* overlong DEL */
    {"\xc2\xa0", true},          /* U+00A0 */
    {"\xdf\xbf", true},          /* U+07FF */
    {"\xe0\x80\xaf", false},     /* overlong */
    {"\xe0\x9f\xbf", false},     /* overlong */
    {"\xe0\xa0\x80", true},      /* U+0800 */
    {"\xed\x9f\xbf", true},      /* U+D7FF */
    {"\xed\xa0\x80", false},     /* the first surrogate */
    {"\xed\xbf\xbf", false},     /* the last one */
    {"\xee\x80\x80", true},      /* U+E000 */
    {"\xef\xbf\xbf", true},      /* U+FFFF */
    {"\xf0\x80\x80\x80", false}, /* overlong */
    {"\xf0\x8f\xbf\xbf", false}, /* overlong */
    {"\xf0\x90\x80\x80", true},  /* U+10000 */
    {"\xf4\x8f\xbf\xbf", true},  /* U+10FFFF */
    {"\xf4\x90\x80\x80", false}, /* beyond */
    {"\xf5\x80\x80\x80", false},
    {"\xf8\x88\x80\x80\x80", false},
    {"\xfe", false},
    {"\xff", false},
    {"\xc2", false}, /* the text ends in the middle */
    {"\xe0\xa0", false},
    {"\xf0\x90\x80", false},
    {"\xc2"
     "A",
     false},
    {"\xe2\x82"
     "A",
     false},
    {"\xc3\xc3\xa9", false},
};

TEST(broken_utf8_is_known)
{
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        char text[16];

        snprintf(text, sizeof text, "a%s", sequences[i].bytes);
        if (!CHECK(text_is_utf8(sequences[i].bytes) == sequences[i].valid) ||
            !CHECK(text_is_utf8(text) == sequences[i].valid))
            printf("# sequence %zu\n", i);
    }
    CHECK(text_is_utf8(""));
    CHECK(text_is_utf8("plain"));
    CHECK(text_is_utf8("\x01\x1b\x7f")); /* harmful, but UTF-8 */
}

TEST(broken_utf8_becomes_question_marks)
{
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        char text[16];

        snprintf(text, sizeof text, "%s|", sequences[i].bytes);
        text_clean(text);
        if (!CHECK(text_is_utf8(text)) || !CHECK(text[strlen(text) - 1] == '|') ||
            !CHECK((strchr(text, '?') == NULL) == sequences[i].valid))
            printf("# sequence %zu: '%s'\n", i, text);
    }
    check_cleaned("\xc3\xc3\xa9", "?\xc3\xa9");
    check_cleaned("\xe2\x82"
                  "A",
                  "??A");
    check_cleaned("a\xc2", "a?");
}

/* ---- cutting ---- */

static void check_cut(const char *given, size_t max, const char *expected)
{
    char *text = mem_copy(given);

    text_cut(text, max);
    CHECK_STR(text, expected);
    mem_free(text);
}

TEST(text_within_the_limit_is_not_cut)
{
    check_cut("", 10, "");
    check_cut("123456789", 10, "123456789");
    check_cut("1234567890", 10, "1234567890");
    check_cut("123", 3, "123");
}

TEST(text_beyond_the_limit_ends_in_dots)
{
    check_cut("12345678901", 10, "1234567...");
    check_cut("1234567890123456789012345", 10, "1234567...");
    check_cut("1234", 3, "...");
    check_cut("12345", 4, "1...");
}

TEST(characters_are_counted_not_bytes)
{
    check_cut("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 5,
              "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
    check_cut("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 5, "\xc3\xa9\xc3\xa9...");
    check_cut("ab\xf0\x9f\x94\x91\xf0\x9f\x94\x91\xf0\x9f\x94\x91z", 5, "ab...");
    check_cut("abc\xe0\xa4\xa8\xe0\xa4\xae", 4, "a...");
}

/* ---- hiding ---- */

static void check_hidden(const char *given, const char *needle, const char *expected)
{
    char *text = mem_copy(given);

    text_hide(&text, needle, "");
    CHECK_STR(text, expected);
    mem_free(text);
}

TEST(each_occurrence_is_hidden)
{
    check_hidden("the secret is a secret", "secret", "the [hidden] is a [hidden]");
    check_hidden("secret", "secret", "[hidden]");
    check_hidden("secretsecret", "secret", "[hidden][hidden]");
    check_hidden("x", "x", "[hidden]");
    check_hidden("aaa", "aa", "[hidden]a");
    check_hidden("", "x", "");
    check_hidden("nothing here", "secret", "nothing here");
    check_hidden("Secret", "secret", "Secret");
}

TEST(nothing_to_hide_hides_nothing)
{
    check_hidden("text", "", "text");
    check_hidden("text", NULL, "text");
}

/* Else the mark itself would be searched for ever. */
TEST(a_needle_that_is_part_of_the_mark_ends)
{
    check_hidden("a hidden hid [hidden]", "hid", "a [hidden]den [hidden] [[hidden]den]");
    check_hidden("[[", "[", "[hidden][hidden]");
    check_hidden("d", "d", "[hidden]");
    check_hidden("[hidden]", "[hidden]", "[hidden]");
}

static void check_blobs(const char *text, const char *want)
{
    char copy[128];

    snprintf(copy, sizeof copy, "%s", text);
    text_hide_blobs(copy);
    CHECK_STR(copy, want);
}

TEST(a_word_of_more_than_forty_with_a_digit_is_a_blob)
{
    check_blobs("abcdefghijabcdefghijabcdefghijabcdefghi1",
                "abcdefghijabcdefghijabcdefghijabcdefghi1");
    check_blobs("abcdefghijabcdefghijabcdefghijabcdefghij1", "***");
    check_blobs(
        "1abcdefghijabcdefghijabcdefghijabcdefghij\tabcdefghij2abcdefghijabcdefghijabcdefghij a",
        "***\t*** a");
    check_blobs("abcdefghijabcdefghijabcdefghijabcdefghijk",
                "abcdefghijabcdefghijabcdefghijabcdefghijk");
}
