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
 *         command         command_fresh_profile()  what several commands share
 *         options         options_parse()          the one table of options
 *         status_table    status_table()           what `status` shows of a profile, as a table
 *         token_file      token_file_open()        the private file of `exec --keep-fresh`
 *     renewal/            the one path on which a token changes
 *         renew           renew_next()             the path, as a state machine
 *         drive           drive_all()              makes happen what renewals ask for
 *     service/            the API
 *         api             api_read()               what goes out, what an answer means
 *         request         request_start()          HTTPS through libcurl: limits, trust, timing
 *         libcurl         libcurl_load()           loads it at the first request
 *     store/              files
 *         cache           cache_read()             the dotfile: read, prepare, write
 *         lock            cache_lock()             its lock, and the note in it
 *         profile         profile_parse()          what a cached file says
 *         token           token_claims()           a token's look, its claims, how long it lasts
 *         url             url_check()              which API addresses are accepted
 *     input/              what comes from the user
 *         source          source_ask()             where a password comes from
 *         child           child_start()            commands of the user's: sources and hooks
 *     base/
 *         mem             mem_new()                memory that is wiped
 *         json            json_parse_object()      cJSON with its traps closed
 *         text            text_clean()             text from elsewhere, made harmless
 *         clock           clock_epoch_s()          the two clocks
 *         fd              fd_open()                descriptors that survive signals and do not leak
 *         msg             msg_error()              the only writer to stderr
 *         signals         signals_catch()          held until it is safe to die of them
 *         process         process_shut_out()       what is changed for this process, and put back
 *         result          error_set()              results, error texts, exit codes
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/msg.h"
#include "base/process.h"
#include "base/signals.h"
#include "commands/command.h"

static const struct command commands[] = {
    {"login", FOR_LOGIN, cmd_login, "", 0, 0, false, "get a token and cache it",
     "The password comes from the first of: --password-stdin, --password-file,\n"
     "--password-command, what the profile remembers, a prompt on the terminal.\n"},
    {"refresh", FOR_REFRESH, cmd_refresh, "", 0, 0, false,
     "exchange the cached token for a new one", ""},
    {"show", FOR_SHOW, cmd_show, "", 0, 0, false,
     "print a token that is valid now, renewed first if it must be", ""},
    {"status", FOR_STATUS, cmd_status, "", 0, 0, false,
     "say what is cached, for whom, and for how long it lasts", ""},
    {"logout", FOR_LOGOUT, cmd_logout, "", 0, 0, false, "forget what is cached", ""},
    {"exec", FOR_EXEC, cmd_exec, "[--] PROGRAM [ARG]...", 1, -1, true,
     "run a program with a fresh token in SERVETEL_TOKEN", ""},
    {"schedule", FOR_SCHEDULE, cmd_schedule, "cron|systemd", 1, 1, false,
     "print a crontab line or systemd units that keep the token fresh", ""},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

/* Help is a screen or two. */
#define HELP_MAX 16384

static bool add(struct buffer *text, const char *more)
{
    return buffer_append_text(text, more);
}

static void usage(struct buffer *text)
{
    char line[128];

    if (!add(text,
             "usage: servetel-auth COMMAND [OPTION]...\n\n"
             "Tokens for Servetel's cloud telephony API: obtained, kept fresh, handed out.\n\n"))
        return;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        snprintf(line, sizeof line, "  %-10s%s\n", commands[i].name, commands[i].summary);
        if (!add(text, line))
            return;
    }
    if (!add(text,
             "\nservetel-auth COMMAND --help tells a command's options; servetel-auth(1) all.\n"))
        return;
}

static void command_help(const struct command *command, struct buffer *text)
{
    char *head = mem_format("usage: servetel-auth %s [OPTION]...%s%s\n\n%c%s.\n%s%s", command->name,
                            *command->operands != '\0' ? " " : "", command->operands,
                            command->summary[0] - 'a' + 'A', command->summary + 1,
                            *command->details != '\0' ? "\n" : "", command->details);

    if (add(text, head))
        options_help(command->user, text);
    mem_free(head);
}

static int print_help(const struct command *command)
{
    struct buffer text = BUFFER(HELP_MAX);
    struct error error;
    enum result result;

    if (command == NULL)
        usage(&text);
    else
        command_help(command, &text);
    result = command_write(buffer_text(&text), text.len, &error);
    buffer_clear(&text);
    return result == RESULT_OK ? 0 : command_fail(&error);
}

static int usage_on_stderr(void)
{
    struct buffer text = BUFFER(HELP_MAX);

    usage(&text);
    if (write(STDERR_FILENO, text.data, text.len) < 0)
        msg_error("no command");
    buffer_clear(&text);
    return result_exit_code(RESULT_USAGE);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMAND_COUNT + 1] = {NULL}, *nearest;

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    nearest = options_nearest(name, names);
    if (nearest != NULL)
        msg_error("unknown command '%s': did you mean '%s'?", name, nearest);
    else
        msg_error("unknown command '%s' (see servetel-auth --help)", name);
    return result_exit_code(RESULT_USAGE);
}

/* Operands are not repeated in messages: one may be a password that was typed there. */
static int check_operands(const struct command *command, const struct options *options)
{
    if (options->operand_count < command->least_operands)
        msg_error("%s needs %s (see servetel-auth %s --help)", command->name, command->operands,
                  command->name);
    else if (command->most_operands >= 0 && options->operand_count > command->most_operands)
        msg_error("%s takes no further argument (see servetel-auth %s --help)", command->name,
                  command->name);
    else
        return 0;
    return result_exit_code(RESULT_USAGE);
}

static int run(int argc, char **argv)
{
    const struct command *command;
    struct options options;
    struct error error;
    int index, code;

    if (options_parse_first(&options, argc, argv, &index, &error) != RESULT_OK) {
        msg_error("%s (see servetel-auth --help)", error.text);
        return result_exit_code(error.result);
    }
    if (options.version)
        return command_print("servetel-auth " VERSION);
    if (index >= argc)
        return options.help ? print_help(NULL) : usage_on_stderr();
    command = find_command(argv[index]);
    if (command == NULL)
        return unknown_command(argv[index]);
    if (options_parse(&options, command->user, command->name, command->takes_program, argc - index,
                      argv + index, &error) != RESULT_OK) {
        msg_error("%s (see servetel-auth %s --help)", error.text, command->name);
        return result_exit_code(error.result);
    }
    if (options.help)
        return print_help(command);
    if (options.version)
        return command_print("servetel-auth " VERSION);
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
    code = run(argc, argv);
    signals_die();
    return code;
}
