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
 *         options         options_parse()          what the command line says
 *         option_table    option_table_help()      the one table of options
 *         status_table    status_table()           what `status` shows, drawn
 *         token_file      token_file_open()        the private file of `exec --keep-fresh`
 *     renewal/            the one path on which a token changes
 *         renew           renew()                  the whole renewal, in one straight function
 *         decide          decide()                 keep, wait, exchange, log in: what is to be done
 *         exchange        exchange()               one refresh
 *         login           log_in()                 one login, the lockout guard
 *         foreign         foreign_adopt()          a token from a command or from other hosts
 *         publish         publish()                who else is told: hooks, the published token
 *         steps           step_send()              what these share
 *         workers         workers_run()            many renewals at once
 *         holds           holds_note()             hosts that asked these to wait
 *     service/            the API
 *         api             api_read()               what goes out, what an answer means
 *         request         request_send()           one HTTPS request: limits, timing
 *         trust           trust_choose()           which roots
 *         failure         failure_lost()           why there is no answer
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
 *         nearest         nearest()                did you mean
 *         clock           clock_epoch_s()          the two clocks
 *         fd              fd_open()                descriptors that survive signals and do not leak
 *         msg             msg_write()              the only writer to stderr
 *         signals         signals_catch()          held until it is safe to die of them
 *         process         process_shut_out()       what is changed for this process, and put back
 *         result          error_set()              results, error texts, exit codes
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/msg.h"
#include "base/nearest.h"
#include "base/process.h"
#include "base/signals.h"
#include "commands/command.h"
#include "commands/option_table.h"

static int cmd_help(const struct options *options);
static int cmd_version(const struct options *options);

