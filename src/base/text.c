/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define SECRET_LEAST 4 /* a secret that is shorter may be in any text */
/* What is longer, and has a digit in it, is no word: a token or a part of one, in any encoding. */
#define WORD_MAX 40

/* Bytes of the UTF-8 sequence at text, 0 if it is broken or overlong (RFC 3629). */
static size_t utf8_length(const unsigned char *text)
{
    size_t len = 0;

    if (text[0] < 0x80)
        return 1;
    if (text[0] >= 0xc2 && text[0] < 0xf5)
        len = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80) /* stops at the NUL, too */
            return 0;
    }
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

bool text_is(const char *text, const char *one)
{
    return text != NULL && one != NULL && strcmp(text, one) == 0;
}

static bool is_control(const unsigned char *text)
{
    return *text < 0x20 || *text == 0x7f || (*text == 0xc2 && text[1] < 0xa0);
}

void text_clean(char *text)
{
    unsigned char *out = (unsigned char *)text;
    size_t len;

    for (const unsigned char *in = out; *in != '\0'; in += len > 0 ? len : 1) {
        len = utf8_length(in);
        if (len == 0 || is_control(in)) {
            *out++ = '?';
        } else {
            memmove(out, in, len);
            out += len;
        }
    }
    *out = '\0';
}

bool text_is_utf8(const char *text)
{
    size_t len = 1;

    for (; *text != '\0' && len > 0; text += len)
        len = utf8_length((const unsigned char *)text);
    return len > 0;
}

void text_escape_json(char **json)
{
    static const char hex[] = "0123456789abcdef";
    struct buffer out = BUFFER(SIZE_MAX / 2);
    bool in_string = false, escaped = false;
    size_t len;

    for (const unsigned char *at = (unsigned char *)*json; *at != '\0'; at += len > 0 ? len : 1) {
        char part[8] = "\\ufffd"; /* the character that stands for what is none */

        len = utf8_length(at);
        if (len > 0 && is_control(at)) {
            unsigned char code = at[len - 1]; /* C1's second byte is its code */

            memcpy(part, in_string ? "\\u00" : " ", in_string ? 4 : 2); /* else a line's end */
            part[4] = hex[code >> 4];
            part[5] = hex[code & 15];
        } else if (len > 0) {
            memcpy(part, at, len);
            part[len] = '\0';
        }
        buffer_put(&out, part);
        in_string ^= *at == '"' && !escaped;
        escaped = *at == '\\' && !escaped;
    }
    mem_free(*json);
    *json = out.data;
}

void text_cut(char *text, size_t max)
{
    char *cut = text; /* where the last three characters that may stay begin */
    size_t count = 0;

    for (char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c & 0xc0) == 0x80) /* within a character */
            continue;
        if (count == max) {
            memcpy(cut, "...", sizeof "...");
            return;
        }
        if (++count + 3 <= max + 1)
            cut = c;
    }
}

void text_put_escaped(struct buffer *out, const char *text, const char *special, const char *before,
                      const char *after)
{
    for (; *text != '\0'; text++) {
        const char one[] = {*text, '\0'};
        bool escape = strchr(special, *text) != NULL;

        buffer_put(out, escape ? before : "", one, escape ? after : "");
    }
}

