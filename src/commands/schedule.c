/* SPDX-License-Identifier: MIT */
/* schedule: a crontab line or systemd units that keep a profile's token fresh. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/process.h"
#include "commands/command.h"

/* A renewal every quarter of the life, once less than half of it is left: two runs may fail. */
#define RUNS_PER_LIFE 4
#define NAME_BEGIN "servetel-auth-"

/* What stands within quotes for each of the characters that are special there. */
struct quoting {
    const char *quote, *special, *spelt[4];
};

/* For sh a quote ends them, stands escaped, and begins them again. Cron ends the line at a bare %,
 * and takes the backslash before another off; some crons also take the first of two backslashes
 * off, all the one before a %: quotes end and begin after each. */
static const struct quoting for_cron = {"'", "'\\%", {"'\\''", "\\''", "\\%"}};
/* systemd has specifiers, and in ExecStart= variables. */
static const struct quoting for_unit = {"\"", "\"\\%", {"\\\"", "\\\\", "%%"}};
static const struct quoting for_exec_start = {"\"", "\"\\%$", {"\\\"", "\\\\", "%%", "$$"}};

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
    char path[PATH_MAX] = "/proc/self/exe", found[PATH_MAX];
    const char *dirs = getenv("PATH");

    while (realpath(path, found) == NULL) { /* no /proc: as the shell found it */
        size_t len = dirs != NULL ? strcspn(dirs, ":") : 0;

        if (len == 0)
            return NULL;
        snprintf(path, sizeof path, "%.*s/servetel-auth", (int)len, dirs);
        dirs += len + (dirs[len] == ':');
    }
    return mem_copy(found);
}

/* When somebody must log in, since this profile cannot do it by itself; 0 if it can. */
static int64_t person_needed_at(const char *name, const char *file)
{
    AT_END(profile_clear) struct profile p = PROFILE_NONE;
    AT_END(cache_close) struct cache cache;
    struct error ignored;

    return cache_open(&cache, name, file, &ignored) == RESULT_OK &&
                   cache_read(&cache, &p, &ignored) == RESULT_OK && p.token != NULL
               ? profile_log_in_by(&p, clock_epoch_s())
               : 0;
}

/* Without a password such a schedule dies in silence: said while there is time. */
static void warn_of_logins(const struct options *options)
{
    size_t count = 1, without = 0;
    const char *one = command_profile(options), *file = options->file;
    AT_END(cache_list_free) char **names = NULL;
    OWNED char *who = NULL;
    char when[CLOCK_TEXT_SIZE];
    struct error ignored;
    int64_t first = 0;

    if (options->all && cache_list(&names, &count, &ignored) != RESULT_OK)
        count = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t at = person_needed_at(options->all ? names[i] : one, file);

        first = at != 0 && (without == 0 || at < first) ? at : first;
        without += at != 0;
    }
    if (without == 0)
        return;
    who = options->all ? mem_format("%zu of %zu profiles", without, count)
                       : mem_format("'%s'", file != NULL ? file : one);
    msg_warn("%s: a person must log in again by %s, unless a login is told --password-command or "
             "--password-file",
             who, first > clock_epoch_s() ? clock_format(first, when) : "now");
}

/* The same on each run for the same host and profile, different for others. */
static unsigned spread(const char *profile, unsigned range)
{
    OWNED char *both = NULL;
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    both = mem_join(host, " ", profile);
    return token_checksum(both) % range;
}

/* Cron counts within the hour and the day: the largest interval, not longer, that divides one. */
static int64_t even_interval_min(int64_t minutes)
{
    int64_t even = minutes < 720 ? minutes : 720;

    while (even > 1 && (even < 60 ? 60 % even != 0 : even % 60 != 0 || 1440 % even != 0))
        even--;
    return even > 0 ? even : 1;
}

/* After the profile or the file; what a unit's name may not hold, or an @, which would make it a
 * template's instance, becomes an underscore, and a checksum keeps such names apart. */
static char *name_schedule(const struct plan *plan)
{
    const char *whole = plan->options->all   ? "all"
                        : plan->file != NULL ? plan->file
                                             : command_profile(plan->options);
    OWNED char *name = mem_join(NAME_BEGIN, plan->file != NULL ? strrchr(whole, '/') + 1 : whole);
    OWNED char *key = mem_join(whole, plan->dir != NULL ? plan->dir : "");
    bool is_unique = plan->file == NULL && plan->dir == NULL &&
                     (plan->options->all || strcmp(whole, "all") != 0);

    for (char *c = name; *c != '\0'; c++) {
        if (strchr(TEXT_ALPHANUMERIC "._-", *c) == NULL) {
            *c = '_';
            is_unique = false;
        }
    }
    /* Of a file name's 255 characters some are for what is added. */
    return is_unique ? mem_copy(name)
                     : mem_format("%.200s-%08x", name, (unsigned)token_checksum(key));
}

/* How often, by the life of the token that is cached. */
static enum result plan_times(struct plan *plan, struct error *error)
{
    const struct options *o = plan->options;
    int64_t life_s = TOKEN_LIFE_DEFAULT_S;
    AT_END(profile_clear) struct profile profile = PROFILE_NONE;
    AT_END(cache_close) struct cache cache;
    enum result result = cache_open(&cache, command_profile(o), o->file, error);

    if (result == RESULT_OK && !o->all)
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
    plan->min_ttl_s = o->min_ttl_s != OPTION_UNSET ? o->min_ttl_s : life_s / 2;
    if (result == RESULT_OK && plan->min_ttl_s < plan->interval_min * 60)
        msg_warn("a token that lasts a little more than --min-ttl ends before the next run, %lld "
                 "min later: give --min-ttl %lldm or more",
                 (long long)plan->interval_min, (long long)plan->interval_min);
    plan->offset_min = spread(o->all ? "--all" : cache.name, (unsigned)plan->interval_min);
    return result;
}