static const struct command commands[] = {
    {"login", FOR_LOGIN, cmd_login, "", 0, 0, false, "get a token and cache it",
     "The password comes from the first of: --password-stdin, --password-file,\n"
     "--password-command, what the profile remembers, a prompt on the terminal.\n",
     "  servetel-auth login -e you@example.com\n"
     "  servetel-auth login -p sales --password-command 'pass show servetel'\n"
     "  servetel-auth login --token-stdin <token\n"},
    {"refresh", FOR_REFRESH, cmd_refresh, "", 0, 0, false,
     "exchange the cached token for a new one", "",
     "  servetel-auth refresh --min-ttl 30m\n"
     "  servetel-auth refresh --all --jobs 32\n"
     "  servetel-auth refresh --on-change 'etcdctl put servetel/token'\n"},
    {"show", FOR_SHOW, cmd_show, "", 0, 0, false,
     "print a token that is valid now, renewed first if it must be", "",
     "  token=$(servetel-auth show)\n"
     "  servetel-auth show --format curl | curl -K - https://api.servetel.in/v1/...\n"
     "  servetel-auth show --json | jq .expires_in\n"},
    {"status", FOR_STATUS, cmd_status, "", 0, 0, false,
     "say what is cached, for whom, and for how long it lasts", "",
     "  servetel-auth status\n"
     "  servetel-auth status -p sales --json | jq '.profiles[0].state'\n"
     "  servetel-auth status -q --min-ttl 10m >/dev/null || echo 'see to it'\n"},
    {"logout", FOR_LOGOUT, cmd_logout, "", 0, 0, false, "forget what is cached", "",
     "  servetel-auth logout -p sales\n"
     "  servetel-auth logout --all --yes\n"},
    {"exec", FOR_EXEC, cmd_exec, "[--] PROGRAM [ARG]...", 1, -1, true,
     "run a program with a fresh token in SERVETEL_TOKEN", "",
     "  servetel-auth exec -- ./report.py\n"
     "  servetel-auth exec --keep-fresh -- ./dialer\n"},
    {"schedule", FOR_SCHEDULE, cmd_schedule, "cron|systemd", 1, 1, false,
     "print a crontab line or systemd units that keep the token fresh",
     "How to install them: servetel-auth(1), schedule.\n",
     "  servetel-auth schedule cron\n"
     "  servetel-auth schedule cron -p sales --min-ttl 20m\n"
     "  servetel-auth schedule systemd --all\n"},
    {"help", FOR_HELP, cmd_help, "[COMMAND]", 0, 1, false,
     "show the help of the program, or of a command", "",
     "  servetel-auth help refresh\n"
     "  servetel-auth refresh --help\n"},
    {"version", FOR_VERSION, cmd_version, "", 0, 0, false, "show the version", "",
     "  servetel-auth version\n"
     "  servetel-auth --version\n"},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

/* Help is a screen or two. */
#define HELP_MAX 16384

static void usage(struct buffer *text)
{
    char line[128];

    buffer_put(text,
               "usage: servetel-auth COMMAND [OPTION]...\n\n"
               "Tokens for Servetel's cloud telephony API: obtained, kept fresh, handed out.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        snprintf(line, sizeof line, "  %-10s%s\n", commands[i].name, commands[i].summary);
        buffer_put(text, line);
    }
    buffer_put(text,
               "\nservetel-auth help COMMAND tells a command's options; servetel-auth(1) all.\n");
}

static void command_help(const struct command *command, struct buffer *text)
{
    char *head = mem_format("usage: servetel-auth %s [OPTION]...%s%s\n\n%c%s.\n%s%s", command->name,
                            *command->operands != '\0' ? " " : "", command->operands,
                            command->summary[0] - 'a' + 'A', command->summary + 1,
                            *command->details != '\0' ? "\n" : "", command->details);

    buffer_put(text, head);
    option_table_help(command->user, text);
    buffer_put(text, "\nExamples:\n");
    buffer_put(text, command->examples);
    mem_free(head);
}

/* Of a command, or for NULL of the program; on stderr where nothing was asked for. */
static int print_help(const struct command *command, int fd)
{
    struct buffer text = BUFFER(HELP_MAX);
    int code = result_exit_code(RESULT_USAGE);
    struct error error;

    if (command == NULL)
        usage(&text);
    else
        command_help(command, &text);
    if (fd == STDOUT_FILENO)
        code = command_write(buffer_text(&text), text.len, &error) == RESULT_OK
                   ? 0
                   : command_fail(&error);
    else if (write(fd, text.data, text.len) < 0)
        msg_error("no command");
    buffer_clear(&text);
    return code;
}

/* NULL, and told so, where there is none. */
static const struct command *find_command(const char *name)
{
    const char *names[COMMAND_COUNT + 1] = {NULL}, *meant;
    struct buffer list = BUFFER(HELP_MAX);

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        names[i] = commands[i].name;
        if (strcmp(names[i], name) == 0) {
            buffer_clear(&list);
            return &commands[i];
        }
        buffer_put(&list, i > 0 ? ", " : "");
        buffer_put(&list, names[i]);
    }
    meant = nearest(name, names);
    msg_error("unknown command '%s'%s%s%s (commands: %s)", name,
              meant != NULL ? ": did you mean '" : "", meant != NULL ? meant : "",
              meant != NULL ? "'?" : "", buffer_text(&list));
    buffer_clear(&list);
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

static int cmd_version(const struct options *options)
{
    (void)options;
    return command_print("servetel-auth " VERSION);
}

/* Operands are not repeated in messages: one may be a password that was typed there. */
static int check_operands(const struct command *command, const struct options *options)
{
    int count = options->operand_count;
    bool few = count < command->least_operands;

    if (!few && (command->most_operands < 0 || count <= command->most_operands))
        return 0;
    msg_error("%s %s%s (see servetel-auth %s --help)", command->name, few ? "needs " : "takes no ",
              few ? command->operands : "further argument", command->name);
    return result_exit_code(RESULT_USAGE);
}

static int run_command(int argc, char **argv)
{
    const struct command *command;
    struct options options;
    struct error error;
    int index, code;

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
    if (options_parse(&options, command->user, command->takes_program, argc, argv, index, &error) !=
        RESULT_OK) {
        msg_error("%s (see servetel-auth %s --help)", error.text, command->name);
        return result_exit_code(error.result);
    }
    if (options.help)
        return print_help(command, STDOUT_FILENO);
    if (options.version)
        return cmd_version(&options);
    msg_set_level(options.verbose ? MSG_VERBOSE : options.quiet ? MSG_QUIET : MSG_NORMAL);
    code = check_operands(command, &options);
    return code != 0 ? code : command->run(&options);
}

/* A closed stdout must fail to be written, not be whatever file is opened next. */
static void occupy_standard_fds(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    int code;

    process_shut_out();
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 ||
        fcntl(STDERR_FILENO, F_GETFD) < 0)
        occupy_standard_fds();
    /* With another's rights: whoever runs it would choose whose tokens he gets. */
    if (getuid() != geteuid() || getgid() != getegid()) {
        msg_error("not run set-user-ID or set-group-ID: take these bits from the program's file");
        return result_exit_code(RESULT_LOCAL);
    }
    code = run_command(argc, argv);
    signals_die();
    process_end(code);
}
