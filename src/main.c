/* SPDX-License-Identifier: MIT */
/* servetel-auth: obtains, keeps fresh and hands out tokens for Servetel's API.
 *
 * The house, floor by floor; each includes only from its own and those below it. Behind each file
 * the function by which one enters it.
 *
 *     commands/           a command each: options to calls, results to output
 *         login           cmd_login()
 *         refresh         cmd_refresh()
 *         show            cmd_show()
 *         status          cmd_status()
 *         logout          cmd_logout()
 *         exec            cmd_exec()
 *         schedule        cmd_schedule()
 *         command         command_fresh()          what several commands share
 *         options         options_parse()          the one table of options; what the user says
 *         status_table    status_table()           what `status` shows, drawn
 *         token_file      token_file_open()        the private file of `exec --keep-fresh`
 *     renewal/            the one path on which a token changes
 *         renew           renew()                  the whole renewal, in one straight function
 *         decide          decide()                 keep, wait, exchange, log in: what is to be done
 *         exchange        exchange()               one refresh
 *         login           log_in()                 one login, the lockout guard
 *         foreign         foreign_adopt()          a token from a command or from other hosts
 *         publish         publish()                who else is told: hooks, the published token
 *         steps           step_ask()               what these share
 *         workers         workers_run()            many renewals at once
 *     service/            the API
 *         api             api_read()               what goes out, what an answer means
 *         request         request_send()           one HTTPS request: limits, timing
 *         trust           trust_choose()           which roots
 *         failure         failure_tell()           why there is no answer
 *         libcurl         libcurl_load()           loads it at the first request
 *     store/              files
 *         cache           cache_read()             the dotfile: where it is, reading it
 *         write           cache_write()            and its writing half
 *         lock            cache_lock()             the kernel lock, and the note in it
 *         advice          advice_append_login()    what a person should do
 *         profile         profile_parse()          what a cached file says
 *         token           token_claims()           a token's look, its claims, how long it lasts
 *         url             url_check()              which API addresses are accepted
 *     input/              what comes from the user
 *         source          source_run()             where a password or token comes from
 *         child           child_run()              commands of the user's: sources and hooks
 *     base/
 *         mem             mem_new()                memory that is wiped
 *         json            json_parse_object()      cJSON with its traps closed
 *         text            text_clean()             text from elsewhere, made harmless
 *         clock           clock_epoch_s()          the two clocks
 *         fd              fd_open()                descriptors that survive signals and do not leak
 *         msg             msg_write()              the only writer to stderr
 *         signals         signals_hold()           held until it is safe to die of them
 *         process         process_shut_out()       what is changed for this process, and put back
 *         result          error_set()              results, error texts, exit codes
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/msg.h"
#include "base/process.h"
#include "base/signals.h"
#include "commands/command.h"

static int cmd_help(const struct options *options);

static int cmd_version(const struct options *options)
{
    (void)options;
    return command_print("servetel-auth " VERSION);
}

static const struct command commands[] = {
    {"login", FOR_LOGIN, cmd_login, "get a token and cache it",
     "  servetel-auth login -e you@example.com\n"
     "  servetel-auth login -p sales --password-command 'pass show servetel'\n"
     "  servetel-auth login --token-stdin <token\n",
     "The password comes from the first of: --password-stdin, --password-file,\n"
     "--password-command, what the profile remembers, a prompt on the terminal.\n"},
    {"refresh", FOR_REFRESH, cmd_refresh, "exchange the cached token for a new one",
     "  servetel-auth refresh --min-ttl 30m\n"
     "  servetel-auth refresh --all --jobs 32\n"
     "  servetel-auth refresh --on-change 'etcdctl put servetel/token'\n"},
    {"show", FOR_SHOW, cmd_show, "print a token that is valid now, renewed first if it must be",
     "  token=$(servetel-auth show)\n"
     "  servetel-auth show --format curl | curl -K - https://api.servetel.in/v1/...\n"
     "  servetel-auth show --json | jq .expires_in\n"},
    {"status", FOR_STATUS, cmd_status, "say what is cached, for whom, and for how long it lasts",
     "  servetel-auth status\n"
     "  servetel-auth status -p sales --json | jq '.profiles[0].state'\n"
     "  servetel-auth status -q --min-ttl 10m >/dev/null || echo 'see to it'\n"},
    {"logout", FOR_LOGOUT, cmd_logout, "forget what is cached",
     "  servetel-auth logout -p sales\n"
     "  servetel-auth logout --all --yes\n"},
    {"exec", FOR_EXEC, cmd_exec, "run a program with a fresh token in SERVETEL_TOKEN",
     "  servetel-auth exec -- ./report.py\n"
     "  servetel-auth exec --keep-fresh -- ./dialer\n",
     .operands = "[--] PROGRAM [ARG]...", .least_operands = 1, .most_operands = -1},
    {"schedule", FOR_SCHEDULE, cmd_schedule,
     "print a crontab line or systemd units that keep the token fresh",
     "  servetel-auth schedule cron\n"
     "  servetel-auth schedule cron -p sales --min-ttl 20m\n"
     "  servetel-auth schedule systemd --all\n",
     "How to install them: servetel-auth(1), schedule.\n", .operands = "cron|systemd",
     .least_operands = 1, .most_operands = 1},
    {"help", FOR_HELP, cmd_help, "show the help of the program, or of a command",
     "  servetel-auth help refresh\n"
     "  servetel-auth refresh --help\n",
     .operands = "[COMMAND]", .most_operands = 1},
    {"version", FOR_VERSION, cmd_version, "show the version",
     "  servetel-auth version\n"
     "  servetel-auth --version\n"},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void usage(struct buffer *text)
{
    buffer_put(text,
               "usage: servetel-auth COMMAND [OPTION]...\n\n"
               "Tokens for Servetel's cloud telephony API: obtained, kept fresh, handed out.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        buffer_take(text, mem_format("  %-10s%s\n", commands[i].name, commands[i].summary));
    buffer_put(text,
               "\nservetel-auth help COMMAND tells a command's options; servetel-auth(1) all.\n");
}

static void command_help(const struct command *command, struct buffer *text)
{
    const char *operands = command->operands, *details = command->details;

    buffer_take(text,
                mem_format("usage: servetel-auth %s [OPTION]...%s%s\n\n%c%s.\n%s%s", command->name,
                           operands != NULL ? " " : "", operands != NULL ? operands : "",
                           command->summary[0] - 'a' + 'A', command->summary + 1,
                           details != NULL ? "\n" : "", details != NULL ? details : ""));
    options_help(command->user, text);
    buffer_put(text, "\nExamples:\n", command->examples);
}

/* Of a command, or for NULL of the program; on stderr where nothing was asked for. */
static int print_help(const struct command *command, int fd)
{
    AT_END(buffer_clear) struct buffer text = BUFFER(SIZE_MAX / 2);

    if (command == NULL)
        usage(&text);
    else
        command_help(command, &text);
    if (fd == STDOUT_FILENO)
        return command_write(&text);
    fd_write(fd, text.data, text.len);
    return result_exit_code(RESULT_USAGE);
}

