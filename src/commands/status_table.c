#include "commands/status_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/text.h"
#include "store/cache.h"
#include "store/token.h"
#include "store/url.h"

#define WIDTH_DEFAULT 80
#define WIDTH_LEAST 60
#define BAR_CELLS 6

void status_read(struct status *status, const char *name, const char *file, int64_t now)
{
    struct cache cache;

    profile_init(&status->profile);
    status->error.result = cache_open(&cache, name, file, &status->error);
    if (status->error.result == RESULT_OK)
        status->error.result = cache_read(&cache, &status->profile, &status->error);
    status->name = mem_copy(cache.name != NULL ? cache.name : name);
    status->path = mem_copy(cache.path);
    status->state = profile_state(&status->profile, now);
    status->in_doubt = status->error.result == RESULT_OK &&
                       cache_token_is_in_doubt(&cache, status->profile.token, 0);
    cache_close(&cache);
}

void status_clear(struct status *status)
{
    mem_free(status->name);
    mem_free(status->path);
    profile_clear(&status->profile);
}

char *status_warning(const struct status *status)
{
    const struct profile *p = &status->profile;
    char *command = cache_login_command(status->name, status->path, p), *text = NULL;
    char when[CLOCK_TEXT_SIZE];

    if (p->blacklisted_at != 0 && profile_has_source(p))
        text = mem_format("the service said on %s that the token is blacklisted: the next "
                          "refresh logs in",
                          clock_format(p->blacklisted_at, when));
    else if (p->blacklisted_at != 0)
        text = mem_format("the service said on %s that the token is blacklisted%s%s",
                          clock_format(p->blacklisted_at, when),
                          profile_login_was_refused(p) ? "" : ": run ",
                          profile_login_was_refused(p) ? "" : command);
    else if (status->in_doubt)
        text = mem_format("a refresh ended without a clear answer, so the token is perhaps "
                          "spent: if the next one is refused, %s%s",
                          profile_has_source(p) ? "it logs in" : "run ",
                          profile_has_source(p) ? "" : command);
    mem_free(command);
    return text;
}

bool status_is_usable(const struct status *status)
{
    return status->error.result == RESULT_OK &&
           (status->state == PROFILE_VALID || status->state == PROFILE_EXPIRES_SOON ||
            status->state == PROFILE_RENEWABLE);
}

/* For a person, and for a program. */
static const struct state_name {
    const char *words, *id;
} state_names[] = {
    [PROFILE_EMPTY] = {"no token", "no_token"},
    [PROFILE_VALID] = {"valid", "valid"},
    [PROFILE_EXPIRES_SOON] = {"expires soon", "expires_soon"},
    [PROFILE_RENEWABLE] = {"expired, renewable", "renewable"},
    [PROFILE_LOGIN_NEEDED] = {"login needed", "login_needed"},
};
/* No token either, but a password. */
static const struct state_name obtainable = {"no token, renewable", "renewable"};

static const struct state_name *state_name(const struct status *status)
{
    static const struct state_name unusable = {"unusable", "unusable"};

    if (status->error.result == RESULT_NO_TOKEN)
        return &state_names[PROFILE_EMPTY];
    if (status->error.result != RESULT_OK)
        return &unusable;
    if (status->state == PROFILE_RENEWABLE && status->profile.token == NULL)
        return &obtainable;
    return &state_names[status->state];
}

const char *status_state(const struct status *status)
{
    return state_name(status)->words;
}

const char *status_state_id(const struct status *status)
{
    return state_name(status)->id;
}

const char *status_source(const struct profile *p)
{
    return p->token_command != NULL      ? "token command"
           : p->password_command != NULL ? "password command"
           : p->password_file != NULL    ? "password file"
                                         : NULL;
}

/* The host, or NULL where the cached URL is none. In secret memory. */
static char *host_of(const struct profile *p)
{
    const char *url = p->api_url != NULL ? p->api_url : URL_DEFAULT;
    struct error ignored;

    return url_check(url, &ignored) == RESULT_OK ? url_host(url) : NULL;
}

static void fingerprint_of(const struct profile *p, char fingerprint[TOKEN_FINGERPRINT_SIZE])
{
    fingerprint[0] = '\0';
    if (p->token != NULL)
        token_fingerprint(p->token, fingerprint);
}

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
    char fingerprint[TOKEN_FINGERPRINT_SIZE];
    bool readable = status->error.result == RESULT_OK;
    char *host = readable ? host_of(p) : NULL;
    struct row row;

    fingerprint_of(p, fingerprint);
    row.cells[PROFILE] = mem_copy(status->name);
    row.cells[LOGIN] = mem_copy(p->email != NULL ? p->email : "-");
    row.cells[HOST] = mem_copy(host != NULL ? host : "-");
    row.cells[LEFT] = left_text(p, now);
    row.cells[STATE] = mem_copy(status_state(status));
    row.cells[RENEWAL] = mem_copy(p->token == NULL           ? "-"
                                  : status_source(p) != NULL ? status_source(p)
                                  : profile_is_permanent(p)  ? "never"
                                                             : "refresh only");
    row.cells[TOKEN] = mem_copy(*fingerprint != '\0' ? fingerprint : "-");
    for (int i = 0; i < COLUMNS; i++)
        text_clean(row.cells[i]);
    mem_free(host);
    return row;
}

