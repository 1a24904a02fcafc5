/* SPDX-License-Identifier: MIT */
#include "commands/status_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/text.h"
#include "renewal/decide.h"
#include "store/advice.h"
#include "store/token.h"
#include "store/url.h"

#define WIDTH_DEFAULT 80
#define WIDTH_LEAST 60
#define BAR_CELLS 6

/* ---- columns ---- */

/* RENEWAL is for wide terminals only. */
enum column { PROFILE, LOGIN, HOST, LEFT, STATE, RENEWAL, TOKEN, COLUMNS };

struct row {
    char *cells[COLUMNS];
};

/* "41 min", "for ever" or "-". */
static char *left_text(const struct profile *p, int64_t now)
{
    char span[CLOCK_TEXT_SIZE];

    if (p->token == NULL)
        return mem_copy("-");
    if (p->expires_at == TOKEN_NO_EXPIRY)
        return mem_copy("for ever");
    if (profile_ttl_s(p, now) == 0)
        return mem_copy("ended");
    return mem_copy(clock_format_span(profile_ttl_s(p, now), span));
}

static struct row make_row(const struct status *status, int64_t now)
{
    const struct profile *p = &status->profile;
    char fingerprint[TOKEN_FINGERPRINT_SIZE] = "-";
    const char *url = profile_api_url(p, NULL);
    struct error ignored;
    bool has_host = status->error.result == RESULT_OK && url_check(url, &ignored) == RESULT_OK;
    struct row row;

    if (p->token != NULL)
        token_fingerprint(p->token, fingerprint);
    row.cells[PROFILE] = mem_copy(status->name);
    row.cells[LOGIN] = mem_copy(p->email != NULL ? p->email : "-");
    row.cells[HOST] = has_host ? url_host(url) : mem_copy("-");
    row.cells[LEFT] = left_text(p, now);
    row.cells[STATE] = mem_copy(status_state(status));
    row.cells[RENEWAL] = mem_copy(p->token == NULL           ? "-"
                                  : status_source(p) != NULL ? status_source(p)
                                  : profile_is_permanent(p)  ? "never"
                                                             : "refresh only");
    row.cells[TOKEN] = mem_copy(fingerprint);
    for (int i = 0; i < COLUMNS; i++)
        text_clean(row.cells[i]);
    return row;
}

static void free_row(struct row *row)
{
    for (int i = 0; i < COLUMNS; i++)
        mem_free(row->cells[i]);
}

/* ---- the table ---- */

static int terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int width = columns != NULL ? (int)strtoll(columns, NULL, 10) : 0;

    if (width <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    return width <= 0 ? WIDTH_DEFAULT : width < WIDTH_LEAST ? WIDTH_LEAST : width;
}

static bool terminal_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && *value != '\0')
            return strstr(value, "UTF-8") != NULL || strstr(value, "utf8") != NULL;
    }
    return false;
}

/* What is left of the life, as cells: full ones, then empty ones. */
static void put_bar(struct buffer *out, const struct profile *p, int64_t now, bool utf8)
{
    int64_t life_s = p->expires_at - p->obtained_at, ttl_s = profile_ttl_s(p, now);
    int full = 0;

    if (p->token != NULL && (p->expires_at == TOKEN_NO_EXPIRY || life_s <= 0))
        full = p->expires_at == TOKEN_NO_EXPIRY ? BAR_CELLS : 0;
    else if (p->token != NULL)
        full = (int)(((ttl_s < life_s ? ttl_s : life_s) * BAR_CELLS + life_s / 2) / life_s);
    if (full == 0 && ttl_s > 0 && p->token != NULL)
        full = 1;
    for (int i = 0; i < BAR_CELLS; i++)
        buffer_put(out,
                   utf8 ? (i < full ? "\xe2\x96\x88" : "\xe2\x96\x91") : (i < full ? "#" : "."));
    buffer_put(out, " ");
}

static const char *state_colour(const struct status *status)
{
    if (status->error.result == RESULT_OK && status->state == PROFILE_VALID)
        return "\033[32m";
    return status_is_usable(status) ? "\033[33m" : "\033[31m";
}

static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* The cell and blanks to the width; what is too long is cut. */
static void put_cell(struct buffer *out, char *text, size_t width)
{
    text_cut(text, width);
    buffer_put(out, text);
    for (size_t len = characters(text); len < width; len++)
        buffer_put(out, " ");
}

static const char *const heads[] = {"PROFILE", "LOGIN",   "HOST", "LEFT",
                                    "STATE",   "RENEWAL", "TOKEN"};

static size_t widest_cell(const struct row *rows, size_t count, int column)
{
    /* LEFT's head stands over the bar, too. */
    size_t widest = column == LEFT ? 0 : strlen(heads[column]);

    for (size_t r = 0; r < count; r++) {
        size_t len = characters(rows[r].cells[column]);

        widest = len > widest ? len : widest;
    }
    return widest;
}

/* The widths that the cells want; RENEWAL left out, then the login, host and profile cut, until the
 * row fits. 0: not shown. */