/* NULL, and told so, where there is none. */
static const struct command *find_command(const char *name)
{
    const char *names[COMMAND_COUNT + 1] = {NULL};
    AT_END(buffer_clear) struct buffer list = BUFFER(SIZE_MAX / 2);
    char meant[TEXT_NEAREST_SIZE];

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        names[i] = commands[i].name;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        buffer_put(&list, i > 0 ? ", " : "", names[i]);
    msg_error("unknown command '%s'%s (commands: %s)", name,
              text_nearest(name, strlen(name), names, meant), buffer_text(&list));
    return NULL;
}

static int cmd_help(const struct options *options)
{
    const struct command *command = NULL;

    if (options->operand_count > 0) {
        command = find_command(options->operands[0]);
        if (command == NULL)
            return result_exit_code(RESULT_USAGE);
    }
    return print_help(command, STDOUT_FILENO);
}

/* Operands are not repeated in messages: one may be a password that was typed there. */
static enum result check_operands(const struct command *command, int count, struct error *error)
{
    if (count < command->least_operands)
        return error_set(error, RESULT_USAGE, "%s needs %s", command->name, command->operands);
    if (command->most_operands >= 0 && count > command->most_operands)
        return error_set(error, RESULT_USAGE, "%s takes no further argument", command->name);
    return RESULT_OK;
}

static int run_command(int argc, char **argv)
{
    const struct command *command;
    struct options options;
    struct error error;
    enum result result;
    int index;

    if (options_find_command(&options, argc, argv, &index, &error) != RESULT_OK) {
        msg_error("%s (see servetel-auth --help)", error.text);
        return result_exit_code(error.result);
    }
    if (options.version)
        return cmd_version(&options);
    if (index >= argc)
        return print_help(NULL, options.help ? STDOUT_FILENO : STDERR_FILENO);
    command = find_command(argv[index]);
    if (command == NULL)
        return result_exit_code(RESULT_USAGE);
    result = options_parse(&options, command->user, command->most_operands < 0, argc, argv, index,
                           &error);
    if (result == RESULT_OK && options.help)
        return print_help(command, STDOUT_FILENO);
    if (result == RESULT_OK && options.version)
        return cmd_version(&options);
    if (result == RESULT_OK)
        result = check_operands(command, options.operand_count, &error);
    if (result != RESULT_OK) {
        msg_error("%s (see servetel-auth %s --help)", error.text, command->name);
        return result_exit_code(result);
    }
    msg_level = options.verbose ? MSG_VERBOSE : options.quiet ? MSG_QUIET : MSG_NORMAL;
    return command->run(&options);
}

int main(int argc, char **argv)
{
    int code;

    process_shut_out();
    /* A closed stdout must fail to be written, not be whatever file is opened next. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", O_RDONLY);
    }
    /* With another's rights: whoever runs it would choose whose tokens he gets. */
    if (getuid() != geteuid() || getgid() != getegid()) {
        msg_error("not run set-user-ID or set-group-ID: take these bits from the program's file");
        return result_exit_code(RESULT_LOCAL);
    }
    code = run_command(argc, argv);
    signals_die();
    process_end(code);
}