static void free_row(struct row *row)
{
    for (int i = 0; i < COLUMNS; i++)
        mem_free(row->cells[i]);
}

/* All of it is gathered first: a table is printed whole or not at all. */
static void put(struct buffer *out, const char *text)
{
    if (!buffer_append_text(out, text))
        return; /* thousands of profiles, megabytes of table: cut */
}

static void put_plain(struct buffer *out, const struct row *row)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (i == RENEWAL)
            continue;
        put(out, row->cells[i]);
        put(out, i + 1 < COLUMNS ? "\t" : "\n");
    }
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
        put(out, utf8 ? (i < full ? "\xe2\x96\x88" : "\xe2\x96\x91") : (i < full ? "#" : "."));
    put(out, " ");
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
    put(out, text);
    for (size_t len = characters(text); len < width; len++)
        put(out, " ");
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
            if (strcmp(rows[r].cells[STATE], state_names[PROFILE_RENEWABLE].words) == 0)
                mem_replace(&rows[r].cells[STATE], state_names[PROFILE_RENEWABLE].id);
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
        put(out, colour ? "\033[1m" : "");
        put_cell(out, head,
                 i + 1 == COLUMNS ? strlen(head) : widths[i] + (i == LEFT ? BAR_CELLS + 1 : 0));
        put(out, colour ? "\033[0m" : "");
        put(out, i + 1 < COLUMNS ? "  " : "\n");
        mem_free(head);
    }
    for (size_t r = 0; r < count; r++) {
        for (int i = 0; i < COLUMNS; i++) {
            if (widths[i] == 0)
                continue;
            if (i == LEFT)
                put_bar(out, &list[r].profile, now, utf8);
            if (i == STATE && colour)
                put(out, state_colour(&list[r]));
            if (i + 1 < COLUMNS)
                put_cell(out, rows[r].cells[i], widths[i]);
            else
                put(out, rows[r].cells[i]);
            if (i == STATE && colour)
                put(out, "\033[0m");
            put(out, i + 1 < COLUMNS ? "  " : "\n");
        }
    }
}

/* ---- what a person should know besides ---- */

static void put_note(struct buffer *out, const struct status *status, const char *text)
{
    char *line = mem_format("%s: %s", status->name, text);

    text_clean(line);
    put(out, line);
    put(out, "\n");
    mem_free(line);
}

static void put_notes(struct buffer *out, const struct status *status, int64_t now, bool alone)
{
    const struct profile *p = &status->profile;
    char password[PROFILE_PASSWORD_TEXT_SIZE];
    char when[CLOCK_TEXT_SIZE], text[512], *warning = status_warning(status);

    if (status->error.result != RESULT_OK) {
        put_note(out, status, status->error.text);
        mem_free(warning);
        return;
    }
    if (profile_login_was_refused(p)) {
        char *command = cache_login_command(status->name, status->path, p);
        char *refused = mem_format("unattended login refused on %s: correct the password at its "
                                   "source, then run %s",
                                   clock_format(p->unattended_login_at, when), command);

        put_note(out, status, refused);
        mem_free(refused);
        mem_free(command);
    }
    if (warning != NULL)
        put_note(out, status, warning);
    mem_free(warning);
    if (p->retry_at > now) {
        snprintf(text, sizeof text, "the service asked not to be asked before %s",
                 clock_format(p->retry_at, when));
        put_note(out, status, text);
    }
    if (profile_password_text(p, now, password) != NULL) {
        snprintf(text, sizeof text, "the password %s", profile_password_text(p, now, password));
        put_note(out, status, text);
    }
    if (!alone || p->token == NULL)
        return;
    if (p->expires_at != TOKEN_NO_EXPIRY && p->blacklisted_at == 0) {
        snprintf(text, sizeof text, "the token %s %s",
                 p->expires_at <= now ? "ended" : "lasts until", clock_format(p->expires_at, when));
        put_note(out, status, text);
    }
    if (profile_login_was_refused(p) || p->blacklisted_at != 0)
        return;
    if (status_source(p) != NULL)
        snprintf(text, sizeof text, "renews itself, with its %s", status_source(p));
    else if (profile_is_permanent(p))
        snprintf(text, sizeof text, "a permanent token: never renewed");
    else
        snprintf(text, sizeof text, "can be renewed until about %s, then log in again",
                 clock_format((p->logged_in_at != 0 ? p->logged_in_at : p->obtained_at) +
                                  PROFILE_RENEWABLE_S,
                              when));
    put_note(out, status, text);
}

void status_columns(struct buffer *out, const struct status *list, size_t count, int64_t now)
{
    for (size_t i = 0; i < count; i++) {
        struct row row = make_row(&list[i], now);

        put_plain(out, &row);
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
