#include "base/text.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

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

void text_clean(char *text)
{
    unsigned char *in = (unsigned char *)text, *out = in;

    while (*in != '\0') {
        size_t len = utf8_length(in);
        bool control = *in < 0x20 || *in == 0x7f || (*in == 0xc2 && in[1] < 0xa0);

        if (len == 0 || control) {
            *out++ = '?';
            in += len == 0 ? 1 : len;
            continue;
        }
        while (len-- > 0)
            *out++ = *in++;
    }
    *out = '\0';
}

bool text_is_utf8(const char *text)
{
    while (*text != '\0') {
        size_t len = utf8_length((const unsigned char *)text);

        if (len == 0)
            return false;
        text += len;
    }
    return true;
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

static const char mark[] = "[hidden]";

/* One pass, so that a megabyte full of needles is read as quickly as any. */
void text_hide(char **text, const char *needle)
{
    struct buffer out = BUFFER(SIZE_MAX / 2);
    const char *from = *text, *found;

    if (needle == NULL || *needle == '\0' || strstr(from, needle) == NULL)
        return;
    while ((found = strstr(from, needle)) != NULL) {
        if (!buffer_append(&out, from, (size_t)(found - from)) || !buffer_append_text(&out, mark))
            break;
        from = found + strlen(needle);
    }
    if (!buffer_append_text(&out, from))
        from = NULL; /* never: the cap is out of reach */
    mem_free(*text);
    *text = out.data;
}

void text_hide_jwts(char **text)
{
    static const char token_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    struct buffer out = BUFFER(SIZE_MAX / 2);
    const char *from = *text, *found;

    if (strstr(from, "eyJ") == NULL)
        return;
    while ((found = strstr(from, "eyJ")) != NULL) {
        if (!buffer_append(&out, from, (size_t)(found - from)) || !buffer_append_text(&out, mark))
            break;
        from = found + strspn(found, token_chars);
    }
    if (!buffer_append_text(&out, from))
        from = NULL;
    mem_free(*text);
    *text = out.data;
}

char *text_shell_word(const char *word)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@=:,";
    char *out, *to;

    if (*word != '\0' && strspn(word, safe) == strlen(word))
        return mem_copy(word);
    to = out = mem_new(4 * strlen(word) + 3); /* a quote becomes four characters */
    *to++ = '\'';
    for (; *word != '\0'; word++) {
        if (*word == '\'') { /* out of the quotes, an escaped one, and in again */
            *to++ = '\'';
            *to++ = '\\';
            *to++ = '\'';
        }
        *to++ = *word;
    }
    *to = '\'';
    return out;
}