static void choose_widths(size_t widths[COLUMNS], struct row *rows, size_t count)
{
    /* Two blanks between columns, and the bar with its blank. */
    size_t total = 2 * (COLUMNS - 1) + BAR_CELLS + 1, limit = (size_t)terminal_width();

    for (int i = 0; i < COLUMNS; i++) {
        widths[i] = widest_cell(rows, count, i);
        total += widths[i];
    }
    if (total > limit) {
        total -= widths[RENEWAL] + 2;
        widths[RENEWAL] = 0;
    }
    if (total > limit) { /* LEFT says "ended" already */
        for (size_t r = 0; r < count; r++) {
            if (strcmp(rows[r].cells[STATE], "expired, renewable") == 0)
                mem_replace(&rows[r].cells[STATE], "renewable");
        }
        total -= widths[STATE];
        widths[STATE] = widest_cell(rows, count, STATE);
        total += widths[STATE];
    }
    while (total > limit) {
        int widest = widths[LOGIN] >= widths[HOST] ? LOGIN : HOST;

        if (widths[PROFILE] > widths[widest])
            widest = PROFILE;
        if (widths[widest] <= 7) /* the longest head */
            break;
        widths[widest]--;
        total--;
    }
}

static void put_rows(struct buffer *out, const struct status *list, struct row *rows, size_t count,
                     int64_t now)
{
    bool colour = msg_colour(STDOUT_FILENO), utf8 = terminal_is_utf8();
    size_t widths[COLUMNS] = {0};

    choose_widths(widths, rows, count);
    for (int i = 0; i < COLUMNS; i++) {
        char *head;

        if (widths[i] == 0)
            continue;
        head = mem_copy(heads[i]);
        buffer_put(out, colour ? "\033[1m" : "");
        put_cell(out, head,
                 i + 1 == COLUMNS ? strlen(head) : widths[i] + (i == LEFT ? BAR_CELLS + 1 : 0));
        buffer_put(out, colour ? "\033[0m" : "");
        buffer_put(out, i + 1 < COLUMNS ? "  " : "\n");
        mem_free(head);
    }
    for (size_t r = 0; r < count; r++) {
        for (int i = 0; i < COLUMNS; i++) {
            if (widths[i] == 0)
                continue;
            if (i == LEFT)
                put_bar(out, &list[r].profile, now, utf8);
            if (i == STATE && colour)
                buffer_put(out, state_colour(&list[r]));
            if (i + 1 < COLUMNS)
                put_cell(out, rows[r].cells[i], widths[i]);
            else
                buffer_put(out, rows[r].cells[i]);
            if (i == STATE && colour)
                buffer_put(out, "\033[0m");
            buffer_put(out, i + 1 < COLUMNS ? "  " : "\n");
        }
    }
}

/* ---- what a person should know besides ---- */

static void PRINTF_LIKE(3, 4)
    put_note(struct buffer *out, const struct status *status, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE], *line;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    line = mem_join(status->name, ": ", text);
    text_clean(line);
    buffer_put(out, line);
    buffer_put(out, "\n");
    mem_free(line);
}

static void put_notes(struct buffer *out, const struct status *status, int64_t now, bool alone)
{
    const struct profile *p = &status->profile;
    char password[PROFILE_PASSWORD_TEXT_SIZE], when[CLOCK_TEXT_SIZE];
    char *warning = status_warning(status);
    char *refused = advice_refused_password(status->name, status->path, p);
    int64_t since = p->logged_in_at != 0 ? p->logged_in_at : p->obtained_at;

    if (status->error.result != RESULT_OK)
        put_note(out, status, "%s", status->error.text);
    if (refused != NULL)
        put_note(out, status, "%s", refused);
    if (warning != NULL)
        put_note(out, status, "%s", warning);
    mem_free(refused);
    mem_free(warning);
    if (decide_pause_s(p, now) > 0)
        put_note(out, status, "the service asked not to be asked before %s",
                 clock_format(p->retry_at, when));
    if (profile_password_text(p, now, password) != NULL)
        put_note(out, status, "the password %s", profile_password_text(p, now, password));
    if (!alone || p->token == NULL)
        return;
    if (p->expires_at != TOKEN_NO_EXPIRY && p->blacklisted_at == 0)
        put_note(out, status, "the token %s %s", p->expires_at <= now ? "ended" : "lasts until",
                 clock_format(p->expires_at, when));
    if (profile_login_was_refused(p) || p->blacklisted_at != 0 || p->refused_at != 0)
        return;
    if (status_source(p) != NULL)
        put_note(out, status, "renews itself, with its %s", status_source(p));
    else if (profile_is_permanent(p))
        put_note(out, status, "a permanent token: never renewed");
    else
        put_note(out, status, "can be renewed until about %s, then log in again",
                 clock_format(since + PROFILE_RENEWABLE_S, when));
}

void status_columns(struct buffer *out, const struct status *list, size_t count, int64_t now)
{
    for (size_t i = 0; i < count; i++) {
        struct row row = make_row(&list[i], now);

        for (int c = 0; c < COLUMNS; c++) {
            if (c == RENEWAL)
                continue;
            buffer_put(out, row.cells[c]);
            buffer_put(out, c + 1 < COLUMNS ? "\t" : "\n");
        }
        free_row(&row);
    }
}

void status_table(struct buffer *out, const struct status *list, size_t count, int64_t now)
{
    struct row *rows = mem_new((count + 1) * sizeof *rows);

    for (size_t i = 0; i < count; i++)
        rows[i] = make_row(&list[i], now);
    if (count > 0)
        put_rows(out, list, rows, count, now);
    for (size_t i = 0; i < count; i++) {
        put_notes(out, &list[i], now, count == 1);
        free_row(&rows[i]);
    }
    mem_free(rows);
}