static enum result plan_places(struct plan *plan, struct error *error)
{
    const char *file = plan->options->file, *dir = process_variable("SERVETEL_AUTH_DIR");

    if (file != NULL)
        plan->file = process_absolute_path(file);
    else if (dir != NULL)
        plan->dir = process_absolute_path(dir);
    if ((file != NULL || dir != NULL) && plan->file == NULL && plan->dir == NULL)
        return error_set(error, RESULT_LOCAL,
                         "cannot tell where the cache is from here: give its whole path");
    plan->program = own_path();
    if (plan->program == NULL)
        return error_set(error, RESULT_LOCAL, "cannot tell where this program is installed");
    plan->name = name_schedule(plan);
    return RESULT_OK;
}

/* Neither a crontab nor a unit can hold a line's end; for systemd a carriage return is one, too. */
static enum result check_lines(const struct plan *plan, struct error *error)
{
    const char *const texts[] = {plan->options->on_change, plan->options->adopt, plan->program,
                                 plan->file, plan->dir};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] != NULL && texts[i][strcspn(texts[i], "\n\r")] != '\0')
            return error_set(error, RESULT_USAGE,
                             "neither cron nor systemd takes more than one line: there is the end "
                             "of one in a command or in a path");
    }
    return RESULT_OK;
}

/* Without a value, nothing. */
static void put_option(struct buffer *out, const char *name, const char *value,
                       const struct quoting *quoting)
{
    const char *quote;

    if (value == NULL)
        return;
    quote = text_is_plain_word(value) ? "" : quoting->quote;
    buffer_put(out, name, quote);
    for (; *value != '\0'; value++) {
        const char one[] = {*value, '\0'}, *special = strchr(quoting->special, *value);

        buffer_put(out, special != NULL ? quoting->spelt[special - quoting->special] : one);
    }
    buffer_put(out, quote);
}

/* As a person would write it. */
static void put_duration(struct buffer *out, const char *name, int64_t seconds)
{
    bool is_minutes = seconds % 60 == 0 && seconds != 0;

    buffer_take(out, mem_format("%s%lld%c", name, (long long)(is_minutes ? seconds / 60 : seconds),
                                is_minutes ? 'm' : 's'));
}

static void put_command(struct buffer *out, const char *before, const struct plan *plan,
                        const struct quoting *quoting)
{
    const struct options *o = plan->options;

    put_option(out, before, plan->program, quoting);
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

static void cron(struct buffer *out, const struct plan *plan)
{
    char minutes[TIMES_SIZE], hours[TIMES_SIZE];

    name_times(plan, true, minutes, hours);
    /* Both lines end alike, so that whoever installs them again finds the old ones by that. */
    buffer_take(out, mem_format("# %s\n%s %s * * *", plan->name, minutes, hours));
    put_option(out, " SERVETEL_AUTH_DIR=", plan->dir, &for_cron);
    put_command(out, " ", plan, &for_cron);
    buffer_take(out, mem_format(" # %s", plan->name));
}

static void systemd(struct buffer *out, const struct plan *plan)
{
    const char *whose = plan->options->all   ? "all profiles"
                        : plan->file != NULL ? plan->name + strlen(NAME_BEGIN)
                                             : command_profile(plan->options);
    OWNED char *dir = plan->dir != NULL ? mem_join("SERVETEL_AUTH_DIR=", plan->dir) : NULL;
    char minutes[TIMES_SIZE], hours[TIMES_SIZE];

    buffer_take(out, mem_format("# %s.service\n"
                                "[Unit]\n"
                                "Description=Keep a Servetel token fresh (%s)\n"
                                "Documentation=man:servetel-auth(1)\n\n"
                                "[Service]\n"
                                "Type=oneshot\n",
                                plan->name, whose));
    put_option(out, "Environment=", dir, &for_unit);
    put_command(out, dir != NULL ? "\nExecStart=" : "ExecStart=", plan, &for_exec_start);
    name_times(plan, false, minutes, hours);
    buffer_take(out, mem_format("\n\n# %s.timer\n"
                                "[Unit]\n"
                                "Description=Keep a Servetel token fresh (%s)\n\n"
                                "[Timer]\n"
                                "OnCalendar=*-*-* %s:%s:00\n"
                                "Persistent=true\n\n"
                                "[Install]\n"
                                "WantedBy=timers.target",
                                plan->name, whose, hours, minutes));
}

int cmd_schedule(const struct options *options)
{
    struct plan plan = {.options = options};
    const char *kind = options->operands[0];
    bool is_cron = strcmp(kind, "cron") == 0;
    struct buffer out = BUFFER(SIZE_MAX / 2);
    struct error error;
    int code;

    if (!is_cron && strcmp(kind, "systemd") != 0)
        return command_misuse("schedule knows cron and systemd");
    if (plan_times(&plan, &error) != RESULT_OK || plan_places(&plan, &error) != RESULT_OK ||
        check_lines(&plan, &error) != RESULT_OK) {
        code = command_fail(&error);
    } else {
        warn_of_logins(options);
        (is_cron ? cron : systemd)(&out, &plan);
        buffer_put(&out, "\n");
        code = command_write(&out);
    }
    mem_free(plan.program);
    mem_free(plan.file);
    mem_free(plan.dir);
    mem_free(plan.name);
    return code;
}
