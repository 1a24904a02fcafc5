/* SPDX-License-Identifier: MIT */
#include "commands/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/process.h"
#include "renewal/decide.h"
#include "store/advice.h"
#include "store/url.h"

#define WIDTH_DEFAULT 80
#define GAP 2 /* blanks between columns */
#define BAR_CELLS 6
#define NAME_WIDEST 36     /* a longer name has a line of its own and widens no other */
#define CELL_LEAST 10      /* a cell that is cut keeps so much that a person knows what it was */
#define SOON_S (2 * 86400) /* sooner than this, "in 26 h" tells more than a date */

/* ---- cells ---- */

enum column { PROFILE, LOGIN, HOST, LEFT, BAR, STATE, LOG_IN_BY, TOKEN, COLUMNS };

static const char *const heads[] = {"PROFILE", "LOGIN", "HOST",      "LEFT",
                                    "",        "STATE", "LOG IN BY", "TOKEN"};

struct row {
    char *cells[COLUMNS];
};

/* "41 min", "for ever" or "-". */
static char *left_text(const struct status *status)
{
    int64_t ttl_s = profile_ttl_s(&status->profile, status->now);
    char span[CLOCK_TEXT_SIZE];

    return mem_copy(status->profile.token == NULL ? "-"
                    : ttl_s == TOKEN_NO_EXPIRY    ? "for ever"
                    : ttl_s == 0                  ? "ended"
                                                  : clock_format_span(ttl_s, span));
}

/* "2026-12-12", "in 26 h" or "now"; "" where no person need ever come. */
static char *log_in_by_text(const struct status *status)
{
    char text[CLOCK_TEXT_SIZE];
    int64_t by = status->log_in_by, left_s = by - status->now;

    if (by == 0 || left_s <= 0)
        return mem_copy(by == 0 ? "" : "now");
    if (left_s < SOON_S)
        return mem_join("in ", clock_format_span(left_s, text));
    clock_format(by, text);
    text[sizeof "2026-12-12" - 1] = '\0';
    return mem_copy(text);
}

static int terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int width = columns != NULL ? (int)strtoll(columns, NULL, 10) : 0;

    if (width <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    return width <= 0 ? WIDTH_DEFAULT : width;
}

static bool terminal_is_utf8(void)
{
    const char *locale = process_variable("LC_ALL");

    locale = locale != NULL ? locale : process_variable("LC_CTYPE");
    locale = locale != NULL ? locale : process_variable("LANG");
    return locale != NULL && (strstr(locale, "UTF-8") != NULL || strstr(locale, "utf8") != NULL);
}

/* What is left of the token's own life, as cells, full and empty; "" where nobody knows it. */
static char *bar_text(const struct status *status)
{
    double life_s = (double)profile_life_s(&status->profile);
    double ttl_s = (double)profile_ttl_s(&status->profile, status->now);
    int full = life_s <= 0 ? 0 : (int)((ttl_s < life_s ? ttl_s / life_s : 1) * BAR_CELLS + 0.5);
    const char *cells[] = {".", "#"};
    struct buffer bar = BUFFER(BAR_CELLS * 4);

    if (terminal_is_utf8()) {
        cells[0] = "\xe2\x96\x91";
        cells[1] = "\xe2\x96\x88";
    }
    for (int i = 0; i < BAR_CELLS && life_s > 0; i++)
        buffer_put(&bar, cells[i < full || (i == 0 && ttl_s > 0)]);
    return bar.data != NULL ? bar.data : mem_copy("");
}

static struct row make_row(const struct status *status)
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
    row.cells[LEFT] = left_text(status);
    row.cells[BAR] = bar_text(status);
    row.cells[STATE] = mem_copy(status_state(status));
    for (char *c = row.cells[STATE]; *c != '\0'; c++) {
        if (*c == '_')
            *c = ' ';
    }
    row.cells[LOG_IN_BY] = log_in_by_text(status);
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

