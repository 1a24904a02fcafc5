/* SPDX-License-Identifier: MIT */
/* schedule: a crontab line or systemd units that keep a profile's token fresh. */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/process.h"
#include "base/text.h"
#include "commands/command.h"
#include "store/token.h"

/* A renewal every quarter of the life, of a token that lasts less than half of it: two runs may
 * fail before a third finds it ended. */
#define RUNS_PER_LIFE 4
#define LIFE_DEFAULT_S TOKEN_LIFE_DEFAULT_S

struct plan {
    const struct options *options;
    char *program;    /* absolute */
    char *file, *dir; /* absolute, or NULL: where the cache is if not in its usual place */
    char *name;       /* the schedule's own */
    int64_t interval_min, min_ttl_s;
    unsigned offset_min; /* of the minute at which it starts, by host and profile */
};

/* Where this program is: cron's PATH may not have it. */
static char *own_path(void)
{
    char path[PATH_MAX] = "/proc/self/exe", *found, *copy;
    const char *dirs = getenv("PATH");

    while ((found = realpath(path, NULL)) == NULL) { /* no /proc: as the shell found it */
        size_t len = dirs != NULL ? strcspn(dirs, ":") : 0;

        if (len == 0)
            return NULL;
        snprintf(path, sizeof path, "%.*s/servetel-auth", (int)len, dirs);
        dirs += len + (dirs[len] == ':');
    }
    copy = mem_copy(found);
    free(found);
    return copy;
}

/* When somebody must log in, since this profile cannot do it by itself; 0 if it can. */
static int64_t person_needed_at(const char *name, const char *file)
{
    struct error ignored;
    struct cache cache;
    struct profile p;
    int64_t at = 0;

    profile_init(&p);
    if (cache_open(&cache, name, file, &ignored) == RESULT_OK &&
        cache_read(&cache, &p, &ignored) == RESULT_OK && p.token != NULL)
        at = profile_log_in_by(&p, clock_epoch_s());
    cache_close(&cache);
    profile_clear(&p);
    return at;
}

/* Without a password such a schedule dies in silence: said while there is time. */
static void warn_of_logins(const struct options *options)
{
    size_t count = 1, without = 0;
    const char *one = command_profile(options), *file = options->all ? NULL : options->file;
    char **names = NULL, *who, when[CLOCK_TEXT_SIZE];
    struct error ignored;
    int64_t first = 0;

    if (options->all && cache_list(&names, &count, &ignored) != RESULT_OK)
        count = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t at = person_needed_at(options->all ? names[i] : one, file);

        first = at != 0 && (without == 0 || at < first) ? at : first;
        without += at != 0;
    }
    cache_list_free(names);
    if (without == 0)
        return;
    who = options->all ? mem_format("%zu of %zu profiles", without, count)
                       : mem_format("'%s'", file != NULL ? file : one);
    msg_warn("%s: a person must log in again by %s, unless a login is told --password-command or "
             "--password-file",
             who, first > clock_epoch_s() ? clock_format(first, when) : "now");
    mem_free(who);
}

/* The same on each run for the same host and profile, different for others. */
static unsigned spread(const char *profile, unsigned range)
{
    char host[256] = "", *both;
    unsigned number;

    gethostname(host, sizeof host - 1);
    both = mem_format("%s %s", host, profile);
    number = token_checksum(both) % range;
    mem_free(both);
    return number;
}

/* Cron counts minutes within the hour and hours within the day, so the interval must divide one of
 * them: the largest such that is not longer. */
static int64_t even_interval_min(int64_t minutes)
{
    static const int64_t even[] = {720, 480, 360, 240, 180, 120, 60, 30, 20,
                                   15,  12,  10,  6,   5,   4,   3,  2};

    for (size_t i = 0; i < sizeof even / sizeof even[0]; i++) {
        if (even[i] <= minutes)
            return even[i];
    }
    return 1;
}

/* After the profile or the file; what a unit's name may not hold, or an @, which would make it a
 * template's instance, becomes an underscore, and a checksum keeps such names apart. */
static char *name_schedule(const struct plan *plan)
{
    const struct options *o = plan->options;
    const char *slash = plan->file == NULL ? NULL : strrchr(plan->file, '/');
    const char *whole = o->all ? "all" : plan->file != NULL ? plan->file : command_profile(o);
    char *name = mem_join("servetel-auth-", slash != NULL ? slash + 1 : whole), *longer;
    bool is_unique = slash == NULL;
    const size_t most = 200; /* of a file name's 255, for what is added */

    for (char *c = name; *c != '\0'; c++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c) ==
            NULL) {
            *c = '_';
            is_unique = false;
        }
    }
    if (is_unique)
        return name;
    if (strlen(name) > most)
        name[most] = '\0';
    longer = mem_format("%s-%08x", name, (unsigned)token_checksum(whole));
    mem_free(name);
    return longer;
}