/* One pass, so that a megabyte full of needles is read as quickly as any. */
void text_hide(char **text, const char *needle, const char *tail)
{
    struct buffer out = BUFFER(SIZE_MAX / 2);
    char *from = *text, *found;

    if (needle == NULL || *needle == '\0')
        return;
    while ((found = strstr(from, needle)) != NULL) {
        char *after = found + strlen(needle);

        after += strspn(after, tail);
        *found = '\0';
        buffer_put(&out, from, "[hidden]");
        from = after;
    }
    buffer_put(&out, from);
    mem_free(*text);
    *text = out.data;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

size_t text_decode_base64(const char *text, size_t len, char *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/";
    unsigned bits = 0, bit_count = 0;
    size_t at = 0;

    for (const char *end = text + len; text < end; text++) {
        const char *found = *text == '\0' ? NULL : strchr(digits, *text);

        if (found == NULL)
            break;
        bits = bits << 6 | (unsigned)((found - digits) < 64 ? found - digits : found - digits - 2);
        bit_count += 6;
        if (bit_count >= 8)
            out[at++] = (char)(bits >> (bit_count -= 8) & 0xff);
    }
    out[at] = '\0';
    return at;
}

/* Whether the secret's letters and digits follow each other there, with what an encoding makes of
 * one other character (%27, &quot;, \') where the secret has others. */
static bool spells(const char *text, const char *secret)
{
    for (size_t gap; *secret != '\0'; text++, secret++) {
        for (gap = 0; !is_alphanumeric(*secret) && *secret != '\0'; secret++)
            gap += sizeof "&quot;" - 1;
        while (gap > 0 && *text != '\0' && *text != *secret) {
            text++;
            gap--;
        }
        if (*secret == '\0')
            return true;
        if (*text != *secret)
            return false;
    }
    return true;
}

bool text_reveals(const char *text, const char *secret)
{
    size_t len = strlen(text), letters = 0;
    OWNED char *decoded = mem_new(len + 1);
    const char *word = secret + strcspn(secret, TEXT_ALPHANUMERIC);

    for (const char *c = secret; *c != '\0'; c++)
        letters += is_alphanumeric(*c);
    /* One of few letters and digits has no look of its own there: whatever is encoded may be it. */
    if (letters < SECRET_LEAST && text[strcspn(text, "%&\\")] != '\0')
        return strlen(secret) >= SECRET_LEAST;
    for (size_t i = 0; i < len && strlen(secret) >= SECRET_LEAST; i++) {
        *decoded = '\0';
        if (i == 0 || !is_alphanumeric(text[i - 1]))
            text_decode_base64(text + i, len - i, decoded);
        if (strstr(decoded, secret) != NULL || strstr(decoded, "\"password\"") != NULL ||
            (letters >= SECRET_LEAST && spells(text + i, word)))
            return true;
    }
    return false;
}

void text_hide_blobs(char *text)
{
    for (char *word = text, *end; *word != '\0'; word = end) {
        word += strspn(word, " \t\r\n");
        end = word + strcspn(word, " \t\r\n");
        if (end - word > WORD_MAX && strcspn(word, "0123456789") < (size_t)(end - word)) {
            memset(word, '*', (size_t)(end - word));
            memmove(word + 3, end, strlen(end) + 1);
            end = word + 3;
        }
    }
}

bool text_is_plain_word(const char *word)
{
    return *word != '\0' && word[strspn(word, TEXT_ALPHANUMERIC "/._-+@=:,")] == '\0';
}

char *text_shell_word(const char *word)
{
    struct buffer out = BUFFER(SIZE_MAX / 2);

    if (text_is_plain_word(word))
        return mem_copy(word);
    buffer_put(&out, "'");
    /* A quote: out of the quotes, an escaped one, and in again. */
    text_put_escaped(&out, word, "'", "'\\", "'");
    buffer_put(&out, "'");
    return out.data;
}

/* Levenshtein's distance; names are short, so one row of 64 does. */
static size_t distance(const char *a, size_t a_len, const char *b)
{
    size_t row[64], len = strlen(b);

    if (len >= 63)
        return len;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; i < a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t above = row[j + 1];
            size_t least = diagonal + (a[i] != b[j]);

            least = above + 1 < least ? above + 1 : least;
            row[j + 1] = row[j] + 1 < least ? row[j] + 1 : least;
            diagonal = above;
        }
    }
    return row[len];
}

const char *text_nearest(const char *typed, size_t len, const char *const *names,
                         char text[TEXT_NEAREST_SIZE])
{
    /* A third of the letters, and one, may be wrong: more is another word; of one alone, none. */
    size_t letters = len - strspn(typed, "-");
    size_t limit = letters / 3 + 1 < letters ? letters / 3 + 2 : 1;

    *text = '\0';
    for (; *names != NULL; names++) {
        /* One that was cut short lacks one thing, its end. */
        size_t away = strncmp(typed, *names, len) == 0 ? 1 : distance(typed, len, *names);

        if (away < limit) {
            limit = away;
            snprintf(text, TEXT_NEAREST_SIZE, ": did you mean '%s'?", *names);
        }
    }
    return text;
}