/* Red where a person must come, yellow where one must soon, or the token is not what was asked. */
static const char *state_colour(const struct status *status)
{
    bool soon = status->log_in_by != 0 && status->log_in_by - status->now < SOON_S;

    if (!status_is_usable(status))
        return "\033[31m";
    return status->state == PROFILE_VALID && !status->ends_early && !soon ? "\033[32m" : "\033[33m";
}

static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* A column in which no cell says anything has no head either: 0. */
static size_t widest_cell(const struct row *rows, size_t count, int column)
{
    size_t widest = 0, head = strlen(heads[column]);

    for (size_t r = 0; r < count; r++) {
        size_t len = characters(rows[r].cells[column]);

        if (len > widest && (column != PROFILE || len <= NAME_WIDEST))
            widest = len;
    }
    return (widest > 0 || column == PROFILE) && widest < head ? head : widest;
}

/* The widths that the cells want; 0 for what a narrower terminal leaves out, which no name is. */
static void choose_widths(size_t widths[COLUMNS], const struct row *rows, size_t count)
{
    static const enum column give_way[] = {BAR, TOKEN, HOST, LOGIN};
    size_t total = 0, limit = (size_t)terminal_width();

    for (int i = 0; i < COLUMNS; i++) {
        widths[i] = widest_cell(rows, count, i);
        total += widths[i] > 0 ? widths[i] + (i > 0 ? GAP : 0) : 0;
    }
    for (size_t i = 0; i < sizeof give_way / sizeof give_way[0] && total > limit; i++) {
        size_t *width = &widths[give_way[i]], over = total - limit;
        bool is_cut = (give_way[i] == HOST || give_way[i] == LOGIN) && *width >= over + CELL_LEAST;

        total -= is_cut ? over : *width > 0 ? *width + GAP : 0;
        *width -= is_cut ? over : *width;
    }
}

/* colour: of the state. */
static void put_row(struct buffer *out, const struct row *row, const size_t widths[COLUMNS],
                    const char *colour)
{
    size_t blanks = 0; /* none at a line's end */

    for (int i = 0; i < COLUMNS; i++) {
        char *cell = row->cells[i];
        bool is_coloured = i == STATE && *colour != '\0';

        if (widths[i] == 0)
            continue;
        if (i > PROFILE)
            text_cut(cell, widths[i]);
        for (; blanks > 0 && *cell != '\0'; blanks--)
            buffer_put(out, " ");
        buffer_put(out, is_coloured ? colour : "", cell, is_coloured ? "\033[0m" : "");
        if (characters(cell) > widths[i]) {
            buffer_put(out, "\n");
            *cell = '\0';
        }
        blanks += widths[i] - characters(cell) + GAP;
    }
    buffer_put(out, "\n");
}

void status_columns(struct buffer *out, const struct status *list, size_t count)
{
    static const enum column columns[] = {PROFILE, LOGIN, HOST, LEFT, STATE, TOKEN};

    for (size_t i = 0; i < count; i++) {
        struct row row = make_row(&list[i]);

        for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++)
            buffer_put(out, c > 0 ? "\t" : "", row.cells[columns[c]]);
        buffer_put(out, "\n");
        free_row(&row);
    }
}

void status_table(struct buffer *out, const struct status *list, size_t count)
{
    OWNED struct row *rows = mem_new((count + 1) * sizeof *rows);
    struct row head;
    bool colour = msg_colour(STDOUT_FILENO);
    size_t widths[COLUMNS];

    for (size_t i = 0; i < count; i++)
        rows[i] = make_row(&list[i]);
    for (int i = 0; i < COLUMNS; i++)
        head.cells[i] = mem_copy(heads[i]);
    choose_widths(widths, rows, count);
    buffer_put(out, colour ? "\033[1m" : "");
    put_row(out, &head, widths, "");
    buffer_put(out, colour ? "\033[0m" : "");
    free_row(&head);
    for (size_t i = 0; i < count; i++) {
        put_row(out, &rows[i], widths, colour ? state_colour(&list[i]) : "");
        free_row(&rows[i]);
    }
}