static enum result make_plan(const struct options *options, struct plan *plan, struct error *error)
{
    int64_t life_s = LIFE_DEFAULT_S;
    struct profile profile;
    struct cache cache;
    enum result result;
    const char *place;

    *plan = (struct plan){.options = options};
    profile_init(&profile);
    result = cache_open(&cache, command_profile(options), options->file, error);
    if (result == RESULT_OK && !options->all)
        result = cache_read(&cache, &profile, error);
    if (result == RESULT_NO_TOKEN) {
        msg_warn("%s; an hour is taken for the token's life", error->text);
        result = RESULT_OK;
    } else if (result == RESULT_OK && profile.token != NULL && profile.token_command == NULL &&
               profile_is_permanent(&profile)) {
        result = error_set(error, RESULT_USAGE,
                           "the token of '%s' is permanent: there is nothing to renew", cache.name);
    } else if (profile_life_s(&profile) > 0 && !profile_is_permanent(&profile)) {
        life_s = profile_life_s(&profile);
    }
    plan->interval_min = even_interval_min(life_s / 60 / RUNS_PER_LIFE);
    plan->min_ttl_s = options->min_ttl_s != OPTION_UNSET ? options->min_ttl_s : life_s / 2;
    if (result == RESULT_OK && plan->min_ttl_s < plan->interval_min * 60)
        msg_warn("a token that lasts a little more than --min-ttl ends before the next run, %lld "
                 "min later: give --min-ttl %lldm or more",
                 (long long)plan->interval_min, (long long)plan->interval_min);
    plan->offset_min = spread(options->all ? "--all" : cache.name, (unsigned)plan->interval_min);
    cache_close(&cache);
    profile_clear(&profile);
    if (result != RESULT_OK)
        return result;
    /* --all is for the directory, wherever the environment says that one profile's file is. */
    place = options->all ? NULL : options->file;
    if (place != NULL)
        plan->file = process_absolute_path(place);
    else if ((place = process_variable("SERVETEL_AUTH_DIR")) != NULL)
        plan->dir = process_absolute_path(place);
    plan->name = name_schedule(plan);
    plan->program = own_path();
    if (plan->program == NULL)
        return error_set(error, RESULT_LOCAL, "cannot tell where this program is installed");
    if (place != NULL && plan->file == NULL && plan->dir == NULL)
        return error_set(error, RESULT_LOCAL,
                         "cannot tell where the cache is from here: give its whole path");
    return RESULT_OK;
}

static void free_plan(struct plan *plan)
{
    mem_free(plan->program);
    mem_free(plan->file);
    mem_free(plan->dir);
    mem_free(plan->name);
}

/* For cron's sh; for systemd's ExecStart=, where $ is special, or its Environment=, where it is
 * not.
 */
enum quoting { FOR_CRON, FOR_UNIT_COMMAND, FOR_UNIT_VARIABLE };

/* The word within quotes. For sh a quote ends them, stands escaped, and begins them again. Cron
 * ends the line at a bare %, and takes the backslash before another off; some crons also take the
 * first of two backslashes off, all the one before a %: quotes end and begin after each. */
static void put_quoted(struct buffer *out, const char *word, enum quoting quoting)
{
    const char *doubled = quoting == FOR_UNIT_COMMAND ? "%$" : "%"; /* specifiers, variables */
    bool systemd = quoting != FOR_CRON, plain = text_is_plain_word(word);
    const char *quote = plain ? "" : systemd ? "\"" : "'";

    buffer_put(out, quote);
    for (; *word != '\0'; word++) {
        const char one[] = {*word, '\0'};
        bool escapes = systemd ? *word == '"' || *word == '\\' : *word == '%';

        buffer_put(out, escapes                                     ? "\\"
                        : systemd && strchr(doubled, *word) != NULL ? one
                        : !systemd && *word == '\''                 ? "'\\'"
                                                                    : "");
        buffer_put(out, one);
        buffer_put(out, !systemd && *word == '\\' ? "''" : "");
    }
    buffer_put(out, quote);
}

static void put_option(struct buffer *out, const char *name, const char *value,
                       enum quoting quoting)
{
    if (value == NULL)
        return;
    buffer_put(out, name);
    put_quoted(out, value, quoting);
}

/* As a person would write it. */
static void put_duration(struct buffer *out, const char *name, int64_t seconds)
{
    bool is_minutes = seconds % 60 == 0 && seconds != 0;
    char text[32];

    snprintf(text, sizeof text, "%lld%c", (long long)(is_minutes ? seconds / 60 : seconds),
             is_minutes ? 'm' : 's');
    put_option(out, name, text, FOR_CRON);
}

static void put_command(struct buffer *out, const struct plan *plan, enum quoting quoting)
{
    const struct options *o = plan->options;

    put_quoted(out, plan->program, quoting);
    buffer_put(out, o->all ? " refresh --quiet --all" : " refresh --quiet");
    put_option(out, " --file ", plan->file, quoting);
    if (!o->all && plan->file == NULL)
        put_option(out, " --profile ", command_profile(o), quoting);
    put_duration(out, " --min-ttl ", plan->min_ttl_s);
    put_duration(out, " --complain-below ", plan->min_ttl_s / 2);
    put_option(out, " --adopt ", o->adopt, quoting);
    put_option(out, " --on-change ", o->on_change, quoting);
}

#define TIMES_SIZE 32

/* Steps from the first: for cron "7-59/15", for systemd's calendar "7/15". */
static void name_times(const struct plan *plan, bool is_cron, char minutes[TIMES_SIZE],
                       char hours[TIMES_SIZE])
{
    unsigned minute = plan->offset_min % 60, hour = plan->offset_min / 60;
    long long step = plan->interval_min;

    if (step < 60)
        snprintf(minutes, TIMES_SIZE, "%u%s/%lld", minute, is_cron ? "-59" : "", step);
    else
        snprintf(minutes, TIMES_SIZE, "%u", minute);
    if (step > 60)
        snprintf(hours, TIMES_SIZE, "%u%s/%lld", hour, is_cron ? "-23" : "", step / 60);
    else
        snprintf(hours, TIMES_SIZE, "*");
}

/* What mem_format made. */
static void put_made(struct buffer *out, char *text)
{
    buffer_put(out, text);
    mem_free(text);
}

static void cron(struct buffer *out, const struct plan *plan)
{
    char minutes[TIMES_SIZE], hours[TIMES_SIZE];

    name_times(plan, true, minutes, hours);
    /* Both lines end alike, so that whoever installs them again finds the old ones by that. */
    put_made(out, mem_format("# %s\n%s %s * * * ", plan->name, minutes, hours));
    put_option(out, "SERVETEL_AUTH_DIR=", plan->dir, FOR_CRON);
    buffer_put(out, plan->dir != NULL ? " " : "");
    put_command(out, plan, FOR_CRON);
    put_made(out, mem_format(" # %s", plan->name));
}

static void systemd(struct buffer *out, const struct plan *plan)
{
    const char *whose = plan->options->all   ? "all profiles"
                        : plan->file != NULL ? plan->name + strlen("servetel-auth-")
                                             : command_profile(plan->options);
    char *dir = plan->dir != NULL ? mem_join("SERVETEL_AUTH_DIR=", plan->dir) : NULL;
    char minutes[TIMES_SIZE], hours[TIMES_SIZE];

    put_made(out, mem_format("# %s.service\n"
                             "[Unit]\n"
                             "Description=Keep a Servetel token fresh (%s)\n"
                             "Documentation=man:servetel-auth(1)\n"
                             "\n"
                             "[Service]\n"
                             "Type=oneshot\n",
                             plan->name, whose));
    put_option(out, "Environment=", dir, FOR_UNIT_VARIABLE);
    buffer_put(out, dir != NULL ? "\nExecStart=" : "ExecStart=");
    put_command(out, plan, FOR_UNIT_COMMAND);
    name_times(plan, false, minutes, hours);
    put_made(out, mem_format("\n"
                             "\n"
                             "# %s.timer\n"
                             "[Unit]\n"
                             "Description=Keep a Servetel token fresh (%s)\n"
                             "\n"
                             "[Timer]\n"
                             "OnCalendar=*-*-* %s:%s:00\n"
                             "Persistent=true\n"
                             "\n"
                             "[Install]\n"
                             "WantedBy=timers.target",
                             plan->name, whose, hours, minutes));
    mem_free(dir);
}

/* Neither a crontab nor a unit can hold a line's end, which for systemd is a carriage return, too.
 */
static bool has_line_end(const char *text)
{
    return text != NULL && text[strcspn(text, "\n\r")] != '\0';
}

int cmd_schedule(const struct options *options)
{
    const char *kind = options->operands[0];
    struct error error;
    struct plan plan;
    struct buffer out = BUFFER(SIZE_MAX / 2);
    int code;

    if (options->all && (options->profile_is_flag || options->file_is_flag))
        return command_misuse("--all goes with neither --profile nor --file");
    if (strcmp(kind, "cron") != 0 && strcmp(kind, "systemd") != 0)
        return command_misuse("schedule knows cron and systemd");
    if (make_plan(options, &plan, &error) != RESULT_OK) {
        code = command_fail(&error);
    } else if (has_line_end(options->on_change) || has_line_end(options->adopt) ||
               has_line_end(plan.program) || has_line_end(plan.file) || has_line_end(plan.dir)) {
        code = command_misuse("neither cron nor systemd takes more than one line: there is the end "
                              "of one in a command or in a path");
    } else {
        warn_of_logins(options);
        (strcmp(kind, "cron") == 0 ? cron : systemd)(&out, &plan);
        code = command_print(buffer_text(&out));
        buffer_clear(&out);
    }
    free_plan(&plan);
    return code;
}