/* ---- what a person should know besides ---- */

static void PRINTF_LIKE(3, 4)
    put_note(struct buffer *out, const struct status *status, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    OWNED char *line = NULL;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    line = mem_join(status->name, ": ", text);
    text_clean(line);
    if (out == NULL)
        msg_warn("%s", line);
    else
        buffer_put(out, line, "\n");
}

/* What is wrong with the token that its times do not show, and what helps. False: nothing is. */
static bool put_trouble(struct buffer *out, const struct status *status, bool alone)
{
    const struct profile *p = &status->profile;
    bool lasts = p->refused_at != 0 && profile_ttl_s(p, status->now) > 0;
    const char *what = p->blacklisted_at != 0 && p->refused_at != 0
                           ? "the service said that the token is blacklisted"
                       : p->blacklisted_at != 0 ? "the API refused the token"
                       : p->refused_at != 0     ? "the service refused to renew the token"
                       : status->in_doubt
                           ? "a refresh ended without a clear answer, so the token is perhaps spent"
                       : alone && status->state == PROFILE_LOGIN_NEEDED
                           ? "the token cannot be renewed any more"
                           : NULL;
    const char *next = profile_has_source(p) ? "the next refresh logs in"
                       : p->blacklisted_at != 0 && status->state == PROFILE_RENEWABLE
                           ? "the next refresh exchanges it"
                       : status->in_doubt ? "if the next one is refused, run "
                       : lasts            ? "then run "
                                          : "run ";
    OWNED char *command = advice_login_command(status->name, status->path, p);
    char when[CLOCK_TEXT_SIZE];

    if (what != NULL)
        put_note(out, status, "%s%s%s: %s%s", what, lasts ? ", which lasts until " : "",
                 lasts ? clock_format(p->expires_at, when) : "", next,
                 next[strlen(next) - 1] == ' ' ? command : "");
    return what != NULL;
}

void status_notes(struct buffer *out, const struct status *status, bool alone)
{
    const struct profile *p = &status->profile;
    char text[PROFILE_PASSWORD_TEXT_SIZE], when[CLOCK_TEXT_SIZE], span[CLOCK_TEXT_SIZE];
    OWNED char *refused = advice_refused_password(status->name, status->path, p);
    const char *password = profile_password_text(p, status->now, text);
    int64_t pause_s = decide_pause_s(p, status->now);
    bool trouble;

    if (status->error.result != RESULT_OK)
        put_note(out, status, "%s", status->error.text);
    if (refused != NULL)
        put_note(out, status, "%s", refused);
    trouble = put_trouble(out, status, alone) || refused != NULL;
    if (pause_s > 0)
        put_note(out, status, "%s %s (%s)",
                 decide_pause_is_own(p) ? "the last unattended login failed: no other before"
                                        : "the service asked not to be asked before",
                 clock_format(p->retry_at, when), clock_format_span(pause_s, span));
    if (password != NULL)
        put_note(out, status, "the password %s: change it and log in again", password);
    if (status->ends_early)
        put_note(out, status, "lasts less than --min-ttl asks");
    if (!alone || p->token == NULL)
        return;
    if (p->expires_at != TOKEN_NO_EXPIRY && p->blacklisted_at == 0)
        put_note(out, status, "the token %s %s",
                 profile_ttl_s(p, status->now) == 0 ? "ended" : "lasts until",
                 clock_format(p->expires_at, when));
    if (!trouble && status_source(p) != NULL)
        put_note(out, status, "renews itself, with its %s", status_source(p));
    else if (!trouble && profile_is_permanent(p))
        put_note(out, status, "a permanent token: never renewed");
    else if (!trouble)
        put_note(out, status, "can be renewed until about %s, then log in again",
                 clock_format(status->log_in_by, when));
}
